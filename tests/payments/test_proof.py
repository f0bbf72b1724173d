"""The proof finds what someone with all rights changed behind the functions' back."""

from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg2
import pytest
from django.core.management import CommandError, call_command

from payments import ledger, proof
from payments.proof import Finding
from tests.engines import TestDatabase
from tests.ledger import (
    AT,
    account,
    bank,
    capture,
    funded,
    hold,
    open_window,
    owner,
    post,
)
from tests.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)


class Lived:
    """A ledger with some of everything on it."""

    def __init__(self) -> None:
        open_window()
        self.bank = bank()
        self.resident, self.other = account("resident"), funded(5_000)
        self.merchant, self.fee = account("merchant"), account("fee")
        self.top_up = post((self.bank, self.resident, 10_000), kind="top_up").transaction_id
        self.payment = post(
            (self.resident, self.merchant, 1_000), (self.merchant, self.fee, 6)
        ).transaction_id
        captured = hold(self.other, 800)
        capture(captured, (self.other, self.merchant, 500))
        ledger.void(hold_id=hold(self.other, 70), at=AT)
        hold(self.other, 60, expires_at=AT)
        ledger.expire_holds(at=AT)
        self.hold = hold(self.resident, 300, expires_at=AT + timedelta(days=1))
        ledger.reverse(
            post((self.resident, self.merchant, 50)).transaction_id,
            kind="reversal",
            caller="terminal:1",
            key="reversal",
            event_at=AT,
            at=AT,
        )


@pytest.fixture
def lived(transactional_db: None) -> Lived:
    return Lived()


def behind_the_back(database: TestDatabase, statement: str, parameters: list[Any]) -> None:
    """Runs a statement with every trigger and foreign key off."""
    connection = psycopg2.connect(database._cleaner_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, parameters)
            assert cursor.rowcount == 1
    finally:
        connection.close()


def test_prove__untouched__sound_and_counted_in_one_reading(lived: Lived):
    with statements() as sent:
        proved = proof.prove(AT)

    assert proved == proof.Findings(at=AT, accounts=6, transactions=6, postings=7, findings=())
    assert proved.is_sound
    assert len(sent) == 2  # the second is all of it, so that it sees one moment


def test_prove__empty_ledger__sound(transactional_db: None):
    assert proof.prove(AT) == proof.Findings(AT, 0, 0, 0, ())


def test_prove__balance_changed_by_the_owner__found(lived: Lived):
    with owner() as cursor:
        cursor.execute(
            "UPDATE payments_balance SET posted_fen = posted_fen + 1 WHERE account_id = %s",
            [lived.resident],
        )

    assert proof.prove(AT).findings == (
        Finding("balance_is_sum_of_postings", lived.resident, 9_000, 9_001),
        Finding("balances_sum_to_zero", 0, 0, 1),
    )


def test_prove__one_fen_moved_between_balances__both_found(lived: Lived):
    with owner() as cursor:
        cursor.execute(
            "UPDATE payments_balance SET posted_fen = posted_fen"
            " + CASE account_id WHEN %s THEN 1 ELSE -1 END WHERE account_id IN (%s, %s)",
            [lived.merchant, lived.merchant, lived.other],
        )

    assert [finding.check for finding in proof.prove(AT).findings] == [
        "balance_is_sum_of_postings",
        "balance_is_sum_of_postings",
    ]


@pytest.mark.parametrize("change", ["held_fen = held_fen - 1", "held_fen = held_fen + 1"])
def test_prove__held_changed_by_the_owner__found(lived: Lived, change: str):
    with owner() as cursor:
        cursor.execute(
            f"UPDATE payments_balance SET {change} WHERE account_id = %s", [lived.resident]
        )

    assert [(each.check, each.subject, each.expected) for each in proof.prove(AT).findings] == [
        ("held_is_sum_of_open_holds", lived.resident, 300)
    ]


def test_prove__hold_ended_by_the_owner__found(lived: Lived):
    with owner() as cursor:
        cursor.execute("UPDATE payments_hold SET state = 'voided' WHERE id = %s", [str(lived.hold)])

    assert proof.prove(AT).findings == (
        Finding("held_is_sum_of_open_holds", lived.resident, 0, 300),
    )


def test_prove__posting_deleted_with_triggers_off__found(
    lived: Lived, django_db_setup: TestDatabase
):
    behind_the_back(
        django_db_setup,
        "DELETE FROM payments_posting WHERE transaction_id = %s AND seq = 1",
        [lived.payment],
    )

    assert proof.prove(AT).findings == (
        Finding("balance_is_sum_of_postings", lived.resident, 10_000, 9_000),
        Finding("balance_is_sum_of_postings", lived.merchant, 494, 1_494),
        Finding("transaction_has_all_postings", lived.payment, 2, 1),
    )


def test_prove__only_posting_deleted_with_triggers_off__found(
    lived: Lived, django_db_setup: TestDatabase
):
    behind_the_back(
        django_db_setup,
        "DELETE FROM payments_posting WHERE transaction_id = %s",
        [lived.top_up],
    )

    assert Finding("transaction_has_all_postings", lived.top_up, 1, 0) in proof.prove(AT).findings


def test_prove__transaction_deleted_with_triggers_off__found(
    lived: Lived, django_db_setup: TestDatabase
):
    behind_the_back(
        django_db_setup, "DELETE FROM payments_transaction WHERE id = %s", [lived.top_up]
    )

    assert proof.prove(AT).findings == (
        Finding("transaction_has_all_postings", lived.top_up, 1, 1),
    )


@pytest.mark.parametrize(
    "change", ["amount_fen = amount_fen + 1", "debit_id = credit_id, credit_id = debit_id"]
)
def test_prove__posting_changed_with_triggers_off__found(
    lived: Lived, django_db_setup: TestDatabase, change: str
):
    behind_the_back(
        django_db_setup,
        f"UPDATE payments_posting SET {change} WHERE transaction_id = %s",
        [lived.top_up],
    )

    found = {(finding.check, finding.subject) for finding in proof.prove(AT).findings}
    assert found == {
        ("balance_is_sum_of_postings", lived.bank),
        ("balance_is_sum_of_postings", lived.resident),
    }


def test_prove__balance_row_deleted__found(lived: Lived):
    with owner() as cursor:
        cursor.execute("DELETE FROM payments_balance WHERE account_id = %s", [lived.fee])

    found = {finding.check: finding.subject for finding in proof.prove(AT).findings}
    assert found["account_has_balance"] == lived.fee
    assert found["balance_is_sum_of_postings"] == lived.fee


def test_prove__balance_below_the_floor_without_the_check__found(lived: Lived):
    with owner() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'balance_floor'"
        )
        check = cursor.fetchone()[0]
        cursor.execute("ALTER TABLE payments_balance DROP CONSTRAINT balance_floor")
        cursor.execute(
            "UPDATE payments_balance SET floor_fen = 9000 WHERE account_id = %s", [lived.merchant]
        )
    try:
        assert proof.prove(AT).findings == (
            Finding("balance_above_floor", lived.merchant, 9_000, 1_494),
        )
    finally:
        with owner() as cursor:
            cursor.execute("UPDATE payments_balance SET floor_fen = 0 WHERE floor_fen = 9000")
            cursor.execute(f"ALTER TABLE payments_balance ADD CONSTRAINT balance_floor {check}")


def test_prove__account_changes_its_currency__found(lived: Lived):
    with owner() as cursor:
        cursor.execute(
            "UPDATE payments_account SET currency = 'HKD' WHERE id = %s", [lived.resident]
        )

    assert {finding.check for finding in proof.prove(AT).findings} == {"accounts_share_currency"}


def test_command__sound__says_what_was_counted(lived: Lived):
    out = StringIO()

    call_command("prove_ledger", stdout=out)

    assert out.getvalue() == "The ledger is sound: 6 accounts, 6 transactions, 7 postings.\n"


def test_command__finding__lists_it_and_ends_with_1(lived: Lived):
    out = StringIO()
    with owner() as cursor:
        cursor.execute(
            "UPDATE payments_balance SET posted_fen = posted_fen + 1 WHERE account_id = %s",
            [lived.resident],
        )

    with pytest.raises(CommandError) as caught:
        call_command("prove_ledger", stdout=out)

    assert caught.value.returncode == 1
    assert out.getvalue().splitlines() == [
        f"balance_is_sum_of_postings {lived.resident}: expected 9000, found 9001",
        "balances_sum_to_zero 0: expected 0, found 1",
    ]
