"""Issues an enrolment code for a desk's browser."""

from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from identity import organisations
from identity.models import Desk
from vpass.common import clock


class Command(BaseCommand):
    """`manage.py desk_code "1号窗口"`: the code by which one browser becomes this desk."""

    help = "Prints a code, good once within 7 days, by which a browser becomes the named desk."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the desk's Chinese or English name."""
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        """Issue and print it."""
        found = list(Desk.objects.filter(name_zh=name) | Desk.objects.filter(name_en=name))
        if len(found) != 1:
            raise CommandError(f"{len(found)} desks are called {name!r}.")
        at = clock.now()
        self.stdout.write(
            organisations.issue_desk_code(desk=found[0], actor="administrator", at=at)
        )
