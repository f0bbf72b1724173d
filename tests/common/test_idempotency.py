"""The same request is done once, whatever comes together or again."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from tests.statements import statements
from tests.together import WAIT_S, together
from vpass.common import idempotency, sealed_fields
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.models import IdempotencyRecord

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
DIGEST = idempotency.request_digest(method="POST", path="/pay", body=b'{"fen": 1}')
KEY = IdempotencyKey(caller="terminal:1", key="key-0001", digest=DIGEST)


def do(key=KEY, *, answer=None, at=AT):
    """A request whose work is one row in another table."""
    with once(key, at=at) as claim:
        if claim.answer is not None:
            return "replayed", claim.answer
        work()
        claim.answer = answer or {"done": True}
        return "done", claim.answer


def work():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO common_audit (id, at, actor, action, subject, detail, request_id)"
            " VALUES (gen_random_uuid(), %s, '', '', '', '{}', '')",
            [AT],
        )


def times_done():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM common_audit")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_once__same_key_and_body__same_answer_and_done_once():
    answer = {"holder": "张三", "amount_fen": 1, "list": [1, None, {"a": True}]}

    assert do(answer=answer) == ("done", answer)
    assert do() == ("replayed", answer)
    assert do() == ("replayed", answer)

    assert times_done() == 1


@pytest.mark.django_db
def test_once__inside_a_tests_own_transaction__works_as_well():
    assert do() == ("done", {"done": True})
    assert do() == ("replayed", {"done": True})


@pytest.mark.django_db(transaction=True)
def test_once__statements__one_claims_and_one_stores():
    with statements() as sent:
        do()
    assert len(sent) == 3  # the work's own stands between
    assert sent[0].startswith("EXECUTE claim_key_")
    assert sent[2].startswith("EXECUTE store_answer")

    with statements() as sent:
        do()
    assert len(sent) == 1


@pytest.mark.django_db(transaction=True)
def test_once__other_body__refused_and_nothing_done():
    do()
    other = idempotency.request_digest(method="POST", path="/pay", body=b'{"fen": 2}')

    with pytest.raises(idempotency.KeyReused):
        do(IdempotencyKey(caller=KEY.caller, key=KEY.key, digest=other))

    assert times_done() == 1
    assert do() == ("replayed", {"done": True})


@pytest.mark.django_db(transaction=True)
def test_once__another_caller_or_key__its_own_request():
    do()

    assert do(IdempotencyKey(caller="terminal:2", key=KEY.key, digest=DIGEST))[0] == "done"
    assert do(IdempotencyKey(caller=KEY.caller, key="key-0002", digest=DIGEST))[0] == "done"
    assert times_done() == 3


@pytest.mark.django_db(transaction=True)
def test_once__work_fails__nothing_left_and_key_free():
    with pytest.raises(ZeroDivisionError), once(KEY, at=AT):
        work()
        raise ZeroDivisionError

    assert times_done() == 0
    assert IdempotencyRecord.objects.count() == 0
    assert do()[0] == "done"


@pytest.mark.django_db(transaction=True)
def test_once__left_without_answer__refused_and_rolled_back():
    with pytest.raises(RuntimeError, match="without an answer"), once(KEY, at=AT):
        work()

    assert times_done() == 0


@pytest.mark.django_db(transaction=True)
def test_once__inside_another_transaction__refused():
    with transaction.atomic(), pytest.raises(RuntimeError), once(KEY, at=AT):
        pass


@pytest.mark.django_db(transaction=True)
def test_once__answer__stored_sealed():
    do(answer={"name": "张三丰"})

    row = IdempotencyRecord.objects.get()
    assert "张三丰".encode() not in bytes(row.answer)
    text = sealed_fields.unseal(
        row.answer, table="common_idempotency", row=bytes(row.id), column="answer"
    )
    assert json.loads(text) == {"name": "张三丰"}
    assert KEY.key.encode() not in bytes(row.id)


@pytest.mark.django_db(transaction=True)
def test_once__twin_still_running__told_at_once_and_later_answered():
    inside, finish = threading.Event(), threading.Event()

    def request(index):
        if index == 0:
            with once(KEY, at=AT) as claim:
                inside.set()
                assert finish.wait(WAIT_S)
                claim.answer = {"by": "first"}
            return claim.answer
        assert inside.wait(WAIT_S)
        try:
            with pytest.raises(idempotency.StillRunning) as caught:
                do()
            return caught.value.retry_after
        finally:
            finish.set()

    assert together(2, request) == [{"by": "first"}, 1]
    assert do() == ("replayed", {"by": "first"})


@pytest.mark.django_db(transaction=True)
def test_once__twenty_at_the_same_moment__exactly_one_runs():
    for round_number in range(5):
        key = IdempotencyKey(caller="terminal:1", key=f"round-{round_number:03}", digest=DIGEST)

        results = together(20, lambda _, key=key: do(key))

        outcomes = Counter(
            type(result).__name__ if isinstance(result, Exception) else result[0]
            for result in results
        )
        assert outcomes.pop("done") == 1
        assert set(outcomes) <= {"replayed", "StillRunning"}
        assert times_done() == round_number + 1


@pytest.mark.django_db(transaction=True)
def test_once__guard_off__the_race_is_real(monkeypatch):
    """Looking first and writing afterwards lets several run, so the test above can fail."""
    looked = threading.Barrier(20)

    def look_only(identity, _digest, *, at):
        row = IdempotencyRecord.objects.filter(pk=identity).first()
        looked.wait(WAIT_S)
        return idempotency.Claim(answer=None if row is None else {})

    monkeypatch.setattr(idempotency, "_claim", look_only)
    monkeypatch.setattr(idempotency, "_store", lambda identity, answer: None)

    together(20, lambda _: do())

    assert times_done() == 20


@pytest.mark.parametrize("key", [None, ""])
def test_idempotency_key__missing__refused(key):
    with pytest.raises(idempotency.KeyMissing):
        IdempotencyKey(caller="a", key=key, digest=DIGEST)


@pytest.mark.parametrize(
    "key",
    [
        "short-1",
        "x" * 129,
        "käse-0001",
        "with\nnewline",
        "tab\tinside",
        " leading1",
        "a\0bcdefgh",
        12345678,
    ],
)
def test_idempotency_key__malformed__refused(key):
    with pytest.raises(idempotency.KeyInvalid):
        IdempotencyKey(caller="a", key=key, digest=DIGEST)


@pytest.mark.parametrize("key", ["12345678", "x" * 128, '"8e03978e-40d5-43dd"', "two words"])
def test_idempotency_key__well_formed__kept(key):
    assert IdempotencyKey(caller="a", key=key, digest=DIGEST).key == key


def test_request_digest__parts_cannot_shift():
    first = idempotency.request_digest(method="POST", path="/a", body=b"b")

    assert len(first) == 32
    for method, path, body in (("POST", "/ab", b""), ("POST/", "a", b"b"), ("PUT", "/a", b"b")):
        assert idempotency.request_digest(method=method, path=path, body=body) != first


@pytest.mark.django_db(transaction=True)
def test_purge__after_thirty_days__forgotten():
    do()
    do(IdempotencyKey(caller="b", key="key-0001", digest=DIGEST), at=AT + timedelta(seconds=1))

    assert idempotency.purge(at=AT + timedelta(days=30)) == 0
    assert idempotency.purge(at=AT + timedelta(days=30, seconds=1)) == 1
    assert do()[0] == "done"
