"""Measures `verify-offline`: a scanner's whole decision against its bare signature operations.

Those are the two ES256 checks, and for the second one the phone's key out of its compressed point,
which is another in every grant. Nothing is signed or sent inside the measurement, and every code is
another one, so that the seen ones grow as they do on a busy bus. Rounds alternate.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from identity import code_format, status_format
from identity.code_format import BusRight, GrantClaims, Rights
from identity.offline import Bundle, Scanner
from tests.bench.figures import Figure
from vpass.common import signing
from vpass.supervisor import Run

ROUNDS = 10
CODES_A_ROUND = 1000
PHONES = 50
AT = 1_780_000_000
KID = b"city"
LISTS_AT = "https://vpass.example/.well-known/vpass-status/"

Check = tuple[signing.P256Public | bytes, bytes, bytes]


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Decisions a second, and the ratio to the bare checks (the median of the rounds)."""
    city = signing.generate_p256()
    phones = [(signing.generate_p256(), number) for number in range(PHONES)]
    grants = [(phone, _grant(city, phone, number)) for phone, number in phones]
    scanner = _scanner(city)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS + 1):
        texts = [
            code_format.present(
                grants[each % PHONES][1],
                private=grants[each % PHONES][0],
                issued_at=AT,
                scenes=code_format.ALL_SCENES,
                nonce=(number * CODES_A_ROUND + each).to_bytes(6),
            )
            for each in range(CODES_A_ROUND)
        ]
        checks = [check for text in texts for check in _checks(text, city)]
        sides = [
            lambda texts=texts: ours.append(_timed(lambda: _decide(scanner, texts))),
            lambda checks=checks: bare.append(_timed(lambda: _verify(checks))),
        ]
        for side in sides if number % 2 else reversed(sides):
            side()
    ours, bare = ours[1:], bare[1:]
    ratios = [theirs / mine for mine, theirs in zip(ours, bare, strict=True)]
    return Figure(
        name="verify-offline",
        value=CODES_A_ROUND / statistics.median(ours),
        unit="codes/s",
        ratio=statistics.median(ratios),
        against="its two bare ES256 checks and the point",
        goal=0.5,
        details={"ratios": [round(ratio, 3) for ratio in ratios], "codes": CODES_A_ROUND * ROUNDS},
    )


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _decide(scanner: Scanner, texts: list[str]) -> None:
    for text in texts:
        if not scanner.decide(text, at=AT).is_accepted:
            raise RuntimeError("a good code was refused")


def _verify(checks: list[Check]) -> None:
    for key, data, signature in checks:
        if isinstance(key, bytes):
            key = signing.public_from_point(key)
        if not signing.es256_verify(key, data, signature):
            raise RuntimeError("a good signature was refused")


def _checks(text: str, city: signing.P256Private) -> list[Check]:
    """Key, signed bytes and signature of both layers, read beforehand."""
    code = code_format.read_code(text)
    grant = code.parsed_grant
    return [
        (city.public_key(), grant.signed_bytes, grant.signature),
        (code.grant.public_point, code.signed_bytes, code.presentation_signature),
    ]


def _grant(city: signing.P256Private, phone: signing.P256Private, number: int) -> bytes:
    return code_format.encode_grant(
        GrantClaims(
            issuer="weifang",
            expires_at=AT + 80_000,
            handle=number.to_bytes(16),
            public_point=signing.public_point(phone),
            status_index=1 << 20 | number,
            rights=Rights(bus=BusRight(concession_class=0, card_reference=bytes(8))),
        ),
        kid=KID,
        private=city,
    )


def _scanner(city: signing.P256Private) -> Scanner:
    scanner = Scanner(
        Bundle(
            issuer="weifang",
            scene="bus",
            version="",
            keys={KID: city.public_key()},
            lists_at=LISTS_AT,
            lists={},
            max_list_age_s=3600,
            stale_uses=2,
            door_groups=frozenset(),
        )
    )
    data = status_format.encode_list(
        status_format.pack((place, 1) for place in range(10_000, 15_000)),
        subject=f"{LISTS_AT}1",
        issued_at=AT,
        expires_at=AT + 86_400,
        ttl_s=300,
        kid=KID,
        private=city,
    )
    scanner.load_list(1, data, at=AT)
    return scanner
