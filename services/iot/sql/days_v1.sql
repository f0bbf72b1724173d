-- The days of iot_event: the application's role may not change the schema, so the owner does it.

-- Makes the missing partitions from p_from to p_to, both included; at most a hundred at a time.
CREATE FUNCTION iot_make_days_v1(p_from date, p_to date) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_day date;
    v_made integer := 0;
BEGIN
    IF p_to - p_from > 100 THEN
        RAISE EXCEPTION 'too many days' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR v_day IN SELECT p_from + n FROM generate_series(0, p_to - p_from) n LOOP
        IF to_regclass(format('public.iot_event_%s', to_char(v_day, 'YYYYMMDD'))) IS NULL THEN
            -- Two that make the same day: the second waits, and finds it made.
            PERFORM pg_advisory_xact_lock(22097, 0);
            IF to_regclass(format('public.iot_event_%s', to_char(v_day, 'YYYYMMDD'))) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE public.iot_event_%s PARTITION OF public.iot_event'
                    ' FOR VALUES FROM (%L) TO (%L)',
                    to_char(v_day, 'YYYYMMDD'), v_day::timestamp AT TIME ZONE 'UTC',
                    (v_day + 1)::timestamp AT TIME ZONE 'UTC');
                v_made := v_made + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN v_made;
END $$;

-- Drops the partitions of days before p_before. Nobody's call drops what is younger than 30 days.
CREATE FUNCTION iot_drop_days_v1(p_before date) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_name text;
    v_dropped integer := 0;
BEGIN
    IF p_before > (clock_timestamp() AT TIME ZONE 'UTC')::date - 30 THEN
        RAISE EXCEPTION 'these days are still in use' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR v_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.iot_event'::regclass
            AND c.relname < 'iot_event_' || to_char(p_before, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE public.%I', v_name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END $$;
