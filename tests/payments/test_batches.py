"""Batches: what is posted in one round trip, and how the ones that cannot be are found."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payments import batches, ledger, proof
from payments.batches import Entry, post_batch
from payments.ledger import Leg, Posted
from payments.models import Posting, Transaction
from tests.ledger import (
    AT,
    CALLER,
    TODAY,
    account,
    bank,
    funded,
    open_window,
    post,
    rows,
    standing,
)
from tests.statements import statements
from vpass.common.errors import DomainError

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def window(transactional_db: None) -> int:
    return open_window()


def entry(*legs: tuple[int, int, int], **changes: Any) -> Entry:
    """A transaction of legs of (debit, credit, fen)."""
    arguments: dict[str, Any] = {
        "kind": "payment",
        "caller": CALLER,
        "key": uuid.uuid4().hex,
        "legs": [Leg(*leg) for leg in legs],
        "event_at": AT,
    }
    return Entry(**arguments | changes)


def codes(results: list[Posted | DomainError]) -> list[str]:
    """What became of each: "new", "known", or the code of its refusal."""
    return [
        each.code if isinstance(each, DomainError) else "new" if each.is_new else "known"
        for each in results
    ]


def test_post_batch__several_transactions__one_statement_and_the_rows_of_single_posts(window: int):
    payer, other, merchant, fee = funded(1_000), funded(50), account("merchant"), account("fee")
    order = uuid.uuid4()
    awkward = 'a"b\\c{},NULL 张'
    later = AT + timedelta(seconds=1)
    asked = [
        entry((payer, merchant, 700), (merchant, fee, 4), key="z", order_id=order, event_at=later),
        entry((other, merchant, 50), key=awkward, kind="fare"),
        entry((merchant, payer, 5), key="a"),
    ]

    with statements() as sent:
        results = post_batch(asked, at=AT)

    assert len(sent) == 1
    assert codes(results) == ["new"] * 3
    ids = [each.transaction_id for each in results if isinstance(each, Posted)]
    assert ids == sorted(ids)
    made = Transaction.objects.filter(id__in=ids).order_by("id")
    assert list(
        made.values_list("id", "kind", "caller", "key", "order_id", "event_at", "at", "window_id")
    ) == [
        (ids[0], "payment", CALLER, "z", order, later, AT, window),
        (ids[1], "fare", CALLER, awkward, None, AT, AT, window),
        (ids[2], "payment", CALLER, "a", None, AT, AT, window),
    ]
    assert {each.business_date for each in made} == {TODAY}
    legs = Posting.objects.filter(transaction__in=ids).order_by("transaction", "seq")
    assert list(legs.values_list("transaction", "seq", "debit", "credit", "amount_fen")) == [
        (ids[0], 1, payer, merchant, 700),
        (ids[0], 2, merchant, fee, 4),
        (ids[1], 1, other, merchant, 50),
        (ids[2], 1, merchant, payer, 5),
    ]
    assert [standing(each)[0] for each in (payer, other, merchant, fee)] == [305, 0, 741, 4]
    assert proof.prove(AT).is_sound


def test_post_batch__again_in_part_and_twice_inside__replays_move_nothing(window: int):
    payer, merchant = funded(1_000), account("merchant")
    single = post((payer, merchant, 10), key="single")
    asked = [entry((payer, merchant, 100), (merchant, payer, 1), key=f"k{n}") for n in range(3)]
    first = post_batch(asked, at=AT)
    before = rows()

    again = post_batch(asked, at=AT + timedelta(days=3))
    mixed = post_batch(
        [
            entry((payer, merchant, 10), key="single"),
            entry((payer, merchant, 7), key="new"),
            asked[1],
            entry((payer, merchant, 7), key="new"),
        ],
        at=AT,
    )

    assert codes(again) == ["known"] * 3
    assert [each.transaction_id for each in again] == [each.transaction_id for each in first]
    assert codes(mixed) == ["known", "new", "known", "known"]
    assert mixed[0] == Posted(single.transaction_id, False)
    assert mixed[1].transaction_id == mixed[3].transaction_id
    assert rows() == (before[0] + 1, before[1] + 1, 0)
    assert standing(merchant) == (10 + 3 * 99 + 7, 0)
    assert proof.prove(AT).is_sound


def test_post_batch__bad_ones_among_good_ones__each_named_and_the_good_ones_posted(window: int):
    payer, poor, merchant = funded(10_000), funded(5), account("merchant")
    post((payer, merchant, 1), key="taken")
    good = [entry((payer, merchant, 10)) for _ in range(20)]
    bad = {
        3: entry((poor, merchant, 6)),
        7: entry((payer, merchant, 2), key="taken"),
        8: entry((payer, 404_000_000, 1)),
        12: entry((payer, payer, 1)),
        13: entry((payer, merchant, 0)),
        20: entry(),
    }
    asked = good[:]
    for place, each in bad.items():
        asked.insert(place, each)
    before = rows()

    results = post_batch(asked, at=AT)

    assert {place: code for place, code in enumerate(codes(results)) if code != "new"} == {
        3: "ledger.insufficient_funds",
        7: "ledger.key_reused",
        8: "ledger.account_unknown",
        12: "ledger.posting_invalid",
        13: "money.amount_invalid",
        20: "ledger.posting_invalid",
    }
    assert rows() == (before[0] + 20, before[1] + 20, 0)
    assert [standing(each)[0] for each in (payer, poor, merchant)] == [9_799, 5, 201]
    assert proof.prove(AT).is_sound


def test_post_batch__in_the_callers_transaction__refusals_leave_it_whole(window: int):
    payer, poor, merchant = funded(1_000), funded(5), account("merchant")
    asked = [entry((payer, merchant, 10)), entry((poor, merchant, 6)), entry((payer, merchant, 1))]
    before = rows()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert codes(post_batch(asked, at=AT)) == ["new", "ledger.insufficient_funds", "new"]
        assert standing(merchant) == (11, 0)
        raise ZeroDivisionError

    assert rows() == before
    assert standing(merchant) == (0, 0)


def test_post_batch__money_that_comes_in_with_it__can_be_spent(window: int):
    payer, merchant = account("resident"), account("merchant")

    results = post_batch(
        [entry((payer, merchant, 100)), entry((bank(), payer, 100), kind="top_up")], at=AT
    )

    assert codes(results) == ["new", "new"]
    assert (standing(payer), standing(merchant)) == ((0, 0), (100, 0))


def test_post_batch__longer_than_a_round_trip__goes_in_several(
    window: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "MAX_TRANSACTIONS", 4)
    monkeypatch.setattr(batches, "MAX_LEGS", 5)
    payer, merchant = funded(1_000), account("merchant")
    asked = [entry((payer, merchant, 1)) for _ in range(6)]
    asked += [entry((payer, merchant, 1), (payer, merchant, 1)) for _ in range(3)]

    with statements() as sent:
        results = post_batch(asked, at=AT)

    assert len(sent) == 3  # 4 of one leg; 2 of one and 1 of two; 2 of two
    assert codes(results) == ["new"] * 9
    assert standing(merchant) == (12, 0)
    assert post_batch([], at=AT) == []


def test_post_batch__no_window_open__raised_but_replays_go_on(transactional_db: None):
    clearing, resident = bank(), account("resident")
    with pytest.raises(ledger.NoOpenWindow):
        post_batch([entry((clearing, resident, 1))], at=AT)
    assert rows() == (0, 0, 0)


def test_post_batch__spread_accounts__gathered_to_the_fen(window: int):
    payer, merchant, clearing = funded(1_000), account("merchant"), bank()
    ledger.spread_account(merchant, shards=16)
    ledger.spread_account(clearing, shards=4)

    for _ in range(5):
        post_batch([entry((payer, merchant, 30)), entry((clearing, merchant, 7))], at=AT)
    assert standing(merchant) == (185, 0)
    results = post_batch(
        [
            entry((merchant, payer, 180)),
            entry((merchant, clearing, 5)),
            entry((merchant, payer, 1)),
        ],
        at=AT,
    )

    assert codes(results) == ["new", "new", "ledger.insufficient_funds"]
    assert [standing(each)[0] for each in (payer, merchant, clearing)] == [1_030, 0, -30]
    assert proof.prove(AT).is_sound


GOOD: dict[str, object] = {
    "kinds": ["x", "x"],
    "callers": ["x", "x"],
    "keys": ["a", "b"],
    "orders": [None, None],
    "events": [AT, AT],
    "places": [1, 2],
    "debits": ["bank", "bank"],
    "credits": ["resident", "resident"],
    "amounts": [1, 1],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": []},
        {"keys": None},
        {"kinds": ["x"]},
        {"callers": ["x", None]},
        {"keys": ["a", None]},
        {"events": [AT]},
        {"places": [1, 1]},
        {"places": [0, 1]},
        {"places": [1, 3]},
        {"places": [1, None]},
        {"places": [1], "debits": ["bank"], "credits": ["resident"], "amounts": [1]},
        {"debits": ["bank"]},
        {"credits": ["resident", None]},
        {"credits": ["resident", "bank"]},
        {"amounts": [1, 0]},
        {"amounts": [1, -1]},
        {"amounts": [1, 10**15 + 1]},
        {"amounts": [1, None]},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_post_batch_v1__malformed_arrays_past_the_python__refused(
    window: int, changes: dict[str, object]
):
    named = {"bank": bank(), "resident": account("resident")}
    told = GOOD | changes

    def ids(names: object) -> object:
        return [named.get(name) for name in names] if isinstance(names, list) else None

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM post_batch_v1(%s::text[], %s::text[], %s::text[], %s::uuid[],"
            " %s::timestamptz[], %s, %s, %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[])",
            [told["kinds"], told["callers"], told["keys"], told["orders"], told["events"], TODAY,
             AT, told["places"], ids(told["debits"]), ids(told["credits"]), told["amounts"]],
        )  # fmt: skip
    assert rows() == (0, 0, 0)


def test_post_batch__older_snapshot__refused(window: int):
    clearing, resident = bank(), account("resident")

    with pytest.raises(Exception, match="read committed only"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        post_batch([entry((clearing, resident, 1))], at=AT)
    assert rows() == (0, 0, 0)
