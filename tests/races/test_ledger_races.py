"""Many threads at the same money. Each race has a twin with its guard off, in which it shows."""

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Sum

from payments import ledger, proof
from payments.models import Hold, Posting, Window
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
    owner,
    post,
    rows,
    standing,
)
from tests.together import WAIT_S, together
from vpass.common.errors import DomainError

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
SPENDERS = 50
CLOSINGS = 20  # at a time
WIDEN = "PERFORM pg_sleep(0.1);"


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


def outcome(result: Any) -> str:
    """What one thread met: "new", "known", a problem's code, or an error by name."""
    if isinstance(result, ledger.Posted):
        return "new" if result.is_new else "known"
    if isinstance(result, DomainError):
        return result.code
    return repr(result) if isinstance(result, Exception) else "done"


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """As `together`, but all are connected before the first begins, so that they really meet."""
    gate = threading.Barrier(count)

    def connected(index: int) -> Any:
        connection.ensure_connection()
        gate.wait(WAIT_S)
        return work(index)

    return together(count, connected)


def all_outcomes(count: int, work: Callable[[int], Any]) -> Counter[str]:
    return Counter(map(outcome, at_once(count, work)))


@contextmanager
def twin(name: str, *changes: tuple[str, str]) -> Iterator[str]:
    """A copy of one of the ledger's functions with some of its text changed; gives its name."""
    copy = f"race_{name}"
    with owner() as cursor:
        cursor.execute("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", [name])
        text = cursor.fetchone()[0]
        for old, new in changes:
            assert old in text, f"{name} no longer has {old!r}"
            text = text.replace(old, new)
        cursor.execute(text.replace(f"{name}(", f"{copy}(", 1).replace(f"{name}.", f"{copy}."))
    try:
        yield copy
    finally:
        with owner() as cursor:
            cursor.execute(f"DROP FUNCTION {copy}")


@contextmanager
def posting_through(*changes: tuple[str, str]) -> Iterator[None]:
    """Makes ledger.post call a copy of post_v1 with some of its text changed."""
    with twin("post_v1", *changes) as copy, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "_POST", ledger._POST.replace("post_v1", copy))
        yield


@pytest.fixture(autouse=True)
def window(transactional_db: None) -> int:
    return open_window()


# One balance, fifty spenders


def spend_together(*, allowed: int) -> tuple[Counter[str], int]:
    """Fifty threads pay 1 yuan each from an account that can pay `allowed`; what they met, and
    what is left on it."""
    resident, merchant = funded(allowed * 100), account("merchant")
    seen = all_outcomes(SPENDERS, lambda _: post((resident, merchant, 100)))
    return seen, standing(resident)[0]


def test_post__fifty_threads_spend_one_balance__exactly_the_allowed_ones():
    tried, broken = rounds(short=20), 0

    for number in range(tried):
        allowed = number % SPENDERS
        if not allowed:
            allowed = 10
        seen, left = spend_together(allowed=allowed)
        expected = {"new": allowed, "ledger.insufficient_funds": SPENDERS - allowed}
        broken += (seen, left) != (expected, 0)

    tell("ledger-spend", tried=tried, broken=broken)
    assert broken == 0
    assert proof.prove(AT).is_sound


@pytest.fixture
def no_floor() -> Iterator[None]:
    """Balances without the CHECK that guards their floor."""
    with owner() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'balance_floor'"
        )
        check = cursor.fetchone()[0]
        cursor.execute("ALTER TABLE payments_balance DROP CONSTRAINT balance_floor")
    try:
        yield
    finally:
        with owner() as cursor:
            cursor.execute("DELETE FROM payments_balance")
            cursor.execute(f"ALTER TABLE payments_balance ADD CONSTRAINT balance_floor {check}")


def test_post__guard_off_look_then_spend__the_same_race_overdraws(no_floor: None):
    looked = f"""
        IF (SELECT posted_fen - held_fen FROM payments_balance WHERE account_id = p_debits[1])
            < p_amounts[1] AND p_kind = 'payment'
        THEN RAISE EXCEPTION 'too little' USING ERRCODE = 'VPL07'; END IF;
        {WIDEN}
        FOR v_side IN 1..2 LOOP"""

    with posting_through(("FOR v_side IN 1..2 LOOP", looked)):
        seen, left = spend_together(allowed=10)

    assert seen["new"] > 10
    assert left < 0, "without the guard the balance must go below zero, or the race was none"


def test_hold__fifty_threads_hold_one_balance__exactly_the_allowed_ones():
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        resident = funded(1_000)
        seen = all_outcomes(SPENDERS, lambda _, resident=resident: hold(resident, 100))
        broken += seen != {"done": 10, "ledger.insufficient_funds": SPENDERS - 10}
        broken += standing(resident) != (1_000, 1_000)

    tell("ledger-hold", tried=tried, broken=broken)
    assert broken == 0


# One key, many threads


def post_one_key_together() -> tuple[Counter[str], int, int]:
    """Twenty threads with one key: what they met, transactions they know, and what was paid."""
    resident, merchant = funded(10_000), account("merchant")
    key = uuid.uuid4().hex
    found = at_once(20, lambda _: post((resident, merchant, 100), key=key))
    ids = {each.transaction_id for each in found if isinstance(each, ledger.Posted)}
    return Counter(map(outcome, found)), len(ids), standing(merchant)[0]


def test_post__one_key_in_twenty_threads__posted_once():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        broken += post_one_key_together() != ({"new": 1, "known": 19}, 1, 100)

    tell("ledger-same-key", tried=tried, broken=broken)
    assert broken == 0


def test_post__guard_off_look_then_insert__the_same_key_pays_twice():
    insert = "INSERT INTO payments_transaction"
    looked = f"""
        SELECT t.id INTO transaction_id FROM payments_transaction t
            WHERE t.caller = p_caller AND starts_with(t.key, p_key);
        IF FOUND THEN is_new := false; RETURN; END IF;
        {WIDEN}
        {insert}"""
    anothers_key = (
        "VALUES (p_kind, p_caller, p_key,",
        "VALUES (p_kind, p_caller, p_key || random(),",
    )

    with posting_through((insert, looked), anothers_key):
        seen, known, paid = post_one_key_together()

    assert seen["new"] > 1
    assert known > 1
    assert paid > 100, "without the guard one key must pay twice, or the race was none"


def test_reverse__ten_threads_with_keys_of_their_own__reversed_once():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        resident, merchant = funded(1_000), funded(5_000, kind="merchant")
        paid = post((resident, merchant, 300)).transaction_id
        broken += reverse_together(paid) != {"new": 1, "ledger.already_reversed": 9}
        broken += standing(resident) != (1_000, 0)

    tell("ledger-reverse", tried=tried, broken=broken)
    assert broken == 0


def reverse_together(
    paid: int, function: str = "reverse_v1", *, key: str | None = None
) -> Counter[str]:
    call = ledger.call

    def reverse(_: int) -> ledger.Posted:
        own_key = key or uuid.uuid4().hex
        return ledger.reverse(paid, kind="reversal", caller=CALLER, key=own_key, event_at=AT, at=AT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ledger, "call", lambda sql, values: call(sql.replace("reverse_v1", function), values)
        )
        return all_outcomes(10, reverse)


def test_reverse__one_key_in_ten_threads__one_reversal_and_nine_replays():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        resident, merchant = funded(1_000), funded(5_000, kind="merchant")
        paid = post((resident, merchant, 300)).transaction_id
        broken += reverse_together(paid, key=f"r-{paid}") != {"new": 1, "known": 9}

    tell("ledger-reverse-same-key", tried=tried, broken=broken)
    assert broken == 0


def test_hold__one_hold_in_twenty_threads__held_once():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        resident, own = funded(1_000), uuid.uuid4()
        found = at_once(
            20,
            lambda _, resident=resident, own=own: hold(resident, 300, hold_id=own, reference=own),
        )
        broken += found != [own] * 20 or standing(resident) != (1_000, 300)

    tell("ledger-hold-same", tried=tried, broken=broken)
    assert broken == 0


def test_reverse__guard_off__the_same_race_reverses_twice():
    resident, merchant = funded(1_000), funded(5_000, kind="merchant")
    paid = post((resident, merchant, 300)).transaction_id

    with twin("reverse_v1", ("v_order, p_reverses,", "v_order, NULL,")) as unguarded:
        seen = reverse_together(paid, unguarded)

    assert seen["new"] > 1


# One hold, three ways to end it


def end_hold_together() -> tuple[int, set[str], bool]:
    """Captures, voids and sweeps at one hold: how many ended it, how the others were refused, and
    whether the balances agree with how it ended."""
    resident, merchant = funded(2_000), account("merchant")
    held = hold(resident, 1_000, expires_at=AT + timedelta(minutes=1))
    hold(resident, 1_000)

    def end(index: int) -> Any:
        if index < 8:
            return capture(held, (resident, merchant, 600))
        if index < 16:
            return ledger.void(hold_id=held, at=AT)
        return ledger.expire_holds(at=AT + timedelta(minutes=2))

    found = at_once(20, end)
    captured = [each for each in found[:8] if isinstance(each, ledger.Posted)]
    voided = [each for each in found[8:16] if each is None]
    expired = [each for each in found[16:] if each == 1]
    refused = {outcome(each) for each in found if isinstance(each, Exception)}
    row = Hold.objects.get(id=held)
    ended = {"captured": captured, "voided": voided, "expired": expired}[row.state]
    agrees = bool(ended) and standing(resident) == (2_000 - 600 * len(captured), 1_000)
    return len(captured) + len(voided) + len(expired), refused, agrees


def test_hold__captured_voided_and_expired_at_once__one_of_them_wins():
    tried, broken = rounds(short=10), 0

    for _ in range(tried):
        broken += end_hold_together() != (1, {"hold.not_open"}, True)

    tell("ledger-hold-ends", tried=tried, broken=broken)
    assert broken == 0
    assert proof.prove(AT).is_sound


def void_together(function: str = "void_v1") -> tuple[int, tuple[int, int]]:
    """Eight threads void one of two holds: how many did, and what then stands on the account."""
    resident = funded(9_000)
    held = hold(resident, 1_000)
    hold(resident, 8_000)  # so that freeing it again would not show as less than nothing
    call = ledger.call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ledger, "call", lambda sql, values: call(sql.replace("void_v1", function), values)
        )
        seen = all_outcomes(8, lambda _: ledger.void(hold_id=held, at=AT))
    return seen["done"], standing(resident)


def test_void__eight_threads__freed_once():
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        broken += void_together() != (1, (9_000, 8_000))

    tell("ledger-void", tried=tried, broken=broken)
    assert broken == 0


def test_void__guard_off__the_same_race_frees_twice():
    unlocked = ("WHERE h.id = p_hold FOR UPDATE;", f"WHERE h.id = p_hold; {WIDEN}")
    with twin("void_v1", unlocked) as unguarded:
        voided, (_, held_fen) = void_together(unguarded)

    assert voided > 1, "without the row lock two must void it, or the race was none"
    assert held_fen == 9_000 - 1_000 * voided


# Opposite ways between the same accounts


def cross(*, moves: int) -> Counter[str]:
    """Eight threads move money both ways between two residents, in two legs, and by captures."""
    first, second = funded(100_000), funded(100_000)
    third = funded(100_000)

    def move(index: int) -> Any:
        here, there = (first, second) if index % 2 else (second, first)
        for _ in range(moves):
            if index < 4:
                post((here, there, 5), (there, third, 2))
            elif index < 6:
                post((here, there, 5))
            else:
                capture(hold(here, 9), (here, there, 5))
        return None

    seen = all_outcomes(8, move)
    assert sum(standing(each)[0] for each in (first, second, third)) == 300_000
    return seen


def test_post__both_ways_at_once__no_deadlock_even_without_a_second_try(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ledger, "TRIES", 1)
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        broken += cross(moves=10) != {"done": 8}

    tell("ledger-crossing", tried=tried, broken=broken)
    assert broken == 0
    assert proof.prove(AT).is_sound


UNORDERED = (
    ("ORDER BY ledger_rank_v1(a.kind), l.account", "ORDER BY array_position(p_debits, l.account)"),
    (
        "WHERE b.account_id = v_account.id AND b.shard = v_shard;",
        f"WHERE b.account_id = v_account.id; {WIDEN}",
    ),
)


def cross_once(first: int, second: int, third: int) -> Counter[str]:
    """Two threads, each starting with the other's last account."""
    return all_outcomes(
        2,
        lambda index: (
            post((first, third, 5), (second, third, 5))
            if index
            else post((second, third, 5), (first, third, 5))
        ),
    )


def test_post__guard_off_locks_in_the_order_of_the_legs__deadlock(monkeypatch: pytest.MonkeyPatch):
    accounts = (funded(1_000), funded(1_000), funded(1_000))
    monkeypatch.setattr(ledger, "TRIES", 1)

    with posting_through(*UNORDERED):
        found = Counter(
            "deadlock" if "deadlock" in each else each for each in cross_once(*accounts).elements()
        )

    assert found == {"new": 1, "deadlock": 1}


def test_post__deadlock_in_a_transaction_of_its_own__healed_unseen():
    accounts = (funded(1_000), funded(1_000), funded(1_000))

    with posting_through(*UNORDERED):
        seen = cross_once(*accounts)

    assert seen == {"new": 2}
    assert [standing(each)[0] for each in accounts] == [990, 990, 1_020]


def test_post__deadlock_in_the_callers_transaction__left_to_the_caller():
    accounts = (funded(1_000), funded(1_000), funded(1_000))

    def work(index: int) -> ledger.Posted:
        first, second, third = accounts
        legs = ((first, third, 5), (second, third, 5))
        with transaction.atomic():
            return post(*(legs if index else reversed(legs)))

    with posting_through(*UNORDERED):
        found = at_once(2, work)

    failed = [each for each in found if isinstance(each, Exception)]
    assert len(failed) == 1
    assert isinstance(failed[0], OperationalError)
    assert [standing(each)[0] for each in accounts] == [995, 995, 1_010]


# Windows


def sum_of(window: int) -> int:
    """What the postings of a window add up to now, in fen."""
    found = Posting.objects.filter(transaction__window=window).aggregate(fen=Sum("amount_fen"))
    return int(found["fen"] or 0)


def post_while_windows_close(closings: int) -> tuple[int, int]:
    """Four threads post while windows close; how many windows grew afterwards, and the postings.

    A poster lets a moment pass between posting and committing, as a payment does.
    """
    clearing, residents = bank(), [account("resident") for _ in range(4)]
    at_close: dict[int, int] = {}
    is_over = threading.Event()

    def work(index: int) -> None:
        if index == 4:
            try:
                for _ in range(closings):
                    time.sleep(0.01)
                    closed = ledger.close_window(business_date=TODAY, at=AT).closed_id
                    at_close[closed] = sum_of(closed)
            finally:
                is_over.set()
            return
        while not is_over.is_set():
            with transaction.atomic():
                post((clearing, residents[index], 1))
                time.sleep(0.002)

    failures = [each for each in at_once(5, work) if each is not None]
    assert failures == []
    assert len(at_close) == closings
    grown = sum(sum_of(window) != fen for window, fen in at_close.items())
    return grown, sum(standing(each)[0] for each in residents)


def test_close_window__while_threads_post__no_closed_window_grows():
    batches, broken = -(-rounds(short=CLOSINGS) // CLOSINGS), 0

    for _ in range(batches):
        grown, posted = post_while_windows_close(CLOSINGS)
        broken += grown
        assert posted > CLOSINGS, "hardly anybody posted"

    tell("ledger-window", tried=batches * CLOSINGS, broken=broken)
    assert broken == 0
    assert Window.objects.filter(state="closing").count() == batches * CLOSINGS
    assert proof.prove(AT).is_sound


def test_close_window__guard_off__postings_slip_into_closed_windows():
    with posting_through(("PERFORM pg_advisory_xact_lock_shared(22096, 1);", "")):
        is_grown = any(post_while_windows_close(CLOSINGS)[0] for _ in range(5))

    assert is_grown, "without the lock a closed window must grow, or the race was none"


def test_close_window__ten_threads__each_closes_one():
    tried, broken = rounds(short=1), 0

    for _ in range(tried):
        found = at_once(10, lambda _: ledger.close_window(business_date=TODAY, at=AT))
        broken += len({turned.closed_id for turned in found}) != 10

    tell("ledger-close", tried=tried, broken=broken)
    assert broken == 0
    states = Counter(Window.objects.values_list("state", flat=True))
    assert states == {"closing": 10 * tried, "open": 1}


def test_close_window__posting_that_hangs__gives_up_and_others_go_on():
    clearing, resident = bank(), account("resident")
    has_posted, may_commit = threading.Event(), threading.Event()

    def hang() -> None:
        try:
            with transaction.atomic():
                post((clearing, resident, 1))
                has_posted.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    assert has_posted.wait(20)
    before = rows()
    try:
        with pytest.raises(ledger.WindowBusy) as caught, transaction.atomic():
            ledger.close_window(business_date=TODAY, at=AT)
        post((bank(), account("resident"), 1))
    finally:
        may_commit.set()
        thread.join(20)

    assert caught.value.status == 503
    assert rows() == (before[0] + 2, before[1] + 2, 0)
    assert Window.objects.count() == 1
    assert ledger.close_window(business_date=TODAY, at=AT).closed_id


def test_open__twenty_threads__one_window_and_one_account():
    tried, broken = rounds(short=1), 0

    for number in range(tried):
        ledger.close_window(business_date=TODAY, at=AT)
        windows = at_once(10, lambda _: open_window())
        owner = f"owner-{number}"
        accounts = at_once(
            20, lambda _, owner=owner: ledger.open_account(kind="resident", owner=owner)
        )
        broken += len(set(windows)) != 1 or len(set(accounts)) != 1
        broken += standing(accounts[0]) != (0, 0)

    tell("ledger-open", tried=tried, broken=broken)
    assert broken == 0
