"""Plays the citizen's day as a check, on the stack that is up or on one of its own."""

import fcntl
import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser

from vpass import seed
from vpass.day.memory import Memory
from vpass.day.outside import Outside
from vpass.day.play import play, prepare
from vpass.day.story import STEPS
from vpass.day.transport import HttpTransport, Patience
from vpass.secrets import make_private_folder
from vpass.supervisor import Run, StackFailure, stack

PATIENCE_S = 30.0  # altogether, for what is away for a moment


class Command(BaseCommand):
    """`manage.py day`: a line for each step; the last line and the exit code say how it went."""

    help = "Plays the citizen's day over HTTP; ends with `day: N steps, 0 failed` when all is well."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a desk code for the rare case that the seeded one is out of date."""
        parser.add_argument("--desk-code", default="", help="a new code for the day's desk")

    def handle(self, *args: Any, desk_code: str, **options: Any) -> None:
        """Play it; exit code 1 when anything failed."""
        make_private_folder(settings.STATE_DIR)
        with (settings.STATE_DIR / "day.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("A day is being played here already.") from None
            try:
                with stack(state_dir=settings.STATE_DIR) as run:
                    failed = self.play(run, desk_code=desk_code)
            except StackFailure as error:
                self.say(f"FAILED  {error}")
                failed = len(STEPS)
        self.say(f"day: {len(STEPS)} steps, {failed} failed")
        if failed:
            sys.exit(1)

    def play(self, run: Run, *, desk_code: str) -> int:
        """Play all steps on a running stack; returns how many failed."""
        logins = read_logins(settings.STATE_DIR / seed.LOGINS)
        patience = Patience(PATIENCE_S)
        day = prepare(
            transport=HttpTransport(run.web_url, public_url=run.public_url, patience=patience),
            outside=Outside(run.sandbox_url, patience=patience),
            memory=Memory.load(settings.STATE_DIR / "day.json"),
            logins=logins,
            desk_code=desk_code,
        )
        failed = play(STEPS, day, say=self.say)
        if patience.repeated:
            self.say(f"{patience.repeated} requests had no answer at first and were sent again")
        return failed

    def say(self, line: str) -> None:
        """Show a line at once."""
        self.stdout.write(line)
        self.stdout.flush()


def read_logins(path: Path) -> dict[str, Any]:
    """The demo log-ins that the seeding wrote down."""
    try:
        logins: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CommandError(f"There are no demo log-ins at {path}.") from None
    return logins
