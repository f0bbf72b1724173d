"""Several sources together: the balance first, the card for the rest, and back the other way."""

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from cards.models import Card
from identity.models import Resident
from payments import debits, payouts, personal, proof, sources
from payments.banks import BankAnswerLost, BankStanding
from payments.models import Debit, Hold, Order, Payout, Posting, Spending
from payments.refunds import PayerGone
from payments.sources import SourceOrderInvalid
from tests import city
from tests.banking import NEVER_ARRIVED, StubBank, booked, freeze, make_card
from tests.paying import confirm_with, digits
from tests.shop import Shop, balance_fen, fill, resident_of
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

POOR = BankStanding(status="rejected", reason="insufficient_funds")
PRICE_FEN = 1_234
HAS_FEN = 1_000


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> StubBank:
    bank = StubBank()
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: bank)
    return bank


@pytest.fixture
def card(shop: Shop, phone: city.Phone, bank: StubBank, at: datetime) -> Card:
    """¥10 in the wallet, and a card for what is more."""
    fill(shop, phone, HAS_FEN, at=at)
    card = make_card(shop.system.bank, resident_of(phone), at=at)
    sources.choose_source(
        resident_id=resident_of(phone),
        card_id=card.id,
        version=0,
        order=["balance", "bank_card"],
        at=at,
    )
    return card


def available(phone: city.Phone) -> int:
    return int(phone.send("GET", f"{city.RESIDENT}/wallet").json()["available_fen"])


def pursue(bank: StubBank, *answers: Any, at: datetime) -> None:
    bank.answers = list(answers)
    debits.pursue(debit_id=Debit.objects.latest("id").id, at=at)


def legs() -> list[tuple[str, str, int]]:
    found = Posting.objects.filter(transaction__kind="payment").order_by("transaction_id", "seq")
    return [(leg.debit.kind, leg.credit.kind, leg.amount_fen) for leg in found]


def test_pay__more_than_the_balance__held_and_the_card_debited_for_the_rest(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    shown = shop.pay(digits(phone, at=at), at=at)

    assert (shown.state, shown.captured_fen) == ("capturing", 0)
    assert (Debit.objects.get().amount_fen, available(phone)) == (PRICE_FEN - HAS_FEN, 0)
    pursue(bank, booked(at), at=at)

    order = Order.objects.get()
    assert (order.state, order.captured_fen) == ("captured", PRICE_FEN)
    assert legs() == [("bank", "resident", 234), ("resident", "merchant", PRICE_FEN)]
    assert (balance_fen(phone), shop.balance_fen) == (0, PRICE_FEN)
    assert Hold.objects.get().state == "voided"
    assert proof.prove(at).is_sound
    mine = phone.send("GET", f"{city.RESIDENT}/payments/{order.id}").json()
    assert (mine["amount_fen"], mine["card_fen"], mine["card_last4"]) == (PRICE_FEN, 234, "1234")


def test_pay__balance_enough__no_card_and_none__all_by_card(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    assert shop.pay(digits(phone, at=at), at=at, amount_fen=HAS_FEN).state == "captured"
    assert not Debit.objects.exists()

    assert shop.pay(digits(phone, at=at), at=at, amount_fen=500).state == "capturing"
    assert (Debit.objects.get().amount_fen, Hold.objects.count()) == (500, 0)


@pytest.mark.parametrize(
    ("answers", "state"),
    [([POOR], "failed"), ([BankAnswerLost(), NEVER_ARRIVED], "reversed")],
    ids=["rejected", "never-arrived"],
)
def test_pay__bank_does_not_pay__the_held_part_is_free_again(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime,
    answers: list[Any], state: str,
):  # fmt: skip
    shop.pay(digits(phone, at=at), at=at)

    assert Spending.objects.get().used_fen == PRICE_FEN
    for answer in answers:
        assert available(phone) == 0
        pursue(bank, answer, at=at)

    assert (Order.objects.get().state, legs()) == (state, [])
    assert Spending.objects.get().used_fen == 0  # the day's limit is as it was
    assert (available(phone), balance_fen(phone)) == (HAS_FEN, HAS_FEN)


def test_pay__answer_lost_then_booked__resolved_once(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    shop.pay(digits(phone, at=at), at=at)
    pursue(bank, BankAnswerLost(), at=at)
    assert (Order.objects.get().state, available(phone)) == ("unknown", 0)

    pursue(bank, booked(at), at=at)
    pursue(bank, booked(at), at=at)

    assert (Order.objects.get().state, shop.balance_fen) == ("resolved", PRICE_FEN)
    assert len(legs()) == 2


def test_confirm__large_one_split_as_the_sources_stand_by_then(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    order = shop.pay(digits(phone, at=at), at=at, amount_fen=150_000)
    fill(shop, phone, 4_000, at=at)

    assert confirm_with(phone, order.id, None, at=at).state == "capturing"
    pursue(bank, booked(at), at=at)

    assert Debit.objects.get().amount_fen == 145_000
    assert (shop.balance_fen, balance_fen(phone)) == (150_000, 0)


def test_refund__leg_by_leg__the_card_first_then_the_balance(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    shown = shop.pay(digits(phone, at=at), at=at)
    pursue(bank, booked(at), at=at)

    for fen in (200, 100, PRICE_FEN - 300):
        shop.refund(shown.id, fen, at=at)

    sent = Payout.objects.order_by("id")
    assert [(each.amount_fen, each.account_token == card.token) for each in sent] == [
        (200, True), (34, True),
    ]  # fmt: skip
    assert (available(phone), balance_fen(phone)) == (HAS_FEN, PRICE_FEN)
    for each in sent:
        bank.answers = [booked(at)]
        payouts.pursue(payout_id=each.id, at=at)
    assert (balance_fen(phone), shop.balance_fen) == (HAS_FEN, 0)
    assert Order.objects.get().state == "refunded"
    assert proof.prove(at).is_sound


def test_refund__card_gone_at_the_bank__the_money_stays_in_the_wallet(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    shown = shop.pay(digits(phone, at=at), at=at)
    pursue(bank, booked(at), at=at)
    shop.refund(shown.id, 100, at=at)

    bank.answers = [BankStanding(status="rejected", reason="account_closed")]
    payouts.pursue(payout_id=Payout.objects.get().id, at=at)

    assert (available(phone), balance_fen(phone)) == (100, 100)


def test_refund__payer_gone_for_good__refused_by_name_and_nothing_done(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    shown = shop.pay(digits(phone, at=at), at=at)
    pursue(bank, booked(at), at=at)
    personal.forget(resident_id=resident_of(phone), at=at)
    Resident.objects.update(state="closed")

    for _ in range(2):
        with pytest.raises(PayerGone):
            shop.refund(shown.id, 200, at=at)

    assert (shop.balance_fen, Payout.objects.count()) == (PRICE_FEN, 0)
    assert Order.objects.get().state == "captured"


def test_pay__card_frozen__the_balance_alone_still_pays(
    shop: Shop, phone: city.Phone, card: Card, at: datetime
):
    freeze(card, at=at)

    assert shop.pay(digits(phone, at=at), at=at, amount_fen=HAS_FEN).state == "captured"
    with pytest.raises(Exception, match="cannot be used"):
        shop.pay(digits(phone, at=at), at=at)
    assert available(phone) == 0


def test_race__ten_split_payments_and_one_balance__never_held_twice(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    codes = [digits(phone, at=at) for _ in range(10)]

    found = together(10, lambda n: shop.pay(codes[n], at=at))

    seen = Counter(getattr(each, "state", getattr(each, "code", repr(each))) for each in found)
    assert seen == {"capturing": 10}
    held = sum(Hold.objects.filter(state="open").values_list("amount_fen", flat=True))
    owed = sum(Debit.objects.values_list("amount_fen", flat=True))
    assert held == HAS_FEN
    assert held + owed == seen["capturing"] * PRICE_FEN


def test_race__small_payments_out_of_one_balance__all_go_through(
    shop: Shop, phone: city.Phone, card: Card, bank: StubBank, at: datetime
):
    codes = [digits(phone, at=at) for _ in range(10)]

    found = together(10, lambda n: shop.pay(codes[n], at=at, amount_fen=300))

    seen = Counter(getattr(each, "state", getattr(each, "code", repr(each))) for each in found)
    assert seen == {"captured": 3, "capturing": 7}
    assert available(phone) == 0


def test_choose__orders_that_do_not_do__refused_and_nothing_chosen(
    shop: Shop, phone: city.Phone, card: Card, at: datetime
):
    path = f"{city.RESIDENT}/payment-source"
    for order, card_id in (
        (["bank_card", "balance"], str(card.id)),
        (["balance", "balance"], None),
        (["balance"], str(card.id)),
        (["balance", "bank_card"], None),
        ([], None),
    ):
        body = {"card_id": card_id, "version": 1, "order": order}
        assert city.problem(phone.send("PUT", path, body)) == (
            422, "payment_source.order_invalid",
        ), order  # fmt: skip
    body = {"card_id": None, "version": 1, "order": ["medicare"]}
    assert city.problem(phone.send("PUT", path, body)) == (400, "request.invalid")
    with pytest.raises(SourceOrderInvalid):
        sources.choose_source(
            resident_id=resident_of(phone), card_id=None, version=1, order=["x"], at=at
        )
    assert phone.send("GET", path).json() == {
        "card_id": str(card.id), "last4": "1234", "version": 1, "order": ["balance", "bank_card"],
    }  # fmt: skip
