"""Tells whether a function stands inside or outside a transaction, for those to whom it matters."""

from django.db import connection


def is_in_transaction() -> bool:
    """Whether a transaction of the program is open; a test's own enclosing one does not count."""
    blocks = connection.atomic_blocks
    # Django marks a test case's block for its own `durable` check, which means the same.
    return bool(blocks) and not blocks[-1]._from_testcase  # type: ignore[attr-defined]


def require_transaction(what: str) -> None:
    """Raises RuntimeError unless `what` would commit together with the caller's work."""
    if not connection.in_atomic_block:
        raise RuntimeError(f"{what} belongs in the transaction of the work it follows from")


def require_autocommit(what: str) -> None:
    """Raises RuntimeError if `what`, which has to outlive a failing caller, could roll back."""
    if is_in_transaction():
        raise RuntimeError(f"{what} has to outlive a rollback, so it cannot stand in a transaction")
