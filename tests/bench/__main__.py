"""Measures what the program reaches: `python -m tests.bench [name ...]`.

Starts a stack of its own, prints a line for each figure and writes `bench.json`. Ends with 1 when a
goal is missed.
"""

import importlib
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import django

from tests.bench.figures import Figure
from tests.engines import remove_state, site_free_environment
from vpass import supervisor
from vpass.programs import ROOT
from vpass.secrets import make_private_folder

BENCHES = (
    "redeem", "grant", "verify_offline", "pay", "tap", "post", "post_hot", "post_batch",
    "book", "intake", "drain", "history",
)  # fmt: skip


def main(wanted: list[str]) -> int:
    """Runs the benches named, or all."""
    if unknown := set(wanted) - set(BENCHES):
        print(f"no such bench: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
        return 2
    figures = []
    state_dir = Path(tempfile.mkdtemp(prefix="vpass-bench-"))
    make_private_folder(state_dir)
    environ = site_free_environment(state_dir)
    print("starting a stack of its own ...", flush=True)
    try:
        with supervisor.stack(state_dir=state_dir, environ=environ) as run:
            os.environ.clear()
            os.environ |= environ
            os.environ |= {"DJANGO_SETTINGS_MODULE": "vpass.settings", "PUBLIC_URL": run.web_url}
            django.setup()
            for name in wanted or BENCHES:
                print(f"measuring {name} ...", flush=True)
                # Only now: a bench's modules need the settings of the stack.
                figure: Figure = importlib.import_module(f"tests.bench.{name}").measure(
                    run, state_dir=state_dir
                )
                print(figure.line(), flush=True)
                for detail, value in figure.details.items():
                    print(f"  {detail}: {value}", flush=True)
                figures.append(figure)
    finally:
        remove_state(state_dir)
    report = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "figures": [figure.as_json() for figure in figures],
    }
    (ROOT / "bench.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0 if all(figure.is_reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
