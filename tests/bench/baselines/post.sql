-- The other side of `post`: the rows of a payment as bare SQL, by pgbench.
\set payer random(:first_payer, :last_payer)
\set payee random(:first_payee, :last_payee)
\set amount random(1, :most_fen)
BEGIN;
INSERT INTO payments_transaction (kind, caller, key, order_id, business_date, window_id, event_at, at) VALUES ('payment', 'pgbench', gen_random_uuid()::text, gen_random_uuid(), current_date, :window, now(), now()) RETURNING id \gset transaction_
INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen) VALUES (:transaction_id, 1, :payer, :payee, :amount);
UPDATE payments_balance SET posted_fen = posted_fen - :amount WHERE account_id = :payer AND shard = 0;
UPDATE payments_balance SET posted_fen = posted_fen + :amount WHERE account_id = :payee AND shard = 0;
COMMIT;
