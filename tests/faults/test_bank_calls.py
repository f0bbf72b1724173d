"""A bank that is slow, down, lying, says it twice or is not heard: no fen moves twice."""

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from django.db import connection

from payments import debits
from payments.banks import BankStanding, DebitOrder, PartnerBank
from payments.models import Debit, Payout
from tests.faults import invariants
from tests.faults.bank_calls import ANSWERS, EVERY, NOTICES, Faults, Line, Run
from tests.faults.bank_town import BankTown, open_town, read_bank, read_ours
from tests.faults.judging import tell
from tests.outside import OutsideWorld
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
CALLS = 10 * ROUNDS or 150
LONGEST_UNKNOWN_S = 600.0

# Every step of payouts, debits and orders into `unknown`, and how long it was until the next.
_LONGEST_UNKNOWN = """
SELECT COALESCE(max(EXTRACT(epoch FROM COALESCE(left_at, %(now)s) - at)), 0)::float FROM (
    SELECT to_state, at, lead(at) OVER (PARTITION BY payout_id ORDER BY id) AS left_at
        FROM payments_payoutchange
    UNION ALL SELECT to_state, at, lead(at) OVER (PARTITION BY debit_id ORDER BY id)
        FROM payments_debitchange
    UNION ALL SELECT to_state, at, lead(at) OVER (PARTITION BY order_id ORDER BY id)
        FROM payments_orderchange
) step WHERE to_state = 'unknown'
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A thousand faults, each with its line, would bury what the run says."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def town(sandbox_of_own: OutsideWorld) -> BankTown:
    return open_town(sandbox_of_own.url, at=clock.now())


def longest_unknown_s() -> float:
    with connection.cursor() as cursor:
        cursor.execute(_LONGEST_UNKNOWN, {"now": clock.now()})
        return float(cursor.fetchone()[0])


def judge(run: Run, *, since: datetime) -> list[str]:
    """What is wrong now that everything rests: our rules, and each entry of the bank and of us."""
    found = list(run.wrong)
    totals = {run.town.system.bank.code: run.town.bank.totals()}
    with connection.cursor() as cursor:
        found += [str(each) for each in invariants.examine(cursor, banks=totals)]
    theirs, ours = read_bank(since), read_ours()
    found += [f"the bank has {each} {count} times" for each, count in (theirs - ours).items()]
    found += [f"we have {each} {count} times" for each, count in (ours - theirs).items()]
    for books in (theirs, ours):
        names = Counter(name for name, _ in books.elements())
        found += [f"{name} stands there twice" for name, count in names.items() if count > 1]
    return found


def show(faults: Faults, *, took_s: float) -> None:
    """What was said and how it went wrong, beneath the line that says how it came out."""
    ended: Counter[str] = Counter()
    for rows in (Payout, Debit):
        ended.update(f"{each.purpose} {each.state}" for each in rows.objects.all())
    print(
        f"  calls {dict(faults.tried)}; faults {dict(sorted(faults.met.items()))};\n"
        f"  {dict(sorted(ended.items()))};\n"
        f"  oldest unknown {longest_unknown_s():.0f} s; {took_s:.0f} s"
    )


def test_calls__every_tenth_goes_wrong__no_fen_twice_and_no_old_unknown(
    town: BankTown, monkeypatch: pytest.MonkeyPatch
):
    since, begun = clock.now(), time.monotonic()
    faults = Faults()
    line = Line(town, faults)
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: line)
    run = Run(town, faults, CALLS)

    run.go(hurried=not ROUNDS)

    broken = judge(run, since=since)
    tell("bank-calls", tried=faults.calls, broken=len(broken))
    show(faults, took_s=time.monotonic() - begun)
    assert broken == []
    assert longest_unknown_s() < LONGEST_UNKNOWN_S
    assert faults.met.total() == faults.calls // EVERY
    assert run.unmet <= 2
    assert {f"{kind} call" for kind in ANSWERS} <= faults.met.keys()
    if ROUNDS:
        assert {f"{kind} notice" for kind in NOTICES} <= faults.met.keys()


def test_calls__guard_off_whoever_hears_nothing_orders_anew__the_judge_finds_the_double_charges(
    town: BankTown, monkeypatch: pytest.MonkeyPatch
):
    """The twin: instead of an inquiry the same order again, under another number."""

    def order_anew(_: Any, bank: PartnerBank, work: Debit, *, at: datetime) -> BankStanding:
        order = DebitOrder(
            debit_id=uuid.uuid4(),
            account_token=work.account_token,
            amount_fen=work.amount_fen,
            purpose=work.purpose,
            reference=work.reference,
            business_date=work.business_date,
        )
        return bank.debit(order, at=at)

    monkeypatch.setattr(debits.DebitPursuit, "inquire", order_anew)
    # Whose cards are debited at once: a notice of what we do not know would be repeated for ever.
    town.residents = [each for each in town.residents if each.card.last4.startswith("55")]
    since = clock.now()
    faults = Faults(every=4, answers={"lost": ANSWERS["lost"]})
    line = Line(town, faults)
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: line)
    run = Run(town, faults, 40, weights={"top_up": 1})

    run.go(hurried=True)

    broken = judge(run, since=since)
    assert any("the bank took" in each for each in broken), broken
    assert any("the bank has" in each for each in broken), broken
