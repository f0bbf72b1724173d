"""Measures `grant`: day grants issued over HTTP, against a trivial view that does the bare
signature operations.

Bare is what no issuer can do without: the caller authenticated the same way (token and DPoP proof),
the phone's signed request verified, one signature made, and one durable insert. Not in it, and so
what the ratio pays for: the idempotency key and its kept answer, the lock against a freeze at the
same moment, the day's limit, a place in a status list, the rights that floors above contribute, and
the format. Against the two operations without HTTP and without a row, any durable issuer would
stand at a few hundredths; what they take is among the details.
"""

import json
import secrets
import statistics
import time
from pathlib import Path

import psycopg2
from django.db import connection

from identity.models import Grant
from tests import city
from tests.bench import frame, load
from tests.bench.baselines.grant import TABLE
from tests.bench.figures import Figure
from vpass import embedded
from vpass.common import clock, signing
from vpass.supervisor import Run

CLIENTS = 8
PHONES = 40  # each may have 48 grants a day
ROUNDS = 10
REQUESTS_A_ROUND = 120  # of each side
GRANTS = f"{city.RESIDENT}/grants"
BARE = "/grant"


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Grants a second, and the ratio to the baseline (the median of the rounds)."""
    with psycopg2.connect(embedded.owner_url(state_dir)) as owner, owner.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("GRANT INSERT, SELECT ON bench_grant TO PUBLIC")
    frame.require_durable()
    at = clock.now()
    phones = [city.make_phone(index, at=at) for index in range(140, 140 + PHONES)]
    ours: list[load.Measured] = []
    theirs: list[load.Measured] = []
    before = Grant.objects.count()
    with frame.baseline(state_dir, path=BARE) as other_url:
        for number in range(ROUNDS + 1):
            real = _requests(phones, run.web_url, GRANTS)
            bare = _requests(phones, other_url, BARE)
            sides = [
                lambda real=real: ours.append(load.send(run.web_url, real, expected=b'"grant"')),
                lambda bare=bare: theirs.append(load.send(other_url, bare, expected=b'"grant"')),
            ]
            for side in sides if number % 2 else reversed(sides):
                frame.let_rest()
                side()
        frame.require_checked(run.web_url, real[0][-1], code=b"proof.replayed")
        frame.require_checked(other_url, bare[0][-1], code=b"proof.replayed")
    _require_counted(ours, theirs, issued=Grant.objects.count() - before)
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="grant",
        value=frame.rate(ours),
        unit="grants/s",
        ratio=statistics.median(ratios),
        against="a trivial authenticated view with the bare signatures and one durable insert",
        goal=0.5,
        details={
            "baseline_rate": round(frame.rate(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "grants": sum(each.requests for each in ours),
            "connections": CLIENTS,
            "bare_signatures_ms": round(_bare_signatures_ms(phones[0]), 3),
        },
    )


def _requests(phones: list[city.Phone], url: str, path: str) -> list[list[bytes]]:
    """Requests for a grant to a fresh key each, dealt to the clients."""
    batches: list[list[bytes]] = [[] for _ in range(CLIENTS)]
    for number in range(REQUESTS_A_ROUND):
        phone = phones[number % len(phones)]
        asked = phone.grant_request(signing.generate_p256(), at=clock.now())
        proof = city.key_proof(
            phone.key, method="POST", path=path, token=phone.token, htu=url + path
        )
        headers = {
            "Authorization": f"DPoP {phone.token}",
            "DPoP": proof,
            "Idempotency-Key": secrets.token_hex(16),
        }
        body = json.dumps({"request": asked}).encode()
        batches[number % CLIENTS].append(load.written(url + path, headers=headers, body=body))
    return batches


def _bare_signatures_ms(phone: city.Phone) -> float:
    """What one check and one signature take, in this process."""
    public, private = phone.key.public_key(), signing.generate_p256()
    asked = phone.grant_request(signing.generate_p256(), at=clock.now())
    message, _, signature = asked.rpartition(".")
    taken = []
    for _ in range(200):
        begun = time.perf_counter()
        if not signing.es256_verify(public, message.encode(), signing.b64url_decode(signature)):
            raise RuntimeError("a good signature was refused")
        signing.es256_sign(private, message.encode())
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


# What is measured has to be the real thing


def _require_counted(
    ours: list[load.Measured], theirs: list[load.Measured], *, issued: int
) -> None:
    sent = sum(each.requests for each in ours), sum(each.requests for each in theirs)
    good = sum(each.good for each in ours), sum(each.good for each in theirs)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_grant")
        stored = issued, cursor.fetchone()[0]
    if not sent == good == stored:
        raise RuntimeError(f"sent {sent}, answered well {good}, stored {stored}")
