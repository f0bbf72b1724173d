"""The rules I1 to I13, each one SQL that gives a line of text for each thing that breaks it.

I11, the chain of the access log, is not among them: see log_keeper. Parameters: `told` (what
clients hold us to), `banks` (totals by bank code) and `edges` (of the state tables) as JSON, and
`at_rest`. See invariants.examine.
"""

from collections.abc import Mapping

# Transactions in balance: each by itself, each currency, and everything.
I1 = """
WITH side AS (
    SELECT p.transaction_id, a.currency, p.amount_fen AS fen
    FROM payments_posting p JOIN payments_account a ON a.id = p.credit_id
    UNION ALL
    SELECT p.transaction_id, a.currency, -p.amount_fen
    FROM payments_posting p JOIN payments_account a ON a.id = p.debit_id
)
SELECT format('transaction %%s in %%s is off by %%s', transaction_id, currency, sum(fen))
    FROM side GROUP BY transaction_id, currency HAVING sum(fen) <> 0
UNION ALL
SELECT format('%%s is off by %%s', currency, sum(fen)) FROM side
    GROUP BY currency HAVING sum(fen) <> 0
UNION ALL
SELECT format('all balances in %%s are off by %%s', a.currency, sum(b.posted_fen))
    FROM payments_balance b JOIN payments_account a ON a.id = b.account_id
    GROUP BY a.currency HAVING sum(b.posted_fen) <> 0
UNION ALL
SELECT format('posting %%s moves nothing', id) FROM payments_posting
    WHERE amount_fen <= 0 OR debit_id = credit_id
UNION ALL
SELECT format('transaction %%s and its postings', COALESCE(t.id, p.id))
    FROM payments_transaction t FULL JOIN (
        SELECT transaction_id AS id, count(*) AS rows, max(seq) AS last
        FROM payments_posting GROUP BY transaction_id
    ) p ON p.id = t.id
    WHERE t.id IS NULL OR p.id IS NULL OR p.rows <> p.last
"""

# A balance is the sum of its postings, and what is held the sum of the open holds.
I2 = """
WITH moved AS (
    SELECT account_id, sum(fen) AS fen FROM (
        SELECT credit_id AS account_id, amount_fen AS fen FROM payments_posting
        UNION ALL SELECT debit_id, -amount_fen FROM payments_posting
    ) side GROUP BY account_id
), held AS (
    SELECT account_id, sum(amount_fen) AS fen FROM payments_hold WHERE state = 'open'
    GROUP BY account_id
), standing AS (
    SELECT account_id, sum(posted_fen) AS posted, sum(held_fen) AS held
    FROM payments_balance GROUP BY account_id
)
SELECT format('account %%s has %%s, its postings say %%s', a.id, s.posted, COALESCE(m.fen, 0))
    FROM payments_account a LEFT JOIN standing s ON s.account_id = a.id
        LEFT JOIN moved m ON m.account_id = a.id
    WHERE s.posted IS DISTINCT FROM COALESCE(m.fen, 0)
UNION ALL
SELECT format('account %%s holds %%s, its holds say %%s', a.id, s.held, COALESCE(h.fen, 0))
    FROM payments_account a LEFT JOIN standing s ON s.account_id = a.id
        LEFT JOIN held h ON h.account_id = a.id
    WHERE s.held IS DISTINCT FROM COALESCE(h.fen, 0)
"""

# Nobody's money below nothing: only a bank's clearing account may be.
I3 = """
SELECT format('account %%s of a %%s has %%s of which %%s held', a.id, a.kind, b.posted_fen,
        b.held_fen)
    FROM payments_balance b JOIN payments_account a ON a.id = b.account_id
    WHERE b.held_fen < 0
        OR b.posted_fen - b.held_fen < b.floor_fen
        OR (a.kind IN ('resident', 'merchant') AND b.posted_fen - b.held_fen < 0)
"""

# What was acknowledged is there, with its amount; and orders, refunds and ledger tell the same.
I4 = """
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(told)s::jsonb)
        AS t (work text, id text, "of" text, amount_fen bigint, state text)
), paid AS (
    SELECT t.order_id, sum(p.amount_fen) FILTER (WHERE c.kind = 'merchant') AS fen,
        bool_and(CASE WHEN d.kind = 'bank'
            THEN c.kind = 'resident' AND c.owner = o.payer_id::text
            ELSE d.kind = 'resident' AND d.owner = o.payer_id::text
                AND c.kind = 'merchant' AND c.owner = m.organisation_id::text END) AS is_right
    FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
        JOIN payments_account d ON d.id = p.debit_id JOIN payments_account c ON c.id = p.credit_id
        JOIN payments_order o ON o.id = t.order_id JOIN payments_merchant m ON m.id = o.merchant_id
    WHERE t.kind = 'payment' GROUP BY t.order_id
), returned AS (
    SELECT t.order_id, t.key, sum(p.amount_fen) AS fen
    FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
    WHERE t.kind = 'refund' GROUP BY t.order_id, t.key
)
SELECT format('acknowledged payment %%s of %%s is lost', told.id, told.amount_fen)
    FROM told LEFT JOIN payments_order o ON o.id::text = told.id AND o.amount_fen = told.amount_fen
        LEFT JOIN paid ON paid.order_id = o.id
    WHERE told.work = 'payment'
        AND (o.id IS NULL
            OR (told.state = 'captured' AND paid.fen IS DISTINCT FROM told.amount_fen))
UNION ALL
SELECT format('acknowledged confirmation of %%s is lost', told.id)
    FROM told LEFT JOIN paid ON paid.order_id::text = told.id
    WHERE told.work = 'confirmation' AND told.state = 'captured'
        AND paid.fen IS DISTINCT FROM told.amount_fen
UNION ALL
SELECT format('acknowledged refund %%s of %%s is lost', told.id, told.amount_fen)
    FROM told LEFT JOIN payments_refund r ON r.id::text = told.id
        LEFT JOIN returned ON returned.order_id = r.order_id AND returned.key = told.id
    WHERE told.work = 'refund' AND (r.order_id::text IS DISTINCT FROM told."of"
        OR r.amount_fen IS DISTINCT FROM told.amount_fen
        OR returned.fen IS DISTINCT FROM told.amount_fen)
UNION ALL
SELECT format('acknowledged withdrawal %%s of %%s is lost', told.id, told.amount_fen)
    FROM told LEFT JOIN payments_payout o ON o.id::text = told.id
        LEFT JOIN payments_hold h ON h.id = o.id
    WHERE told.work = 'withdrawal' AND (o.amount_fen IS DISTINCT FROM told.amount_fen
        OR h.amount_fen IS DISTINCT FROM told.amount_fen)
UNION ALL
SELECT format('acknowledged top-up %%s of %%s is lost', told.id, told.amount_fen)
    FROM told LEFT JOIN payments_debit o ON o.id::text = told.id AND o.purpose = 'top_up'
    WHERE told.work = 'top_up_by_card' AND o.amount_fen IS DISTINCT FROM told.amount_fen
UNION ALL
SELECT format('acknowledged credit notice %%s of %%s is lost', told.id, told.amount_fen)
    FROM told LEFT JOIN payments_transaction t ON t.kind = 'top_up' AND t.key = told.id
        LEFT JOIN payments_posting p ON p.transaction_id = t.id
    WHERE told.work = 'top_up' AND p.amount_fen IS DISTINCT FROM told.amount_fen
UNION ALL
SELECT format('window %%s was said to be past %%s', told.id, told.work)
    FROM told LEFT JOIN payments_window w ON w.id::text = told.id
    WHERE (told.work = 'window.close' AND COALESCE(w.state, 'open') = 'open')
        OR (told.work = 'settlement.approve'
            AND COALESCE(w.state, 'open') IN ('open', 'closing', 'netted'))
UNION ALL
SELECT format('order %%s is %%s with %%s captured, the ledger says %%s', o.id, o.state,
        o.captured_fen, COALESCE(paid.fen, 0))
    FROM payments_order o LEFT JOIN paid ON paid.order_id = o.id
    WHERE o.captured_fen <> COALESCE(paid.fen, 0) OR NOT COALESCE(paid.is_right, true)
        OR (o.captured_fen > 0)
            <> (o.state IN ('captured', 'part_refunded', 'refunded', 'resolved'))
UNION ALL
SELECT format('%%s transaction %%s without its order', t.kind, t.id) FROM payments_transaction t
    LEFT JOIN payments_order o ON o.id = t.order_id
    WHERE t.kind IN ('payment', 'refund') AND o.id IS NULL
"""

# One charge at most for a client's key, a merchant's or bank's reference, a payout, debit, notice.
I5 = """
SELECT format('key %%s of %%s has %%s transactions', key, caller, count(*))
    FROM payments_transaction GROUP BY caller, key HAVING count(*) > 1
UNION ALL
SELECT format('order %%s was paid %%s times', order_id, count(*))
    FROM payments_transaction WHERE kind = 'payment' GROUP BY order_id HAVING count(*) > 1
UNION ALL
SELECT format('reference %%s has %%s orders', merchant_reference, count(*))
    FROM payments_order GROUP BY merchant_id, merchant_reference HAVING count(*) > 1
UNION ALL
SELECT format('refund reference %%s has %%s refunds', reference, count(*))
    FROM payments_refund GROUP BY order_id, reference HAVING count(*) > 1
UNION ALL
SELECT format('%%s %%s was posted %%s times', kind, key, count(*))
    FROM payments_transaction WHERE kind IN ('payout', 'top_up', 'refund')
    GROUP BY kind, key HAVING count(*) > 1
UNION ALL
SELECT format('bank reference %%s belongs to %%s payouts or debits', bank_reference, count(*))
    FROM (
        SELECT bank_id, bank_reference FROM payments_payout
        UNION ALL SELECT bank_id, bank_reference FROM payments_debit
    ) work WHERE bank_reference IS NOT NULL
    GROUP BY bank_id, bank_reference HAVING count(*) > 1
UNION ALL
SELECT format('notice %%s was taken %%s times', notice_id, count(*))
    FROM payments_creditnotice GROUP BY bank_id, notice_id HAVING count(*) > 1
UNION ALL
SELECT format('key %%s was answered for %%s different things', key, count(DISTINCT id))
    FROM jsonb_to_recordset(%(told)s::jsonb) AS t (work text, key text, id text)
    WHERE key IS NOT NULL GROUP BY work, key HAVING count(DISTINCT id) > 1
"""

# Never more goes back than was paid, by orders, by refunds and by the ledger.
I6 = """
SELECT format('order %%s: %%s of %%s captured; refunded %%s, by its refunds %%s, by the ledger %%s',
        o.id, o.captured_fen, o.amount_fen, o.refunded_fen, r.fen, t.fen)
    FROM payments_order o
        LEFT JOIN (SELECT order_id, sum(amount_fen) AS fen FROM payments_refund GROUP BY order_id) r
            ON r.order_id = o.id
        LEFT JOIN (
            SELECT t.order_id, sum(p.amount_fen) AS fen
            FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
            WHERE t.kind = 'refund' GROUP BY t.order_id
        ) t ON t.order_id = o.id
    WHERE o.captured_fen > o.amount_fen OR o.refunded_fen > o.captured_fen
        OR o.refunded_fen <> COALESCE(r.fen, 0) OR o.refunded_fen <> COALESCE(t.fen, 0)
"""

# What has happened is told, heard and applied once.
I7 = """
WITH happened AS (
    SELECT 'payments.payout_prepared' AS name, 'payout' AS member, id::text AS id
        FROM payments_payout
    UNION ALL SELECT 'payments.payout_changed', 'payout', id::text FROM payments_payout
        WHERE state IN ('booked', 'rejected', 'never_arrived')
    UNION ALL SELECT 'payments.debit_prepared', 'debit', id::text FROM payments_debit
    UNION ALL SELECT 'payments.window_closed', 'window', id::text FROM payments_window
        WHERE state <> 'open'
    UNION ALL SELECT 'payments.settlement_approved', 'window', id::text FROM payments_window
        WHERE state NOT IN ('open', 'closing', 'netted')
)
SELECT format('%%s of %%s %%s was never told', h.name, h.member, h.id) FROM happened h
    WHERE NOT EXISTS (
        SELECT FROM common_outbox o WHERE o.name = h.name AND o.payload ->> h.member = h.id)
UNION ALL
SELECT format('%%s for %%s is dead: %%s', name, consumer, error) FROM common_outbox
    WHERE state = 'dead'
UNION ALL
SELECT format('%%s for %%s is still %%s', name, consumer, state) FROM common_outbox
    WHERE %(at_rest)s AND state <> 'delivered'
UNION ALL
SELECT format('event %%s was written %%s times for %%s', event_id, count(*), consumer)
    FROM common_outbox GROUP BY event_id, consumer HAVING count(*) > 1
UNION ALL
SELECT format('payout %%s became %%s %%s times', payout_id, to_state, count(*))
    FROM payments_payoutchange GROUP BY payout_id, to_state HAVING count(*) > 1
UNION ALL
SELECT format('debit %%s became %%s %%s times', debit_id, to_state, count(*))
    FROM payments_debitchange GROUP BY debit_id, to_state HAVING count(*) > 1
UNION ALL
SELECT format('window %%s became %%s %%s times', window_id, to_state, count(*))
    FROM payments_windowchange GROUP BY window_id, to_state HAVING count(*) > 1
UNION ALL
SELECT format('window %%s has %%s lines of one merchant', window_id, count(*))
    FROM payments_settlementline GROUP BY window_id, merchant_id HAVING count(*) > 1
UNION ALL
SELECT format('payout %%s is still %%s', id, state) FROM payments_payout
    WHERE %(at_rest)s AND state NOT IN ('booked', 'rejected', 'never_arrived')
UNION ALL
SELECT format('debit %%s is still %%s', id, state) FROM payments_debit
    WHERE %(at_rest)s AND state NOT IN ('booked', 'rejected', 'never_arrived')
UNION ALL
SELECT format('order %%s is still %%s', id, state) FROM payments_order
    WHERE %(at_rest)s AND state IN ('authorised', 'capturing', 'unknown')
"""

# Settlement lines, payouts, debits, ledger and bank agree; lines agree with the ledger.
I8 = """
WITH bank AS (
    SELECT b.id, b.code, a.id AS account_id FROM payments_bank b
        LEFT JOIN payments_account a ON a.kind = 'bank' AND a.owner = b.organisation_id::text
), lines AS (
    SELECT o.bank_id, w.business_date, sum(l.net_fen) AS fen
    FROM payments_settlementline l JOIN payments_payout o ON o.id = l.payout_id
        JOIN payments_window w ON w.id = l.window_id
    GROUP BY o.bank_id, w.business_date
), ordered AS (
    SELECT bank_id, business_date, sum(amount_fen) AS fen FROM payments_payout
    WHERE purpose = 'settlement' GROUP BY bank_id, business_date
), booked AS (
    SELECT bank_id, business_date, sum(amount_fen) AS fen FROM payments_payout
    WHERE state = 'booked' GROUP BY bank_id, business_date
), cleared AS (
    SELECT bank.id AS bank_id, o.business_date, sum(p.amount_fen) AS fen
    FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
        JOIN bank ON bank.account_id = p.credit_id
        LEFT JOIN payments_payout o ON o.id::text = t.key
    WHERE t.kind = 'payout' GROUP BY bank.id, o.business_date
), merchants AS (
    SELECT t.window_id, m.id AS merchant_id,
        sum(CASE WHEN p.credit_id = a.id THEN p.amount_fen ELSE -p.amount_fen END) AS fen
    FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
        JOIN payments_account a ON a.id IN (p.credit_id, p.debit_id) AND a.kind = 'merchant'
        JOIN payments_merchant m ON m.organisation_id::text = a.owner
    WHERE t.kind <> 'payout' GROUP BY t.window_id, m.id
), told AS (
    SELECT bank.id, (b.value ->> 'paid_out_fen')::bigint AS paid_out_fen,
        (b.value ->> 'debited_fen')::bigint AS debited_fen,
        (b.value ->> 'credited_fen')::bigint AS credited_fen,
        (b.value ->> 'returned_fen')::bigint AS returned_fen
    FROM jsonb_each(%(banks)s::jsonb) b LEFT JOIN bank ON bank.code = b.key
)
SELECT format('bank %%s, %%s: lines of %%s, payouts of %%s', bank_id, business_date,
        lines.fen, ordered.fen)
    FROM lines FULL JOIN ordered USING (bank_id, business_date)
    WHERE lines.fen IS DISTINCT FROM ordered.fen
UNION ALL
SELECT format('bank %%s, %%s: booked payouts of %%s, in the ledger %%s', bank_id, business_date,
        booked.fen, cleared.fen)
    FROM booked FULL JOIN cleared USING (bank_id, business_date)
    WHERE booked.fen IS DISTINCT FROM cleared.fen
UNION ALL
SELECT format('payout %%s is not what its line, hold or posting says', o.id)
    FROM payments_payout o LEFT JOIN payments_settlementline l ON l.payout_id = o.id
        LEFT JOIN payments_hold h ON h.id = o.id
        LEFT JOIN payments_transaction t ON t.kind = 'payout' AND t.key = o.id::text
        LEFT JOIN payments_posting p ON p.transaction_id = t.id
    WHERE (o.purpose = 'settlement') <> (l.id IS NOT NULL)
        OR l.net_fen <> o.amount_fen OR l.merchant_id <> o.merchant_id
        OR (o.state = 'booked') <> (t.id IS NOT NULL)
        OR p.amount_fen <> o.amount_fen OR p.debit_id <> h.account_id
        OR h.amount_fen IS DISTINCT FROM o.amount_fen
        OR h.state IS DISTINCT FROM CASE WHEN o.state = 'booked' THEN 'captured'
            WHEN o.state IN ('rejected', 'never_arrived') THEN 'voided' ELSE 'open' END
UNION ALL
SELECT format('window %%s, merchant %%s: a line of %%s, in the ledger %%s', w.id,
        COALESCE(l.merchant_id, m.merchant_id), l.gross_fen - l.refunded_fen - l.fee_fen, m.fen)
    FROM payments_window w JOIN (
        payments_settlementline l FULL JOIN merchants m
            ON m.window_id = l.window_id AND m.merchant_id = l.merchant_id
    ) ON w.id = COALESCE(l.window_id, m.window_id)
    WHERE w.state NOT IN ('open', 'closing')
        AND COALESCE(l.gross_fen - l.refunded_fen - l.fee_fen, 0) <> COALESCE(m.fen, 0)
UNION ALL
SELECT format('the bank paid %%s, we have booked %%s', told.paid_out_fen, sum(o.amount_fen))
    FROM told LEFT JOIN payments_payout o ON o.bank_id = told.id AND o.state = 'booked'
    GROUP BY told.id, told.paid_out_fen
    HAVING told.paid_out_fen <> COALESCE(sum(o.amount_fen), 0)
UNION ALL
SELECT format('debit %%s is %%s, its order %%s, and %%s in the ledger', d.id, d.state, o.state,
        p.amount_fen)
    FROM payments_debit d LEFT JOIN payments_order o ON o.id = d.order_id
        LEFT JOIN payments_transaction t ON CASE WHEN d.order_id IS NULL
            THEN t.kind = 'top_up' AND t.key = d.id::text
            ELSE t.kind = 'payment' AND t.order_id = d.order_id END
        LEFT JOIN payments_posting p ON p.transaction_id = t.id AND p.seq = 1
        LEFT JOIN payments_account a ON a.id = p.debit_id
        LEFT JOIN payments_account c ON c.id = p.credit_id
    WHERE (d.state = 'booked') <> (t.id IS NOT NULL)
        OR p.amount_fen <> d.amount_fen OR a.kind <> 'bank'
        OR c.owner <> d.resident_id::text OR o.payer_id <> d.resident_id
        OR o.amount_fen <> d.amount_fen
        OR (d.state = 'booked') <> (o.state NOT IN
            ('authorised', 'capturing', 'unknown', 'failed', 'reversed'))
UNION ALL
SELECT format('the bank took %%s from cards, we have booked %%s', told.debited_fen,
        sum(d.amount_fen))
    FROM told LEFT JOIN payments_debit d ON d.bank_id = told.id AND d.state = 'booked'
    GROUP BY told.id, told.debited_fen
    HAVING told.debited_fen <> COALESCE(sum(d.amount_fen), 0)
UNION ALL
SELECT format('the bank holds %%s for us, we count %%s',
        told.credited_fen + told.debited_fen - told.returned_fen - told.paid_out_fen,
        -b.posted_fen)
    FROM told LEFT JOIN bank ON bank.id = told.id
        LEFT JOIN payments_balance b ON b.account_id = bank.account_id
    WHERE told.credited_fen + told.debited_fen - told.returned_fen - told.paid_out_fen
        <> -COALESCE(b.posted_fen, 0)
"""

# Every step of an order, a charge, a payout, a debit and a window is one its table knows, and none
# is missing.
I9 = """
WITH edge AS (
    SELECT * FROM jsonb_to_recordset(%(edges)s::jsonb)
        AS e (kind text, from_state text, to_state text, event text)
), step AS (
    SELECT 'order' AS kind, order_id::text AS of, id, from_state, to_state, event
        FROM payments_orderchange
    UNION ALL SELECT 'payout', payout_id::text, id, from_state, to_state, event
        FROM payments_payoutchange
    UNION ALL SELECT 'debit', debit_id::text, id, from_state, to_state, event
        FROM payments_debitchange
    UNION ALL SELECT 'charge', charge_id::text, id, from_state, to_state, event
        FROM payments_chargechange
    UNION ALL SELECT 'window', window_id::text, id, from_state, to_state, event
        FROM payments_windowchange
), thing AS (
    SELECT 'order' AS kind, id::text AS of, state FROM payments_order
    UNION ALL SELECT 'payout', id::text, state FROM payments_payout
    UNION ALL SELECT 'debit', id::text, state FROM payments_debit
    UNION ALL SELECT 'charge', id::text, state FROM payments_charge
    UNION ALL SELECT 'window', id::text, state FROM payments_window
), chain AS (
    SELECT step.*, lag(to_state) OVER of_one AS before, lead(id) OVER of_one IS NULL AS is_last
    FROM step WINDOW of_one AS (PARTITION BY kind, of ORDER BY id)
)
SELECT format('%%s %%s went from %%s to %%s by %%s', c.kind, c.of, c.from_state, c.to_state,
        c.event)
    FROM chain c LEFT JOIN edge e USING (kind, from_state, to_state, event)
    WHERE e.kind IS NULL AND NOT (c.before IS NULL AND c.from_state = '')
UNION ALL
SELECT format('%%s %%s: %%s follows %%s', c.kind, c.of, c.from_state, c.before) FROM chain c
    WHERE c.from_state <> c.before
UNION ALL
SELECT format('%%s %%s begins with %%s', c.kind, c.of, c.to_state) FROM chain c
    WHERE c.before IS NULL AND NOT EXISTS (
        SELECT FROM edge e WHERE e.kind = c.kind AND e.event = '' AND CASE c.kind
            WHEN 'order' THEN c.from_state = e.to_state  -- leaves its first state as it is written
            ELSE c.from_state = '' AND c.to_state = e.to_state END)
UNION ALL
SELECT format('%%s %%s is %%s, its history ends in %%s', t.kind, t.of, t.state, c.to_state)
    FROM thing t LEFT JOIN chain c ON c.kind = t.kind AND c.of = t.of AND c.is_last
    WHERE c.to_state IS DISTINCT FROM t.state
"""

# A code is accepted once: each order at a till has an acceptance of its own, each acceptance its
# code; any other order has the payer's word or the charge that it pays.
I10 = """
SELECT format('a code was accepted %%s times', count(*)) FROM identity_redemption
    GROUP BY jti HAVING count(*) > 1
UNION ALL
SELECT format('resident %%s: %%s accepted scans with %%s codes', line.resident_id, line.rows,
        COALESCE(used.rows, 0))
    FROM (
        SELECT resident_id, count(*) AS rows FROM identity_accessline
        WHERE outcome = 'accepted' AND scene NOT IN ('own', 'remote', 'register', 'login')
        GROUP BY resident_id
    ) line LEFT JOIN (
        SELECT resident_id, count(*) AS rows FROM (
            SELECT g.resident_id
            FROM identity_redemption r JOIN identity_grant g ON g.handle = r.grant_id
            UNION ALL
            SELECT d.resident_id FROM payments_paycode p
            JOIN identity_device d ON d.id = p.device_id WHERE p.used_at IS NOT NULL
        ) code GROUP BY resident_id
    ) used ON used.resident_id = line.resident_id
    WHERE line.rows > COALESCE(used.rows, 0)
UNION ALL
SELECT format('order %%s was made without a code', o.id) FROM payments_order o
    WHERE o.way IN ('code', 'digits') AND NOT EXISTS (
        SELECT FROM identity_accessline l
        WHERE l.resident_id = o.payer_id AND l.terminal_id = o.till_id AND l.outcome = 'accepted'
            AND l.purpose = 'payment' AND l.case_number = o.merchant_reference)
        AND NOT EXISTS (SELECT FROM payments_visit v WHERE v.order_id = o.id)
UNION ALL
SELECT format('visit %%s was begun without a code', v.id) FROM payments_visit v
    WHERE NOT EXISTS (
        SELECT FROM identity_accessline l
        WHERE l.resident_id = v.payer_id AND l.terminal_id = v.door_id AND l.outcome = 'accepted'
            AND l.purpose = 'payment' AND l.case_number = v.merchant_reference)
UNION ALL
SELECT format('order %%s was made without a charge or the payer''s word', o.id)
    FROM payments_order o
    WHERE o.way NOT IN ('code', 'digits') AND NOT EXISTS (
        SELECT FROM payments_orderchange h WHERE h.order_id = o.id AND h.event = 'ask_holder'
    ) AND NOT EXISTS (
        SELECT FROM payments_charge c
        WHERE c.order_id = o.id AND c.payer_id = o.payer_id AND c.amount_fen = o.amount_fen
            AND c.merchant_id = o.merchant_id AND c.state = 'paid')
"""

# Whose appointment stands or was kept has a seat for good, and no other seat is taken for good; but
# for those whose day ended while they waited.
I12 = """
SELECT format('booking %%s is %%s and has no seat', b.id, b.state) FROM services_booking b
    WHERE b.state IN ('booked', 'checked_in', 'served', 'missed') AND NOT EXISTS (
        SELECT FROM services_seat s
        WHERE s.booking_id = b.id AND s.slot_id = b.slot_id AND s.free_from IS NULL)
UNION ALL
SELECT format('seat %%s is taken by booking %%s, which is %%s', s.id, b.id, b.state)
    FROM services_seat s LEFT JOIN services_booking b ON b.id = s.booking_id
    WHERE s.free_from IS NULL
        AND COALESCE(b.state, '') NOT IN ('booked', 'checked_in', 'served', 'missed')
        AND NOT EXISTS (
            SELECT FROM services_bookingchange c
            WHERE c.booking_id = b.id AND c.event = 'close_day')
"""

# What a platform was told is stored is an event, or kept aside for people; and counted once.
I13 = """
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(told)s::jsonb)
        AS t (work text, key text, device text, moment timestamptz)
)
SELECT format('acknowledged push %%s of %%s at %%s is lost', key, device, moment) FROM told
    WHERE work = 'push' AND NOT EXISTS (
        SELECT FROM iot_event e JOIN iot_device d ON d.id = e.device_id
        WHERE d.external_id = told.device AND e.event_time = told.moment)
    AND NOT EXISTS (
        SELECT FROM iot_quarantined q
        WHERE q.device = told.device AND q.event_time = told.moment)
    AND NOT EXISTS (
        SELECT FROM iot_deadletter d WHERE position(convert_to(told.key, 'UTF8') IN d.body) > 0)
    AND NOT EXISTS (
        SELECT FROM iot_inbox i WHERE position(convert_to(told.key, 'UTF8') IN i.body) > 0)
UNION ALL
SELECT format('%%s pushes of %%s wait', count(*), source) FROM iot_inbox
    WHERE %(at_rest)s GROUP BY source
UNION ALL
SELECT format('the twin of %%s counts %%s events, there are %%s', t.device_id, t.version, e.rows)
    FROM iot_twin t LEFT JOIN (
        SELECT device_id, count(*) AS rows FROM iot_event GROUP BY device_id
    ) e ON e.device_id = t.device_id
    WHERE t.version <> COALESCE(e.rows, 0)
"""

RULES: Mapping[str, str] = {
    "I1": I1,
    "I2": I2,
    "I3": I3,
    "I4": I4,
    "I5": I5,
    "I6": I6,
    "I7": I7,
    "I8": I8,
    "I9": I9,
    "I10": I10,
    "I12": I12,
    "I13": I13,
}
