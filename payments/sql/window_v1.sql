-- The settlement window and its lock: advisory (22096, 1), which no other code takes.
--
-- Whoever posts holds it shared until commit; whoever turns the window holds it exclusively. So a
-- window is closed only after everybody who read it as open has committed, and the next reader
-- finds the next one. The two-number form has a space of its own, apart from one-number locks.

-- The open window; makes the first one if none is open.
CREATE FUNCTION open_window_v1(p_at timestamptz, p_business_date date) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(22096, 1);
    SELECT w.id INTO v_id FROM payments_window w WHERE w.state = 'open';
    IF v_id IS NULL THEN
        INSERT INTO payments_window (business_date, state, opened_at)
            VALUES (p_business_date, 'open', p_at) RETURNING id INTO v_id;
    END IF;
    RETURN v_id;
END $$;

-- Closes the open window and opens the next one, of p_business_date. Nobody waits for a posting
-- that takes long: after a second it gives up (55P03), and those who wait behind it go on.
CREATE FUNCTION close_window_v1(
    p_at timestamptz, p_business_date date, OUT closed_id bigint, OUT opened_id bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger works in read committed only' USING ERRCODE = 'VPL09';
    END IF;
    PERFORM pg_advisory_xact_lock(22096, 1);
    UPDATE payments_window w SET state = 'closing', closed_at = p_at
        WHERE w.state = 'open' RETURNING w.id INTO closed_id;
    IF closed_id IS NULL THEN
        RAISE EXCEPTION 'no window is open' USING ERRCODE = 'VPL01';
    END IF;
    INSERT INTO payments_window (business_date, state, opened_at)
        VALUES (p_business_date, 'open', p_at) RETURNING id INTO opened_id;
END $$;

-- Refuses to open, close or remove an open window without the exclusive lock, whoever asks.
CREATE FUNCTION guard_window_v1() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 22096 AND l.objid = 1 AND l.objsubid = 2
            AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock' AND l.granted
    ) THEN
        RAISE EXCEPTION 'windows are turned by open_window and close_window only'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
