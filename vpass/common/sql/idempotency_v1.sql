-- Claims an idempotency key for the present transaction, in one round trip.
--
-- outcome: claimed (do the work), replay (answer holds what was answered), reused (the key came
-- with another request before), running (a twin holds the key; nobody waits for it).
--
-- The lock is held until commit or rollback. A twin that committed before we got the lock is seen
-- by the insert below, because each statement of a volatile function takes a new snapshot.
CREATE FUNCTION idempotency_claim_v1(
    p_id bytea, p_digest bytea, p_at timestamptz, OUT outcome text, OUT answer bytea
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    known common_idempotency%ROWTYPE;
BEGIN
    IF NOT pg_try_advisory_xact_lock(('x' || encode(substr(p_id, 1, 8), 'hex'))::bit(64)::bigint) THEN
        outcome := 'running';
        RETURN;
    END IF;
    INSERT INTO common_idempotency (id, digest, claimed_at) VALUES (p_id, p_digest, p_at)
        ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        outcome := 'claimed';
        RETURN;
    END IF;
    SELECT * INTO STRICT known FROM common_idempotency WHERE id = p_id;
    IF known.digest <> p_digest THEN
        outcome := 'reused';
    ELSE
        outcome := 'replay';
        answer := known.answer;
    END IF;
END $$;
