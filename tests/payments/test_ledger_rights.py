"""Nobody writes the ledger but its functions: not the application's role, and hardly the owner."""

import psycopg2
import psycopg2.errors
import pytest
from django.db import DatabaseError, connection, transaction

from payments.models import Transaction, Window
from tests.ledger import (
    AT,
    TODAY,
    account,
    bank,
    funded,
    hold,
    open_window,
    owner,
    post,
    rows,
    standing,
)

pytestmark = pytest.mark.django_db(transaction=True)

DENIED = "42501"
CHECK_VIOLATION = "23514"

INSERTS = {
    "payments_account": "(kind, owner, currency) VALUES ('resident', 'x', 'CNY')",
    "payments_balance": "(account_id, shard, posted_fen, held_fen) VALUES (1, 1, 5, 0)",
    "payments_transaction": (
        "(kind, caller, key, business_date, window_id, event_at, at)"
        " SELECT 'x', 'x', 'x', '2026-06-01', id, opened_at, opened_at FROM payments_window"
    ),
    "payments_posting": (
        "(transaction_id, seq, debit_id, credit_id, amount_fen)"
        " SELECT transaction_id, 2, debit_id, credit_id, 5 FROM payments_posting"
    ),
    "payments_hold": (
        "(id, account_id, amount_fen, captured_fen, purpose, reference, state, at)"
        " SELECT gen_random_uuid(), account_id, 1, 0, 'x', gen_random_uuid(), 'open', at"
        " FROM payments_hold"
    ),
}
CHANGES = {
    "payments_account": "SET owner = 'x'",
    "payments_balance": "SET posted_fen = posted_fen + 1",
    "payments_transaction": "SET kind = 'x'",
    "payments_posting": "SET amount_fen = amount_fen + 1",
    "payments_hold": "SET state = 'voided'",
}
STATEMENTS = [
    statement
    for table in INSERTS
    for statement in (
        f"INSERT INTO {table} {INSERTS[table]}",
        f"UPDATE {table} {CHANGES[table]}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    )
]
APPEND_ONLY = [
    statement
    for statement in STATEMENTS
    if not statement.startswith("INSERT")
    and ("payments_transaction" in statement or "payments_posting" in statement)
]
FUNCTIONS = (
    "account_v1",
    "capture_all_v1",
    "capture_v1",
    "close_window_v1",
    "expire_holds_v1",
    "hold_v1",
    "open_window_v1",
    "post_batch_v1",
    "post_v1",
    "reverse_v1",
    "spread_account_v1",
    "void_all_v1",
    "void_v1",
)


@pytest.fixture
def resident(transactional_db: None) -> int:
    """A resident with 1,000 fen, 300 of them held."""
    open_window()
    made = funded(1_000)
    hold(made, 300)
    return made


def sqlstate(error: BaseException) -> str | None:
    return getattr(error.__cause__ or error, "pgcode", None)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_ledger_tables__application_role__may_only_read(resident: int, statement: str):
    before = rows()

    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(statement)

    assert sqlstate(caught.value) == DENIED
    assert rows() == before
    assert standing(resident) == (1_000, 300)


@pytest.mark.parametrize("statement", APPEND_ONLY)
def test_ledger_tables__owner__cannot_change_what_was_posted(resident: int, statement: str):
    before = rows()

    with pytest.raises(psycopg2.Error, match="append-only") as caught, owner() as cursor:
        cursor.execute(statement)

    assert caught.value.pgcode == DENIED
    assert rows() == before


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ("transaction_id, 2, debit_id, credit_id, 0", "posting_amount"),
        ("transaction_id, 2, debit_id, credit_id, -5", "posting_amount"),
        ("transaction_id, 2, debit_id, debit_id, 5", "posting_two_sides"),
        ("transaction_id, 2, debit_id, NULL, 5", "credit_id"),
        ("transaction_id, 2, NULL, credit_id, 5", "debit_id"),
        ("transaction_id, 2, debit_id, credit_id, NULL", "amount_fen"),
        ("transaction_id, 1, debit_id, credit_id, 5", "posting_once"),
        ("NULL, 1, debit_id, credit_id, 5", "transaction_id"),
    ],
)
def test_posting__owner_writes_an_unbalanced_one__refused(
    resident: int, columns: str, constraint: str
):
    before = rows()

    with pytest.raises(psycopg2.IntegrityError, match=constraint), owner() as cursor:
        cursor.execute(
            "INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)"
            f" SELECT {columns} FROM payments_posting"
        )
    assert rows() == before


@pytest.mark.parametrize("side", ["404000000, credit_id", "debit_id, 404000000"])
def test_posting__owner_names_an_unknown_account__refused(resident: int, side: str):
    with pytest.raises(psycopg2.errors.ForeignKeyViolation), owner() as cursor:
        cursor.execute(
            "INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)"
            f" SELECT transaction_id, 2, {side}, 5 FROM payments_posting"
        )


def test_transaction__owner_writes_one_without_postings__refused(resident: int):
    before = rows()

    with pytest.raises(psycopg2.Error, match="has no posting") as caught, owner() as cursor:
        cursor.execute(f"INSERT INTO payments_transaction {INSERTS['payments_transaction']}")

    assert caught.value.pgcode == CHECK_VIOLATION
    assert rows() == before


@pytest.mark.parametrize(
    ("change", "constraint"),
    [("posted_fen = 299", "balance_floor"), ("held_fen = -1", "balance_held")],
)
def test_balance__owner_below_the_floor__refused(resident: int, change: str, constraint: str):
    with pytest.raises(psycopg2.errors.CheckViolation, match=constraint), owner() as cursor:
        cursor.execute(
            f"UPDATE payments_balance SET {change} WHERE account_id = %s",
            [resident],
        )
    assert standing(resident) == (1_000, 300)


@pytest.mark.parametrize(
    ("debits", "credits", "amounts"),
    [
        ([], [], []),
        (["bank"], ["resident"], [0]),
        (["bank"], ["resident"], [-1]),
        (["bank"], ["resident"], [10**15 + 1]),
        (["bank"], ["resident"], [None]),
        (["bank", "bank"], ["resident"], [1]),
        (["bank"], ["resident"], [1, 1]),
        (None, None, None),
        (["bank"], [None], [1]),
        (["bank", "bank"], ["resident", None], [1, 1]),
    ],
)
def test_post_v2__malformed_arrays_past_the_python__refused(
    transactional_db: None, debits: object, credits: object, amounts: object
):
    open_window()
    named = {"bank": bank(), "resident": account("resident")}

    def ids(names: object) -> object:
        return [named.get(name) for name in names] if isinstance(names, list) else None

    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM post_v1('x', 'x', 'x', NULL, NULL, %s, %s, %s,"
            " %s::bigint[], %s::bigint[], %s::bigint[])",
            [TODAY, AT, AT, ids(debits), ids(credits), amounts],
        )
    assert rows() == (0, 0, 0)


def test_functions__all__run_as_the_owner_with_a_pinned_search_path(transactional_db: None):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosecdef, 'search_path=public, pg_temp' = ANY (proconfig),"
            " pg_get_userbyid(proowner) = (SELECT tableowner FROM pg_tables"
            "   WHERE tablename = 'payments_posting'),"
            " has_function_privilege(current_user, oid, 'EXECUTE'),"
            " EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)"
            " FROM pg_proc WHERE proname = ANY (%s) ORDER BY proname",
            [list(FUNCTIONS)],
        )
        assert cursor.fetchall() == [(name, True, True, True, True, False) for name in FUNCTIONS]
        cursor.execute("SELECT current_user = tableowner FROM pg_tables LIMIT 1")
        assert cursor.fetchone() == (False,)


def test_application_role__tables_in_front_of_the_ledgers__cannot_make_any(resident: int):
    # pg_temp stands last in the search path of the functions, and here nobody may even use it.
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_database_privilege(current_database(), 'TEMP')")
        may_make_one = cursor.fetchone()[0]

    assert may_make_one is False


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_window SET state = 'closing' WHERE state = 'open'",
        "UPDATE payments_window SET state = 'open' WHERE state = 'closing'",
        "INSERT INTO payments_window (business_date, state, opened_at)"
        " SELECT business_date, 'open', opened_at FROM payments_window LIMIT 1",
        "DELETE FROM payments_window WHERE state = 'open'",
    ],
)
@pytest.mark.parametrize("is_owner", [False, True])
def test_window__turned_past_its_lock__refused(
    transactional_db: None, statement: str, is_owner: bool
):
    open_window()
    Window.objects.create(business_date=TODAY, state="closing", opened_at=AT, closed_at=AT)
    before = list(Window.objects.order_by("id").values())

    with pytest.raises((DatabaseError, psycopg2.Error)) as caught:
        if is_owner:
            with owner() as cursor:
                cursor.execute(statement)
        else:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)

    assert sqlstate(caught.value) == DENIED
    assert list(Window.objects.order_by("id").values()) == before


def test_window__later_states__are_the_settlements_to_set(transactional_db: None):
    Window.objects.create(business_date=TODAY, state="closing", opened_at=AT, closed_at=AT)

    assert Window.objects.filter(state="closing").update(state="netted") == 1


def test_post__by_the_application_role__works_where_bare_sql_does_not(resident: int):
    merchant = account("merchant")

    post((resident, merchant, 700))

    assert (standing(resident), standing(merchant)) == ((300, 300), (700, 0))
    assert Transaction.objects.count() == 2
