"""Two of everything at once: one settlement, one payout, one approval, each fen in one window."""

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.db import IntegrityError, connection

from payments import funding, payouts, proposals, pursuit, queries
from payments.merchants import merchant_account
from payments.models import (
    CreditNotice,
    Merchant,
    Order,
    Payout,
    Posting,
    Proposal,
    SettlementLine,
    Transaction,
    Window,
    WindowChange,
)
from payments.proposals import ProposalOver
from payments.settlement import netting, windows
from payments.settlement import payouts as settlement
from payments.settlement.windows import WindowNotOpen
from tests import city
from tests.banking import (
    BankSystem,
    StubBank,
    booked,
    credit_of,
    fund,
    make_accountants,
    make_bank,
    make_merchant,
    make_resident,
    pay,
    refund,
    standing,
    take,
    withdraw,
)
from tests.together import together
from vpass.common import clock, outbox
from vpass.common.callers import Caller
from vpass.common.idempotency import StillRunning

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@dataclass
class Town:
    """A bank, a shop, payers with money, two accountants."""

    at: datetime
    system: BankSystem
    bank: StubBank
    shop: Merchant
    payers: list[uuid.UUID]
    people: list[Caller]

    def closed(self) -> int:
        window_id = windows.ensure_open(at=self.at)
        windows.close(window_id=window_id, actor="staff:1", at=self.at)
        return window_id

    def proposed(self, action: str, window_id: int) -> uuid.UUID:
        caller = self.people[0]
        made = proposals.propose(
            caller=caller,
            action=action,
            subject=str(window_id),
            idempotency_key=city.idempotency(caller.scope),
            at=self.at,
        )
        return uuid.UUID(made.id)

    def approve(self, proposal_id: uuid.UUID, caller: Caller) -> Any:
        return proposals.approve(
            caller=caller,
            proposal_id=proposal_id,
            idempotency_key=city.idempotency(caller.scope),
            at=self.at,
        )


@pytest.fixture
def town(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Town:
    at = clock.now()
    windows.ensure_open(at=at)
    bank = StubBank()
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: bank)
    system = make_bank()
    payers = [make_resident(index, at=at) for index in range(6)]
    for payer in payers:
        fund(system, payer, 1_000_000, at=at)
    people = [browser.caller for browser in make_accountants(at=at)]
    return Town(at, system, bank, make_merchant(system.bank), payers, people)


@contextmanager
def without(guard: str, restore: str) -> Iterator[None]:
    """The database without one of its guards, as its owner can make it."""
    owner = psycopg2.connect(settings.DATABASE_OWNER_URL)
    owner.autocommit = True
    cursor = owner.cursor()
    try:
        cursor.execute(guard)
        yield
    finally:
        cursor.execute(restore)
        owner.close()


# Payments and refunds against the end of a window


def test_close__payments_and_refunds_meanwhile__each_in_exactly_one_window(town: Town):
    broken = 0
    for _ in range(tried := rounds(5)):
        before = set(Transaction.objects.values_list("id", flat=True))
        paid = [pay(town.shop, payer, 100, at=town.at) for payer in town.payers[:2]]

        def work(index: int, paid: list[Order] = paid) -> Any:
            if index == 0:
                return town.closed()
            if index <= 2:
                return refund(paid[index - 1], 10, at=town.at)
            return pay(town.shop, town.payers[index], 100, at=town.at)

        results = together(6, work)
        failures = [result for result in results if isinstance(result, Exception)]
        window_id = netting.net_next(at=town.at)
        second = town.closed()
        assert netting.net_next(at=town.at) == second
        lines = SettlementLine.objects.filter(window_id__in=(window_id, second))
        sums = [(line.gross_fen, line.refunded_fen) for line in lines]
        posted = Transaction.objects.exclude(id__in=before)
        in_two = posted.exclude(window_id__in=(window_id, second)).count()
        whole = (sum(gross for gross, _ in sums), sum(back for _, back in sums)) == (500, 20)
        broken += bool(failures) or bool(in_two) or not whole
    tell("settlement-close", tried=tried, broken=broken)
    assert broken == 0


def test_close__guard_off__a_payment_slips_into_a_netted_window(town: Town):
    """The twin: a poster who reads the open window without its lock, and writes after the close."""
    pay(town.shop, town.payers[0], 100, at=town.at)
    owner = psycopg2.connect(settings.DATABASE_OWNER_URL)
    with owner, owner.cursor() as cursor:
        cursor.execute("SELECT id FROM payments_window WHERE state = 'open'")
        read = cursor.fetchone()[0]
        town.closed()
        assert netting.net_next(at=town.at) == read
        cursor.execute(
            "INSERT INTO payments_transaction"
            " (kind, caller, key, business_date, window_id, event_at, at)"
            " VALUES ('payment', 'x', 'x', %s, %s, %s, %s) RETURNING id",
            [town.at.date(), read, town.at, town.at],
        )
        cursor.execute(
            "INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)"
            " VALUES (%s, 1, %s, %s, 7)",
            [
                cursor.fetchone()[0],
                funding.resident_account(town.payers[0]),
                merchant_account(town.shop),
            ],
        )
    owner.close()

    line = SettlementLine.objects.get(window_id=read)
    posted = sum(row.signed_fen for row in netting.postings_of(line))
    assert (line.gross_fen, posted) == (100, 107)


def test_close__many_at_once__one_closes(town: Town):
    tried, broken = rounds(3), 0

    for _ in range(tried):
        window_id = windows.ensure_open(at=town.at)
        results = together(
            8, lambda _, w=window_id: windows.close(window_id=w, actor="x", at=town.at)
        )
        others = [each for each in results if each != window_id]
        broken += len(others) != 7 or not all(isinstance(each, WindowNotOpen) for each in others)
        broken += Window.objects.filter(state="open").count() != 1
        changes = WindowChange.objects.filter(window_id=window_id, to_state="closing")
        broken += changes.count() != 1

    tell("settlement-one-close", tried=tried, broken=broken)
    assert broken == 0


# Two beats


def test_net__many_at_once__one_nets(town: Town):
    broken = 0
    for _ in range(tried := rounds(5)):
        pay(town.shop, town.payers[0], 100, at=town.at)
        window_id = town.closed()
        results = together(8, lambda _: netting.net_next(at=town.at))
        lines = SettlementLine.objects.filter(window_id=window_id)
        broken += results.count(window_id) != 1 or lines.count() != 1
    tell("settlement-net", tried=tried, broken=broken)
    assert broken == 0


def test_net__guard_off__the_database_refuses_a_second_line(town: Town):
    """The twin: without the window's lock two nettings meet at the unique line."""
    pay(town.shop, town.payers[0], 100, at=town.at)
    window_id = town.closed()
    netting.net_next(at=town.at)

    with pytest.raises(IntegrityError, match="line_once"):
        queries.write_settlement_lines(window_id)


def test_settle__two_beats_at_once__one_payout_a_line(town: Town):
    broken = 0
    for _ in range(tried := rounds(3)):
        before = len(town.bank.orders)
        shops = [
            make_merchant(town.system.bank, name=uuid.uuid4().hex, token=f"tok_{uuid.uuid4().hex}")
            for _ in range(3)
        ]
        for shop, payer in zip(shops, town.payers, strict=False):
            pay(shop, payer, 100, at=town.at)
        window_id = town.closed()
        netting.net_next(at=town.at)
        town.approve(town.proposed("settlement.approve", window_id), town.people[1])

        results = together(4, lambda _: settlement.settle_due(at=clock.now()))
        together(4, lambda _: outbox.deliver_due(at=clock.now()))
        together(4, lambda _: settlement.settle_due(at=clock.now()))
        failures = [result for result in results if isinstance(result, Exception)]
        ids = {order.payout_id for order in town.bank.orders[before:]}
        balances = [standing(merchant_account(shop)) for shop in shops]
        state = Window.objects.get(id=window_id).state
        broken += bool(failures) or len(ids) != 3 or balances != [(0, 0)] * 3 or state != "acked"
    tell("settlement-two-beats", tried=tried, broken=broken)
    assert broken == 0


# The payout of a settlement against refunds of what it pays


def file_against_refunds(town: Town) -> tuple[Counter[str], int]:
    """A merchant's ¥12.00 is paid out while all of it is to be given back: what the three refunds
    met, and how many payouts there are."""
    shop = make_merchant(town.system.bank, name=uuid.uuid4().hex)
    paid = [pay(shop, payer, 400, at=town.at) for payer in town.payers[:3]]
    window_id = town.closed()
    while netting.net_next(at=town.at) is not None:
        pass
    town.approve(town.proposed("settlement.approve", window_id), town.people[1])

    def work(index: int) -> Any:
        if index < 3:
            return refund(paid[index], 400, at=town.at)
        return settlement.file(window_id=window_id, at=town.at)

    found = together(5, work)
    assert not any(isinstance(each, Exception) for each in found[3:]), found
    return Counter(type(each).__name__ for each in found[:3]), shop.payout_set.count()


def test_file__refunds_at_once__paid_out_or_given_back_and_never_both(town: Town):
    tried, broken, seen = rounds(6), 0, Counter[int]()

    for _ in range(tried):
        met, payouts_made = file_against_refunds(town)
        broken += met != ({"MerchantShort": 3} if payouts_made else {"RefundShown": 3})
        seen[payouts_made] += 1

    tell("settlement-refunds", tried=tried, broken=broken)
    print(f"  {seen[1]} paid out, {seen[0]} given back")
    assert broken == 0
    assert seen.keys() <= {0, 1}


def test_file__guard_off__the_same_race_pays_out_what_was_given_back(town: Town):
    guard = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'balance_floor'"
        " AND conrelid = 'payments_balance'::regclass"
    )
    with connection.cursor() as cursor:
        cursor.execute(guard)
        (definition,) = cursor.fetchone()

    with without(
        "ALTER TABLE payments_balance DROP CONSTRAINT balance_floor",
        "UPDATE payments_balance SET posted_fen = 0, held_fen = 0, floor_fen = NULL;"
        f" ALTER TABLE payments_balance ADD CONSTRAINT balance_floor {definition}",
    ):
        both = (file_against_refunds(town) for _ in range(10))
        is_both = any(met["RefundShown"] and made for met, made in both)

    assert is_both, "without the guard the money goes both ways, or the race was none"


# Two people, or one person twice


def test_approve__many_at_once__done_once(town: Town):
    tried, broken = rounds(5), 0

    for _ in range(tried):
        window_id = windows.ensure_open(at=town.at)
        proposal_id = town.proposed("window.close", window_id)

        results = together(6, lambda _, p=proposal_id: town.approve(p, town.people[1]))

        kinds = Counter(type(result).__name__ for result in results)
        broken += kinds != {"Decided": 1, "ProposalOver": 5}
        broken += Window.objects.filter(state="open").count() != 1
        broken += Window.objects.get(id=window_id).state != "closing"

    tell("proposal-approve", tried=tried, broken=broken)
    assert broken == 0


def test_approve__against_reject__one_of_them(town: Town):
    tried, broken = rounds(5), 0

    for _ in range(tried):
        window_id = windows.ensure_open(at=town.at)
        proposal_id = town.proposed("window.close", window_id)

        def work(index: int, proposal_id: uuid.UUID = proposal_id) -> Any:
            if index:
                return town.approve(proposal_id, town.people[1])
            caller = town.people[0]
            return proposals.reject(
                caller=caller,
                proposal_id=proposal_id,
                idempotency_key=city.idempotency(caller.scope),
                at=town.at,
            )

        results = together(2, work)

        broken += sum(isinstance(result, ProposalOver) for result in results) != 1
        found = Proposal.objects.get(id=proposal_id)
        is_closed = Window.objects.get(id=window_id).state == "closing"
        broken += is_closed != (found.state == "approved")

    tell("proposal-reject", tried=tried, broken=broken)
    assert broken == 0


def test_approve__guard_off__the_database_refuses_self_approval(
    town: Town, monkeypatch: pytest.MonkeyPatch
):
    """The twin: without the check in `approve` the constraint still holds; without it, nothing."""
    window_id = windows.ensure_open(at=town.at)
    proposal_id = town.proposed("window.close", window_id)
    monkeypatch.setattr(proposals, "_may_approve", lambda proposal, caller: True)

    with pytest.raises(IntegrityError, match="proposal_four_eyes"):
        town.approve(proposal_id, town.people[0])
    assert Window.objects.get(id=window_id).state == "open"

    with without(
        "ALTER TABLE payments_proposal DROP CONSTRAINT proposal_four_eyes",
        "DELETE FROM payments_proposal; SET CONSTRAINTS ALL IMMEDIATE;"
        " ALTER TABLE payments_proposal ADD CONSTRAINT proposal_four_eyes CHECK"
        " (NOT (proposed_by_id = decided_by_id AND state = 'approved'))",
    ):
        assert town.approve(proposal_id, town.people[0]).state == "approved"


# Banks


def test_credit__same_notice_many_times_at_once__booked_once(town: Town):
    number = funding.top_up_number(resident_id=town.payers[0])
    account = funding.resident_account(town.payers[0])
    tried, broken = rounds(5), 0

    for _ in range(tried):
        before = standing(account)[0]
        credit = credit_of(number, 100, at=town.at)

        results = together(8, lambda _, c=credit: take(town.system, c, at=town.at))

        good = [result for result in results if not isinstance(result, Exception)]
        broken += not good or any(result.status != "credited" for result in good)
        others = [result for result in results if isinstance(result, Exception)]
        broken += not all(isinstance(result, StillRunning) for result in others)
        broken += standing(account)[0] != before + 100
        broken += CreditNotice.objects.filter(notice_id=str(credit.notice_id)).count() != 1

    tell("credit-notice", tried=tried, broken=broken)
    assert broken == 0


def test_payout__order_inquiry_and_notice_at_once__captured_once(town: Town):
    payer = town.payers[0]
    account = funding.resident_account(payer)
    tried, broken = rounds(5), 0

    for _ in range(tried):
        before = standing(account)[0]
        payout = withdraw(payer, 100, at=town.at)
        caller = town.system.caller

        def work(index: int, payout: Payout = payout, caller: Caller = caller) -> Any:
            if index % 2:
                return payouts.pursue(payout_id=payout.id, at=clock.now())
            return payouts.take_notice(
                caller=caller,
                payout_id=payout.id,
                standing=booked(town.at),
                idempotency_key=city.idempotency(caller.scope, str(payout.id)),
                at=clock.now(),
            )

        results = together(6, work)

        others = [result for result in results if isinstance(result, Exception)]
        broken += not all(isinstance(result, StillRunning) for result in others)
        broken += standing(account) != (before - 100, 0)
        posted = Transaction.objects.filter(caller="payouts", key=str(payout.id))
        broken += Posting.objects.filter(transaction__in=posted).count() != 1

    tell("payout-answers", tried=tried, broken=broken)
    assert broken == 0


def test_withdraw__many_at_once__never_more_than_there_is(town: Town):
    payer = town.payers[0]
    account = funding.resident_account(payer)
    tried, broken = rounds(3), 0

    for _ in range(tried):
        posted, held = standing(account)
        share = (posted - held) // 3
        results = together(8, lambda _, share=share: withdraw(payer, share, at=town.at))
        broken += sum(isinstance(result, Payout) for result in results) != 3
        broken += standing(account) != (posted, held + share * 3)
        fund(town.system, payer, share * 3, at=town.at)

    tell("withdraw", tried=tried, broken=broken)
    assert broken == 0


def test_sweep__many_at_once__each_payout_taken_by_one(town: Town):
    tried, broken = rounds(3), 0
    due = town.at + pursuit.UNSENT_AFTER

    for _ in range(tried):
        before = len(town.bank.orders)
        made = [withdraw(payer, 100, at=town.at).id for payer in town.payers]
        together(4, lambda _: payouts.pursue_due(at=due))
        taken = Counter(order.payout_id for order in town.bank.orders[before:])
        broken += taken != Counter(made)

    tell("payout-sweep", tried=tried, broken=broken)
    assert broken == 0
