"""Money under fifty hands at once: never more paid than there is, never more back than was paid."""

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from identity.models import Resident
from payments import history, merchants, orders, queries
from payments.models import Order, PaymentLimit, Posting, Refund, Transaction
from payments.orders import Shown
from payments.refunds import RefundShown
from payments.settlement import windows
from tests import city
from tests.ledger import owner
from tests.shop import Shop, balance_fen, confirm, decline, fill, open_shop
from tests.together import together, was_waited_for
from vpass.common import clock
from vpass.common.idempotency import StillRunning

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
PAYERS = 50
PRICE_FEN = 100


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    PaymentLimit.objects.update(daily_fen=None)  # a thousand rounds are more than a day's
    return open_shop()


def outcome(result: Any) -> str:
    """What one thread met: a state, a problem's code, or an error by name."""
    if isinstance(result, Shown):
        return result.state
    if isinstance(result, RefundShown):
        return "refund"
    return getattr(result, "code", None) or repr(result)


def posted(kind: str) -> int:
    """How much the ledger has moved by this kind of transaction."""
    return sum(Posting.objects.filter(transaction__kind=kind).values_list("amount_fen", flat=True))


# One wallet, fifty codes


def spend_once(shop: Shop, grant: city.HeldGrant, at: datetime) -> Counter[str]:
    codes = [grant.code(at) for _ in range(PAYERS)]
    found = together(PAYERS, lambda index: shop.pay(codes[index], at=at, amount_fen=PRICE_FEN))
    return Counter(map(outcome, found))


def test_pay__fifty_codes_and_money_for_ten__ten_captured(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0

    for number in range(tried):
        fill(shop, phone, 10 * PRICE_FEN + PRICE_FEN // 2 * (number == 0), at=at)
        seen = spend_once(shop, grant, at)
        broken += seen != {"captured": 10, "ledger.insufficient_funds": PAYERS - 10}

    tell("one-wallet", tried=tried, broken=broken)
    assert broken == 0
    assert balance_fen(phone) == PRICE_FEN // 2
    assert shop.balance_fen == posted("payment") == tried * 10 * PRICE_FEN
    assert Order.objects.filter(state="captured").count() == tried * 10
    assert Order.objects.filter(state="failed").count() == tried * (PAYERS - 10)


@pytest.fixture
def no_floor() -> Iterator[None]:
    """The database without the CHECK that keeps wallets from falling below zero."""
    named = "conname = 'balance_floor' AND conrelid = 'payments_balance'::regclass"
    with owner() as cursor:
        cursor.execute(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE {named}")
        (definition,) = cursor.fetchone()
        cursor.execute("ALTER TABLE payments_balance DROP CONSTRAINT balance_floor")
    try:
        yield
    finally:
        with owner() as cursor:
            cursor.execute("UPDATE payments_balance SET posted_fen = 0, floor_fen = NULL")
            cursor.execute(
                f"ALTER TABLE payments_balance ADD CONSTRAINT balance_floor {definition}"
            )


def test_pay__guard_off__the_same_race_overdraws(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime, no_floor: None
):
    fill(shop, phone, 10 * PRICE_FEN, at=at)

    seen = spend_once(shop, grant, at)

    assert seen["captured"] > 10, "without the guard more is paid than there is"
    assert balance_fen(phone) < 0


# Refund against refund


def refund_once(shop: Shop, order_id: str, at: datetime) -> Counter[str]:
    found = together(20, lambda _: shop.refund(order_id, 300, at=at))
    return Counter(map(outcome, found))


def test_refund__twenty_at_once__never_more_than_was_paid(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0
    fill(shop, phone, 1_000 * (tried + 1), at=at)
    shop.pay(grant.code(at), at=at, amount_fen=1_000)  # of others' money there is enough

    for _ in range(tried):
        paid = shop.pay(grant.code(at), at=at, amount_fen=1_000)
        seen = refund_once(shop, paid.id, at)
        broken += seen != {"refund": 3, "refund.too_much": 17}

    tell("refund-race", tried=tried, broken=broken)
    assert broken == 0
    assert posted("refund") == tried * 900
    assert Refund.objects.count() == tried * 3
    assert set(Order.objects.filter(refunded_fen__gt=0).values_list("refunded_fen")) == {(900,)}


def test_refund__guard_off__the_same_race_gives_back_too_much(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(shop, phone, 20_000, at=at)
    shop.pay(grant.code(at), at=at, amount_fen=19_000)
    # Read, add and save, as it must not be done.
    read = queries._LOCK_ORDER.replace("FOR UPDATE OF o FOR SHARE OF m, r", "")
    monkeypatch.setattr(queries, "_LOCK_ORDER", read)
    saved = history._REFUND.replace(
        "refunded_fen = refunded_fen + %(amount_fen)s", "refunded_fen = %(amount_fen)s"
    )
    start, end = saved.index("WHERE id"), saved.index("RETURNING id")
    saved = saved[:start] + "WHERE id = %(id)s " + saved[end:]
    monkeypatch.setattr(history, "_REFUND", saved)

    worst = 0
    for _ in range(10):
        before = posted("refund")
        paid = shop.pay(grant.code(at), at=at, amount_fen=100)
        together(20, lambda _, paid=paid: shop.refund(paid.id, 100, at=at))
        worst = max(worst, posted("refund") - before)
        if worst > 100:
            break

    assert worst > 100, "without the guard more goes back than was paid, or the race was none"


def test_refund__one_reference_in_twenty_threads__one_refund(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = []
    fill(shop, phone, 1_000 * tried, at=at)

    for _ in range(tried):
        paid = shop.pay(grant.code(at), at=at, amount_fen=1_000)
        found = together(20, lambda _, paid=paid: shop.refund(paid.id, 300, at=at, reference="R"))
        seen = {getattr(each, "id", repr(each)) for each in found}
        if seen != {str(Refund.objects.get(order_id=paid.id).id)}:
            broken.append(seen)

    tell("refund-reference", tried=tried, broken=len(broken))
    assert broken == []
    assert posted("refund") == tried * 300


# The payer's word against the till's


def test_confirm__while_cancelled_and_declined__exactly_one_wins(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=15)
    broken = 0
    fill(shop, phone, 200_000 * tried, at=at)
    wins: Counter[str] = Counter()

    for _ in range(tried):
        shown = shop.pay(grant.code(at), at=at, amount_fen=200_000)
        order = Order.objects.get(id=shown.id)

        def work(index: int, order: Order = order) -> Any:
            if index % 3 == 0:
                return confirm(phone, order, at=at)
            if index % 3 == 1:
                return shop.cancel(order.id, at=at)
            return decline(phone, order, at=at)

        found = Counter(map(outcome, together(9, work)))
        order.refresh_from_db()
        broken += found != {order.state: 1, "order.not_waiting": 8}
        count = Transaction.objects.filter(order_id=order.id).count()
        broken += count != (order.state == "captured")
        wins[order.state] += 1

    tell("confirm-cancel", tried=tried, broken=broken)
    assert broken == 0
    assert posted("payment") == wins["captured"] * 200_000


def test_confirm__guard_off__more_than_one_wins(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(shop, phone, 2_000_000, at=at)
    read = queries._LOCK_ORDER.replace("FOR UPDATE OF o FOR SHARE OF m, r", "")
    monkeypatch.setattr(queries, "_LOCK_ORDER", read)
    written = history._CHANGE.replace("AND state = %(from_state)s", "")
    monkeypatch.setattr(history, "_CHANGE", written)
    lock_order, all_have_read = queries.lock_order, threading.Barrier(8)

    def read_then_wait(order_id: uuid.UUID) -> Any:
        found = lock_order(order_id)
        with suppress(threading.BrokenBarrierError):
            all_have_read.wait(2)
        return found

    monkeypatch.setattr(queries, "lock_order", read_then_wait)

    worst = 0
    for _ in range(3):
        all_have_read.reset()
        shown = shop.pay(grant.code(at), at=at, amount_fen=200_000)
        order = Order.objects.get(id=shown.id)

        def work(index: int, order: Order = order) -> Any:
            if index % 2:
                return shop.cancel(order.id, at=at)
            return confirm(phone, order, at=at)

        found = together(8, work)
        worst = max(worst, sum(isinstance(each, Shown) for each in found))
        if worst > 1:
            break

    assert worst > 1, "without the guard two must win, or the race was none"


# Suspension


def suspend_while_paying(shop: Shop, code: str, who: str, *, at: datetime) -> tuple[bool, str]:
    """Whether a suspension waits for a payment that has judged the parties and not written yet,
    and what the payment met."""

    def pay() -> str:
        try:
            return outcome(shop.pay(code, at=at))
        except Exception as error:  # noqa: BLE001  the test judges it
            return outcome(error)

    def suspend() -> None:
        if who == "merchant":
            merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
        else:
            Resident.objects.update(state="suspended")

    return was_waited_for(
        pay,
        suspend,
        stopped_at=(history, "order_deed"),
        stands=lambda: Transaction.objects.filter(kind="payment").exists(),
    )


@pytest.mark.parametrize("who", ["merchant", "payer"])
def test_suspend__while_a_payment_is_made__waits_for_it_and_then_nothing_is_paid(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    who: str,
):
    fill(shop, phone, 100_000, at=at)

    assert suspend_while_paying(shop, grant.code(at), who, at=at) == (True, "captured")
    with pytest.raises(Exception) as caught:
        shop.pay(grant.code(at), at=at)
    assert (
        outcome(caught.value) == {"merchant": "merchant.suspended", "payer": "code.suspended"}[who]
    )
    assert Transaction.objects.filter(kind="payment").count() == 1


@pytest.mark.parametrize("who", ["merchant", "payer"])
def test_suspend__guard_off__a_payment_ends_after_it(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    who: str,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(shop, phone, 100_000, at=at)
    read = queries._LOOK_AT_PARTIES.replace("FOR SHARE OF m, r", "")
    assert read != queries._LOOK_AT_PARTIES
    monkeypatch.setattr(queries, "_LOOK_AT_PARTIES", read)

    assert suspend_while_paying(shop, grant.code(at), who, at=at) == (False, "captured")


# The same key


def until_decided(work: Any) -> Any:
    for _ in range(300):
        try:
            return work()
        except StillRunning:
            time.sleep(0.02)
    raise AssertionError("never decided")


def test_pay__one_key_in_twenty_threads__one_payment_and_one_answer(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0
    fill(shop, phone, 1_000 * tried, at=at)

    for _ in range(tried):
        asked = {"code": grant.code(at), "merchant_reference": uuid.uuid4().hex, "amount_fen": 100}
        key = city.new_key()
        found = together(
            20,
            lambda _, asked=asked, key=key: until_decided(
                lambda: shop.pay(**asked, key=key, at=at)
            ),
        )
        broken += {outcome(each) for each in found} != {"captured"}
        broken += len({getattr(each, "id", repr(each)) for each in found}) != 1

    tell("pay-same-key", tried=tried, broken=broken)
    assert broken == 0
    assert Transaction.objects.filter(kind="payment").count() == Order.objects.count() == tried


def test_pay__one_key_with_two_bodies__one_of_them_is_done(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0
    fill(shop, phone, 1_000 * tried, at=at)
    caller = shop.till.caller

    for _ in range(tried):
        key = city.new_key()
        codes = [grant.code(at) for _ in range(2)]

        def work(index: int, key: str = key, codes: list[str] = codes) -> Any:
            which = index % 2
            return until_decided(
                lambda: orders.pay_by_code(
                    caller=caller,
                    code=codes[which],
                    amount_fen=100 + which,
                    title="x",
                    merchant_reference=f"{key}-{which}",
                    idempotency_key=city.idempotency(
                        caller.scope, key, digest=bytes([which + 1]) * 32
                    ),
                    at=at,
                )
            )

        seen = Counter(map(outcome, together(10, work)))
        broken += seen != {"captured": 5, "idempotency.key_reused": 5}

    tell("pay-other-body", tried=tried, broken=broken)
    assert broken == 0
    assert Transaction.objects.filter(kind="payment").count() == Order.objects.count() == tried


def test_pay__over_http_one_key_with_two_bodies__one_payment_one_answer_and_no_error(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried, broken = min(rounds(short=2), 100), 0
    fill(shop, phone, 1_000 * tried, at=at)

    def send(asked: dict[str, Any], key: str) -> Any:
        for _ in range(300):
            answer = shop.till.pay(key=key, **asked)
            if answer.json().get("code") != "idempotency.running":
                return answer
            time.sleep(0.02)
        raise AssertionError("never decided")

    for _ in range(tried):
        key, reference = city.new_key(), uuid.uuid4().hex
        bodies = [
            {"code": grant.code(clock.now()), "amount_fen": fen, "merchant_reference": reference}
            for fen in (100, 101)
        ]
        found = together(10, lambda index, bodies=bodies, key=key: send(bodies[index % 2], key))
        seen = Counter(
            (each.status_code, each.json().get("code", "")) if hasattr(each, "json") else repr(each)
            for each in found
        )
        answers = {each.content for each in found if getattr(each, "status_code", 0) == 201}
        broken += seen != {(201, ""): 5, (422, "idempotency.key_reused"): 5} or len(answers) != 1

    tell("pay-http", tried=tried, broken=broken)
    assert broken == 0, seen
    assert Transaction.objects.filter(kind="payment").count() == Order.objects.count() == tried


def test_pay__one_code_at_ten_tills__one_payment(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0
    fill(shop, phone, 1_234 * tried, at=at)
    tills = [open_shop(name=f"分店{n}", key_id=f"till-{n}x", system=shop.system) for n in range(10)]

    for _ in range(tried):
        code = grant.code(at)
        found = together(10, lambda index, code=code: tills[index].pay(code, at=at))
        broken += Counter(map(outcome, found)) != {"captured": 1, "code.already_used": 9}

    tell("pay-same-code", tried=tried, broken=broken)
    assert broken == 0
    assert Transaction.objects.filter(kind="payment").count() == Order.objects.count() == tried
