"""A payout is paid once, whatever is lost on the way, and its money is never in two places."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import connection

from payments import funding, payouts, pursuit
from payments.banks import BankAnswerLost, BankNotAsked, BankStanding
from payments.models import Hold, Payout, PayoutChange, Transaction
from payments.payouts import PayoutContradicted, bank_account
from payments.settlement import windows
from tests import city
from tests.banking import (
    ACCEPTED,
    NEVER_ARRIVED,
    REJECTED,
    BankSystem,
    StubBank,
    booked,
    fund,
    make_bank,
    make_resident,
    standing,
    withdraw,
)
from vpass.common import clock, outbox
from vpass.common.errors import NotFound
from vpass.common.idempotency import KeyReused
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

FEN = 20_000


@dataclass
class Case:
    """A withdrawal of FEN out of 50,000 at a bank that answers as told."""

    at: datetime
    system: BankSystem
    bank: StubBank
    resident: uuid.UUID
    payout_id: uuid.UUID

    @property
    def payout(self) -> Payout:
        return Payout.objects.get(id=self.payout_id)

    @property
    def wallet(self) -> tuple[int, int]:
        return standing(funding.resident_account(self.resident))

    @property
    def history(self) -> list[str]:
        return list(PayoutChange.objects.order_by("id").values_list("to_state", flat=True))

    def pursue(self, *answers: BankStanding | Exception, after: float = 0) -> None:
        self.bank.answers = list(answers)
        payouts.pursue(payout_id=self.payout_id, at=self.at + timedelta(seconds=after))

    def notice(
        self, told: BankStanding, *, by: BankSystem | None = None, digest: bytes = b"\1" * 32
    ) -> None:
        caller = (by or self.system).caller
        payouts.take_notice(
            caller=caller,
            payout_id=self.payout_id,
            standing=told,
            idempotency_key=city.idempotency(caller.scope, str(self.payout_id), digest),
            at=self.at,
        )


@pytest.fixture
def case(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Case:
    at = clock.now()
    windows.ensure_open(at=at)
    system, bank, resident = make_bank(), StubBank(), make_resident(at=at)
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: bank)
    fund(system, resident, 50_000, at=at)
    return Case(at, system, bank, resident, withdraw(resident, FEN, at=at).id)


# The order


def test_order__booked__money_leaves_wallet_and_bank(case: Case):
    case.pursue(booked(case.at))

    assert case.history == ["prepared", "booked"]
    assert case.wallet == (30_000, 0)
    assert standing(bank_account(case.system.bank)) == (-30_000, 0)
    assert (case.payout.bank_reference, case.payout.next_inquiry_at) == ("SB1", None)
    posted = Transaction.objects.get(kind="payout")
    assert (posted.caller, posted.key) == ("payouts", str(case.payout_id))


def test_order__rejected__money_is_free_again(case: Case):
    case.pursue(REJECTED)

    assert (case.payout.state, case.payout.reason) == ("rejected", "account_closed")
    assert case.wallet == (50_000, 0)
    assert Hold.objects.get().state == "voided"


def test_order__accepted__money_stays_held_and_the_bank_is_asked_in_ten_minutes(case: Case):
    case.pursue(ACCEPTED)

    assert case.payout.state == "accepted"
    assert case.payout.next_inquiry_at == case.at + timedelta(minutes=10)
    assert case.wallet == (50_000, FEN)


def test_order__answer_lost__unknown_and_asked_after_five_seconds(case: Case):
    case.pursue(BankAnswerLost())

    assert case.payout.state == "unknown"
    assert case.payout.next_inquiry_at == case.at + timedelta(seconds=5)
    assert case.wallet == (50_000, FEN)
    assert len(case.bank.orders) == 1


def test_order__bank_not_asked__stays_prepared_and_is_sent_again(case: Case):
    case.pursue(BankNotAsked(retry_after=7))

    assert case.history == ["prepared"]
    assert case.payout.next_inquiry_at == case.at + timedelta(seconds=7)
    case.pursue(booked(case.at), after=7)

    assert case.bank.orders[0] == case.bank.orders[1]
    assert case.wallet == (30_000, 0)


def test_order__final_payout__not_sent_again(case: Case):
    case.pursue(booked(case.at))
    case.pursue()

    assert len(case.bank.orders) == 1


def test_order__sent_twice_at_once__slower_lost_answer_changes_nothing(case: Case):
    stale = case.payout
    case.pursue(booked(case.at))

    payouts.PURSUIT.note_silence(stale, at=case.at)

    assert case.history == ["prepared", "booked"]


# The inquiry


def test_inquiry__never_arrived__money_is_free_and_nothing_is_ordered_again(case: Case):
    case.pursue(BankAnswerLost())
    case.pursue(NEVER_ARRIVED, after=5)
    case.pursue(after=60)

    assert case.history == ["prepared", "unknown", "never_arrived"]
    assert case.wallet == (50_000, 0)
    assert (len(case.bank.orders), len(case.bank.inquiries)) == (1, 1)


def test_inquiry__booked_after_the_answer_was_lost__one_payout(case: Case):
    case.pursue(BankAnswerLost())
    case.pursue(booked(case.at), after=5)

    assert case.history == ["prepared", "unknown", "booked"]
    assert case.wallet == (30_000, 0)
    assert len(case.bank.orders) == 1


def test_inquiry__no_answer__schedule_of_the_protocol(case: Case):
    case.pursue(BankAnswerLost())
    waits = []
    moment = case.at
    for _ in range(15):
        due = case.payout.next_inquiry_at
        assert due is not None
        waits.append(int((due - moment).total_seconds()))
        moment = due
        case.bank.answers = [BankAnswerLost()]
        payouts.pursue(payout_id=case.payout_id, at=moment)

    assert waits == [5, 10, 30, *[60] * 10, 600, 600]
    assert case.payout.state == "unknown"
    assert case.wallet == (50_000, FEN)


def test_inquiry__open_for_ten_minutes__operators_are_told(
    case: Case, monkeypatch: pytest.MonkeyPatch
):
    told = []
    monkeypatch.setattr(pursuit.log, "error", lambda name, **_: told.append(name))
    case.pursue(BankAnswerLost())
    for _ in range(len(pursuit.UNKNOWN_WAITS_S)):
        case.pursue(BankAnswerLost())

    assert told == []
    case.pursue(BankAnswerLost())
    assert told == ["payout_unresolved"]


def test_inquiry__still_accepted__asked_again_in_ten_minutes(case: Case):
    case.pursue(ACCEPTED)
    case.pursue(ACCEPTED, after=600)

    assert case.history == ["prepared", "accepted"]
    assert (case.payout.inquiries, case.payout.next_inquiry_at) == (
        1,
        case.at + timedelta(seconds=1200),
    )


def test_inquiry__never_arrived_after_accepted__contradiction_changes_nothing(case: Case):
    case.pursue(ACCEPTED)
    case.pursue(NEVER_ARRIVED, after=600)

    assert case.history == ["prepared", "accepted"]
    assert case.wallet == (50_000, FEN)
    assert case.payout.next_inquiry_at is not None


# The sweep


def test_pursue_due__nothing_due__nobody_is_asked(case: Case):
    assert payouts.pursue_due(at=case.at) == 0


def test_pursue_due__unsent_after_a_minute__sent(case: Case):
    OutboxDelivery.objects.all().delete()

    assert payouts.pursue_due(at=case.at + timedelta(seconds=60)) == 1
    assert payouts.pursue_due(at=case.at + timedelta(seconds=60)) == 0


def test_pursue_due__planner_joins_row_by_row__each_still_sent(case: Case):
    for _ in range(5):
        withdraw(case.resident, 100, at=case.at)
    with connection.cursor() as cursor:  # a plan that runs a joined subquery again for each row
        for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize"):
            cursor.execute(f"SET enable_{way} = off")
        try:
            assert payouts.pursue_due(at=case.at + timedelta(seconds=60)) == 6
        finally:
            cursor.execute("RESET ALL")

    assert len({order.payout_id for order in case.bank.orders}) == 6
    assert case.payout.state == "booked"


def test_outbox__delivers_the_order(case: Case):
    assert outbox.deliver_due(at=clock.now()) >= 1

    assert case.payout.state == "booked"
    assert len(case.bank.orders) == 1


# Notices


def test_notice__booked__money_leaves(case: Case):
    case.pursue(ACCEPTED)
    case.notice(booked(case.at))
    case.notice(booked(case.at))

    assert case.history == ["prepared", "accepted", "booked"]
    assert case.wallet == (30_000, 0)


@pytest.mark.parametrize("before", ["prepared", "unknown"])
def test_notice__overtakes_the_answer__taken_and_the_answer_changes_nothing(
    case: Case, before: str
):
    if before == "unknown":
        case.pursue(BankAnswerLost())
    stale = case.payout
    case.notice(booked(case.at))

    payouts.PURSUIT.take_answer(stale, ACCEPTED, at=case.at)

    assert case.payout.state == "booked"
    assert case.wallet == (30_000, 0)


def test_notice__of_another_bank__as_if_there_were_none(case: Case):
    other = make_bank("第二银行", code="SECOND", key_id="second-1")
    case.pursue(ACCEPTED)

    with pytest.raises(NotFound):
        case.notice(booked(case.at), by=other)
    assert case.payout.state == "accepted"


@pytest.mark.parametrize("end", [REJECTED, NEVER_ARRIVED])
def test_notice__contradicts_the_end__refused_and_nothing_changed(case: Case, end: BankStanding):
    case.pursue(BankAnswerLost())
    case.pursue(end)

    with pytest.raises(PayoutContradicted):
        case.notice(booked(case.at))

    assert case.payout.state == end.status
    assert case.wallet == (50_000, 0)


def test_notice__same_key_with_another_body__refused(case: Case):
    case.pursue(ACCEPTED)
    case.notice(booked(case.at))

    with pytest.raises(KeyReused):
        case.notice(REJECTED, digest=b"\2" * 32)
    assert case.payout.state == "booked"
