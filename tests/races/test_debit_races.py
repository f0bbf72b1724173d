"""A debit under many hands: booked once, and a frozen card or a newer choice is never passed by."""

import os
import threading
import time
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.db import connections, transaction

from cards import freezes
from cards import queries as card_queries
from cards.paying import CardNotUsable
from payments import accounts, debits, sources
from payments.models import Debit, PaymentSource, Transaction
from payments.pursuit import Pursuit
from payments.settlement import windows
from tests import city
from tests.banking import StubBank, booked, make_card, standing
from tests.shop import Shop, open_shop, resident_of
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
HANDS = 6
CHANCES = 5  # of a race with its guard off


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def shop(transactional_db: None, at: datetime, monkeypatch: pytest.MonkeyPatch) -> Shop:
    windows.ensure_open(at=at)
    monkeypatch.setattr("payments.pursuit.partner_bank", lambda code: StubBank())
    return open_shop()


def pay_by_card(shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime) -> uuid.UUID:
    shown = shop.pay(grant.code(at), at=at, amount_fen=100)
    return Debit.objects.get(order_id=shown.id).id


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has read a debit takes a while before applying what the bank has said of it."""
    apply = Pursuit._apply

    def read_then_linger(self: Pursuit[Any], work: Any, *args: Any, **named: Any) -> bool:
        time.sleep(0.02)
        return apply(self, work, *args, **named)

    monkeypatch.setattr(Pursuit, "_apply", read_then_linger)


def settle_by_many(shop: Shop, debit_id: uuid.UUID, at: datetime) -> list[Any]:
    """Sweeps, answers and notices of one debit, all at once."""
    caller = shop.system.caller

    def work(index: int) -> None:
        if index % 2:
            debits.pursue(debit_id=debit_id, at=at)
        else:
            debits.take_notice(
                caller=caller,
                debit_id=debit_id,
                standing=booked(at),
                idempotency_key=city.idempotency(caller.scope),
                at=at,
            )

    return together(HANDS, work)


def test_debit__answers_and_notices_at_once__captured_once(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, lingering: None, at: datetime
):
    sources.choose_source(
        resident_id=resident_of(phone),
        card_id=make_card(shop.system.bank, resident_of(phone), at=at).id,
        version=0,
        at=at,
    )
    tried, broken = rounds(short=4), 0

    for _ in range(tried):
        debit_id = pay_by_card(shop, phone, grant, at)
        found = settle_by_many(shop, debit_id, at)
        broken += any(isinstance(each, Exception) for each in found)

    tell("debit", tried=tried, broken=broken)
    assert broken == 0
    assert shop.balance_fen == tried * 100
    assert Transaction.objects.filter(kind="payment").count() == tried
    assert standing(accounts.resident_account(resident_of(phone))) == (0, 0)


def test_debit__guard_off__somebody_meets_what_another_has_done(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    lingering: None,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    """Without the lock on the debit several apply the word; the ledger's key still saves us."""
    sources.choose_source(
        resident_id=resident_of(phone),
        card_id=make_card(shop.system.bank, resident_of(phone), at=at).id,
        version=0,
        at=at,
    )
    debit_ids = [pay_by_card(shop, phone, grant, at) for _ in range(CHANCES)]
    monkeypatch.setattr(
        Pursuit,
        "_lock",
        lambda _, work_id, **__: Debit.objects.select_related("bank").get(id=work_id),
    )

    tried = 0
    for debit_id in debit_ids:
        found, tried = settle_by_many(shop, debit_id, at), tried + 1
        is_met = any(isinstance(each, Exception) for each in found)
        assert shop.balance_fen == tried * 100
        if is_met:
            break

    assert is_met, "without the lock two must meet at the same debit, or the race was none"


def test_refund__waits_for_the_first_capture__given_back(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    """The refund has read the parties before the capture opened the payer's account."""
    sources.choose_source(
        resident_id=resident_of(phone),
        card_id=make_card(shop.system.bank, resident_of(phone), at=at).id,
        version=0,
        at=at,
    )
    debit = Debit.objects.get(id=pay_by_card(shop, phone, grant, at))
    is_captured, may_commit = threading.Event(), threading.Event()
    found: list[Any] = []

    def capturing() -> None:
        try:
            with transaction.atomic():
                debits.PURSUIT.take_answer(debit, booked(at), at=at)
                is_captured.set()
                may_commit.wait(5)
        finally:
            connections.close_all()

    def refunding() -> None:
        try:
            found.append(shop.refund(str(debit.order_id), 40, at=at).refunded_fen)
        except Exception as error:  # noqa: BLE001 - it is what was found
            found.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=capturing), threading.Thread(target=refunding)]
    threads[0].start()
    assert is_captured.wait(5)
    threads[1].start()
    threads[1].join(0.3)
    assert found == []  # it waits
    may_commit.set()
    for thread in threads:
        thread.join(10)

    assert found == [40]
    # In the wallet, and held for its way back to the card.
    assert standing(accounts.resident_account(resident_of(phone))) == (40, 40)


def test_choose__many_at_once__one_is_chosen_and_the_others_hear_of_it(
    shop: Shop, phone: city.Phone, at: datetime
):
    cards = [
        make_card(shop.system.bank, resident_of(phone), token=f"tok_of_a_card_{index}234", at=at)
        for index in range(HANDS)
    ]
    tried, broken = rounds(short=4), 0

    for version in range(tried):
        found = together(
            HANDS,
            lambda index, version=version: sources.choose_source(
                resident_id=resident_of(phone), card_id=cards[index].id, version=version, at=at
            ),
        )
        chosen = [each for each in found if isinstance(each, sources.Source)]
        others = [each for each in found if isinstance(each, sources.SourceChanged)]
        stands = PaymentSource.objects.get()
        broken += (len(chosen), len(others)) != (1, HANDS - 1)
        broken += (stands.card_id, stands.version) != (chosen[0].card_id, version + 1)

    tell("payment-source", tried=tried, broken=broken)
    assert broken == 0


def pay_while_freezing(shop: Shop, phone: city.Phone, *, at: datetime) -> list[Any]:
    """A payment looks at the card while its freeze is under way, and has to wait for it."""
    resident_id = resident_of(phone)
    card = make_card(shop.system.bank, resident_id, at=at)
    is_locked, may_commit = threading.Event(), threading.Event()
    found: list[Any] = []

    def freezing() -> None:
        try:
            with transaction.atomic():
                locked = card_queries.lock_card(resident_id=resident_id, card_id=card.id)
                freezes.freeze(locked, source="holder", reason="asked", at=at)
                is_locked.set()
                may_commit.wait(5)
        finally:
            connections.close_all()

    def paying() -> None:
        try:
            with transaction.atomic():
                found.append(sources.bank_card(resident_id=resident_id, card_id=card.id, at=at))
        except CardNotUsable as error:
            found.append(error.members["reason"])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=freezing), threading.Thread(target=paying)]
    threads[0].start()
    assert is_locked.wait(5)
    threads[1].start()
    threads[1].join(0.3)
    assert found == []
    may_commit.set()
    for thread in threads:
        thread.join(10)
    return found


def test_pay__card_is_being_frozen__waits_and_is_refused(
    shop: Shop, phone: city.Phone, at: datetime
):
    assert pay_while_freezing(shop, phone, at=at) == ["card.frozen"]


def test_pay__guard_off__lock_and_look_in_one_statement_pass_the_freeze_by(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(card_queries, "_LOCK_PAYABLE", "SELECT FROM cards_card WHERE id = %s")
    together_ = card_queries._PAYABLE + "FOR SHARE OF c"
    monkeypatch.setattr(card_queries, "_PAYABLE", together_)

    (found,) = pay_while_freezing(shop, phone, at=at)

    assert isinstance(found, sources.BankCard)
