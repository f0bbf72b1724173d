"""Runs a committed script by pgbench, as the owner, with prepared statements."""

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vpass.embedded.postgres import WHEEL, WHEEL_PARTS

PATIENCE_S = 60.0


def pgbench_rate(
    script: Path, owner_url: str, *, clients: int, seconds: float, variables: Mapping[str, int]
) -> float:
    """Transactions a second, without the time to connect."""
    wheel = find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        raise RuntimeError("pgbench comes with PostgreSQL's wheel, which is not installed")
    program = Path(wheel.origin).resolve().parent.parent / WHEEL_PARTS[0] / "bin" / "pgbench"
    parts = urlsplit(owner_url)
    command = [str(program), "--no-vacuum", "--protocol=prepared", f"--file={script}"]
    command += [f"--client={clients}", "--jobs=2", f"--time={seconds:.0f}"]
    command += [f"--define={name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        [*command, f"host={unquote(parts.query.partition('host=')[2])} dbname={parts.path[1:]}"],
        env={
            **os.environ,
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    rate = re.search(r"tps = ([0-9.]+) \(without initial connection time\)", done.stdout)
    if done.returncode or rate is None:
        raise RuntimeError(f"pgbench failed: {done.stdout}{done.stderr}")
    return float(rate[1])
