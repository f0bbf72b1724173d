"""Proves the ledger: counts every balance again from its postings and holds, in one snapshot."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from vpass.common.observability import log

SHOWN = 1000  # findings listed; the first would do to stop everything
TIMEOUT = "1h"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be.

    `check` names the rule, `subject` the account or transaction (0 for the whole ledger), and the
    figures what the rule asks for and what stands there: fen, or rows for checks that count.
    """

    check: str
    subject: int
    expected: int
    found: int

    def line(self) -> str:
        """The finding as a line of text."""
        return f"{self.check} {self.subject}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Findings:
    """What was counted, when, and the first thousand findings; none means the ledger is sound."""

    at: datetime
    accounts: int
    transactions: int
    postings: int
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


# One statement, so that all of it sees the same moment while payments go on.
_PROVE = """
WITH moved AS MATERIALIZED (
    SELECT account, sum(fen) AS fen FROM (
        SELECT credit_id AS account, amount_fen AS fen FROM payments_posting
        UNION ALL SELECT debit_id, -amount_fen FROM payments_posting
    ) AS sides GROUP BY account
), held AS (
    SELECT account_id AS account, sum(amount_fen) AS fen FROM payments_hold
    WHERE state = 'open' GROUP BY account_id
), standing AS MATERIALIZED (
    SELECT account_id AS account, sum(posted_fen) AS posted, sum(held_fen) AS held,
        sum(floor_fen) AS floor, count(*) AS rows, max(shard) AS last,
        COALESCE(sum(held_fen) FILTER (WHERE shard > 0), 0) AS held_elsewhere
    FROM payments_balance GROUP BY account_id
), legs AS MATERIALIZED (
    SELECT transaction_id AS id, count(*) AS rows, max(seq) AS last FROM payments_posting
    GROUP BY transaction_id
), found (rule, subject, expected, found) AS (
    SELECT 'balance_is_sum_of_postings', COALESCE(m.account, s.account),
        COALESCE(m.fen, 0), COALESCE(s.posted, 0)
    FROM moved m FULL JOIN standing s ON s.account = m.account
    WHERE COALESCE(m.fen, 0) <> COALESCE(s.posted, 0)
    UNION ALL
    SELECT 'held_is_sum_of_open_holds', COALESCE(h.account, s.account),
        COALESCE(h.fen, 0), COALESCE(s.held, 0)
    FROM held h FULL JOIN standing s ON s.account = h.account
    WHERE COALESCE(h.fen, 0) <> COALESCE(s.held, 0)
    UNION ALL
    SELECT 'balance_above_floor', account, floor, posted - held FROM standing
    WHERE posted - held < floor
    UNION ALL
    SELECT 'account_has_balance', a.id, a.shards, COALESCE(s.rows, 0)
    FROM payments_account a LEFT JOIN standing s ON s.account = a.id
    WHERE (s.rows, s.last + 1) IS DISTINCT FROM (a.shards::bigint, a.shards::integer)
    UNION ALL
    SELECT 'held_on_the_first_shard', account, 0, held_elsewhere FROM standing
    WHERE held_elsewhere <> 0
    UNION ALL
    SELECT 'balances_sum_to_zero', 0, 0, sum(posted) FROM standing HAVING sum(posted) <> 0
    UNION ALL
    SELECT 'transaction_has_all_postings', COALESCE(t.id, l.id),
        GREATEST(COALESCE(l.last, 1), 1), COALESCE(l.rows, 0)
    FROM payments_transaction t FULL JOIN legs l ON l.id = t.id
    WHERE t.id IS NULL OR l.rows IS DISTINCT FROM l.last::bigint OR l.id IS NULL
    UNION ALL
    SELECT 'accounts_share_currency', p.transaction_id, 0, count(*)
    FROM payments_posting p
    JOIN payments_account d ON d.id = p.debit_id JOIN payments_account c ON c.id = p.credit_id
    WHERE d.currency <> c.currency GROUP BY p.transaction_id
)
SELECT counted.*, shown.* FROM (
    SELECT (SELECT count(*) FROM payments_account), (SELECT count(*) FROM payments_transaction),
        (SELECT COALESCE(sum(rows), 0)::bigint FROM legs)
) AS counted LEFT JOIN (
    SELECT rule, subject, expected::bigint, found::bigint FROM found ORDER BY rule, subject LIMIT %s
) AS shown ON true
"""


def prove(at: datetime) -> Findings:
    """Counts the whole ledger again and tells where it differs.

    Balances are the sum of their postings, what is held is the sum of the open holds, all balances
    together are nothing, an account has the rows it is spread over, and no transaction lacks a
    posting. Reads one snapshot, and takes no lock
    that a payment would wait for. What is found is counted in the log.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [TIMEOUT])
        cursor.execute(_PROVE, [SHOWN])
        rows = cursor.fetchall()
    accounts, transactions, postings = rows[0][:3]
    findings = tuple(Finding(*row[3:]) for row in rows if row[3] is not None)
    for check, count in Counter(finding.check for finding in findings).items():
        log.error("ledger_not_sound", name=check, count=count)
    return Findings(
        at=at,
        accounts=accounts,
        transactions=transactions,
        postings=postings,
        findings=findings,
    )
