-- Posts many transactions in one round trip, all or none.
--
-- Transaction n (from 1) is p_kinds[n], p_callers[n] and so on; leg m belongs to transaction
-- p_places[m]. Gives each transaction's id, and whether it is new: a known key with the same content
-- is a replay, as in post_v1. Floors are judged by what the whole batch does to an account.
--
-- Set-based: one INSERT for each table and one UPDATE of each balance row, however many transactions
-- move it. Locks, always in this order: the window's lock (shared), the keys in their order, then
-- balance rows in the order of post_v1. Errors: as post_v1.
CREATE FUNCTION post_batch_v1(
    p_kinds text[], p_callers text[], p_keys text[], p_order_ids uuid[], p_event_ats timestamptz[],
    p_business_date date, p_at timestamptz,
    p_places integer[], p_debits bigint[], p_credits bigint[], p_amounts bigint[],
    OUT transaction_ids bigint[], OUT are_new boolean[]
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_count integer := COALESCE(cardinality(p_keys), 0);
    v_legs integer := COALESCE(cardinality(p_amounts), 0);
    v_window bigint;
    v_new integer := 0;
    v_has boolean;
    v_mixed boolean;
    v_accounts bigint[];
    v_fens bigint[];
    v_shards integer[];
    v_spread integer[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger works in read committed only' USING ERRCODE = 'VPL09';
    END IF;
    IF (v_count BETWEEN 1 AND 10000 AND v_legs BETWEEN v_count AND 100000
        AND v_count = ALL (ARRAY[cardinality(p_kinds), cardinality(p_callers),
                                 cardinality(p_order_ids), cardinality(p_event_ats)])
        AND v_legs = ALL (ARRAY[cardinality(p_places), cardinality(p_debits),
                                cardinality(p_credits)])
        AND 1 <= ALL (p_amounts) AND 1000000000000000 >= ALL (p_amounts)
        AND 1 <= ALL (p_places)
        AND v_count = (SELECT count(DISTINCT l.place) FROM unnest(p_places) AS l (place))
        AND v_count = (SELECT max(l.place) FROM unnest(p_places) AS l (place))) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'malformed batch' USING ERRCODE = 'VPL07';
    END IF;

    PERFORM pg_advisory_xact_lock_shared(22096, 1);
    -- A statement of its own: its snapshot is taken after the lock was got.
    SELECT w.id INTO v_window FROM payments_window w WHERE w.state = 'open';

    -- Numbered as they stand, written in the order of their keys: two batches never wait for one
    -- another's keys crosswise.
    transaction_ids := ARRAY(
        SELECT nextval('payments_transaction_id_seq') FROM generate_series(1, v_count));
    IF v_window IS NOT NULL THEN
        INSERT INTO payments_transaction
            (id, kind, caller, key, order_id, business_date, window_id, event_at, at)
        SELECT t.id, t.kind, t.caller, t.key, t.order_id, p_business_date, v_window, t.event_at, p_at
            FROM unnest(transaction_ids, p_kinds, p_callers, p_keys, p_order_ids, p_event_ats)
                WITH ORDINALITY AS t (id, kind, caller, key, order_id, event_at, place)
            ORDER BY t.caller, t.key, t.place
        ON CONFLICT (caller, key) DO NOTHING;
        GET DIAGNOSTICS v_new = ROW_COUNT;
    END IF;
    are_new := array_fill(v_new = v_count, ARRAY[v_count]);
    IF v_new < v_count THEN
        SELECT array_agg(k.id ORDER BY m.place), array_agg(k.id = m.id ORDER BY m.place)
            INTO transaction_ids, are_new
            FROM unnest(transaction_ids, p_callers, p_keys) WITH ORDINALITY AS m (id, caller, key, place)
                LEFT JOIN payments_transaction k ON k.caller = m.caller AND k.key = m.key;
        IF array_position(transaction_ids, NULL) IS NOT NULL THEN
            RAISE EXCEPTION 'no window is open' USING ERRCODE = 'VPL01';
        END IF;
    END IF;

    INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)
        SELECT transaction_ids[l.place],
            row_number() OVER (PARTITION BY l.place ORDER BY l.number),
            l.debit, l.credit, l.amount
        FROM unnest(p_places, p_debits, p_credits, p_amounts)
            WITH ORDINALITY AS l (place, debit, credit, amount, number)
        WHERE are_new[l.place];

    IF v_new < v_count THEN
        SELECT bool_and((t.kind, told.debits, told.credits, told.amounts)
                    = (p_kinds[told.place], known.debits, known.credits, known.amounts)
                AND t.order_id IS NOT DISTINCT FROM p_order_ids[told.place])
            INTO v_has
            FROM (
                SELECT l.place, array_agg(l.debit ORDER BY l.number) AS debits,
                    array_agg(l.credit ORDER BY l.number) AS credits,
                    array_agg(l.amount ORDER BY l.number) AS amounts
                FROM unnest(p_places, p_debits, p_credits, p_amounts)
                    WITH ORDINALITY AS l (place, debit, credit, amount, number)
                WHERE NOT are_new[l.place] GROUP BY l.place
            ) told
            JOIN payments_transaction t ON t.id = transaction_ids[told.place]
            CROSS JOIN LATERAL (
                SELECT array_agg(p.debit_id ORDER BY p.seq) AS debits,
                    array_agg(p.credit_id ORDER BY p.seq) AS credits,
                    array_agg(p.amount_fen ORDER BY p.seq) AS amounts
                FROM payments_posting p WHERE p.transaction_id = t.id
            ) known;
        IF v_has IS NOT TRUE THEN
            RAISE EXCEPTION 'the key belongs to another transaction' USING ERRCODE = 'VPL02';
        ELSIF v_new = 0 THEN
            RETURN;
        END IF;
    END IF;

    SELECT bool_and(d.id IS NOT NULL AND c.id IS NOT NULL), bool_or(d.currency <> c.currency)
        INTO v_has, v_mixed
        FROM unnest(p_debits, p_credits) AS l (debit, credit)
            LEFT JOIN payments_account d ON d.id = l.debit
            LEFT JOIN payments_account c ON c.id = l.credit;
    IF v_has IS NOT TRUE THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
    ELSIF v_mixed THEN
        RAISE EXCEPTION 'the accounts have different currencies' USING ERRCODE = 'VPL04';
    END IF;

    SELECT array_agg(m.id ORDER BY m.rank, m.id), array_agg(m.fen ORDER BY m.rank, m.id),
            array_agg(m.shards ORDER BY m.rank, m.id),
            array_agg((transaction_ids[1] % m.shards)::integer ORDER BY m.rank, m.id)
        INTO v_accounts, v_fens, v_spread, v_shards
        FROM (
            SELECT a.id, a.shards, ledger_rank_v1(a.kind) AS rank, sum(l.fen)::bigint AS fen
            FROM unnest(p_places || p_places, p_credits || p_debits,
                    p_amounts || ARRAY(SELECT -each FROM unnest(p_amounts) AS each))
                    AS l (place, account, fen)
                JOIN payments_account a ON a.id = l.account
            WHERE are_new[l.place] GROUP BY a.id
        ) m;
    -- One row of each account; all of one that is spread and gives more than it gets.
    PERFORM FROM unnest(v_accounts, v_fens, v_spread, v_shards)
                WITH ORDINALITY AS m (id, fen, shards, shard, place)
            JOIN payments_balance b ON b.account_id = m.id
                AND (b.shard = m.shard OR m.shards > 1 AND m.fen < 0)
        ORDER BY m.place, b.shard FOR NO KEY UPDATE OF b;
    FOR v_place IN 1..cardinality(v_accounts) LOOP
        IF v_spread[v_place] > 1 AND v_fens[v_place] < 0 THEN
            v_shards[v_place] := giving_shard_v1(
                v_accounts[v_place], v_spread[v_place], transaction_ids[1], -v_fens[v_place]);
        END IF;
    END LOOP;
    UPDATE payments_balance b SET posted_fen = b.posted_fen + m.fen
        FROM unnest(v_accounts, v_fens, v_shards) AS m (id, fen, shard)
        WHERE b.account_id = m.id AND b.shard = m.shard;
    GET DIAGNOSTICS v_legs = ROW_COUNT;
    IF v_legs < cardinality(v_accounts) THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
    END IF;
END $$;
