"""A charge meets payments, collections and money coming in: taken once, and never forgotten."""

import os
import threading
import time
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import QuerySet

from payments import charges, queries
from payments.charges import ChargeReferenceTaken
from payments.ledger import InsufficientFunds
from payments.models import Charge, Transaction
from payments.settlement import windows
from tests import banking, city
from tests.shop import Shop, balance_fen, fill, open_shop, resident_of
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    return open_shop()


def charge(shop: Shop, phone: city.Phone, fen: int, *, at: datetime) -> charges.Charged:
    with transaction.atomic():
        return charges.charge(
            payer_id=resident_of(phone),
            organisation_id=shop.merchant.organisation_id,
            amount_fen=fen,
            title="公交 Bus",
            reference=f"tap:{uuid.uuid4()}",
            at=at,
        )


def states() -> list[str]:
    return list(Charge.objects.order_by("id").values_list("state", flat=True))


def test_charge_against_payment__money_for_one__one_is_paid_and_nothing_below_zero(
    shop: Shop, phone: city.Phone, at: datetime
):
    tried, broken = rounds(short=10), 0
    fill(shop, phone, 1, at=at)

    for _ in range(tried):
        Charge.objects.filter(state="due").update(state="cancelled")
        fill(shop, phone, 999, at=at)
        paid, charged = together(
            2,
            lambda index: (
                banking.pay(shop.merchant, resident_of(phone), 1_000, at=at)
                if index == 0
                else charge(shop, phone, 1_000, at=at)
            ),
        )
        is_charged = getattr(charged, "state", None) == "paid"
        broken += is_charged != isinstance(paid, InsufficientFunds) or balance_fen(phone) != 0
        fill(shop, phone, 1, at=at)

    tell("charge-payment", tried=tried, broken=broken)
    assert broken == 0


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever collects takes a while between reading a charge and paying it."""
    lock_parties = queries.lock_parties

    def read_then_linger(**asked: uuid.UUID) -> Any:
        time.sleep(0.02)
        return lock_parties(**asked)

    monkeypatch.setattr(queries, "lock_parties", read_then_linger)


def collect_by_four(shop: Shop, phone: city.Phone, *, at: datetime) -> list[Any]:
    """How many of three charges each of four has paid, or what it met."""
    fill(shop, phone, 1, at=at)  # so that the wallet is there, with too little in it
    for _ in range(3):
        charge(shop, phone, 100, at=at)
    fill(shop, phone, 299, at=at)
    return together(4, lambda _: charges.collect(payer_id=resident_of(phone), at=at))


def is_broken(found: list[Any]) -> bool:
    return any(isinstance(each, Exception) for each in found) or sum(found) != 3


def test_collect__four_at_once__each_charge_is_paid_once(
    shop: Shop, phone: city.Phone, lingering: None, at: datetime
):
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        broken += is_broken(collect_by_four(shop, phone, at=at))

    tell("collections", tried=tried, broken=broken)
    assert broken == 0
    assert balance_fen(phone) == 0
    assert Transaction.objects.filter(kind="payment").count() == 3 * tried


def test_collect__guard_off__somebody_meets_a_charge_that_is_taken(
    shop: Shop,
    phone: city.Phone,
    lingering: None,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    """Without both locks they read the same due charge; the order's reference still saves us."""
    monkeypatch.setattr(queries, "lock_charges", lambda payer_id: None)
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)

    found = collect_by_four(shop, phone, at=at)

    assert any(isinstance(each, ChargeReferenceTaken) for each in found)
    assert Transaction.objects.filter(kind="payment").count() <= 3


def test_collect__two_payers_of_two_merchants_at_once__nobody_waits_in_a_ring(
    shop: Shop, phone: city.Phone, lingering: None, at: datetime
):
    company = open_shop(name="公交公司", key_id="till-2", system=shop.system)
    payers = (phone, city.make_phone(1, at=at))
    for payer, shops in zip(payers, ((shop, company), (company, shop)), strict=True):
        fill(shop, payer, 1, at=at)
        for each in shops * 3:
            charge(each, payer, 10, at=at)
        fill(shop, payer, 59, at=at)

    found = together(2, lambda index: charges.collect(payer_id=resident_of(payers[index]), at=at))

    assert found == [6, 6]


def credit_while_charging(shop: Shop, phone: city.Phone, *, at: datetime) -> list[str]:
    """Money comes in after a charge has found none, and before it has said so."""
    found_none, may_commit = threading.Event(), threading.Event()

    def charging() -> None:
        try:
            with transaction.atomic():
                charges.charge(
                    payer_id=resident_of(phone),
                    organisation_id=shop.merchant.organisation_id,
                    amount_fen=500,
                    title="公交 Bus",
                    reference=f"tap:{uuid.uuid4()}",
                    at=at,
                )
                found_none.set()
                may_commit.wait(5)
        finally:
            connections.close_all()

    def collecting() -> None:
        try:
            charges.collect(payer_id=resident_of(phone), at=at)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=charging), threading.Thread(target=collecting)]
    threads[0].start()
    assert found_none.wait(5)
    fill(shop, phone, 500, at=at)
    threads[1].start()
    threads[1].join(0.3)  # it waits for the charge, or has found nothing
    may_commit.set()
    for thread in threads:
        thread.join(10)
    return states()


def test_charge__money_comes_in_meanwhile__collected(shop: Shop, phone: city.Phone, at: datetime):
    assert credit_while_charging(shop, phone, at=at) == ["paid"]
    assert balance_fen(phone) == 0


def test_charge__guard_off__money_comes_in_meanwhile_and_the_charge_is_forgotten(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queries, "lock_charges", lambda payer_id: None)

    assert credit_while_charging(shop, phone, at=at) == ["due"]
    assert balance_fen(phone) == 500
