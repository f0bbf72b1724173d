"""Measures `tap`: rides by code over HTTP at bus validators, against a trivial authenticated view.

Both are served by Granian in the same way, verify the same signatures and write to the same
database. A round measures one after the other, the next round in the other order. Signatures and
codes are made before each round. The charges that follow the taps are waited out between the sides.
"""

import json
import secrets
import statistics
import time
import uuid
from pathlib import Path

import psycopg2
from django.db import connection

from cards.models import Issuer
from identity.models import Organisation
from payments import ledger
from tests import banking, city, wallets
from tests.bench import frame, load
from tests.bench.baselines.views import SIGNED_TABLE
from tests.bench.figures import Figure
from tests.shop import resident_of
from vpass import embedded
from vpass.common import clock, http_signatures
from vpass.common.http_signatures import Parts
from vpass.supervisor import Run

BUSES = 8
PHONES = 16
ROUNDS = 10
REQUESTS_A_ROUND = 200  # of each side
FUNDS_FEN = 10_000_000
INSERT = "/signed-insert"


class Cast:
    """A bus company's validators, and the phones with a bus card and money for the fares."""

    def __init__(self) -> None:
        at = clock.now()
        ledger.open_window(business_date=clock.city_date(at), at=at)
        bank = banking.make_bank(code=f"bench-{secrets.token_hex(4)}", key_id="bench-bus-bank")
        company = banking.make_merchant(bank.bank, name="测速公交").organisation
        Organisation.objects.filter(id=company.id).update(kind="issuer")
        issuer = Issuer.objects.create(organisation=company, code="bench-bus", card_types=["bus"])
        self.buses = [
            wallets.open_bus(issuer, key_id=f"bench-bus-{number}") for number in range(BUSES)
        ]
        phones = [city.make_phone(index, at=at) for index in range(170, 170 + PHONES)]
        for number, phone in enumerate(phones):
            banking.fund(bank, resident_of(phone), FUNDS_FEN, at=at)
            wallets.give_card(phone, issuer, number=f"{37070000000 + number}", at=at)
        self.grants = [phone.grant(at=at) for phone in phones]

    def taps(self, count: int, url: str) -> list[list[bytes]]:
        """`count` taps by a fresh code each, dealt to the buses."""
        return self._dealt(count, url + wallets.TAPS)

    def inserts(self, count: int, url: str) -> list[list[bytes]]:
        """As many posts of the same shape to the baseline."""
        return self._dealt(count, url + INSERT)

    def _dealt(self, count: int, url: str) -> list[list[bytes]]:
        batches: list[list[bytes]] = [[] for _ in self.buses]
        for number in range(count):
            turn = number % len(self.buses)
            code = self.grants[number % len(self.grants)].code(clock.now())
            body = json.dumps({"code": code, "line": "1"}).encode()
            batches[turn].append(_signed(self.buses[turn], url, body))
        return batches


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Taps a second, and the ratio to the baseline (the median of the rounds)."""
    with psycopg2.connect(embedded.owner_url(state_dir)) as owner, owner.cursor() as cursor:
        cursor.execute(SIGNED_TABLE)
        cursor.execute("GRANT INSERT, SELECT ON bench_signed_insert TO PUBLIC")
    frame.require_durable()
    cast = Cast()
    with frame.baseline(state_dir, path=INSERT) as other_url:
        ours: list[load.Measured] = []
        theirs: list[load.Measured] = []
        signing_s = sending_s = 0.0
        last_tap = last_insert = b""
        for number in range(ROUNDS + 1):
            started = time.process_time()
            taps = cast.taps(REQUESTS_A_ROUND, run.web_url)
            inserts = cast.inserts(REQUESTS_A_ROUND, other_url)
            signed = time.process_time()
            sides = [
                lambda taps=taps: ours.append(
                    load.send(run.web_url, taps, expected=b'"fare_fen":200')
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
            last_tap, last_insert = taps[0][-1], inserts[0][-1]
        frame.require_checked(run.web_url, last_tap, code=b"signature.replayed")
        frame.require_checked(other_url, last_insert, code=b"signature.replayed")
    _require_counted(ours, theirs)
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="tap",
        value=frame.rate(ours),
        unit="taps/s",
        ratio=statistics.median(ratios),
        against="a trivial authenticated DRF view with one durable insert",
        goal=0.35,
        details={
            "baseline_rate": round(frame.rate(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "requests_each": sum(each.requests for each in ours),
            "connections": BUSES,
            "signing_processor_s": round(signing_s, 2),
            "sending_processor_s": round(sending_s, 2),
        },
    )


def _signed(bus: city.Machine, url: str, body: bytes) -> bytes:
    """The bytes of a POST by a validator."""
    headers = {"idempotency-key": secrets.token_hex(16)}
    added = http_signatures.sign_request(
        Parts(
            method="POST",
            target_uri=url,
            headers=headers | {"content-type": "application/json"},
            body=body,
        ),
        key_id=bus.key_id,
        private=bus.private,
        algorithm="ed25519",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    return load.written(url, headers=headers | added, body=body)


# What is measured has to be the real thing


def _require_counted(ours: list[load.Measured], theirs: list[load.Measured]) -> None:
    sent = sum(each.requests for each in ours), sum(each.requests for each in theirs)
    good = sum(each.good for each in ours), sum(each.good for each in theirs)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM cards_tap WHERE terminal_id IN"
            " (SELECT id FROM identity_terminal WHERE organisation_id ="
            " (SELECT organisation_id FROM cards_issuer WHERE code = 'bench-bus'))),"
            " (SELECT count(*) FROM bench_signed_insert)"
        )
        stored = tuple(cursor.fetchone())
    if not sent == good == stored:
        raise RuntimeError(f"sent {sent}, answered well {good}, stored {stored}")
