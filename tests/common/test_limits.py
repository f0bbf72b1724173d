"""Limits hold against everyone at once, and a single use is single."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from tests.statements import statements
from tests.together import WAIT_S, together
from vpass.common import limits, sealed_fields
from vpass.common.limits import Limit, LimitReached, spend, spend_once
from vpass.common.models import LimitCounter, SeenOnce

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
TRIES = Limit(name="test.tries", maximum=5, per=timedelta(minutes=10))

pytestmark = pytest.mark.django_db(transaction=True)


def test_spend__up_to_the_maximum__then_refused_until_the_window_ends():
    assert [spend(TRIES, "p", at=AT + timedelta(seconds=n)) for n in range(5)] == [4, 3, 2, 1, 0]

    with pytest.raises(LimitReached) as caught:
        spend(TRIES, "p", at=AT + timedelta(seconds=60))
    assert caught.value.retry_after == 540
    with pytest.raises(LimitReached) as caught:
        spend(TRIES, "p", at=AT + timedelta(minutes=10, microseconds=-1))
    assert caught.value.retry_after == 1
    assert spend(TRIES, "p", at=AT + timedelta(minutes=10)) == 4


def test_spend__other_subject_or_limit__counted_apart():
    other = Limit(name="test.other", maximum=5, per=timedelta(minutes=10))

    assert spend(TRIES, "p", at=AT) == spend(TRIES, "q", at=AT) == spend(other, "p", at=AT) == 4


def test_spend__amounts__refused_one_counts_nothing():
    assert spend(TRIES, "p", at=AT, amount=3) == 2
    with pytest.raises(LimitReached):
        spend(TRIES, "p", at=AT, amount=3)
    with pytest.raises(LimitReached):
        spend(TRIES, "fresh", at=AT, amount=6)

    assert limits.remaining(TRIES, "p", at=AT) == 2
    assert spend(TRIES, "p", at=AT, amount=2) == 0
    for amount in (0, -1):
        with pytest.raises(ValueError):
            spend(TRIES, "p", at=AT, amount=amount)


def test_spend__one_statement_and_no_plain_subject():
    with statements() as sent:
        spend(TRIES, "13800000000", at=AT)
        assert spend_once("nonce", "n", expires_at=AT)

    assert len(sent) == 2
    assert "13800000000" not in "".join(sent)
    assert bytes(LimitCounter.objects.get().id) == sealed_fields.lookup_hash(
        "limit:test.tries", "13800000000"
    )


def test_spend__caller_rolls_back_later__still_counted():
    with pytest.raises(ZeroDivisionError):
        spend(TRIES, "p", at=AT)
        with transaction.atomic():
            raise ZeroDivisionError

    assert limits.remaining(TRIES, "p", at=AT) == 4


def test_inside_a_transaction__refused():
    with transaction.atomic():
        with pytest.raises(RuntimeError, match="outlive"):
            spend(TRIES, "p", at=AT)
        with pytest.raises(RuntimeError, match="outlive"):
            spend_once("nonce", "n", expires_at=AT)


def test_remaining_and_clear():
    assert limits.remaining(TRIES, "p", at=AT) == 5
    spend(TRIES, "p", at=AT)
    assert limits.remaining(TRIES, "p", at=AT) == 4
    assert limits.remaining(TRIES, "p", at=AT + timedelta(minutes=10)) == 5

    limits.clear(TRIES, "p")

    assert limits.remaining(TRIES, "p", at=AT) == 5


def test_spend__thirty_at_the_same_moment__never_more_than_the_maximum():
    results = together(30, lambda _: spend(TRIES, "p", at=AT))

    assert sorted(left for left in results if isinstance(left, int)) == [0, 1, 2, 3, 4]
    assert sum(isinstance(result, LimitReached) for result in results) == 25
    assert LimitCounter.objects.get().used == 5


def test_spend__thirty_when_a_window_ends__never_more_than_the_maximum():
    spend(TRIES, "p", at=AT, amount=5)
    later = AT + TRIES.per

    results = together(30, lambda _: spend(TRIES, "p", at=later))

    assert sorted(left for left in results if isinstance(left, int)) == [0, 1, 2, 3, 4]


def test_spend__guard_off__the_race_is_real():
    """Reading and then adding lets everyone through, so the tests above can fail."""
    looked = threading.Barrier(30)

    def look_then_add(_):
        left = limits.remaining(TRIES, "p", at=AT)
        looked.wait(WAIT_S)
        if left:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO common_limit AS c VALUES (%s, 1, %s)"
                    " ON CONFLICT (id) DO UPDATE SET used = c.used + 1",
                    [limits._identity(TRIES, "p"), AT + TRIES.per],
                )
        return bool(left)

    assert sum(together(30, look_then_add)) > TRIES.maximum
    assert LimitCounter.objects.get().used == 30


def test_spend_once__first_only_and_by_scope():
    assert spend_once("nonce", "n", expires_at=AT) is True
    assert spend_once("nonce", "n", expires_at=AT) is False
    assert spend_once("other", "n", expires_at=AT) is True


def test_spend_once__thirty_at_the_same_moment__one_true():
    for round_number in range(5):
        results = together(30, lambda _, n=round_number: spend_once("nonce", str(n), expires_at=AT))

        assert sorted(results) == [False] * 29 + [True]


def test_spend_once__guard_off__the_race_is_real():
    """Looking and then inserting lets everyone through, so the test above can fail."""
    looked = threading.Barrier(30)

    def look_then_insert(_):
        identity = sealed_fields.lookup_hash("once:nonce", "n")
        is_new = not SeenOnce.objects.filter(pk=identity).exists()
        looked.wait(WAIT_S)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO common_seen VALUES (%s, %s) ON CONFLICT DO NOTHING", [identity, AT]
            )
        return is_new

    assert sum(together(30, look_then_insert)) == 30


def test_purge__expired_only():
    spend(TRIES, "p", at=AT)
    spend_once("nonce", "old", expires_at=AT + TRIES.per)
    spend_once("nonce", "new", expires_at=AT + TRIES.per + timedelta(seconds=1))

    assert limits.purge(at=AT + TRIES.per - timedelta(microseconds=1)) == 0
    assert limits.purge(at=AT + TRIES.per) == 2
    assert LimitCounter.objects.count() == 0
    assert not spend_once("nonce", "new", expires_at=AT)
