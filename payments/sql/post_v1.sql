-- Posts one transaction in one round trip; an account's balance may be spread over several rows
-- (shards), so that many can pay one payee at once.
--
-- A transaction credits the row that its id names, so those at work at one moment use different
-- rows. A debit takes from the first row, which carries floor and holds, and gathers the others into
-- it when it has too little: what all rows have together is spendable to the fen, and never below
-- the floor, because the other rows are never below zero. An account without a floor needs no
-- gathering: any of its rows gives.
--
-- Locks, always in this order: the window's lock (shared), the key, then balance rows: residents,
-- fee, merchants, suspense, banks, by account within each and by shard within an account.
-- Errors: VPL01 no open window, VPL02 key known with other content, VPL03 unknown account,
-- VPL04 currencies differ, VPL07 legs malformed, VPL09 isolation; an overdraft is the CHECK
-- balance_floor, a second reversal the UNIQUE of `reverses`.

-- The row of an account of p_shards rows that can give p_fen; locked, unless there is no floor.
CREATE FUNCTION giving_shard_v1(
    p_account bigint, p_shards integer, p_transaction bigint, p_fen bigint
) RETURNS integer LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
DECLARE
    v_first payments_balance%ROWTYPE;
    v_more bigint;
BEGIN
    SELECT * INTO v_first FROM payments_balance b WHERE b.account_id = p_account AND b.shard = 0;
    IF v_first.floor_fen IS NULL THEN
        RETURN p_transaction % p_shards;
    END IF;
    SELECT * INTO v_first FROM payments_balance b
        WHERE b.account_id = p_account AND b.shard = 0 FOR NO KEY UPDATE;
    IF v_first.posted_fen - v_first.held_fen - v_first.floor_fen >= p_fen THEN
        RETURN 0;
    END IF;
    SELECT sum(others.posted_fen) INTO v_more FROM (
        SELECT b.posted_fen FROM payments_balance b
        WHERE b.account_id = p_account AND b.shard > 0 ORDER BY b.shard FOR NO KEY UPDATE
    ) others;
    UPDATE payments_balance b
        SET posted_fen = CASE b.shard WHEN 0 THEN b.posted_fen + v_more ELSE 0 END
        WHERE b.account_id = p_account AND (b.shard = 0 OR b.posted_fen <> 0);
    RETURN 0;
END $$;

CREATE FUNCTION post_v1(
    p_kind text, p_caller text, p_key text, p_order_id uuid, p_reverses bigint,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_legs integer := COALESCE(cardinality(p_amounts), 0);
    v_window bigint;
    v_same boolean;
    v_debit_first boolean;
    v_giving integer;
    v_taking integer;
    v_shard integer;
    v_currencies integer;
    v_account record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- An older snapshot would show a window as open that has been closed since.
        RAISE EXCEPTION 'the ledger works in read committed only' USING ERRCODE = 'VPL09';
    END IF;
    IF v_legs NOT BETWEEN 1 AND 10000
        OR v_legs IS DISTINCT FROM cardinality(p_debits)
        OR v_legs IS DISTINCT FROM cardinality(p_credits)
        OR NOT (1 <= ALL (p_amounts) AND 1000000000000000 >= ALL (p_amounts))
    THEN
        RAISE EXCEPTION 'malformed legs' USING ERRCODE = 'VPL07';
    END IF;

    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    -- A statement of its own: its snapshot is taken after the lock was got.
    SELECT w.id INTO v_window FROM payments_window w WHERE w.state = 'open';

    IF v_window IS NOT NULL THEN
        INSERT INTO payments_transaction
            (kind, caller, key, order_id, reverses_id, business_date, window_id, event_at, at)
        VALUES (p_kind, p_caller, p_key, p_order_id, p_reverses, p_business_date, v_window,
                p_event_at, p_at)
        ON CONFLICT DO NOTHING RETURNING id INTO transaction_id;  -- by key, or by `reverses`
    END IF;

    is_new := transaction_id IS NOT NULL;
    IF NOT is_new THEN
        SELECT t.id, t.kind = p_kind AND t.order_id IS NOT DISTINCT FROM p_order_id
                AND t.reverses_id IS NOT DISTINCT FROM p_reverses
                AND (SELECT (array_agg(p.debit_id ORDER BY p.seq),
                             array_agg(p.credit_id ORDER BY p.seq),
                             array_agg(p.amount_fen ORDER BY p.seq))
                         = (p_debits, p_credits, p_amounts)
                     FROM payments_posting p WHERE p.transaction_id = t.id)
            INTO transaction_id, v_same
            FROM payments_transaction t WHERE t.caller = p_caller AND t.key = p_key;
        IF transaction_id IS NULL AND v_window IS NULL THEN
            RAISE EXCEPTION 'no window is open' USING ERRCODE = 'VPL01';
        ELSIF transaction_id IS NULL THEN
            RAISE EXCEPTION 'the transaction has been reversed' USING ERRCODE = 'VPL10';
        ELSIF v_same IS NOT TRUE THEN
            RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
        END IF;
        RETURN;
    END IF;

    IF v_legs = 1 THEN  -- nearly all are: the same work as below, in plain statements
        SELECT d.currency = c.currency,
                (ledger_rank_v1(d.kind), d.id) < (ledger_rank_v1(c.kind), c.id),
                d.shards, c.shards
            INTO v_same, v_debit_first, v_giving, v_taking
            FROM payments_account d, payments_account c
            WHERE d.id = p_debits[1] AND c.id = p_credits[1];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
        ELSIF NOT v_same THEN
            RAISE EXCEPTION 'the accounts have different currencies' USING ERRCODE = 'VPL04';
        END IF;
        INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)
            VALUES (transaction_id, 1, p_debits[1], p_credits[1], p_amounts[1]);
        FOR v_side IN 1..2 LOOP
            IF v_debit_first = (v_side = 1) THEN
                v_shard := 0;
                IF v_giving > 1 THEN
                    v_shard := giving_shard_v1(
                        p_debits[1], v_giving, transaction_id, p_amounts[1]);
                END IF;
                UPDATE payments_balance b SET posted_fen = b.posted_fen - p_amounts[1]
                    WHERE b.account_id = p_debits[1] AND b.shard = v_shard;
            ELSE
                v_shard := transaction_id % v_taking;
                UPDATE payments_balance b SET posted_fen = b.posted_fen + p_amounts[1]
                    WHERE b.account_id = p_credits[1] AND b.shard = v_shard;
            END IF;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
            END IF;
        END LOOP;
        RETURN;
    END IF;

    SELECT count(DISTINCT a.currency) INTO v_currencies FROM payments_account a
        WHERE a.id = ANY (p_debits || p_credits);
    IF v_currencies > 1 THEN
        RAISE EXCEPTION 'the accounts have different currencies' USING ERRCODE = 'VPL04';
    END IF;
    INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)
        SELECT post_v1.transaction_id, l.seq, l.debit, l.credit, l.amount
        FROM unnest(p_debits, p_credits, p_amounts) WITH ORDINALITY AS l (debit, credit, amount, seq);
    FOR v_account IN
        SELECT l.account AS id, sum(l.fen)::bigint AS fen, a.shards FROM (
            SELECT unnest(p_credits) AS account, unnest(p_amounts) AS fen
            UNION ALL SELECT unnest(p_debits), -unnest(p_amounts)
        ) l LEFT JOIN payments_account a ON a.id = l.account
        GROUP BY l.account, a.kind, a.shards ORDER BY ledger_rank_v1(a.kind), l.account
    LOOP
        v_shard := transaction_id % v_account.shards;
        IF v_account.shards > 1 AND v_account.fen < 0 THEN
            v_shard := giving_shard_v1(
                v_account.id, v_account.shards, transaction_id, -v_account.fen);
        END IF;
        UPDATE payments_balance b SET posted_fen = b.posted_fen + v_account.fen
            WHERE b.account_id = v_account.id AND b.shard = v_shard;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
        END IF;
    END LOOP;
END $$;

-- Posts the mirror image of a transaction, for its order; only once each.
CREATE FUNCTION reverse_v1(
    p_reverses bigint, p_kind text, p_caller text, p_key text,
    p_business_date date, p_event_at timestamptz, p_at timestamptz,
    OUT transaction_id bigint, OUT is_new boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_order uuid;
    v_debits bigint[];
    v_credits bigint[];
    v_amounts bigint[];
BEGIN
    SELECT t.order_id,
            array_agg(p.credit_id ORDER BY p.seq), array_agg(p.debit_id ORDER BY p.seq),
            array_agg(p.amount_fen ORDER BY p.seq)
        INTO v_order, v_debits, v_credits, v_amounts
        FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
        WHERE t.id = p_reverses GROUP BY t.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such transaction' USING ERRCODE = 'VPL08';
    END IF;
    SELECT r.transaction_id, r.is_new INTO transaction_id, is_new FROM post_v1(
        p_kind, p_caller, p_key, v_order, p_reverses, p_business_date, p_event_at, p_at,
        v_debits, v_credits, v_amounts) r;
END $$;
