"""Django's own check of a deployment finds nothing but what we decided otherwise."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DECIDED_OTHERWISE = {
    # No cookie opens anything alone: each request of staff carries a signed Desk-Proof.
    "security.W003",
    # An API refuses plain http; redirecting people to https is the site's proxy's.
    "security.W008",
}


def test_check_deploy__behind_https__no_other_warning():
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PUBLIC_URL": "https://vpass.example"},
    )

    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"\((\w+\.[EWC]\d+)\)", done.stderr)) <= DECIDED_OTHERWISE
    assert "(0 silenced)" in done.stdout + done.stderr
