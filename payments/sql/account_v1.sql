-- The account of an owner, made with its balance row the first time. p_floor null means no floor;
-- an account that exists keeps its own.
CREATE FUNCTION account_v1(p_kind text, p_owner text, p_floor bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id bigint;
BEGIN
    IF p_kind NOT IN ('resident', 'merchant', 'bank', 'suspense', 'fee') OR p_owner = '' THEN
        RAISE EXCEPTION 'no such kind of account' USING ERRCODE = 'VPL03';
    END IF;
    SELECT a.id INTO v_id FROM payments_account a
        WHERE a.kind = p_kind AND a.owner = p_owner AND a.currency = 'CNY';
    IF v_id IS NOT NULL THEN
        RETURN v_id;
    END IF;
    INSERT INTO payments_account (kind, owner, currency) VALUES (p_kind, p_owner, 'CNY')
        ON CONFLICT (kind, owner, currency) DO NOTHING RETURNING id INTO v_id;
    IF v_id IS NULL THEN  -- a twin made it, and its balance row with it
        SELECT a.id INTO STRICT v_id FROM payments_account a
            WHERE a.kind = p_kind AND a.owner = p_owner AND a.currency = 'CNY';
    ELSE
        INSERT INTO payments_balance (account_id, shard, posted_fen, held_fen, floor_fen)
            VALUES (v_id, 0, 0, 0, p_floor);
    END IF;
    RETURN v_id;
END $$;
