"""The outside world for tests: one sandbox process a run, and the program pointed at it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings

from cards.issuers.http import card_issuer
from identity.register import http
from payments.banks.http import partner_bank
from vpass import processes
from vpass.common import outbox, sms
from vpass.common.clock import now
from vpass.programs import ROOT


@dataclass(frozen=True)
class OutsideWorld:
    """A running sandbox: the register and the SMS gateway, and the switch that breaks them."""

    url: str

    @cached_property
    def people(self) -> list[dict[str, str]]:
        """The demo people: real_name, id_number, phone."""
        return self.read("/register/demo-people")["people"]

    def read(self, path: str) -> Any:
        """What the sandbox answers to a GET."""
        return requests.get(self.url + path, timeout=10).json()

    def breaks(self, site: str, mode: str, **options: Any) -> None:
        """Make the next requests of a site ("register", "sms") go wrong; see vpass.sandbox."""
        order = {"site": site, "mode": mode, **options}
        requests.post(f"{self.url}/faults", json=order, timeout=10).raise_for_status()

    def heals(self) -> None:
        """Nothing is to go wrong any more, and the program forgets that it did."""
        requests.delete(f"{self.url}/faults", timeout=10).raise_for_status()
        http.population_register.cache_clear()
        partner_bank.cache_clear()
        card_issuer.cache_clear()
        sms._gateway.cache_clear()

    def last_message(self, phone: str) -> str:
        """The newest text sent to a phone, after everything that is due has been delivered."""
        outbox.deliver_due(at=now())
        return self.read(f"/sms/v1/inbox/{phone}")["items"][0]["text"]


@contextmanager
def sandbox_in(folder: Path, **environ: str) -> Iterator[OutsideWorld]:
    """A sandbox as a process of its own, for the length of the block; its keys lie in `folder`."""
    process = processes.spawn(
        [sys.executable, "-m", "vpass.sandbox"],
        log=folder.parent / "log" / "sandbox.log",
        end_signal=signal.SIGTERM,
        environ={
            **os.environ,
            "VPASS_SANDBOX_DIR": str(folder),
            "VPASS_SANDBOX_PORT": "0",
            **environ,
        },
        folder=ROOT,
    )
    note = folder / "sandbox.json"
    try:
        assert processes.becomes_ready(process, note.exists, within_s=20.0), "no sandbox"
        yield OutsideWorld(json.loads(note.read_text("utf-8"))["url"])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def issuers_at(url: str) -> dict[str, dict[str, str]]:
    """The setting that leads to the issuers of this sandbox."""
    return {
        code: {**known, "url": f"{url}/issuers/{code}"} for code, known in settings.ISSUERS.items()
    }


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[OutsideWorld]:
    """One sandbox for the whole run."""
    with sandbox_in(settings.STATE_DIR / "sandbox") as world:
        yield world


@pytest.fixture
def sandbox(sandbox_process: OutsideWorld, settings: Any) -> Iterator[OutsideWorld]:
    """The outside world in good order, with register and SMS settings that lead to it."""
    settings.REGISTER_URL = f"{sandbox_process.url}/register"
    settings.SMS_URL = f"{sandbox_process.url}/sms"
    settings.BANK_URL = f"{sandbox_process.url}/bank"
    settings.LIVENESS_URL = f"{sandbox_process.url}/liveness"
    settings.ISSUERS = issuers_at(sandbox_process.url)
    sandbox_process.heals()
    yield sandbox_process
    sandbox_process.heals()


@pytest.fixture
def sandbox_of_own(
    sandbox_process: OutsideWorld, live_server: Any, settings: Any, tmp_path: Path
) -> Iterator[OutsideWorld]:
    """A sandbox of this test's own, whose bank has empty books and knows where V Pass answers."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    for kept in (settings.STATE_DIR / "sandbox").iterdir():
        if kept.suffix in (".pem", ".txt"):
            shutil.copy(kept, folder)
    with sandbox_in(folder, VPASS_URL=live_server.url) as world:
        for site in ("register", "sms", "bank", "liveness"):
            setattr(settings, f"{site.upper()}_URL", f"{world.url}/{site}")
        settings.ISSUERS = issuers_at(world.url)
        settings.RELYING_SITES_URL = f"{world.url}/sites"
        settings.PUBLIC_URL = live_server.url
        world.heals()
        yield world
        world.heals()
