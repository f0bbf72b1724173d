"""Removes everything this checkout has stored: data, secrets, logs. Asks first on a terminal."""

import shutil
import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser

from vpass import embedded
from vpass.supervisor import AlreadyUp, Supervisor


class Command(BaseCommand):
    """`manage.py reset`: the state folder goes, and with it the embedded engines' data."""

    help = "Removes the state folder with the embedded engines' data, secrets and logs."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, yes: bool, **options: Any) -> None:
        supervisor = Supervisor(state_dir=settings.STATE_DIR, queues=(), say=print, port=0)
        try:
            supervisor.claim()
        except AlreadyUp:
            raise CommandError("V Pass is up here; end it with Ctrl-C first.") from None
        if sys.stdin.isatty() and not yes:
            answer = input(f"Remove all data and secrets in {settings.STATE_DIR}? [y/N] ")
            if answer.strip().lower() != "y":
                raise CommandError("Nothing was removed.")
        embedded.remove(settings.STATE_DIR)
        shutil.rmtree(settings.STATE_DIR)
        self.stdout.write(f"Removed {settings.STATE_DIR}.")
        if not settings.IS_EMBEDDED:
            self.stdout.write("The database that DATABASE_URL names was left as it is.")
