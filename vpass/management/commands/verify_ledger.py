"""`manage.py verify_ledger`: compares every sealed transaction of the ledger with its seal."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payments import seals


class Command(BaseCommand):
    """Names each transaction changed, removed or inserted; exits with 1 if there is one."""

    help = (
        "Verifies the closed days of the ledger against their seals. With --head FILE the end of"
        " the chain is compared with that of the run before, kept in FILE on another machine, and"
        " written anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file of the head."""
        parser.add_argument("--head", type=Path, metavar="FILE")

    def handle(self, *args: Any, head: Path | None, **options: Any) -> None:
        """Print what was counted, then each finding on a line of its own, the oldest first."""
        known = json.loads(head.read_text("utf-8")) if head and head.exists() else None
        verified = seals.verify(known_head=tuple(known) if known else None)
        self.stdout.write(
            f"ledger: {verified.transactions} transactions, {verified.postings} postings in"
            f" {verified.seals} seals, {len(verified.findings)} findings"
        )
        for finding in verified.findings:
            self.stdout.write(finding.line())
        if verified.findings:
            raise CommandError("the ledger is not as it was sealed")
        if head:
            head.write_text(json.dumps(verified.head), "utf-8")
