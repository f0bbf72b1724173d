"""A charge meets payments, collections and money coming in: taken once, and never forgotten."""

import os
import threading
import uuid
from datetime import datetime

import pytest
from django.db import connections, transaction

from payments import charges, queries
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


def collect_by_four(phone: city.Phone, *, at: datetime) -> list[object]:
    return together(4, lambda _: charges.collect(payer_id=resident_of(phone), at=at))


def test_collect__four_at_once__each_charge_is_paid_once(
    shop: Shop, phone: city.Phone, at: datetime
):
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        for _ in range(3):
            charge(shop, phone, 100, at=at)
        fill(shop, phone, 300, at=at)
        broken += sorted(map(str, collect_by_four(phone, at=at))) != ["0", "0", "0", "3"]

    tell("collections", tried=tried, broken=broken)
    assert broken == 0
    assert balance_fen(phone) == 0
    assert Transaction.objects.filter(kind="payment").count() == 3 * tried


def test_collect__guard_off__somebody_meets_a_charge_that_is_taken(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Without the lock they read the same due charges; the order's reference still saves us."""
    for _ in range(3):
        charge(shop, phone, 100, at=at)
    fill(shop, phone, 300, at=at)
    due = list(Charge.objects.select_related("merchant").order_by("id"))
    monkeypatch.setattr(queries, "lock_charges", lambda payer_id: None)
    monkeypatch.setattr(
        Charge.objects.__class__, "select_related", lambda *_: _Stale(due), raising=True
    )

    found = collect_by_four(phone, at=at)

    assert any(isinstance(each, Exception) for each in found)
    assert balance_fen(phone) == 0
    assert Transaction.objects.filter(kind="payment").count() == 3


class _Stale:
    """Rows read before, whatever is asked for."""

    def __init__(self, rows: list[Charge]) -> None:
        self._rows = rows

    def select_for_update(self, **_: object) -> "_Stale":
        return self

    def filter(self, **_: object) -> "_Stale":
        return self

    def order_by(self, *_: object) -> list[Charge]:
        return [Charge.objects.get(id=row.id) for row in self._rows]


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
