"""An unpaid fare stops the account until it is paid, whatever order the news comes in."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from django.db import connections, transaction

from cards import debts, history, obligations, wallet
from cards.card_type import Issued
from cards.models import Card, Debt, Issuer, Tap
from tests import city, wallets
from vpass.common import outbox

CHARGE = uuid.UUID(int=7)


@pytest.fixture
def tap(bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime) -> Tap:
    bus.take(grant.code(at), at=at)
    return Tap.objects.get()


def tell(name: str, tap: Tap, *, at: datetime, **changes: Any) -> None:
    """What payments says of a charge, delivered."""
    payload = {
        "charge": str(CHARGE),
        "resident": str(tap.card.account.resident_id),
        "organisation": str(tap.line.organisation_id),
        "reference": f"tap:{tap.id}",
        "amount_fen": tap.fare_fen,
    }
    with transaction.atomic():
        outbox.publish(name, payload | changes, at=at)
    outbox.deliver_due(at=at)


def fault(phone: city.Phone, card: Card, *, at: datetime) -> str | None:
    return wallet.card_of(caller=phone.caller, card_id=card.id, at=at).fault


def test_due__card_stopped_until_it_is_paid(
    bus: wallets.Bus,
    tap: Tap,
    card: Card,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
):
    tell(debts.CHARGE_DUE, tap, at=at)

    assert city.problem(bus.tap(grant.code(at))) == (403, "card.debt")
    assert fault(phone, card, at=at) == "card.debt"

    tell(debts.CHARGE_PAID, tap, at=at)

    assert bus.tap(grant.code(at)).status_code == 200
    assert fault(phone, card, at=at) is None
    debt = Debt.objects.get()
    assert (debt.amount_fen, debt.tap_id, debt.account_id) == (200, tap.id, card.account_id)


@pytest.mark.parametrize(
    "order",
    sorted(
        {*permutations([debts.CHARGE_DUE, debts.CHARGE_PAID, debts.CHARGE_DUE])}
        | {*permutations([debts.CHARGE_DUE, debts.CHARGE_CANCELLED, debts.CHARGE_DUE])}
    ),
    ids=str,
)
def test_events__any_order_and_twice__paid_in_the_end(
    tap: Tap, card: Card, phone: city.Phone, at: datetime, order: tuple[str, ...]
):
    for name in order:
        tell(name, tap, at=at)

    assert fault(phone, card, at=at) is None
    assert Debt.objects.count() == 1


def test_due__card_is_being_replaced__the_successors_epoch_is_raised(
    tap: Tap, card: Card, issuer: Issuer, at: datetime
):
    is_replaced, may_commit = threading.Event(), threading.Event()
    told = {"charge": str(CHARGE), "reference": f"tap:{tap.id}", "amount_fen": 200}

    def replacing() -> None:
        with transaction.atomic():
            locked = Card.objects.select_for_update(no_key=True).get(id=card.id)
            history.change_card(locked, "replaced", actor="test", at=at)
            issued = Issued(number="37070020017", last4="0017", facts={"concession": "none"})
            wallet.write_card(
                issued,
                issuer_id=issuer.id,
                account_id=card.account_id,
                card_type="bus",
                actor="test",
                predecessor=locked,
                at=at,
            )
            is_replaced.set()
            may_commit.wait(5)

    def owing() -> None:
        with transaction.atomic():
            event = outbox.Event(
                id=CHARGE, name=debts.CHARGE_DUE, payload=told, published_at=at, attempt=1
            )
            debts.follow_charge(event)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(closing(replacing))
        assert is_replaced.wait(5)
        second = pool.submit(closing(owing))
        assert not wait([second], timeout=0.3).done  # it waits for the replacement
        may_commit.set()
        first.result(5), second.result(5)

    assert Card.objects.get(predecessor=card).epoch == 2


def closing(work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    return run


def test_events__of_something_else__not_ours(tap: Tap, at: datetime):
    tell(debts.CHARGE_DUE, tap, at=at, reference=f"parking:{uuid.uuid4()}")

    assert not Debt.objects.exists()


def test_debt__each_change__raises_the_epoch(tap: Tap, card: Card, at: datetime):
    tell(debts.CHARGE_DUE, tap, at=at)
    tell(debts.CHARGE_PAID, tap, at=at)

    assert Card.objects.get(id=card.id).epoch == 3


def test_unbind__with_a_debt__refused_with_the_reason(
    tap: Tap, card: Card, phone: city.Phone, at: datetime
):
    tell(debts.CHARGE_DUE, tap, at=at)
    path = f"{wallets.CARDS}/{card.id}/unbinding"

    answer = phone.send("POST", path, {}, key=city.new_key())

    assert city.problem(answer) == (409, obligations.CardObliged.code)
    assert answer.json()["obligations"] == ["card.debt"]
    assert Card.objects.get(id=card.id).state == "active"


def test_debt__card_expired_and_a_new_one_bound__the_account_still_owes(
    tap: Tap, card: Card, issuer: Issuer, phone: city.Phone, at: datetime
):
    tell(debts.CHARGE_DUE, tap, at=at)
    Card.objects.filter(id=card.id).update(state="expired")

    newer = wallets.give_card(phone, issuer, number="37070020017", at=at)

    assert newer.account_id == card.account_id
    assert fault(phone, newer, at=at) == "card.debt"
