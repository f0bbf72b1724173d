"""A migrated database, made once for a whole test run and copied for each PostgreSQL it starts.

Making the cluster and migrating cost eight seconds of a processor, which the two processes of a run
and each of its stacks paid. A copy costs a tenth of one, and has nothing in it but what the
migrations left: the city is filled by whoever uses it, with secrets of its own.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vpass import embedded
from vpass.embedded.addresses import passwords
from vpass.programs import ROOT
from vpass.secrets import make_private_folder

RUN = "VPASS_TEST_RUN"  # the state folder of the run's first process, inherited by its workers


def share_passwords(state_dir: Path) -> None:
    """Gives a state folder the passwords of the run's first: a copied database knows no others."""
    first = Path(os.environ[RUN])
    passwords(first)  # made at first use
    if state_dir != first:
        shutil.copy(first / "engines.json", state_dir)


def lay(state_dir: Path) -> bool:
    """Lays the run's migrated data into an empty state folder; False where there can be none."""
    kept = Path(os.environ[RUN]) / "template"
    with (kept.parent / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _make(kept)
    if not (kept / "postgres").exists():
        return False
    share_passwords(state_dir)
    # cp keeps the owner, whom PostgreSQL asks for
    subprocess.run(["cp", "-Rp", str(kept / "postgres"), str(state_dir)], check=True)
    return True


def migrate(environ: dict[str, str]) -> None:
    """Migrates the database that `environ` names, as its owner, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"],
        cwd=ROOT,
        env={**environ, "VPASS_ROLE": "owner"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.exit(f"the test database cannot be migrated:\n{done.stdout}{done.stderr}", 2)


def _make(kept: Path) -> None:
    making = kept.with_name("template.new")
    make_private_folder(making)
    share_passwords(making)
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    try:
        with embedded.running(making, environ={}) as engines:
            migrate({**environ, "VPASS_STATE_DIR": str(making)})
        make_private_folder(kept)
        # Root's data may have to lie elsewhere, and then a copy would not be found: none is kept.
        if engines.postgres is not None and engines.postgres.data.parent == making:
            engines.postgres.data.rename(kept / "postgres")
    finally:
        embedded.remove(making)
        shutil.rmtree(making, ignore_errors=True)
