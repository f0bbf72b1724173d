"""Fills the small demo city, once."""

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from vpass import seed
from vpass.common import clock


class Command(BaseCommand):
    """`manage.py seed`: organisations, desks, staff, a terminal and the city's signing keys."""

    help = "Fills a small city; a city that is filled already is left as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        """Fill it, and say where the log-ins are."""
        seed.fill_city(state_dir=settings.STATE_DIR, at=clock.now())
        self.stdout.write(f"Log-ins: {settings.STATE_DIR / seed.LOGINS}")
