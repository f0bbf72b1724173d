"""Seals of the ledger: what is sealed when, and what was changed behind its back."""

import hashlib
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from payments import ledger, proof, seals
from payments.models import LedgerSeal
from tests.engines import TestDatabase
from tests.ledger import AT, TODAY, account, funded, open_window, owner, post
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

LATER = AT + timedelta(hours=1)
TOMORROW = TODAY + timedelta(days=1)


class Lived:
    """A ledger of two closed windows, the second on the next day, and an open one."""

    def __init__(self) -> None:
        self.first_window = open_window()
        self.resident, self.merchant, self.fee = funded(5_000), account("merchant"), account("fee")
        self.payment = self.pay(1_000)
        self.second = self.pay(50)
        self.second_window = self.turn()
        self.third = self.pay(70)
        self.open_window = self.turn()
        self.unsealed = self.pay(3)

    def pay(self, fen: int) -> int:
        legs = (self.resident, self.merchant, fen), (self.merchant, self.fee, 1)
        return post(*legs).transaction_id

    def turn(self) -> int:
        return ledger.close_window(business_date=TOMORROW, at=LATER).opened_id


@pytest.fixture
def lived(transactional_db: None) -> Lived:
    return Lived()


@pytest.fixture
def sealed(lived: Lived) -> Lived:
    assert seals.seal_closed(at=LATER) == 2
    return lived


def behind_the_back(database: TestDatabase, statement: str, parameters: list[Any]) -> None:
    """Runs a statement of an owner who has switched every trigger off."""
    connection = psycopg2.connect(database._cleaner_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, parameters)
            assert cursor.rowcount >= 1
    finally:
        connection.close()


def found() -> list[str]:
    return [finding.line() for finding in seals.verify().findings]


# Sealing


def test_seal_closed__the_end_cut_off_and_changed__never_sealed_afresh(
    lived: Lived, django_db_setup: TestDatabase, tmp_path: Path
):
    head_file = tmp_path / "head.json"
    assert seals.seal_closed(at=LATER, head_file=head_file) == 2
    known = seals.known_head(head_file)
    assert known == seals.verify(known_head=known).head
    behind_the_back(django_db_setup, "DELETE FROM payments_ledgerseal WHERE number = %s", [2])
    behind_the_back(
        django_db_setup,
        "UPDATE payments_posting SET amount_fen = amount_fen + 1 WHERE transaction_id = %s",
        [lived.third],
    )

    assert seals.seal_closed(at=LATER, head_file=head_file) == 0

    assert LedgerSeal.objects.count() == 1
    assert [each.line() for each in seals.verify(known_head=known).findings] == [
        "lost 2 of an unknown day"
    ]
    assert seals.seal_closed(at=LATER) == 1  # without the file nobody would know
    assert [each.what for each in seals.verify(known_head=known).findings] == ["lost"]
    assert seals.seal_closed(at=LATER, head_file=head_file) == 0


def test_seal_closed__two_closed_windows_and_an_open_one__the_closed_ones_are_sealed(lived: Lived):
    made = seals.seal_closed(at=LATER)

    assert made == 2
    rows = LedgerSeal.objects.order_by("number").values_list(
        "number", "window", "after_id", "is_last", "transactions", "postings", "sealed_at"
    )
    assert list(rows) == [
        (1, lived.first_window, 0, True, 3, 5, LATER),
        (2, lived.second_window, 0, True, 1, 2, LATER),
    ]
    assert seals.seal_closed(at=LATER) == 0
    verified = seals.verify()
    head = LedgerSeal.objects.get(number=2)
    assert verified == seals.Verified(4, 7, 2, (2, bytes(head.digest).hex()), ())


def test_seal_closed__nothing_closed_or_nothing_posted__none_and_an_empty_one(
    transactional_db: None,
):
    assert seals.seal_closed(at=AT) == 0
    window = open_window()
    assert seals.seal_closed(at=AT) == 0
    ledger.close_window(business_date=TOMORROW, at=LATER)

    assert seals.seal_closed(at=LATER) == 1
    row = LedgerSeal.objects.get()
    assert (row.window_id, row.transactions, bytes(row.marks)) == (window, 0, b"")
    assert found() == []


def test_seal_closed__in_slices__goes_on_where_it_stopped(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(seals, "TRANSACTIONS_A_SEAL", 2)

    assert seals.seal_closed(at=LATER, limit=1) == 1
    assert seals.seal_closed(at=LATER, limit=9) == 2

    rows = LedgerSeal.objects.order_by("number")
    assert list(rows.values_list("window", "after_id", "upto_id", "is_last", "transactions")) == [
        (lived.first_window, 0, lived.payment, False, 2),
        (lived.first_window, lived.payment, lived.second, True, 1),
        (lived.second_window, 0, lived.third, True, 1),
    ]
    assert found() == []


def test_seal_closed__by_several_workers_at_once__one_chain(lived: Lived):
    made = together(6, lambda _: seals.seal_closed(at=LATER))

    assert sum(made) == 2
    assert found() == []


def test_canonical__known_transaction__the_hash_written_down():
    row = (
        7, "payment", "order:1", "键", None, None, TODAY, 3, AT, AT + timedelta(microseconds=5),
        [[11, 1, 4, 5, 1_000], [12, 2, 5, 6, 1]],
    )  # fmt: skip

    text = seals._canonical(row)

    assert text == (
        '[7,"payment","order:1","键",null,null,"2026-06-01",3,"2026-06-01T04:00:00.000000+00:00",'
        '"2026-06-01T04:00:00.000005+00:00",[[11,1,4,5,1000],[12,2,5,6,1]]]'
    )
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "67a40f2075676f4bda0080ca9abb53d005fc344c344abecb93a24a3d0c65b468"
    )


# What is found


def test_verify__untouched_while_payments_go_on__nothing(sealed: Lived):
    sealed.pay(9)
    ledger.reverse(sealed.third, kind="reversal", caller="x", key="r", event_at=LATER, at=LATER)

    assert found() == []


DAMAGE = [
    (
        "UPDATE payments_posting SET amount_fen = amount_fen + 1 WHERE transaction_id = %s",
        "changed",
    ),
    ("DELETE FROM payments_posting WHERE transaction_id = %s AND seq = 2", "changed"),
    ("DELETE FROM payments_posting WHERE transaction_id = %s", "changed"),
    (
        "INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)"
        " SELECT transaction_id, 3, debit_id, credit_id, 5 FROM payments_posting"
        " WHERE transaction_id = %s AND seq = 1",
        "changed",
    ),
    (
        "UPDATE payments_posting SET debit_id = credit_id, credit_id = debit_id"
        " WHERE transaction_id = %s",
        "changed",
    ),
    ("UPDATE payments_transaction SET event_at = event_at + '1 s' WHERE id = %s", "changed"),
    ("UPDATE payments_transaction SET order_id = gen_random_uuid() WHERE id = %s", "changed"),
    ("DELETE FROM payments_transaction WHERE id = %s", "removed"),
    (
        "UPDATE payments_transaction SET window_id = (SELECT max(id) FROM payments_window)"
        " WHERE id = %s",
        "removed",
    ),
]


@pytest.mark.parametrize(
    ("statement", "what"), DAMAGE, ids=[f"{place}-{what}" for place, (_, what) in enumerate(DAMAGE)]
)
def test_verify__damage_by_the_owner__names_transaction_and_day(
    sealed: Lived, django_db_setup: TestDatabase, statement: str, what: str
):
    behind_the_back(django_db_setup, statement, [sealed.second])
    behind_the_back(django_db_setup, DAMAGE[0][0], [sealed.third])

    assert found() == [
        f"{what} {sealed.second} of {TODAY}",
        f"changed {sealed.third} of {TOMORROW}",
    ]


def test_verify__posting_and_balances_changed_together__found_where_the_sums_agree(
    sealed: Lived, django_db_setup: TestDatabase
):
    behind_the_back(
        django_db_setup,
        "UPDATE payments_posting SET amount_fen = amount_fen + 100"
        " WHERE transaction_id = %s AND seq = 1",
        [sealed.payment],
    )
    with owner() as cursor:
        cursor.execute(
            "UPDATE payments_balance SET posted_fen = posted_fen"
            " + CASE account_id WHEN %s THEN 100 ELSE -100 END WHERE account_id IN (%s, %s)",
            [sealed.merchant, sealed.merchant, sealed.resident],
        )

    assert proof.prove(LATER).is_sound
    assert found() == [f"changed {sealed.payment} of {TODAY}"]


def test_verify__transaction_put_into_a_closed_window__inserted(
    sealed: Lived, django_db_setup: TestDatabase
):
    behind_the_back(
        django_db_setup,
        "UPDATE payments_transaction SET window_id = %s WHERE id = %s",
        [sealed.first_window, sealed.unsealed],
    )

    assert found() == [f"inserted {sealed.unsealed} of {TODAY}"]


SEAL_DAMAGE = [
    ("UPDATE payments_ledgerseal SET transactions = 9 WHERE number = 1", ["broken 1"]),
    ("UPDATE payments_ledgerseal SET digest = content WHERE number = 1", ["broken 1", "broken 2"]),
    ("UPDATE payments_ledgerseal SET is_last = false WHERE number = 2", ["broken 2"]),
]


@pytest.mark.parametrize(("statement", "expected"), SEAL_DAMAGE, ids=["count", "digest", "last"])
def test_verify__seal_changed__broken(
    sealed: Lived, django_db_setup: TestDatabase, statement: str, expected: list[str]
):
    behind_the_back(django_db_setup, statement, [])

    days = {"broken 1": TODAY, "broken 2": TOMORROW}
    assert found() == [f"{each} of {days[each]}" for each in expected]


def test_verify__seal_made_to_fit_a_changed_row__broken_without_the_key(
    sealed: Lived, django_db_setup: TestDatabase
):
    behind_the_back(django_db_setup, DAMAGE[0][0], [sealed.third])
    content = seals._read(sealed.second_window, 0, 2**62)
    behind_the_back(
        django_db_setup,
        "UPDATE payments_ledgerseal SET content = %s, marks = %s WHERE number = 2",
        [content.digest, content.marks],
    )

    assert found() == [f"broken 2 of {TOMORROW}"]


def test_verify__first_seal_removed__missing_and_its_window_unsealed(
    sealed: Lived, django_db_setup: TestDatabase
):
    behind_the_back(django_db_setup, "DELETE FROM payments_ledgerseal WHERE number = 1", [])

    assert found() == [
        f"missing 1 of {TOMORROW}",
        f"unsealed {sealed.first_window} of {TODAY}",
    ]


def test_verify__since_a_day__older_transactions_left_to_the_command(
    sealed: Lived, django_db_setup: TestDatabase
):
    behind_the_back(django_db_setup, DAMAGE[0][0], [sealed.second])

    verified = seals.verify(since=TOMORROW)

    assert (verified.transactions, verified.seals, verified.findings) == (1, 2, ())
    assert len(seals.verify(since=TODAY).findings) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_ledgerseal SET number = number",
        "DELETE FROM payments_ledgerseal",
        "TRUNCATE payments_ledgerseal",
    ],
)
def test_ledger_seal__application_role_and_owner__cannot_change_it(sealed: Lived, statement: str):
    for cursor_of, error in ((connection.cursor, DatabaseError), (owner, psycopg2.Error)):
        with pytest.raises(error) as caught, cursor_of() as cursor:
            cursor.execute(statement)
        assert getattr(caught.value.__cause__ or caught.value, "pgcode", None) == "42501"
    assert LedgerSeal.objects.count() == 2


# The command


def test_command__sound__counts_and_keeps_the_head(sealed: Lived, tmp_path: Path):
    head, out = tmp_path / "head.json", StringIO()

    call_command("verify_ledger", head=head, stdout=out)
    call_command("verify_ledger", head=head, stdout=out)

    line = "ledger: 4 transactions, 7 postings in 2 seals, 0 findings\n"
    assert out.getvalue() == line * 2
    assert json.loads(head.read_text())[0] == 2


def test_command__end_of_the_chain_gone__lost_by_the_head_kept_elsewhere(
    sealed: Lived, django_db_setup: TestDatabase, tmp_path: Path
):
    head, out = tmp_path / "head.json", StringIO()
    call_command("verify_ledger", head=head, stdout=out)
    behind_the_back(django_db_setup, "DELETE FROM payments_ledgerseal WHERE number = 2", [])
    kept = head.read_text()

    with pytest.raises(CommandError, match="not as it was sealed") as caught:
        call_command("verify_ledger", head=head, stdout=out)

    assert caught.value.returncode == 1
    assert out.getvalue().splitlines()[1:] == [
        "ledger: 3 transactions, 5 postings in 1 seals, 1 findings",
        "lost 2 of an unknown day",
    ]
    assert head.read_text() == kept
    seals.seal_closed(at=LATER + timedelta(hours=1))  # made again, at another moment
    assert [each.line() for each in seals.verify(known_head=tuple(json.loads(kept))).findings] == [
        f"lost 2 of {TOMORROW}"
    ]


def test_command__changed_row__named(sealed: Lived, django_db_setup: TestDatabase):
    out = StringIO()
    behind_the_back(django_db_setup, DAMAGE[0][0], [sealed.second])

    with pytest.raises(CommandError):
        call_command("verify_ledger", stdout=out)

    assert out.getvalue().splitlines()[1:] == [f"changed {sealed.second} of {TODAY}"]
