"""A payment at a till from a bank card: paid when the bank has booked it, and once."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from cards import wallet
from cards.card_type import Issued
from cards.models import Card
from cards.paying import CardNotUsable
from payments import accounts, debits, merchants, proof, sources, statements
from payments.banks import BankAnswerLost, BankNotAsked, BankStanding
from payments.captures import ORDER_CAPTURED
from payments.models import Debit, Order, OrderChange, PaymentSource, Posting, Transaction
from payments.settlement import netting, windows
from payments.sources import SourceChanged
from tests import city
from tests.banking import (
    ACCEPTED,
    NEVER_ARRIVED,
    StubBank,
    booked,
    freeze,
    make_card,
    standing,
)
from tests.shop import Shop, balance_fen, confirm, resident_of
from tests.statements import statements as counted
from vpass.common import outbox
from vpass.common.errors import NotFound
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

PRICE_FEN = 1_234
LARGE_FEN = 100_001
FULL_FEN = 1_000_000
POOR = BankStanding(status="rejected", reason="insufficient_funds")


@dataclass
class Buyer:
    """A phone that has chosen its bank card, at a bank that answers as told."""

    phone: city.Phone
    card: Card
    bank: StubBank

    @property
    def resident_id(self) -> uuid.UUID:
        return resident_of(self.phone)


@pytest.fixture
def buyer(shop: Shop, payer: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch) -> Buyer:
    bank = StubBank()
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: bank)
    card = make_card(shop.system.bank, resident_of(payer), at=at)
    choose(payer, card, at=at)
    return Buyer(payer, card, bank)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody hears of captured orders."""
    known = {name: dict(those) for name, those in outbox._subscriptions.items()}
    monkeypatch.setattr(outbox, "_subscriptions", known)
    outbox.subscribe(ORDER_CAPTURED, "test.listener", lambda event: None)


def choose(phone: city.Phone, card: Card | None, *, at: datetime, version: int = 0) -> Any:
    return sources.choose_source(
        resident_id=resident_of(phone),
        card_id=None if card is None else card.id,
        version=version,
        at=at,
    )


def pursue(buyer: Buyer, *answers: BankStanding | Exception, at: datetime) -> None:
    buyer.bank.answers = list(answers)
    debits.pursue(debit_id=Debit.objects.get().id, at=at)


def history() -> list[tuple[str, str]]:
    return list(OrderChange.objects.order_by("id").values_list("to_state", "event"))


def legs() -> list[tuple[str, str, int]]:
    found = Posting.objects.filter(transaction__kind="payment").order_by("transaction_id", "seq")
    return [(leg.debit.kind, leg.credit.kind, leg.amount_fen) for leg in found]


def told() -> list[int]:
    rows = OutboxDelivery.objects.filter(name=ORDER_CAPTURED)
    return [row.payload["amount_fen"] for row in rows]


# At the till


def test_pay__card_chosen__capturing_and_nothing_posted_before_the_bank_has_booked(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, heard: None, at: datetime
):
    shown = shop.pay(grant.code(at), at=at)

    assert (shown.state, shown.captured_fen) == ("capturing", 0)
    assert history() == [("authorised", "authorise"), ("capturing", "begin_capture")]
    assert (legs(), told(), balance_fen(buyer.phone)) == ([], [], FULL_FEN)


def test_pay__booked__captured_through_the_wallet_in_one_transaction(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, heard: None, at: datetime
):
    shop.pay(grant.code(at), at=at)
    bank = accounts.bank_account(shop.system.bank)
    before, _ = standing(bank)

    pursue(buyer, booked(at), at=at)

    order = Order.objects.get()
    assert (order.state, order.captured_fen) == ("captured", PRICE_FEN)
    assert history()[-1] == ("captured", "capture")
    assert Transaction.objects.filter(order_id=order.id).count() == 1
    assert legs() == [("bank", "resident", PRICE_FEN), ("resident", "merchant", PRICE_FEN)]
    assert (balance_fen(buyer.phone), shop.balance_fen) == (FULL_FEN, PRICE_FEN)
    assert standing(bank) == (before - PRICE_FEN, 0)
    assert told() == [PRICE_FEN]
    assert (buyer.bank.debits[0].purpose, buyer.bank.debits[0].amount_fen) == ("payment", PRICE_FEN)
    assert proof.prove(at).is_sound


def test_pay__wallet_that_never_had_money__the_card_pays(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime, monkeypatch: Any
):
    bank = StubBank()
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: bank)
    choose(phone, make_card(shop.system.bank, resident_of(phone), at=at), at=at)

    shop.pay(grant.code(at), at=at)
    pursue(Buyer(phone, Card.objects.get(), bank), at=at)

    assert (Order.objects.get().state, shop.balance_fen) == ("captured", PRICE_FEN)
    assert balance_fen(phone) == 0


def test_pay__rejected__failed_with_the_banks_reason(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, heard: None, at: datetime
):
    shop.pay(grant.code(at), at=at)

    pursue(buyer, POOR, at=at)

    order = Order.objects.get()
    assert (order.state, order.reason, order.captured_fen) == (
        "failed", "bank.insufficient_funds", 0,
    )  # fmt: skip
    assert (legs(), told()) == ([], [])


@pytest.mark.parametrize(
    ("end", "state", "reason", "paid_fen"),
    [
        (booked(datetime.fromisoformat("2026-03-02T01:00:00Z")), "resolved", None, PRICE_FEN),
        (POOR, "reversed", "bank.insufficient_funds", 0),
        (NEVER_ARRIVED, "reversed", "debit.never_arrived", 0),
    ],
    ids=["booked", "rejected", "never_arrived"],
)
def test_pay__answer_lost__unknown_until_the_inquiry_tells(
    shop: Shop,
    buyer: Buyer,
    grant: city.HeldGrant,
    heard: None,
    at: datetime,
    end: BankStanding,
    state: str,
    reason: str | None,
    paid_fen: int,
):
    shop.pay(grant.code(at), at=at)

    pursue(buyer, BankAnswerLost(), at=at)
    order = Order.objects.get()
    assert (order.state, order.captured_fen, legs()) == ("unknown", 0, [])
    pursue(buyer, end, at=at + timedelta(seconds=5))
    pursue(buyer, end, at=at + timedelta(seconds=10))

    order.refresh_from_db()
    assert (order.state, order.reason, order.captured_fen) == (state, reason, paid_fen)
    assert (shop.balance_fen, balance_fen(buyer.phone)) == (paid_fen, FULL_FEN)
    assert told() == ([paid_fen] if paid_fen else [])
    assert (len(buyer.bank.debits), len(buyer.bank.inquiries)) == (1, 1)


def test_pay__never_arrived_as_the_first_answer__reversed_by_way_of_unknown(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)

    pursue(buyer, NEVER_ARRIVED, at=at)

    assert [state for state, _ in history()][-2:] == ["unknown", "reversed"]


def test_pay__accepted__waits_for_the_notice(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)
    pursue(buyer, ACCEPTED, at=at)
    assert Order.objects.get().state == "capturing"
    debit_id = Debit.objects.get().id
    caller = shop.system.caller

    debits.take_notice(
        caller=caller,
        debit_id=debit_id,
        standing=booked(at),
        idempotency_key=city.idempotency(caller.scope, str(debit_id)),
        at=at,
    )

    assert (Order.objects.get().state, shop.balance_fen) == ("captured", PRICE_FEN)


def test_pay__bank_away_for_two_minutes__not_ordered_any_more_but_buried(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)

    pursue(buyer, BankNotAsked(), at=at + timedelta(seconds=119))
    assert Order.objects.get().state == "capturing"
    pursue(buyer, at=at + timedelta(seconds=120))
    assert Order.objects.get().state == "unknown"
    pursue(buyer, NEVER_ARRIVED, at=at + timedelta(seconds=125))

    assert Order.objects.get().state == "reversed"
    assert (len(buyer.bank.debits), len(buyer.bank.inquiries)) == (1, 1)


def test_pay__merchant_suspended_while_the_bank_books__what_was_taken_is_captured(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)
    merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)

    pursue(buyer, booked(at), at=at)

    assert (Order.objects.get().state, shop.balance_fen) == ("captured", PRICE_FEN)


def test_pay__over_http_by_card__exactly_twelve_statements_and_the_till_can_ask(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.till.pay(grant.code(at))  # the first one reads the city's keys

    with counted() as sent:
        answer = shop.till.pay(grant.code(at))

    assert (answer.status_code, answer.json()["state"]) == (201, "capturing")
    assert len(sent) == 12, "\n".join(sent)
    path = f"/api/merchant/v1/payments/{answer.json()['id']}"
    assert shop.till.send("GET", path).json()["state"] == "capturing"
    shown = buyer.phone.send("GET", "/api/resident/v1/payments").json()["items"]
    assert {each["card_last4"] for each in shown} == {"1234"}


def test_pay__repeated__one_debit(shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime):
    body = {"code": grant.code(at), "merchant_reference": "A-1"}

    first = shop.pay(**body, at=at, key="one-and-the-same")

    assert shop.pay(**body, at=at, key="one-and-the-same") == first
    assert Debit.objects.count() == 1


# A card that cannot pay


def test_pay__card_frozen_since__failed_with_the_reason_and_no_debit(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    freeze(buyer.card, at=at)

    with pytest.raises(CardNotUsable) as refused:
        shop.pay(grant.code(at), at=at, key="one-and-the-same")

    order = Order.objects.get()
    assert refused.value.members == {"payment_id": str(order.id), "reason": "card.frozen"}
    assert (order.state, order.reason) == ("failed", "card.frozen")
    assert (Debit.objects.count(), balance_fen(buyer.phone)) == (0, FULL_FEN)


def test_pay__chosen_card_replaced_twice__the_living_one_pays(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    living = replaced(replaced(buyer.card, "7001", at=at), "7002", at=at)

    shown = shop.pay(grant.code(at), at=at)

    debit = Debit.objects.get(order_id=shown.id)
    assert (debit.card_id, debit.account_token) == (living.id, living.token)
    chosen = sources.source_of(resident_id=resident_of(buyer.phone))
    assert chosen == sources.Source(card_id=living.id, last4="7002", version=1, order=["bank_card"])


def replaced(card: Card, last4: str, *, at: datetime) -> Card:
    """The card's successor, as its issuer has told."""
    issued = Issued(token=f"tok_of_successor_{last4}", last4=last4, facts={"brand": "UnionPay"})
    with transaction.atomic():
        Card.objects.filter(id=card.id).update(state="replaced")
        return wallet.write_card(
            issued,
            issuer_id=card.issuer_id,
            account_id=card.account_id,
            card_type="bank",
            actor="test",
            predecessor=card,
            at=at,
        )


def test_confirm__card_frozen_meanwhile__refused_then_paid_from_the_balance(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shown = shop.pay(grant.code(at), at=at, amount_fen=LARGE_FEN)
    order = Order.objects.get(id=shown.id)
    freeze(buyer.card, at=at)

    with pytest.raises(CardNotUsable):
        confirm(buyer.phone, order, at=at)
    assert (Order.objects.get().state, Debit.objects.count()) == ("confirming", 0)
    choose(buyer.phone, None, at=at, version=1)

    assert confirm(buyer.phone, order, at=at).state == "captured"
    assert balance_fen(buyer.phone) == FULL_FEN - LARGE_FEN


def test_confirm__by_card__capturing_then_captured(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shown = shop.pay(grant.code(at), at=at, amount_fen=LARGE_FEN)
    assert shown.state == "confirming"

    answer = confirm(buyer.phone, Order.objects.get(), at=at)
    assert answer.state == "capturing"
    pursue(buyer, booked(at), at=at)

    assert [state for state, _ in history()] == [
        "confirming", "authorised", "capturing", "captured",
    ]  # fmt: skip
    assert (shop.balance_fen, balance_fen(buyer.phone)) == (LARGE_FEN, FULL_FEN)


# Afterwards


@pytest.mark.parametrize("is_lost", [False, True])
def test_refund__goes_into_the_balance(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime, is_lost: bool
):
    shown = shop.pay(grant.code(at), at=at)
    if is_lost:
        pursue(buyer, BankAnswerLost(), at=at)
    pursue(buyer, booked(at), at=at)

    shop.refund(shown.id, 1_000, at=at)

    assert Order.objects.get().state == "part_refunded"
    assert (balance_fen(buyer.phone), shop.balance_fen) == (FULL_FEN + 1_000, 234)


def test_netting__card_payment_counts_once_and_books_agree(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shown = shop.pay(grant.code(at), at=at)
    pursue(buyer, BankAnswerLost(), at=at)
    pursue(buyer, booked(at), at=at)
    shop.refund(shown.id, 1_000, at=at)
    window_id = windows.ensure_open(at=at)
    windows.close(window_id=window_id, actor="test", at=at)

    assert netting.net_next(at=at) == window_id

    (line,) = netting.lines_of(window_id=window_id)
    assert (line.gross_fen, line.refunded_fen, line.net_fen) == (PRICE_FEN, 1_000, 234)


def test_statement__what_the_card_brought_and_what_was_paid(
    shop: Shop, buyer: Buyer, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)
    pursue(buyer, booked(at), at=at)

    lines = buyer.phone.send("GET", "/api/resident/v1/statement").json()["items"]

    assert [(line["kind"], line["amount_fen"]) for line in lines] == [
        ("payment", -PRICE_FEN), ("card_debit", PRICE_FEN), ("top_up", FULL_FEN),
    ]  # fmt: skip
    ours = statements.merchant_statement(
        organisation_id=shop.merchant.organisation_id,
        business_date=Transaction.objects.latest("id").business_date,
    )
    assert [line.amount_fen for line in ours] == [PRICE_FEN]


# The choice


def test_source__nothing_chosen__balance(payer: city.Phone):
    answer = payer.send("GET", "/api/resident/v1/payment-source")

    assert answer.json() == {
        "card_id": None, "last4": None, "version": 0, "order": ["balance"],
    }  # fmt: skip


def test_source__put__chosen_and_a_repeat_is_answered_alike(
    shop: Shop, payer: city.Phone, at: datetime
):
    card = make_card(shop.system.bank, resident_of(payer), at=at)
    path, body = "/api/resident/v1/payment-source", {"card_id": str(card.id), "version": 0}

    first = payer.send("PUT", path, body)
    again = payer.send("PUT", path, body)

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() == payer.send("GET", path).json()
    assert first.json() == {
        "card_id": str(card.id), "last4": "1234", "version": 1, "order": ["bank_card"],
    }  # fmt: skip


def test_source__late_repeat_of_an_older_choice__refused_and_the_newer_one_stays(
    buyer: Buyer, at: datetime
):
    choose(buyer.phone, None, at=at, version=1)

    with pytest.raises(SourceChanged) as refused:
        choose(buyer.phone, buyer.card, at=at, version=0)

    assert refused.value.members == {"version": 2}
    assert PaymentSource.objects.get().card_id is None


def test_source__first_choice_of_a_version_that_never_was__refused(payer: city.Phone, at: datetime):
    with pytest.raises(SourceChanged):
        choose(payer, None, at=at, version=7)

    assert PaymentSource.objects.count() == 0


def test_source__anothers_or_a_frozen_card__refused_and_nothing_chosen(
    shop: Shop, payer: city.Phone, at: datetime
):
    others = make_card(shop.system.bank, resident_of(city.make_phone(1, at=at)), at=at)
    frozen = make_card(shop.system.bank, resident_of(payer), at=at)
    freeze(frozen, at=at)

    with pytest.raises(NotFound):
        choose(payer, others, at=at)
    with pytest.raises(CardNotUsable):
        choose(payer, frozen, at=at)

    assert PaymentSource.objects.count() == 0
