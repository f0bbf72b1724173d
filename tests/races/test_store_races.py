"""Stores that close, changes that two approve at once, and a refund while its bound is lowered."""

import os
import time
import uuid
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity import queries as identity_queries
from identity.models import Store
from payments import proposals, queries, refunds, rule_changes
from payments.models import PaymentLimit, Proposal, Refund, SettingChange
from payments.proposals import ProposalOver
from payments.settlement import windows
from tests import city
from tests.banking import make_accountants
from tests.shop import MERCHANT, Shop, fill, open_shop
from tests.shops import open_store
from tests.together import together, was_waited_for
from vpass.common.callers import Caller

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
AT_ONCE = 6


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    return open_shop()


@pytest.fixture
def people(at: datetime) -> list[Caller]:
    return [browser.caller for browser in make_accountants(at=at)]


# One change, approved by several at once


def approve_together(people: list[Caller], daily_fen: int, *, at: datetime) -> Counter[str]:
    proposed = proposals.propose_change(
        caller=people[0],
        action=Proposal.Action.SET_LIMIT,
        subject="code:software:2",
        detail={"single_fen": 500, "daily_fen": daily_fen},
        reason="A race of approvals.",
        idempotency_key=city.idempotency(people[0].scope),
        at=at,
    )

    def approve(_: int) -> Any:
        return proposals.approve(
            caller=people[1],
            proposal_id=uuid.UUID(proposed.id),
            idempotency_key=city.idempotency(people[1].scope),
            at=at,
        )

    return Counter(type(each).__name__ for each in together(AT_ONCE, approve))


def test_change__approved_by_six_at_once__done_once(people: list[Caller], at: datetime):
    tried, broken = ROUNDS or 3, 0

    for number in range(tried):
        seen = approve_together(people, 1_000 + number, at=at)
        broken += seen != {"Decided": 1, "ProposalOver": AT_ONCE - 1}

    print(f"faults change-approval: {tried} tried, {broken} broken")
    assert (broken, SettingChange.objects.count()) == (0, tried)
    assert PaymentLimit.objects.get(means="code", device="software").daily_fen == 999 + tried


def test_change__looking_without_a_lock__others_get_as_far_as_the_history(
    people: list[Caller], at: datetime, monkeypatch: pytest.MonkeyPatch
):
    def look(proposal_id: uuid.UUID, *, at: datetime) -> Proposal:
        found = Proposal.objects.get(id=proposal_id)
        if found.state != "proposed":
            raise ProposalOver(state=found.state)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(proposals, "_lock", look)

    seen = approve_together(people, 1_000, at=at)

    assert seen["ProposalOver"] < AT_ONCE - 1


# A store closes while its till asks


def ask_while_it_closes(shop: Shop, store: Store) -> list[int]:
    """The statuses of what the till asked after the store had closed."""
    ended: list[float] = []

    def one(index: int) -> list[tuple[float, int]]:
        if index == 0:
            time.sleep(0.1)
            Store.objects.filter(id=store.id).update(state="suspended")
            ended.append(time.monotonic())
            return []
        asked = []
        for _ in range(8):
            begun = time.monotonic()
            status = shop.till.send("GET", f"{MERCHANT}/stores").status_code
            asked.append((begun, status))
        return asked

    found = [each for asked in together(3, one) for each in asked]
    assert {status for _, status in found} <= {200, 403}
    last = shop.till.send("GET", f"{MERCHANT}/stores").status_code
    return [*(status for begun, status in found if begun > ended[0]), last]


def test_close__while_a_till_asks__nothing_passes_after_it(shop: Shop):
    assert set(ask_while_it_closes(shop, open_store(shop))) == {403}


def test_close__guard_off__the_till_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    unguarded = identity_queries._MACHINE.replace("store.state, 'active') <>", "NULL, 'active') <>")
    assert unguarded != identity_queries._MACHINE
    monkeypatch.setattr(identity_queries, "_MACHINE", unguarded)

    assert set(ask_while_it_closes(shop, open_store(shop))) == {200}


# A refund while its bound is lowered


def is_refund_waited_for(shop: Shop, order_id: str, *, at: datetime) -> bool:
    """Whether a lowering waits for the refund that has been judged and is not written yet."""

    def lower() -> None:
        with transaction.atomic():
            rule_changes.set_refund_alone(
                str(shop.merchant.id), {"refund_alone_fen": 100}, caller=shop.till.caller, at=at
            )

    stood, refund = was_waited_for(
        lambda: shop.refund(order_id, 400, at=at),
        lower,
        stopped_at=(refunds, "give_back"),
        stands=lambda: Refund.objects.filter(order_id=order_id).exists(),
    )
    assert refund.amount_fen == 400
    return stood


@pytest.fixture
def paid(shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime) -> str:
    fill(shop, phone, 100_000, at=at)
    return str(shop.pay(grant.code(at), at=at, amount_fen=900).id)


def test_refund_alone__lowered_while_a_refund_is_made__waits_for_it_and_counts_from_then_on(
    shop: Shop, paid: str, at: datetime
):
    assert is_refund_waited_for(shop, paid, at=at)
    with pytest.raises(refunds.RefundNeedsTwo):
        shop.refund(paid, 1, at=at)


def test_refund_alone__guard_off__a_refund_ends_after_it(
    shop: Shop, paid: str, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    read = queries._LOCK_ORDER.replace("FOR SHARE OF m, r", "")
    monkeypatch.setattr(queries, "_LOCK_ORDER", read)

    assert not is_refund_waited_for(shop, paid, at=at)
