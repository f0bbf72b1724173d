"""Takes users of the older Cloud Pay over from a file."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from identity import takeovers
from vpass.common import clock


class Command(BaseCommand):
    """`manage.py take_over users.csv`: each row a phone number and the account's reference there.

    It says how many it took over, and of refused rows the number and the reason, nothing else. The
    same file again changes nothing.
    """

    help = "Opens an account of level 1 for each row `phone,reference` of a CSV file in UTF-8."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        """Import, and tell what came of it; exit code 1 when a row was refused."""
        try:
            found = takeovers.import_users(_rows(file), actor="administrator", at=clock.now())
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise CommandError(f"The file cannot be read: {type(error).__name__}.") from error
        self.stdout.write(
            f"{found.opened} opened, {found.joined} joined to accounts that were here,"
            f" {found.repeated} known already, {len(found.refused)} refused"
        )
        for number, reason in found.refused:
            self.stdout.write(f"row {number}: {reason}")
        if found.refused:
            raise CommandError(f"{len(found.refused)} rows were refused.")


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.reader(lines, strict=True):
            # A row of another shape is refused by its number, like one with a bad phone.
            yield (row[0].strip(), row[1].strip()) if len(row) == 2 else ("", "")
