"""Spreads the balance of a payee whom everybody pays over several rows."""

from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from payments import ledger, queries


class Command(BaseCommand):
    """`manage.py spread_account merchant 7d1f…`: so that payers need not wait for one another."""

    help = (
        "Spreads an account's balance over 16 rows, or --shards; 1 brings it back into one. Nobody"
        " posts while it does, and no fen is lost."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the account's kind and owner: the id of the resident, organisation or bank."""
        parser.add_argument("kind")
        parser.add_argument("owner")
        parser.add_argument("--shards", type=int, default=ledger.HOT_SHARDS)

    def handle(self, *args: Any, kind: str, owner: str, shards: int, **options: Any) -> None:
        """Spread it and say so."""
        account = queries.account_of(kind=kind, owner=owner)
        if account is None:
            raise CommandError("There is no such account.")
        ledger.spread_account(account, shards=shards)
        self.stdout.write(f"The balance of account {account} has {shards} rows now.")
