"""Measures `pay`: whole payments by code over HTTP, against a bare view that writes as much ledger.

Each till of a shop of its own sends one payment after the other; codes and RFC 9421 signatures are
made before each round. Both sides are served by Granian in the same way, verify the same signatures
and move the same money between the same accounts. A round measures one after the other, the next
round in the other order.
"""

import json
import secrets
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

from django.db import connection

from payments import ledger, proof
from payments.models import PaymentLimit, RiskRule
from tests import banking, city
from tests.bench import frame, load
from tests.bench.figures import Figure
from tests.shop import MERCHANT, fill, open_shop, resident_of
from vpass.common import clock, http_signatures
from vpass.common.http_signatures import Parts
from vpass.supervisor import Run

TILLS = 8
PHONES = 60  # so that each pays some forty times, not a hundred and more, within risk's hour
ROUNDS = 10
REQUESTS_A_ROUND = 400  # of each side
AMOUNT_FEN = 1_234  # no word of the payer's is asked for
FUNDS_FEN = 10_000_000
PAYMENTS = f"{MERCHANT}/payments"
BARE = "/pay"


class Cast:
    """The shops with their tills, and the phones with money whose codes they scan."""

    def __init__(self) -> None:
        at = clock.now()
        ledger.open_window(business_date=clock.city_date(at), at=at)
        bank = banking.make_bank(code=f"bench-{secrets.token_hex(4)}", key_id="bench-bank")
        self.shops = [
            open_shop(name=f"测速商店{number}", key_id=f"bench-till-{number}", system=bank)
            for number in range(TILLS)
        ]
        self.payees = [_account("merchant", shop.merchant.organisation_id) for shop in self.shops]
        phones = [city.make_phone(index, at=at) for index in range(40, 40 + PHONES)]
        for phone in phones:
            fill(self.shops[0], phone, FUNDS_FEN, at=at)
        self.payers = [_account("resident", resident_of(phone)) for phone in phones]
        self.grants = [phone.grant(at=at) for phone in phones]
        # Limits are counted and rules weighed as ever; nobody reaches them in these minutes.
        PaymentLimit.objects.update(daily_fen=None)
        RiskRule.objects.update(threshold=10**12)

    def payments(self, count: int, url: str) -> list[list[bytes]]:
        """`count` payments by a fresh code each, dealt to the tills."""
        return self._dealt(count, url + PAYMENTS, is_bare=False)

    def bare_payments(self, count: int, url: str) -> list[list[bytes]]:
        """As many to the baseline, which is told the accounts beside what it does not read."""
        return self._dealt(count, url + BARE, is_bare=True)

    def _dealt(self, count: int, url: str, *, is_bare: bool) -> list[list[bytes]]:
        batches: list[list[bytes]] = [[] for _ in self.shops]
        for number in range(count):
            turn, payer = number % len(self.shops), number % len(self.grants)
            body: dict[str, Any] = {
                "code": self.grants[payer].code(clock.now()),
                "amount_fen": AMOUNT_FEN,
                "title": "风筝一只",
                "merchant_reference": uuid.uuid4().hex,
            }
            if is_bare:
                body |= {"debit": self.payers[payer], "credit": self.payees[turn]}
            batches[turn].append(_signed(self.shops[turn].till, url, json.dumps(body).encode()))
        return batches


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Payments a second, and the ratio to the baseline (the median of the rounds)."""
    frame.require_durable()
    cast = Cast()
    before = _counts()
    # The application's role may not write the ledger's tables; the baseline does by hand.
    with frame.baseline(state_dir, path=BARE, environ={"VPASS_ROLE": "owner"}) as other_url:
        ours: list[load.Measured] = []
        theirs: list[load.Measured] = []
        signing_s = sending_s = 0.0
        last_payment = last_bare = b""
        for number in range(ROUNDS + 1):
            started = time.process_time()
            payments = cast.payments(REQUESTS_A_ROUND, run.web_url)
            bare = cast.bare_payments(REQUESTS_A_ROUND, other_url)
            signed = time.process_time()
            sides = [
                lambda payments=payments: ours.append(
                    load.send(run.web_url, payments, expected=b'"captured"')
                ),
                lambda bare=bare: theirs.append(load.send(other_url, bare, expected=b'"captured"')),
            ]
            for side in sides if number % 2 else reversed(sides):
                frame.let_rest()
                side()
            signing_s += signed - started
            sending_s += time.process_time() - signed
            last_payment, last_bare = payments[0][-1], bare[0][-1]
        frame.require_checked(run.web_url, last_payment, code=b"signature.replayed")
        frame.require_checked(other_url, last_bare, code=b"signature.replayed")
    _require_counted(ours, theirs, before=before)
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="pay",
        value=frame.rate(ours),
        unit="payments/s",
        ratio=statistics.median(ratios),
        against="the smallest hand-written Django view that inserts and updates the same ledger"
        " rows, authenticated the same way",
        goal=0.50,
        details={
            "baseline_rate": round(frame.rate(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "requests_each": sum(each.requests for each in ours),
            "connections": TILLS,
            "signing_processor_s": round(signing_s, 2),
            "sending_processor_s": round(sending_s, 2),
        },
    )


def _account(kind: str, owner: uuid.UUID) -> int:
    return ledger.open_account(kind=kind, owner=str(owner), floor_fen=0)


def _signed(till: city.Machine, url: str, body: bytes) -> bytes:
    """The bytes of a POST by a till."""
    headers = {"idempotency-key": secrets.token_hex(16)}
    added = http_signatures.sign_request(
        Parts(
            method="POST",
            target_uri=url,
            headers=headers | {"content-type": "application/json"},
            body=body,
        ),
        key_id=till.key_id,
        private=till.private,
        algorithm="ed25519",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    return load.written(url, headers=headers | added, body=body)


# What is measured has to be the real thing


def _counts() -> tuple[int, int]:
    """Captured orders, and the ledger's transactions of payments."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM payments_order WHERE state = 'captured'),"
            " (SELECT count(*) FROM payments_transaction WHERE kind = 'payment')"
        )
        orders, transactions = cursor.fetchone()
    return orders, transactions


def _require_counted(
    ours: list[load.Measured], theirs: list[load.Measured], *, before: tuple[int, int]
) -> None:
    sent = sum(each.requests for each in ours), sum(each.requests for each in theirs)
    good = sum(each.good for each in ours), sum(each.good for each in theirs)
    orders, transactions = (now - then for now, then in zip(_counts(), before, strict=True))
    stored = orders, transactions - orders
    if not sent == good == stored:
        raise RuntimeError(f"sent {sent}, answered well {good}, stored {stored}")
    proved = proof.prove(clock.now())
    if not proved.is_sound:
        raise RuntimeError(f"the ledger is not sound after it: {proved.findings[0].line()}")
