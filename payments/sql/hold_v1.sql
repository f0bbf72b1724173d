-- Holds: money set aside, then captured (posted), voided or expired, once; those of one reference (an
-- order) together, captured in one transaction or voided in one call.
--
-- What is held stands on the first row of an account. Locks: the window's lock (shared, also where
-- nothing is posted, so that the order is the same everywhere), holds by id, then balance rows in the
-- order of post_v1. Errors beside those of post_v1: VPL05 not open any more, VPL06 more than is held,
-- VPL08 no such hold; holding more than there is is the CHECK balance_floor.

-- Sets money aside. The same purpose and reference again is the same hold, or VPL02.
CREATE FUNCTION hold_v1(
    p_id uuid, p_account bigint, p_amount bigint, p_purpose text, p_reference uuid,
    p_expires_at timestamptz, p_at timestamptz, OUT hold_id uuid, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_same boolean;
    v_shards integer;
BEGIN
    IF p_amount IS NULL OR p_amount NOT BETWEEN 1 AND 1000000000000000 THEN
        RAISE EXCEPTION 'malformed amount' USING ERRCODE = 'VPL07';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    INSERT INTO payments_hold
        (id, account_id, amount_fen, captured_fen, purpose, reference, state, expires_at, at)
        VALUES (p_id, p_account, p_amount, 0, p_purpose, p_reference, 'open', p_expires_at, p_at)
        ON CONFLICT DO NOTHING RETURNING id INTO hold_id;
    is_new := hold_id IS NOT NULL;
    IF NOT is_new THEN
        SELECT h.id, h.account_id = p_account AND h.amount_fen = p_amount INTO hold_id, v_same
            FROM payments_hold h WHERE h.reference = p_reference AND h.purpose = p_purpose;
        IF v_same IS NOT TRUE THEN  -- or it is the id that another hold has
            RAISE EXCEPTION 'the reference belongs to another hold' USING ERRCODE = 'VPL02';
        END IF;
        RETURN;
    END IF;
    SELECT a.shards INTO v_shards FROM payments_account a WHERE a.id = p_account;
    IF v_shards > 1 THEN  -- what is held has to stand on the first row
        PERFORM giving_shard_v1(p_account, v_shards, 0, p_amount);
    END IF;
    UPDATE payments_balance b SET held_fen = b.held_fen + p_amount
        WHERE b.account_id = p_account AND b.shard = 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
    END IF;
END $$;

-- Posts what the legs take from the held accounts, and frees the rest of these holds; for the
-- functions below, which find the holds. Several holds of one account give by id; one that gives
-- nothing is voided.
CREATE FUNCTION capture_these_v1(
    p_holds uuid[], p_kind text, p_caller text, p_key text, p_order_id uuid,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
DECLARE
    v_known boolean;
    v_last record;
    v_held record;
    v_taken numeric := 0;
BEGIN
    PERFORM FROM payments_hold h WHERE h.id = ANY (p_holds) ORDER BY h.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'VPL08';
    END IF;
    v_known := EXISTS (
        SELECT FROM payments_transaction t WHERE t.caller = p_caller AND t.key = p_key);
    IF NOT v_known AND EXISTS (
        SELECT FROM payments_hold h
        WHERE h.id = ANY (p_holds) AND (h.state <> 'open' OR h.expires_at <= p_at))
    THEN
        RAISE EXCEPTION 'the hold is not open' USING ERRCODE = 'VPL05';
    END IF;
    FOR v_held IN
        SELECT sum(h.amount_fen) AS held, sum(h.captured_fen) AS captured,
            bool_or(h.state NOT IN ('captured', 'voided')) AS is_pending,
            (SELECT COALESCE(sum(l.amount), 0) FROM unnest(p_debits, p_amounts) AS l (account, amount)
             WHERE l.account = h.account_id) AS taken
        FROM payments_hold h WHERE h.id = ANY (p_holds) GROUP BY h.account_id
    LOOP
        IF v_known AND (v_held.is_pending OR v_held.captured <> v_held.taken) THEN
            RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
        ELSIF v_held.taken > v_held.held THEN
            RAISE EXCEPTION 'a capture takes at most what is held' USING ERRCODE = 'VPL06';
        END IF;
        v_taken := v_taken + v_held.taken;
    END LOOP;
    IF v_taken < 1 THEN
        RAISE EXCEPTION 'a capture takes at least 1 fen' USING ERRCODE = 'VPL06';
    END IF;

    IF NOT v_known THEN
        UPDATE payments_hold h
            SET captured_fen = given.fen, state = CASE WHEN given.fen > 0 THEN 'captured' ELSE 'voided' END
            FROM (
                SELECT o.id, GREATEST(0, LEAST(o.amount_fen, (
                        SELECT COALESCE(sum(l.amount), 0)
                        FROM unnest(p_debits, p_amounts) AS l (account, amount)
                        WHERE l.account = o.account_id
                    ) - (sum(o.amount_fen) OVER (PARTITION BY o.account_id ORDER BY o.id)
                        - o.amount_fen)))::bigint AS fen
                FROM payments_hold o WHERE o.id = ANY (p_holds)
            ) given
            WHERE h.id = given.id;
        -- Freed before the money moves, or the floor would seem broken: so the rows that come before
        -- the last held one are locked now, in their order; post_v1 goes on from there.
        SELECT ledger_rank_v1(a.kind) AS rank, a.id INTO v_last
            FROM payments_hold h JOIN payments_account a ON a.id = h.account_id
            WHERE h.id = ANY (p_holds) ORDER BY 1 DESC, 2 DESC LIMIT 1;
        PERFORM FROM payments_balance b JOIN payments_account a ON a.id = b.account_id
            WHERE (b.account_id = ANY (p_debits || p_credits) OR b.account_id IN (
                    SELECT h.account_id FROM payments_hold h WHERE h.id = ANY (p_holds)))
                AND (ledger_rank_v1(a.kind), a.id) <= (v_last.rank, v_last.id)
            ORDER BY ledger_rank_v1(a.kind), a.id, b.shard FOR NO KEY UPDATE OF b;
        UPDATE payments_balance b SET held_fen = b.held_fen - freed.fen
            FROM (
                SELECT h.account_id, sum(h.amount_fen)::bigint AS fen FROM payments_hold h
                WHERE h.id = ANY (p_holds) GROUP BY h.account_id
            ) freed
            WHERE b.account_id = freed.account_id AND b.shard = 0;
    END IF;
    SELECT r.transaction_id, r.is_new INTO transaction_id, is_new FROM post_v1(
        p_kind, p_caller, p_key, p_order_id, NULL, p_business_date, p_event_at, p_at,
        p_debits, p_credits, p_amounts) r;
    IF NOT v_known AND NOT is_new THEN  -- the key was taken meanwhile, without these holds
        RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
    END IF;
END $$;

-- Posts what the legs take from the held account, and frees the rest of the hold.
CREATE FUNCTION capture_v1(
    p_hold uuid, p_kind text, p_caller text, p_key text, p_order_id uuid,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    SELECT c.transaction_id, c.is_new INTO transaction_id, is_new FROM capture_these_v1(
        ARRAY[p_hold], p_kind, p_caller, p_key, p_order_id, p_business_date, p_event_at, p_at,
        p_debits, p_credits, p_amounts) c;
END $$;

-- The same with all holds of a reference, in one transaction; every one of them must be open.
CREATE FUNCTION capture_all_v1(
    p_reference uuid, p_kind text, p_caller text, p_key text, p_order_id uuid,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    SELECT c.transaction_id, c.is_new INTO transaction_id, is_new FROM capture_these_v1(
        ARRAY(SELECT h.id FROM payments_hold h WHERE h.reference = p_reference),
        p_kind, p_caller, p_key, p_order_id, p_business_date, p_event_at, p_at,
        p_debits, p_credits, p_amounts) c;
END $$;

-- Frees the open holds of a reference that will not be captured; returns how many.
CREATE FUNCTION void_all_v1(p_reference uuid, p_at timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_open uuid[];
    v_account record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    PERFORM FROM payments_hold h WHERE h.reference = p_reference ORDER BY h.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'VPL08';
    END IF;
    v_open := ARRAY(
        SELECT h.id FROM payments_hold h WHERE h.reference = p_reference AND h.state = 'open');
    IF cardinality(v_open) = 0 THEN
        RAISE EXCEPTION 'no hold is open' USING ERRCODE = 'VPL05';
    END IF;
    UPDATE payments_hold h SET state = 'voided' WHERE h.id = ANY (v_open);
    FOR v_account IN
        SELECT h.account_id AS id, sum(h.amount_fen)::bigint AS fen
        FROM payments_hold h JOIN payments_account a ON a.id = h.account_id
        WHERE h.id = ANY (v_open)
        GROUP BY h.account_id, a.kind ORDER BY ledger_rank_v1(a.kind), h.account_id
    LOOP
        UPDATE payments_balance b SET held_fen = b.held_fen - v_account.fen
            WHERE b.account_id = v_account.id AND b.shard = 0;
    END LOOP;
    RETURN cardinality(v_open);
END $$;

-- Frees a hold that will not be captured.
CREATE FUNCTION void_v1(p_hold uuid, p_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_hold payments_hold%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    SELECT * INTO v_hold FROM payments_hold h WHERE h.id = p_hold FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'VPL08';
    ELSIF v_hold.state <> 'open' THEN
        RAISE EXCEPTION 'the hold is not open' USING ERRCODE = 'VPL05';
    END IF;
    UPDATE payments_hold h SET state = 'voided' WHERE h.id = p_hold;
    UPDATE payments_balance b SET held_fen = b.held_fen - v_hold.amount_fen
        WHERE b.account_id = v_hold.account_id AND b.shard = 0;
END $$;

-- Frees up to p_limit holds whose time is over; leaves those that somebody is working on.
CREATE FUNCTION expire_holds_v1(p_at timestamptz, p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_due uuid[];
    v_account record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    SELECT array_agg(d.id) INTO v_due FROM (
        SELECT h.id FROM payments_hold h WHERE h.state = 'open' AND h.expires_at <= p_at
        ORDER BY h.expires_at, h.id LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) d;
    IF v_due IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE payments_hold h SET state = 'expired' WHERE h.id = ANY (v_due);
    FOR v_account IN
        SELECT h.account_id AS id, sum(h.amount_fen)::bigint AS fen
        FROM payments_hold h JOIN payments_account a ON a.id = h.account_id
        WHERE h.id = ANY (v_due)
        GROUP BY h.account_id, a.kind ORDER BY ledger_rank_v1(a.kind), h.account_id
    LOOP
        UPDATE payments_balance b SET held_fen = b.held_fen - v_account.fen
            WHERE b.account_id = v_account.id AND b.shard = 0;
    END LOOP;
    RETURN cardinality(v_due);
END $$;
