"""A stack of the fault tests' own, for it is going to suffer."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import template
from tests.engines import remove_state, site_free_environment
from tests.faults.clients import meet
from tests.faults.log_keeper import keep_log
from tests.faults.stage import Stage
from tests.people import known_keys
from vpass import supervisor
from vpass.programs import ROOT
from vpass.secrets import iot_source_of_sandbox, make_private_folder

__all__ = ["known_keys"]


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A stack with the fault tests' town in it, and money in every wallet."""
    folder = Path(tempfile.mkdtemp(prefix="vpass-stack-"))
    make_private_folder(folder)
    template.lay(folder)
    environ = site_free_environment(folder)
    try:
        with (
            supervisor.stack(state_dir=folder, environ=environ) as run,
            keep_log(environ) as log,
        ):
            made = subprocess.run(
                [sys.executable, "-m", "tests.faults.town"],
                cwd=ROOT,
                env={**environ, "DJANGO_SETTINGS_MODULE": "vpass.settings"},
                stdout=subprocess.PIPE,
                check=True,
            )
            town = meet(
                json.loads(made.stdout.splitlines()[-1]),
                web_url=run.web_url,
                public_url=run.public_url,
                sandbox_url=run.sandbox_url,
                iot_source=iot_source_of_sandbox(folder),
            )
            is_full = int(os.environ.get("VPASS_ROUNDS", "0")) > 0
            stage = Stage(folder, town, log, is_full=is_full)
            stage.open()
            yield stage
    finally:
        remove_state(folder)
