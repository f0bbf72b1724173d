"""Issues an enrolment code for a till."""

from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from identity import organisations
from identity.models import Organisation, Terminal
from vpass.common import clock


class Command(BaseCommand):
    """`manage.py till_code "1号收银台"`: the code by which one machine becomes this till."""

    help = "Prints a code, good once within 7 days, by which a machine becomes the named till."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the till's Chinese or English name, and its merchant's where that is not enough."""
        parser.add_argument("name")
        parser.add_argument("--merchant", default=None)

    def handle(self, *args: Any, name: str, merchant: str | None, **options: Any) -> None:
        """Issue and print it."""
        tills = Terminal.objects.filter(organisation__kind=Organisation.Kind.MERCHANT)
        if merchant is not None:
            tills = tills.filter(organisation__name_zh=merchant) | tills.filter(
                organisation__name_en=merchant
            )
        found = list(tills.filter(name_zh=name) | tills.filter(name_en=name))
        if len(found) != 1:
            raise CommandError(f"{len(found)} tills are called {name!r}; --merchant tells apart.")
        code = organisations.issue_terminal_code(
            terminal=found[0], actor="administrator", at=clock.now()
        )
        self.stdout.write(code)
