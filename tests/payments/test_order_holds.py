"""All holds of an order, ended together."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from payments import ledger, order_holds, proof
from payments.ledger import Leg
from payments.models import Hold
from tests.ledger import (
    AT,
    CALLER,
    account,
    capture,
    funded,
    hold,
    open_window,
    post,
    rows,
    standing,
)
from tests.statements import statements
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)


class Shopping:
    """An order with a hold on each of two payers, and a deposit on the first."""

    def __init__(self) -> None:
        open_window()
        self.first, self.second, self.merchant = funded(1_000), funded(500), account("merchant")
        self.order = uuid.uuid4()
        later = AT + timedelta(hours=1)
        self.goods = hold(
            self.first, 600, reference=self.order, hold_id=uuid.UUID(int=1), expires_at=later
        )
        self.deposit = hold(
            self.first, 300, reference=self.order, purpose="deposit", hold_id=uuid.UUID(int=2)
        )
        self.share = hold(self.second, 500, reference=self.order, purpose="share")
        self.other = hold(self.first, 50)

    def capture(self, first: int, second: int, **changes: Any) -> ledger.Posted:
        given = ((self.first, first), (self.second, second))
        arguments: dict[str, Any] = {
            "reference": self.order,
            "kind": "capture",
            "caller": CALLER,
            "key": "k",
            "legs": [Leg(payer, self.merchant, fen) for payer, fen in given if fen],
            "order_id": self.order,
            "event_at": AT,
            "at": AT,
        }
        return order_holds.capture_all(**arguments | changes)

    @property
    def standings(self) -> list[tuple[int, int]]:
        return [standing(each) for each in (self.first, self.second, self.merchant)]

    @property
    def states(self) -> list[tuple[str, int]]:
        found = {
            row.id: (row.state, row.captured_fen)
            for row in Hold.objects.filter(reference=self.order)
        }
        return [found[each] for each in (self.goods, self.deposit, self.share)]


@pytest.fixture
def shopping(transactional_db: None) -> Shopping:
    return Shopping()


def test_capture_all__parts_of_each__one_transaction_and_the_rest_is_free(shopping: Shopping):
    with statements() as sent:
        posted = shopping.capture(700, 200)

    assert len(sent) == 1
    assert posted.is_new
    assert shopping.states == [("captured", 600), ("captured", 100), ("captured", 200)]
    assert shopping.standings == [(300, 50), (300, 0), (900, 0)]
    assert proof.prove(AT).is_sound


def test_capture_all__what_gives_nothing__voided(shopping: Shopping):
    shopping.capture(600, 0)

    assert shopping.states == [("captured", 600), ("voided", 0), ("voided", 0)]
    assert shopping.standings == [(400, 50), (500, 0), (600, 0)]


def test_capture_all__again__replayed_by_key_and_refused_by_another(shopping: Shopping):
    first = shopping.capture(700, 200)
    before = rows()

    assert shopping.capture(700, 200) == ledger.Posted(first.transaction_id, is_new=False)
    with pytest.raises(ledger.KeyTaken):
        shopping.capture(700, 199)
    with pytest.raises(ledger.HoldNotOpen):
        shopping.capture(700, 200, key="other")
    with pytest.raises(ledger.HoldNotOpen):
        order_holds.void_all(reference=shopping.order, at=AT)
    assert rows() == before


@pytest.mark.parametrize(("first", "second"), [(901, 0), (0, 501)])
def test_capture_all__more_than_is_held__refused_and_nothing_ends(
    shopping: Shopping, first: int, second: int
):
    before = shopping.standings

    with pytest.raises(ledger.HoldExceeded):
        shopping.capture(first, second)
    with pytest.raises(ledger.HoldExceeded):  # nothing of what is held
        shopping.capture(0, 0, legs=[Leg(funded(1), shopping.merchant, 1)])

    assert shopping.standings == before
    assert shopping.states == [("open", 0)] * 3


def test_capture_all__one_of_them_ended_or_past_its_time__none_is_captured(shopping: Shopping):
    with pytest.raises(ledger.HoldNotOpen):
        shopping.capture(10, 10, at=AT + timedelta(hours=1))
    capture(shopping.deposit, (shopping.first, shopping.merchant, 1))

    with pytest.raises(ledger.HoldNotOpen):
        shopping.capture(10, 10)

    assert shopping.states == [("open", 0), ("captured", 1), ("open", 0)]


def test_capture_all__key_of_another_transaction__refused(shopping: Shopping):
    post((shopping.first, shopping.merchant, 10), key="k")

    with pytest.raises(ledger.KeyTaken):
        shopping.capture(10, 0)
    assert shopping.states == [("open", 0)] * 3


def test_void_all__open_ones__freed_and_the_captured_one_left(shopping: Shopping):
    capture(shopping.deposit, (shopping.first, shopping.merchant, 1))

    assert order_holds.void_all(reference=shopping.order, at=AT) == 2

    assert shopping.states == [("voided", 0), ("captured", 1), ("voided", 0)]
    assert shopping.standings == [(999, 50), (500, 0), (1, 0)]
    with pytest.raises(ledger.HoldNotOpen):
        order_holds.void_all(reference=shopping.order, at=AT)
    assert proof.prove(AT).is_sound


def test_all__no_hold_of_that_reference__refused(shopping: Shopping):
    with pytest.raises(NotFound):
        shopping.capture(10, 0, reference=uuid.uuid4())
    with pytest.raises(NotFound):
        order_holds.void_all(reference=uuid.uuid4(), at=AT)
