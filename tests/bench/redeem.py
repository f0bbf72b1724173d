"""Measures `redeem`: codes verified over HTTP at a counter, against a trivial authenticated view.

Both are served by Granian in the same way and write to the same database. A round measures one
after the other, the next round in the other order. Proofs and codes are signed before each round.
"""

import json
import secrets
import statistics
import time
from pathlib import Path

import psycopg2
from django.db import connection

from tests import city
from tests.bench import frame, load
from tests.bench.baselines.views import TABLE
from tests.bench.figures import Figure
from vpass import embedded
from vpass.common import clock
from vpass.common.api.authentication import staff_cookie_name
from vpass.supervisor import Run

CLIENTS = 8
PHONES = 16
ROUNDS = 10
REQUESTS_A_ROUND = 200  # of each side
SCANS = f"{city.COUNTER}/scans"
INSERT = "/insert"


class Cast:
    """The clerks at their desks, and the phones whose codes they scan."""

    def __init__(self) -> None:
        at = clock.now()
        hall = city.make_organisation("测速大厅", name_en="Bench Hall")
        self.clerks = [
            city.sign_in_clerk(
                city.make_desk(hall, name=f"{number}号窗口"), username=f"bench-{number}", at=at
            )
            for number in range(CLIENTS)
        ]
        self.grants = [
            city.make_phone(index, at=at).grant(at=at) for index in range(100, 100 + PHONES)
        ]

    def scans(self, count: int, url: str) -> list[list[bytes]]:
        """`count` scans of a fresh code each, dealt to the clerks."""
        return self._dealt(count, url + SCANS, path=SCANS)

    def inserts(self, count: int, url: str) -> list[list[bytes]]:
        """As many posts of the same shape to the baseline."""
        return self._dealt(count, url + INSERT, path=INSERT)

    def _dealt(self, count: int, url: str, *, path: str) -> list[list[bytes]]:
        batches: list[list[bytes]] = [[] for _ in self.clerks]
        for number in range(count):
            turn = number % len(self.clerks)
            clerk, grant = self.clerks[turn], self.grants[number % len(self.grants)]
            body = {
                "code": grant.code(clock.now()),
                "purpose": city.PURPOSE,
                "case_number": f"WF-{number}",
            }
            proof = city.key_proof(clerk.key, method="POST", path=path, token=clerk.token, htu=url)
            headers = {
                "Desk-Proof": proof,
                "Cookie": f"{staff_cookie_name()}={clerk.token}",
                "Idempotency-Key": secrets.token_hex(16),
            }
            batches[turn].append(load.written(url, headers=headers, body=json.dumps(body).encode()))
        return batches


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Requests a second, and the ratio to the baseline (the median of the rounds)."""
    with psycopg2.connect(embedded.owner_url(state_dir)) as owner, owner.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("GRANT INSERT, SELECT ON bench_insert TO PUBLIC")
    frame.require_durable()
    cast = Cast()
    before = _redeemed()
    with frame.baseline(state_dir, path=INSERT) as other_url:
        ours: list[load.Measured] = []
        theirs: list[load.Measured] = []
        signing_s = sending_s = 0.0
        last_scan = last_insert = b""
        for number in range(ROUNDS + 1):
            started = time.process_time()
            scans = cast.scans(REQUESTS_A_ROUND, run.web_url)
            inserts = cast.inserts(REQUESTS_A_ROUND, other_url)
            signed = time.process_time()
            sides = [
                lambda scans=scans: ours.append(
                    load.send(run.web_url, scans, expected=b'"accepted"')
                ),
                lambda inserts=inserts: theirs.append(
                    load.send(other_url, inserts, expected=b'"inserted"')
                ),
            ]
            for side in sides if number % 2 else reversed(sides):
                frame.let_rest()
                side()
            signing_s += signed - started
            sending_s += time.process_time() - signed
            last_scan, last_insert = scans[0][-1], inserts[0][-1]
        frame.require_checked(run.web_url, last_scan, code=b"proof.replayed")
        frame.require_checked(other_url, last_insert, code=b"proof.replayed")
    _require_counted(ours, theirs, before=before)
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="redeem",
        value=frame.rate(ours),
        unit="requests/s",
        ratio=statistics.median(ratios),
        against="a trivial authenticated DRF view with one durable insert",
        goal=0.35,
        details={
            "baseline_rate": round(frame.rate(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "requests_each": sum(each.requests for each in ours),
            "connections": CLIENTS,
            "signing_processor_s": round(signing_s, 2),
            "sending_processor_s": round(sending_s, 2),
        },
    )


# What is measured has to be the real thing


def _redeemed() -> int:
    """How many codes have been redeemed, also by benches before this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM identity_redemption")
        return int(cursor.fetchone()[0])


def _require_counted(
    ours: list[load.Measured], theirs: list[load.Measured], *, before: int
) -> None:
    sent = sum(each.requests for each in ours), sum(each.requests for each in theirs)
    good = sum(each.good for each in ours), sum(each.good for each in theirs)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_insert")
        stored = _redeemed() - before, cursor.fetchone()[0]
    if not sent == good == stored:
        raise RuntimeError(f"sent {sent}, answered well {good}, stored {stored}")
