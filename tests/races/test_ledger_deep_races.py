"""Batches, spread accounts, an order's holds and seals, many at once; each with a twin whose guard
is off, in which the race shows."""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from payments import batches, ledger, order_holds, proof, seals
from payments.batches import Entry, post_batch
from payments.ledger import Leg, Posted
from payments.models import Transaction, Window
from tests.ledger import (
    AT,
    CALLER,
    TODAY,
    account,
    bank,
    capture,
    funded,
    hold,
    open_window,
    post,
    standing,
)
from tests.races.test_ledger_races import (
    ROUNDS,
    WIDEN,
    all_outcomes,
    at_once,
    outcome,
    posting_through,
    rounds,
    tell,
    twin,
)
from vpass.common.errors import DomainError

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def window(transactional_db: None) -> int:
    return open_window()


def is_sound() -> bool:
    return proof.prove(AT).is_sound


def entry(debit: int, credit: int, fen: int, *, key: str | None = None) -> Entry:
    return Entry(
        kind="payment",
        caller=CALLER,
        key=key or uuid.uuid4().hex,
        legs=[Leg(debit, credit, fen)],
        event_at=AT,
    )


@contextmanager
def calling(module: Any, name: str, *changes: tuple[str, str]) -> Iterator[None]:
    """Makes the module call a copy of one of the owner's functions, some of its text changed."""
    call = ledger.call
    with twin(name, *changes) as copy, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module.ledger, "call", lambda sql, values: call(sql.replace(name, copy), values)
        )
        yield


# Batches


def post_same_keys_together() -> tuple[Counter[str], int, int]:
    """Four threads post ten keys by batch and four one by one, in orders of their own: what they
    met, transactions there are, and what was paid."""
    payer, merchant = funded(10_000), account("merchant")
    mark = uuid.uuid4().hex
    entries = [entry(payer, merchant, 7, key=f"{mark}-{n}") for n in range(10)]

    def work(index: int) -> list[Posted | DomainError]:
        asked = entries[index:] + entries[:index] if index % 2 else entries[::-1]
        if index < 4:
            return post_batch(asked, at=AT)
        return [post((payer, merchant, 7), key=each.key) for each in asked]

    found = at_once(8, work)
    seen = Counter(
        outcome(each) for one in found for each in (one if isinstance(one, list) else [one])
    )
    made = Transaction.objects.filter(key__startswith=mark).count()
    return seen, made, standing(merchant)[0]


def test_post_batch__same_keys_by_batches_and_single_posts__each_posted_once_and_no_deadlock(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ledger, "TRIES", 1)
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        broken += post_same_keys_together() != ({"new": 10, "known": 70}, 10, 70)

    tell("ledger-batch-same-keys", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_post_batch__guard_off_keys_of_its_own__the_same_race_pays_twice():
    own_key = (
        "unnest(transaction_ids, p_kinds, p_callers, p_keys,",
        "unnest(transaction_ids, p_kinds, p_callers,"
        " ARRAY(SELECT each || random() FROM unnest(p_keys) AS each),",
    )

    with calling(batches, "post_batch_v1", own_key):
        _, made, paid = post_same_keys_together()

    assert made > 10
    assert paid > 70, "without the guard a key must pay twice, or the race was none"


def cross(*, moves: int) -> Counter[str]:
    """Money both ways between two spread merchants and a resident: by batches, single posts of two
    legs, refunds and captures."""
    resident = funded(100_000)
    first, second = funded(100_000, kind="merchant"), funded(100_000, kind="merchant")
    for each in (first, second):
        ledger.spread_account(each, shards=4)

    def move(index: int) -> None:
        here, there = (first, second) if index % 2 else (second, first)
        for _ in range(moves):
            if index < 3:
                asked = [entry(here, there, 5), entry(there, resident, 2), entry(here, resident, 1)]
                assert all(isinstance(each, Posted) for each in post_batch(asked, at=AT))
            elif index < 6:
                post((here, there, 30_000), (there, resident, 1), (there, here, 30_000))
            else:
                capture(hold(here, 9), (here, there, 5), (there, resident, 1))

    seen = all_outcomes(8, move)
    assert sum(standing(each)[0] for each in (resident, first, second)) == 300_000
    return seen


def test_post__batches_legs_and_captures_both_ways__no_deadlock_even_without_a_second_try(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ledger, "TRIES", 1)
    tried, broken = rounds(short=2), 0

    for _ in range(tried):
        broken += cross(moves=6) != {"done": 8}

    tell("ledger-deep-crossing", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_post_batch__guard_off_locks_by_amount__deadlock(monkeypatch: pytest.MonkeyPatch):
    first, second = funded(1_000), funded(1_000)
    monkeypatch.setattr(ledger, "TRIES", 1)
    unordered = (
        ("PERFORM FROM unnest(v_accounts,", "PERFORM pg_sleep(0.1) FROM unnest(v_accounts,"),
        ("ORDER BY m.place, b.shard FOR", "ORDER BY m.fen FOR"),
    )

    def work(index: int) -> Any:
        here, there = (first, second) if index else (second, first)
        return post_batch([entry(here, there, 5)], at=AT)

    with calling(batches, "post_batch_v1", *unordered):
        found = at_once(2, work)

    assert sum("deadlock" in str(each) for each in found) == 1


# Spread accounts


def take_and_give(*, payers: int, takers: int) -> tuple[Counter[str], int, int]:
    """A spread merchant with 300 fen on many rows is paid 5 times 2 by each payer and gives 10 to
    each taker, all at once: what the takers met, what is left, and what should be."""
    resident, merchant, patron = funded(10_000), account("merchant"), funded(300)
    ledger.spread_account(merchant, shards=16)
    post_batch([entry(patron, merchant, 10) for _ in range(30)], at=AT)

    def work(index: int) -> Posted:
        if index < payers:
            return [post((resident, merchant, 2)) for _ in range(5)][-1]
        return post((merchant, patron, 10), kind="refund")

    found = at_once(payers + takers, work)
    assert {outcome(each) for each in found[:payers]} <= {"new"}
    seen = Counter(map(outcome, found[payers:]))
    return seen, standing(merchant)[0], 300 + 10 * payers - 10 * seen["new"]


def test_post__fifty_take_from_a_spread_account__exactly_what_is_there():
    tried, broken = rounds(short=2), 0

    for _ in range(tried):
        seen, left, _ = take_and_give(payers=0, takers=50)
        broken += (seen, left) != ({"new": 30, "ledger.insufficient_funds": 20}, 0)

    tell("ledger-spread-spend", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_post__takers_against_payers_of_a_spread_account__no_fen_lost():
    tried, broken = rounds(short=2), 0

    for _ in range(tried):
        seen, left, expected = take_and_give(payers=10, takers=25)
        broken += seen != {"new": 25} or left != expected

    tell("ledger-spread-refunds", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_post__guard_off_gathers_without_locks__the_same_race_loses_money():
    unlocked = (
        "ORDER BY b.shard FOR NO KEY UPDATE\n    ) others;",
        f"ORDER BY b.shard\n    ) others; {WIDEN}",
    )

    with (
        twin("giving_shard_v1", unlocked) as copy,
        posting_through(("giving_shard_v1(", f"{copy}(")),
    ):
        # One round may come out even, when nobody was paid within the widened gap.
        losing = (take_and_give(payers=10, takers=25) for _ in range(10))
        is_lost = any(left != expected for _, left, expected in losing)

    assert is_lost, "without the locks money must be lost, or the race was none"


def post_while_spread(function: str = "spread_account_v1", *, times: int = 12) -> Counter[str]:
    """Six threads pay a merchant while its balance is spread and brought back."""
    payers, merchant = [funded(100) for _ in range(6)], account("merchant")
    call = ledger.call

    def work(index: int) -> None:
        for number in range(times):
            if index:
                post((payers[index - 1], merchant, 1))
            else:
                ledger.spread_account(merchant, shards=(16, 1)[number % 2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ledger,
            "call",
            lambda sql, values: call(sql.replace("spread_account_v1", function), values),
        )
        seen = all_outcomes(7, work)
    if seen == {"done": 7}:
        assert standing(merchant) == (6 * times, 0)
    return seen


def test_spread_account__while_threads_post__nobody_fails_and_no_fen_is_lost():
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        broken += post_while_spread(times=4 if ROUNDS else 12) != {"done": 7}

    tell("ledger-spread-switch", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_spread_account__guard_off__payers_find_their_row_gone():
    unlocked = (
        "PERFORM pg_advisory_xact_lock(22096, 1);",
        "",
    )
    slowly = ("WITH gone AS (", f"{WIDEN} WITH gone AS (")
    paused = (
        "v_shard := transaction_id % v_taking;",
        f"v_shard := transaction_id % v_taking; {WIDEN}",
    )

    with twin("spread_account_v1", unlocked, slowly) as copy, posting_through(paused):
        is_gone = any(post_while_spread(copy, times=4)["ledger.account_unknown"] for _ in range(5))

    assert is_gone, "without the lock a payer must find its row gone, or the race was none"


# An order's holds


def end_holds_together(function: str | None = None) -> tuple[int, set[str], bool]:
    """Captures and voids of an order's two holds: how many ended them, how the others were refused,
    and whether what is held agrees."""
    first, second, merchant = funded(9_000), funded(9_000), account("merchant")
    order = uuid.uuid4()
    hold(first, 1_000, reference=order)
    hold(second, 1_000, reference=order, purpose="share")
    for each in (first, second):
        hold(each, 8_000)  # so that freeing twice would not show as less than nothing
    call = ledger.call

    def end(index: int) -> Any:
        if function is None and index < 6:
            return order_holds.capture_all(
                reference=order, kind="capture", caller=CALLER, key=uuid.uuid4().hex,
                legs=[Leg(first, merchant, 600), Leg(second, merchant, 1_000)],
                event_at=AT, at=AT,
            )  # fmt: skip
        return order_holds.void_all(reference=order, at=AT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ledger,
            "call",
            lambda sql, values: call(sql.replace("void_all_v1", function or "void_all_v1"), values),
        )
        found = at_once(12, end)
    ended = [each for each in found if not isinstance(each, Exception)]
    refused = {outcome(each) for each in found if isinstance(each, Exception)}
    captured = 1_600 * sum(isinstance(each, Posted) for each in ended)
    total = sum(standing(each)[0] for each in (first, second))
    agrees = total == 18_000 - captured and [standing(e)[1] for e in (first, second)] == [8_000] * 2
    return len(ended), refused, agrees


def test_order_holds__captured_and_voided_at_once__one_of_them_wins():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        broken += end_holds_together() != (1, {"hold.not_open"}, True)

    tell("ledger-order-holds", tried=tried, broken=broken)
    assert broken == 0
    assert is_sound()


def test_void_all__guard_off__the_same_race_frees_twice():
    unlocked = (
        "WHERE h.reference = p_reference ORDER BY h.id FOR UPDATE;",
        "WHERE h.reference = p_reference;",
    )
    slowly = ("UPDATE payments_hold h SET state", f"{WIDEN} UPDATE payments_hold h SET state")

    with twin("void_all_v1", unlocked, slowly) as copy:
        found = (end_holds_together(copy) for _ in range(5))
        is_freed_twice = any(ended > 1 and not agrees for ended, _, agrees in found)

    assert is_freed_twice


# Seals


def seal_around_a_late_commit() -> list[str]:
    """A transaction with an early id commits after a later one; what the seals then say."""
    clearing, resident = bank(), account("resident")
    has_posted, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        try:
            with transaction.atomic():
                post((clearing, resident, 1))
                has_posted.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=commit_late, daemon=True)
    thread.start()
    assert has_posted.wait(20)
    try:
        post((bank(), account("resident"), 2))
        with pytest.raises(ledger.WindowBusy), transaction.atomic():
            ledger.close_window(business_date=TODAY, at=AT)
        seals.seal_closed(at=AT)
    finally:
        may_commit.set()
        thread.join(20)
    ledger.close_window(business_date=TODAY, at=AT)
    seals.seal_closed(at=AT)
    return [finding.what for finding in seals.verify().findings]


def test_seal_closed__commit_that_comes_late__is_in_its_seal():
    assert seal_around_a_late_commit() == []
    assert seals.verify().transactions == 2


def test_seal_closed__guard_off_seals_what_is_open__the_late_one_slips_in(
    monkeypatch: pytest.MonkeyPatch,
):
    def any_window(last: object) -> tuple[int | None, int]:
        window = Window.objects.order_by("id").values_list("id", flat=True).first()
        return (window if last is None else None), 0

    monkeypatch.setattr(seals, "_next_window", any_window)

    assert seal_around_a_late_commit() == ["inserted"]
