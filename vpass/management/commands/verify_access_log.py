"""`manage.py verify_access_log`: compares every sealed line of the access log with its seal."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from identity import access_chain


class Command(BaseCommand):
    """Names each line that was changed, removed or inserted; exits with 1 if there is one."""

    help = (
        "Verifies the access log against its seals. With --heads FILE the ends of the chain are"
        " compared with those of the run before, kept in FILE on another machine, and written anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file of heads."""
        parser.add_argument("--heads", type=Path, metavar="FILE")

    def handle(self, *args: Any, heads: Path | None, **options: Any) -> None:
        """Print what was counted, then each finding on a line of its own."""
        known = json.loads(heads.read_text("utf-8")) if heads and heads.exists() else {}
        verified = access_chain.verify(
            known_heads={int(shard): (number, digest) for shard, (number, digest) in known.items()}
        )
        self.stdout.write(
            f"access log: {verified.lines} lines in {verified.seals} seals,"
            f" {len(verified.findings)} findings"
        )
        for finding in verified.findings:
            self.stdout.write(finding.line())
        if verified.findings:
            raise CommandError("the access log is not as it was sealed")
        if heads:
            heads.write_text(json.dumps(verified.heads), "utf-8")
