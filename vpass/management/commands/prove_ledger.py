"""Counts every balance of the ledger again."""

from typing import Any

from django.core.management import BaseCommand, CommandError

from payments import proof
from vpass.common import clock


class Command(BaseCommand):
    """`manage.py prove_ledger`: ends with 1 when something is not as it must be."""

    help = "Recomputes every balance from its postings and holds; ends with 1 on a finding."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prove it and say what was found."""
        proved = proof.prove(clock.now())
        for finding in proved.findings:
            self.stdout.write(finding.line())
        counted = (
            f"{proved.accounts} accounts, {proved.transactions} transactions,"
            f" {proved.postings} postings"
        )
        if not proved.is_sound:
            raise CommandError(f"The ledger is not sound ({counted}).")
        self.stdout.write(f"The ledger is sound: {counted}.")
