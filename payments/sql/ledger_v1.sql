-- What every posting function stands on: one order of locks, and no transaction without a posting.

-- Where balances of this kind of account stand in the order of locking.
CREATE FUNCTION ledger_rank_v1(p_kind text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT array_position(ARRAY['resident', 'fee', 'merchant', 'suspense', 'bank'], p_kind)
$$;

-- A transaction without a posting cannot be committed, whoever writes it.
CREATE FUNCTION refuse_empty_transaction_v1() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM payments_posting p WHERE p.transaction_id = NEW.id) THEN
        RAISE EXCEPTION 'transaction % has no posting', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
