-- Spreads an account's balance over p_shards rows, or brings it back into fewer (1: the usual one).
--
-- Under the window's lock, exclusively: nobody posts meanwhile, so nobody credits a row that is about
-- to go. As when a window closes, it waits a second for those who do (55P03).
CREATE FUNCTION spread_account_v1(p_account bigint, p_shards integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    v_floor bigint;
    v_rest bigint;
BEGIN
    IF p_shards IS NULL OR p_shards NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a balance has 1 to 64 shards' USING ERRCODE = 'VPL07';
    END IF;
    PERFORM pg_advisory_xact_lock(22096, 1);
    SELECT b.floor_fen INTO v_floor FROM payments_balance b
        WHERE b.account_id = p_account AND b.shard = 0 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'VPL03';
    END IF;
    WITH gone AS (
        DELETE FROM payments_balance b WHERE b.account_id = p_account AND b.shard >= p_shards
        RETURNING b.posted_fen
    )
    SELECT COALESCE(sum(gone.posted_fen), 0) INTO v_rest FROM gone;
    UPDATE payments_balance b SET posted_fen = b.posted_fen + v_rest
        WHERE b.account_id = p_account AND b.shard = 0;
    -- The floor is the first row's; the others stay at zero or above, or have none either.
    INSERT INTO payments_balance (account_id, shard, posted_fen, held_fen, floor_fen)
        SELECT p_account, n, 0, 0, CASE WHEN v_floor IS NOT NULL THEN 0 END
        FROM generate_series(1, p_shards - 1) AS n
        ON CONFLICT (account_id, shard) DO NOTHING;
    UPDATE payments_account a SET shards = p_shards WHERE a.id = p_account;
END $$;
