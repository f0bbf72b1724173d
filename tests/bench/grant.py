"""Measures `grant`: issuing a day grant, without HTTP, against its bare operations.

Bare is what no issuer can do without: the check of the phone's request, one signature, and the same
rows as bare SQL in one durable transaction (the request's key claimed and its answer stored, the
person locked, the grant inserted). Both sides run in one process on one connection, so the ratio
says what all the rest costs: parsing, format, sealing, and Django.
"""

import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from django.db import connection, transaction

from identity import grants, keys, queries
from tests import city
from tests.bench import frame
from tests.bench.figures import Figure
from vpass import embedded
from vpass.common import clock, signing
from vpass.supervisor import Run

ROUNDS = 10
GRANTS_A_ROUND = 40
PHONES = 40
TABLE = """
CREATE TABLE IF NOT EXISTS bench_grant (
    handle bytea PRIMARY KEY, key_id bytea, status_index bigint UNIQUE, resident uuid, device uuid,
    issued_at timestamptz, expires_at timestamptz
);
CREATE TABLE IF NOT EXISTS bench_request (
    id bytea PRIMARY KEY, digest bytea, answer bytea, claimed_at timestamptz
)
"""


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Grants a second, and the ratio to the bare work (the median of the rounds)."""
    with psycopg2.connect(embedded.owner_url(state_dir)) as owner, owner.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("GRANT INSERT, SELECT, UPDATE ON bench_grant, bench_request TO PUBLIC")
    frame.require_durable()
    at = clock.now()
    phones = [city.make_phone(index, at=at) for index in range(140, 140 + PHONES)]
    callers = [phone.caller for phone in phones]
    signer = keys.current_signer(at=at)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS + 1):
        requests = [
            phones[each % PHONES].grant_request(signing.generate_p256(), at=at)
            for each in range(GRANTS_A_ROUND)
        ]

        def issue(requests: list[str] = requests) -> None:
            for each, request in enumerate(requests):
                caller = callers[each % PHONES]
                grants.issue_grant(
                    caller=caller,
                    request_jws=request,
                    idempotency_key=city.idempotency(caller.scope),
                    at=at,
                )

        def do_bare(requests: list[str] = requests) -> None:
            for each, request in enumerate(requests):
                _bare(phones[each % PHONES], request, signer=signer, at=at)

        sides: list[tuple[list[float], Callable[[], None]]] = [(ours, issue), (bare, do_bare)]
        for kept, work in sides if number % 2 else reversed(sides):
            frame.let_rest()
            begun = time.perf_counter()
            work()
            kept.append(time.perf_counter() - begun)
    ours, bare = ours[1:], bare[1:]
    ratios = [theirs / mine for mine, theirs in zip(ours, bare, strict=True)]
    return Figure(
        name="grant",
        value=GRANTS_A_ROUND / statistics.median(ours),
        unit="grants/s",
        ratio=statistics.median(ratios),
        against="its two signature operations and the same rows as bare SQL",
        goal=0.5,
        details={
            "ratios": [round(ratio, 3) for ratio in ratios],
            "grants": GRANTS_A_ROUND * ROUNDS,
        },
    )


def _bare(phone: city.Phone, request: str, *, signer: keys.CitySigner, at: Any) -> None:
    public = signing.public_from_point(bytes(phone.device.point))
    message, _, signature = request.rpartition(".")
    if not signing.es256_verify(public, message.encode(), signing.b64url_decode(signature)):
        raise RuntimeError("a good signature was refused")
    handle = secrets.token_bytes(16)
    signing.es256_sign(signer.private, handle * 6)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench_request (id, digest, claimed_at) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [handle, handle, at],
        )
        queries.lock_holder(phone.device.id)
        cursor.execute(
            "INSERT INTO bench_grant VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                handle,
                signer.key_id,
                secrets.randbelow(2**60),
                str(phone.device.resident_id),
                str(phone.device.id),
                at,
                at,
            ],
        )
        cursor.execute("UPDATE bench_request SET answer = %s WHERE id = %s", [handle * 30, handle])
