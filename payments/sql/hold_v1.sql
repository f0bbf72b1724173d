-- Holds: money set aside, then captured (posted), voided or expired, once.
--
-- Locks: the window's lock (shared, also where nothing is posted, so that the order is the same
-- everywhere), the hold, then balance rows in the order of post_v1.
-- Errors beside those of post_v1: VPL05 not open any more, VPL06 more than is held, VPL08 no such
-- hold; holding more than there is is the CHECK balance_floor.

-- Sets money aside. The same purpose and reference again is the same hold, or VPL02.
CREATE FUNCTION hold_v1(
    p_id uuid, p_account bigint, p_amount bigint, p_purpose text, p_reference uuid,
    p_expires_at timestamptz, p_at timestamptz, OUT hold_id uuid, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_same boolean;
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
    UPDATE payments_balance b SET held_fen = b.held_fen + p_amount
        WHERE b.account_id = p_account AND b.shard = 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
    END IF;
END $$;

-- Posts what the legs take from the held account, and frees the rest of the hold.
CREATE FUNCTION capture_v1(
    p_hold uuid, p_kind text, p_caller text, p_key text, p_order_id uuid,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_hold payments_hold%ROWTYPE;
    v_taken numeric;
    v_known boolean;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    SELECT * INTO v_hold FROM payments_hold h WHERE h.id = p_hold FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'VPL08';
    END IF;
    SELECT COALESCE(sum(l.amount), 0) INTO v_taken
        FROM unnest(p_debits, p_amounts) AS l (account, amount) WHERE l.account = v_hold.account_id;
    v_known := EXISTS (
        SELECT FROM payments_transaction t WHERE t.caller = p_caller AND t.key = p_key);
    IF v_known AND (v_hold.state <> 'captured' OR v_hold.captured_fen <> v_taken) THEN
        RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
    ELSIF NOT v_known THEN
        IF v_hold.state <> 'open' OR v_hold.expires_at <= p_at THEN
            RAISE EXCEPTION 'the hold is not open' USING ERRCODE = 'VPL05';
        ELSIF v_taken NOT BETWEEN 1 AND v_hold.amount_fen THEN
            RAISE EXCEPTION 'a capture takes 1 fen up to what is held' USING ERRCODE = 'VPL06';
        END IF;
        UPDATE payments_hold h SET state = 'captured', captured_fen = v_taken WHERE h.id = p_hold;
        PERFORM FROM payments_balance b JOIN payments_account a ON a.id = b.account_id
            WHERE b.shard = 0 AND b.account_id = ANY (p_debits || p_credits)
            ORDER BY ledger_rank_v1(a.kind), a.id FOR NO KEY UPDATE OF b;
        UPDATE payments_balance b SET held_fen = b.held_fen - v_hold.amount_fen
            WHERE b.account_id = v_hold.account_id AND b.shard = 0;
    END IF;
    SELECT r.transaction_id, r.is_new INTO transaction_id, is_new FROM post_v1(
        p_kind, p_caller, p_key, p_order_id, NULL, p_business_date, p_event_at, p_at,
        p_debits, p_credits, p_amounts) r;
    IF NOT v_known AND NOT is_new THEN  -- the key was taken meanwhile, without this hold
        RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
    END IF;
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
