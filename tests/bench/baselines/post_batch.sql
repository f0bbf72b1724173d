-- The other side of `post-batch`: the rows of :count payments into one account as one bare SQL.
WITH made AS (
    INSERT INTO payments_transaction (kind, caller, key, order_id, business_date, window_id, event_at, at)
    SELECT 'payment', 'pgbench', gen_random_uuid()::text, gen_random_uuid(), current_date, :window, now(), now() FROM generate_series(1, :count) RETURNING id
), legs AS (
    INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)
    SELECT id, 1, :first_payer + id % :payers, :payee, 1 + id % :most_fen FROM made RETURNING debit_id, amount_fen
), given AS (
    SELECT debit_id, sum(amount_fen) AS fen FROM legs GROUP BY debit_id
), taken AS (
    UPDATE payments_balance b SET posted_fen = b.posted_fen - given.fen FROM given WHERE b.account_id = given.debit_id AND b.shard = 0
)
UPDATE payments_balance SET posted_fen = posted_fen + (SELECT sum(fen) FROM given) WHERE account_id = :payee AND shard = 0;
