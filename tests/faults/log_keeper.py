"""Has a stack's own verifier look at its access log, and keeps the ends of the chain elsewhere.

Run as a program, in the environment of the stack: `python -m tests.faults.log_keeper`. It reads a
line of JSON for each look: the heads known so far, and whether nobody writes any more, so that
every line can be sealed at once. A line of JSON comes back.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from tests.faults.kills import BACK_WITHIN_S
from vpass.programs import ROOT


@dataclass
class LogKeeper:
    """Somebody beside the stack who remembers how far the chain had come, as an auditor would."""

    _asked: IO[str]
    _told: IO[str]
    heads: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    seals: int = 0

    def look(self, *, at_rest: bool) -> list[str]:
        """What is not as it was sealed, a line of text each; `at_rest`: seal everything first."""
        self._asked.write(json.dumps({"heads": self.heads, "at_rest": at_rest}) + "\n")
        self._asked.flush()
        found = json.loads(self._told.readline())
        if not found["findings"]:
            self.heads = found["heads"]
        self.lines, self.seals = found["lines"], found["seals"]
        return list(found["findings"])


@contextmanager
def keep_log(environ: Mapping[str, str]) -> Iterator[LogKeeper]:
    """A keeper for the stack with this environment."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.log_keeper"],
        cwd=ROOT,
        env={**environ, "DJANGO_SETTINGS_MODULE": "vpass.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        yield LogKeeper(program.stdin, program.stdout)


def main() -> None:
    """Answers every line."""
    import django

    django.setup()
    from django.db import DatabaseError, connection

    for line in sys.stdin:
        begun = time.monotonic()
        while True:
            connection.close()  # the server may have been killed since
            try:
                told = _look(**json.loads(line))
                break
            except DatabaseError:
                if time.monotonic() - begun > BACK_WITHIN_S:
                    raise
                time.sleep(0.2)
        print(json.dumps(told), flush=True)


def _look(*, heads: dict[str, list[Any]], at_rest: bool) -> dict[str, Any]:
    from identity import access_chain
    from vpass.common import clock

    if at_rest:
        # As if it were so late already that every line has settled.
        access_chain.seal_lines(at=clock.now() + access_chain.SETTLED_AFTER)
    verified = access_chain.verify(
        known_heads={int(shard): (number, digest) for shard, (number, digest) in heads.items()}
    )
    return {
        "lines": verified.lines,
        "seals": verified.seals,
        "heads": verified.heads,
        "findings": [finding.line() for finding in verified.findings],
    }


if __name__ == "__main__":
    main()
