-- Writes one delivery for each consumer of an event; returns how many.
-- Other SQL may call it. In a WITH query it must be referenced, or PostgreSQL leaves it out.
CREATE FUNCTION outbox_publish_v1(
    p_event_id uuid, p_name text, p_payload jsonb, p_consumers text[], p_at timestamptz
) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH written AS (
        INSERT INTO common_outbox (event_id, name, consumer, payload, published_at, due_at)
        SELECT p_event_id, p_name, consumer, p_payload, p_at, p_at FROM unnest(p_consumers) AS consumer
        RETURNING 1
    )
    SELECT count(*) FROM written;
$$;

-- Takes deliveries which are due, so that other relays leave them alone until p_until.
-- Fresh ones come up to p_limit at once; ones that were tried before come alone, so that a
-- delivery which kills its relay spends its own attempts only. After p_attempts it is dead.
CREATE FUNCTION outbox_take_v1(
    p_fresh boolean, p_limit integer, p_attempts integer, p_at timestamptz, p_until timestamptz
) RETURNS TABLE (
    id bigint, attempts smallint, event_id uuid, name text, consumer text, payload jsonb,
    published_at timestamptz
) LANGUAGE sql VOLATILE AS $$
    WITH due AS (
        SELECT d.id FROM common_outbox d
        WHERE p_fresh AND d.state = 'pending' AND d.attempts = 0 AND d.due_at <= p_at
        ORDER BY d.due_at, d.id LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), due_again AS (
        SELECT d.id FROM common_outbox d
        WHERE NOT p_fresh AND d.state = 'pending' AND d.attempts > 0 AND d.due_at <= p_at
        ORDER BY d.due_at, d.id LIMIT 1 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE common_outbox d SET
            state = CASE WHEN d.attempts >= p_attempts THEN 'dead' ELSE d.state END,
            error = CASE WHEN d.attempts >= p_attempts AND d.error = '' THEN 'relay lost' ELSE d.error END,
            attempts = d.attempts + 1,
            due_at = p_until
        WHERE d.id IN (SELECT due.id FROM due UNION ALL SELECT due_again.id FROM due_again)
        RETURNING d.*
    )
    SELECT t.id, t.attempts, t.event_id, t.name, t.consumer, t.payload, t.published_at
    FROM taken t WHERE t.state = 'pending' ORDER BY t.id;
$$;
