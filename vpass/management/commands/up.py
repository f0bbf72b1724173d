"""Brings everything up and stays: engines, migrations, city, sandbox, web, worker, beat."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser, get_commands

from vpass.celery import QUEUES
from vpass.embedded import EngineFailure
from vpass.supervisor import WEB_PORT, AlreadyUp, StackFailure, Supervisor, read_run

PAGES = (
    ("/phone/", "手机 the resident's phone"),
    ("/counter/", "窗口 the counter"),
    ("/till/", "收银台 the till"),
    ("/operations/", "运行 operations"),
    ("/city/", "城市今日 the city today"),
    ("/health/ready", "就绪 readiness"),
)
# kept in the file, but nothing a person would type
FOR_MACHINES = {"bus", "day", "departments", "issuers", "terminal"}


class Command(BaseCommand):
    """`manage.py up`: a Supervisor with its steps shown, one line of state for each program."""

    help = "Starts everything, plays the citizen's day the first time, and stays until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        port = int(os.environ.get("VPASS_PORT", WEB_PORT))
        parser.add_argument("--port", type=int, default=port, help="the web's; 0: any free one")
        parser.add_argument("--without-day", action="store_true", help="do not play the day")

    def handle(self, *args: Any, port: int, without_day: bool, **options: Any) -> None:
        supervisor = Supervisor(
            state_dir=settings.STATE_DIR,
            queues=sorted(set(QUEUES.values())),
            say=self.say,
            port=port,
        )

        def stop(number: int, frame: FrameType | None) -> None:
            supervisor.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        try:
            supervisor.claim()
        except AlreadyUp:
            run = read_run(settings.STATE_DIR)
            where = f" at {run.web_url} (pid {run.pid})" if run else ", still starting"
            raise CommandError(f"V Pass is already up{where}.") from None
        try:
            self.bring_up(supervisor, without_day=without_day)
            supervisor.tend_until_stopped()
        except (EngineFailure, StackFailure) as error:
            raise CommandError(str(error)) from error
        finally:
            self.say("Stopping …")
            supervisor.stop()
            self.say("Everything has ended.")

    def bring_up(self, supervisor: Supervisor, *, without_day: bool) -> None:
        """All steps, each of which returns at once after a signal to stop."""
        logins = settings.STATE_DIR / "demo.json"
        had_logins = logins.exists()
        self.say("V Pass is starting.")
        supervisor.start_engines()
        supervisor.choose_addresses()
        self.step(supervisor, "migrate", "--noinput", as_owner=True)
        if "seed" in get_commands():
            self.step(supervisor, "seed")
        if not supervisor.stopping:
            supervisor.start_programs()
        if supervisor.stopping:
            return
        if not without_day and "day" in get_commands():
            self.play_day_once(supervisor)
        self.show_pages(supervisor, logins=logins, are_new=not had_logins)

    def step(self, supervisor: Supervisor, *arguments: str, as_owner: bool = False) -> None:
        """Runs one management command and says how long it took."""
        if supervisor.stopping:
            return
        begun = time.monotonic()
        if supervisor.run_command(*arguments, as_owner=as_owner):
            self.say(f"  {arguments[0]:<9}done     {time.monotonic() - begun:.1f} s")
        elif not supervisor.stopping:
            log = settings.STATE_DIR / "log" / f"{arguments[0]}.log"
            tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
            raise StackFailure(f"{arguments[0]} failed; see {log}\n{tail}")

    def play_day_once(self, supervisor: Supervisor) -> None:
        """Plays the citizen's day unless it has been played here before.

        Where a real register stands behind, there are no invented people to play it with.
        """
        played = settings.STATE_DIR / "day-played"
        if played.exists() or os.environ.get("REGISTER_URL"):
            return
        self.say("The citizen's day:")
        if supervisor.run_command("day", show=True):
            played.touch()
        elif not supervisor.stopping:
            self.say("THE DAY HAS FAILED. It will be played again at the next start.")

    def show_pages(self, supervisor: Supervisor, *, logins: Path, are_new: bool) -> None:
        """The addresses, and the demo log-ins: with their secrets only when they are new."""
        if supervisor.stopping:
            return
        self.say("\nPages:")
        for path, title in PAGES:
            self.say(f"  {supervisor.web_url}{path:<16}{title}")
        if logins.exists() and are_new:
            self.say(f"\nDemo log-ins (shown once, kept in {logins}):")
            for name, login in json.loads(logins.read_text("utf-8")).items():
                if name not in FOR_MACHINES:
                    self.say(f"  {name}: {json.dumps(login, ensure_ascii=False, indent=4)}")
        elif logins.exists():
            self.say(f"\nDemo log-ins: {logins}")
        self.say(f"Logs: {settings.STATE_DIR / 'log'}\nCtrl-C ends everything.")

    def say(self, text: str) -> None:
        """Shows a line at once; a reader who has gone does not end the program."""
        with contextlib.suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()
