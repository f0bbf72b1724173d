"""A card is debited once, whatever is lost on the way, and nothing is posted before it is."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from cards import wallet
from cards.models import Card
from cards.obligations import CardObliged
from cards.paying import CardNotUsable
from identity.models import Resident
from identity.residents import AccountSuspended
from payments import accounts, debits, sources, top_ups
from payments.banks import BankAnswerLost, BankNotAsked, BankStanding
from payments.debits import DebitContradicted
from payments.models import Debit, DebitChange, PaymentSource, Transaction
from payments.settlement import windows
from tests import city
from tests.banking import (
    ACCEPTED,
    NEVER_ARRIVED,
    BankSystem,
    StubBank,
    booked,
    freeze,
    make_bank,
    make_card,
    make_resident,
    resident_caller,
    standing,
)
from vpass.common import clock, outbox
from vpass.common.errors import NotFound
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

FEN = 20_000
POOR = BankStanding(status="rejected", reason="insufficient_funds")


@dataclass
class Case:
    """A top-up of FEN from a bank card, at a bank that answers as told."""

    at: datetime
    system: BankSystem
    bank: StubBank
    resident: uuid.UUID
    card: Card
    debit_id: uuid.UUID

    @property
    def debit(self) -> Debit:
        return Debit.objects.get(id=self.debit_id)

    @property
    def wallet(self) -> tuple[int, int]:
        return standing(accounts.resident_account(self.resident))

    @property
    def history(self) -> list[str]:
        return list(DebitChange.objects.order_by("id").values_list("to_state", flat=True))

    def pursue(self, *answers: BankStanding | Exception, after: float = 0) -> None:
        self.bank.answers = list(answers)
        debits.pursue(debit_id=self.debit_id, at=self.at + timedelta(seconds=after))

    def notice(self, told: BankStanding, *, by: BankSystem | None = None) -> None:
        caller = (by or self.system).caller
        debits.take_notice(
            caller=caller,
            debit_id=self.debit_id,
            standing=told,
            idempotency_key=city.idempotency(caller.scope, str(self.debit_id)),
            at=self.at,
        )


def top_up(resident_id: uuid.UUID, card: Card, *, at: datetime, **changes: Any) -> Any:
    caller = resident_caller(resident_id)
    return top_ups.top_up(
        caller=caller,
        card_id=card.id,
        amount_fen=FEN,
        idempotency_key=city.idempotency(caller.scope, **changes),
        at=at,
    )


@pytest.fixture
def case(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Case:
    at = clock.now()
    windows.ensure_open(at=at)
    system, bank, resident = make_bank(), StubBank(), make_resident(at=at)
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: bank)
    card = make_card(system.bank, resident, at=at)
    begun = top_up(resident, card, at=at)
    return Case(at, system, bank, resident, card, uuid.UUID(begun.id))


def test_top_up__before_the_bank_has_booked__nothing_is_posted(case: Case):
    assert (case.debit.state, case.wallet) == ("prepared", (0, 0))
    assert Transaction.objects.count() == 0


def test_order__booked__wallet_and_bank_have_it_and_it_is_told(case: Case):
    case.pursue(booked(case.at))

    assert case.history == ["prepared", "booked"]
    assert case.wallet == (FEN, 0)
    assert standing(accounts.bank_account(case.system.bank)) == (-FEN, 0)
    assert (case.debit.bank_reference, case.debit.next_inquiry_at) == ("SB1", None)
    posted = Transaction.objects.get()
    assert (posted.kind, posted.caller, posted.key) == ("top_up", "debits", str(case.debit_id))
    told = OutboxDelivery.objects.get(name="payments.wallet_credited")
    assert told.payload == {"resident": str(case.resident), "amount_fen": FEN}
    asked = case.bank.debits[0]
    assert (asked.debit_id, asked.purpose, asked.amount_fen) == (case.debit_id, "top_up", FEN)
    assert asked.account_token == case.card.token
    assert asked.reference.startswith("V PASS T-") and len(asked.reference) <= 35


def test_order__rejected__nothing_comes(case: Case):
    case.pursue(POOR)

    assert (case.debit.state, case.debit.reason) == ("rejected", "insufficient_funds")
    assert (case.wallet, Transaction.objects.count()) == ((0, 0), 0)


def test_order__answer_lost__only_inquired_about_and_booked_once(case: Case):
    case.pursue(BankAnswerLost())
    assert case.debit.next_inquiry_at == case.at + timedelta(seconds=5)
    case.pursue(BankAnswerLost(), after=5)
    assert case.debit.next_inquiry_at == case.at + timedelta(seconds=15)
    case.pursue(booked(case.at), after=15)
    case.pursue(booked(case.at), after=20)

    assert case.history == ["prepared", "unknown", "booked"]
    assert (len(case.bank.debits), len(case.bank.inquiries)) == (1, 2)
    assert case.wallet == (FEN, 0)


def test_order__answer_lost_and_never_arrived__nothing_comes(case: Case):
    case.pursue(BankAnswerLost())
    case.pursue(NEVER_ARRIVED, after=5)

    assert case.history == ["prepared", "unknown", "never_arrived"]
    assert case.wallet == (0, 0)


def test_order__bank_not_asked__a_top_up_is_sent_again_however_late(case: Case):
    case.pursue(BankNotAsked(retry_after=7))
    case.pursue(booked(case.at), after=600)

    assert case.bank.debits[0] == case.bank.debits[1]
    assert case.wallet == (FEN, 0)


@pytest.mark.parametrize("what", ["frozen", "lost", "expired"])
def test_order__card_not_good_any_more__not_ordered_but_asked_about(case: Case, what: str):
    case.pursue(BankNotAsked())
    if what == "frozen":
        freeze(case.card, at=case.at)
    else:
        Card.objects.update(state=what)
    case.pursue(after=3600)
    case.pursue(NEVER_ARRIVED, after=3605)

    assert case.history == ["prepared", "unknown", "never_arrived"]
    assert (len(case.bank.debits), len(case.bank.inquiries)) == (1, 1)
    assert case.wallet == (0, 0)


def test_order__sent_before_the_card_was_frozen__booked_all_the_same(case: Case):
    case.pursue(BankAnswerLost())
    freeze(case.card, at=case.at)
    case.pursue(booked(case.at), after=5)

    assert case.history == ["prepared", "unknown", "booked"]
    assert case.wallet == (FEN, 0)


def test_unbind__debit_under_way__refused_until_it_has_ended(case: Case):
    caller = resident_caller(case.resident)
    ask: dict[str, Any] = {"caller": caller, "card_id": case.card.id, "at": case.at}

    with pytest.raises(CardObliged) as refused:
        wallet.unbind_card(**ask, idempotency_key=city.idempotency(caller.scope))

    assert refused.value.members == {"obligations": ["card.debit_open"]}
    case.pursue(POOR)
    key = city.idempotency(caller.scope)
    assert wallet.unbind_card(**ask, idempotency_key=key) == "unbound"


def test_sweep__due__taken_up_and_booked(case: Case):
    assert debits.pursue_due(at=case.at) == 0
    assert debits.pursue_due(at=case.at + timedelta(seconds=60)) == 1

    assert case.wallet == (FEN, 0)


def test_sweep__one_that_raises__the_others_go_on_and_it_comes_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
):
    second = top_up(case.resident, case.card, at=case.at + timedelta(seconds=1))
    order = debits.PURSUIT.order

    def failing(bank: Any, work: Debit, *, at: datetime) -> BankStanding:
        if work.id == case.debit_id:
            raise RuntimeError("broken")
        return order(bank, work, at=at)

    monkeypatch.setattr(debits.PURSUIT, "order", failing)
    later = case.at + timedelta(seconds=61)

    assert debits.pursue_due(at=later) == 2
    assert Debit.objects.get(id=second.id).state == "booked"
    assert (case.debit.state, case.debit.next_inquiry_at) == (
        "prepared",
        later + timedelta(seconds=30),
    )


def test_outbox__sends_what_is_prepared(case: Case):
    outbox.deliver_due(at=clock.now())

    assert case.wallet == (FEN, 0)


def test_notice__overtakes_the_answer__taken_once(case: Case):
    stale = case.debit
    case.notice(booked(case.at))
    case.notice(booked(case.at))
    debits.PURSUIT.note_silence(stale, at=case.at)
    debits.PURSUIT.take_answer(stale, ACCEPTED, at=case.at)

    assert case.history == ["prepared", "booked"]
    assert case.wallet == (FEN, 0)


@pytest.mark.parametrize("end", [POOR, NEVER_ARRIVED], ids=["rejected", "never_arrived"])
def test_notice__contradicts_the_end__refused_and_nothing_changed(case: Case, end: BankStanding):
    case.pursue(BankAnswerLost())
    case.pursue(end, after=5)

    with pytest.raises(DebitContradicted):
        case.notice(booked(case.at))

    assert (case.history[-1], case.wallet) == (end.status, (0, 0))


def test_notice__of_another_bank__unknown(case: Case):
    other = make_bank("另一家银行", code="OTHER", key_id="bank-2")

    with pytest.raises(NotFound):
        case.notice(booked(case.at), by=other)

    assert case.history == ["prepared"]


# Who may top up


def test_top_up__same_key_again__one_debit(case: Case):
    first = top_up(case.resident, case.card, at=case.at, key="the-very-same-key")
    again = top_up(case.resident, case.card, at=case.at, key="the-very-same-key")

    assert first == again
    assert Debit.objects.count() == 2  # with the fixture's


def test_top_up__anothers_card__unknown_and_nothing_prepared(case: Case):
    with pytest.raises(NotFound):
        top_up(make_resident(1, at=case.at), case.card, at=case.at)

    assert Debit.objects.count() == 1


def test_top_up__frozen_card__refused_with_the_reason(case: Case):
    freeze(case.card, at=case.at)

    with pytest.raises(CardNotUsable) as refused:
        top_up(case.resident, case.card, at=case.at)

    assert refused.value.members == {"reason": "card.frozen"}
    assert Debit.objects.count() == 1


def test_top_up__suspended_resident__refused(case: Case):
    Resident.objects.update(state="suspended")

    with pytest.raises(AccountSuspended):
        top_up(case.resident, case.card, at=case.at)

    assert Debit.objects.count() == 1


def test_choose__suspended_resident__refused(case: Case):
    Resident.objects.update(state="suspended")

    with pytest.raises(AccountSuspended):
        sources.choose_source(
            resident_id=case.resident, card_id=case.card.id, version=0, at=case.at
        )

    assert not PaymentSource.objects.exists()


def test_top_up__card_of_a_bank_that_is_no_partner__refused(case: Case):
    stranger = make_bank("外地银行", code="STRANGER", key_id="bank-9")
    card = make_card(stranger.bank, case.resident, at=case.at)
    stranger.bank.delete()

    with pytest.raises(CardNotUsable) as refused:
        top_up(case.resident, card, at=case.at)

    assert refused.value.members == {"reason": "card.bank_unknown"}


# Over HTTP


def test_top_ups__over_http__begun_shown_and_only_ones_own(
    case: Case, monkeypatch: pytest.MonkeyPatch
):
    phone = city.make_phone(2, at=case.at)
    assert phone.device is not None
    card = make_card(case.system.bank, phone.device.resident_id, at=case.at)
    path = "/api/resident/v1/top-ups"

    begun = phone.send(
        "POST", path, {"card_id": str(card.id), "amount_fen": 700}, key=city.new_key()
    )
    assert begun.status_code == 201
    outbox.deliver_due(at=clock.now())
    shown = phone.send("GET", f"{path}/{begun.json()['id']}").json()

    assert (shown["state"], shown["card_last4"], shown["card_id"]) == (
        "booked", "1234", str(card.id),
    )  # fmt: skip
    assert [step["state"] for step in shown["history"]] == ["prepared", "booked"]
    assert phone.send("GET", path).json()["items"] == [shown]
    assert city.problem(phone.send("GET", f"{path}/{case.debit_id}")) == (404, "object.not_found")
