"""Chains that vouch for a key in a chip: the good one is read, and no damaged or wrong one is."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vpass.common import certificates, signing
from vpass.common.certificates import BadChain, Vouched
from vpass.sandbox.keys import SigningKey
from vpass.sandbox.phone_maker import PhoneMaker

GOLDEN = json.loads((Path(__file__).parent / "vectors" / "attestation.json").read_text("utf-8"))
CHAIN = [base64.b64decode(each) for each in GOLDEN["chain"]]
ROOT = signing.load_public(GOLDEN["root"])
ROOTS: Any = {certificates.root_name(ROOT): ROOT}
AT = datetime(2027, 1, 1, tzinfo=UTC)
EXPECTED = Vouched(
    point=bytes.fromhex(GOLDEN["point"]),
    challenge=signing.b64url_decode(GOLDEN["challenge"]),
    root=certificates.root_name(ROOT),
)


def read(chain: Any, *, roots: Any = ROOTS, at: datetime = AT) -> Vouched:
    return certificates.read_chain(chain, roots=roots, at=at)


def reason(chain: Any, **changes: Any) -> str:
    with pytest.raises(BadChain) as caught:
        read(chain, **changes)
    return caught.value.reason


def test_golden_chain__with_and_without_the_roots_certificate__vouched_for():
    assert read(CHAIN) == EXPECTED
    assert read(CHAIN[:2]) == EXPECTED


def test_golden_chain__any_bit_flipped__never_accepted():
    """Of each byte one bit, another one each time."""
    whole = b"".join(CHAIN[:2])
    accepted = []
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        cut = len(CHAIN[0])
        try:
            read([bytes(spoilt[:cut]), bytes(spoilt[cut:])])
            accepted.append(place)
        except BadChain:
            continue

    assert accepted == []


def test_golden_chain__cut_mixed_or_out_of_time__its_reason():
    leaf, batch, root = CHAIN
    begins, ends = AT - timedelta(days=90), AT + timedelta(days=3650)
    other: Any = signing.generate_p256().public_key()

    assert reason([]) == "malformed"
    assert reason([leaf, batch, root] * 2) == "malformed"
    assert reason([leaf[:-1], batch, root]) == "malformed"
    assert reason([leaf + b"\0", batch, root]) == "malformed"
    assert reason([b"\0" * 5000]) == "malformed"
    assert reason([leaf]) == "root_unknown"
    assert reason([leaf, root]) == "broken"
    assert reason([batch, leaf, root]) == "broken"
    assert reason([leaf, leaf, batch]) == "broken"
    assert reason(CHAIN, roots={}) == "root_unknown"
    assert reason(CHAIN, roots={certificates.root_name(other): other}) == "root_unknown"
    assert reason(CHAIN, at=begins) == "not_valid_now"
    assert reason(CHAIN, at=ends) == "not_valid_now"


@pytest.fixture(scope="module")
def maker() -> tuple[PhoneMaker, Any]:
    root = SigningKey()
    head = bytes([2 + root.point[64] % 2])
    public = signing.public_from_point(head + root.point[1:33])
    return PhoneMaker(root), {certificates.root_name(public): public}


def test_sandboxs_maker__each_fault__its_reason(maker: tuple[PhoneMaker, Any]):
    expected = {
        "expired": "not_valid_now",
        "not_yet": "not_valid_now",
        "foreign_root": "root_unknown",
        "broken": "broken",
        "software": "not_hardware",
        "no_statement": "no_statement",
        "leaf_is_ca": "broken",
        "batch_no_ca": "broken",
        "path_too_long": "broken",
        "leaf_cannot_sign": "broken",
        "high_critical": "malformed",
        # Made elsewhere and brought into the chip, or not said by the chip itself.
        "imported": "not_hardware",
        "silent_of_origin": "not_hardware",
        "software_origin": "not_hardware",
        "only_to_agree": "not_hardware",
    }
    chips, roots = maker
    now = datetime.now(UTC)

    found = {}
    for fault in expected:
        asked = {
            "public_key": signing.jwk_of(signing.generate_p256()),
            "challenge": "AAAA",
            "fault": fault,
        }
        chain = asyncio.run(chips.vouch(asked))["chain"]
        found[fault] = reason([base64.b64decode(each) for each in chain], roots=roots, at=now)

    assert found == expected


@pytest.mark.parametrize(
    "data",
    ["", "30", "3003020101", "300702010130020500", "30800000", "308100", "31030a0101"],
)
def test_statement__malformed__refused(data: str):
    class Leaf:
        class extensions:
            @staticmethod
            def get_extension_for_oid(oid: Any) -> Any:
                value = certificates.x509.UnrecognizedExtension(oid, bytes.fromhex(data))
                return type("Found", (), {"value": value})

    with pytest.raises(BadChain, match="malformed"):
        certificates._read_statement(Leaf)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    ["a1", "bf", "bf85", "bf85858501020100", "bf853e03020100" * 2, "bf853e03020100a10301", "a180",
     "bf853e0302010002a1053103020102", "a1053103020102bf853e04020100"],
)  # fmt: skip
def test_what_the_chip_enforces__malformed__refused(data: str):
    with pytest.raises(BadChain, match="malformed"):
        certificates._is_made_to_sign(bytes.fromhex(data))


def test_what_the_chip_enforces__written_by_hand__read():
    made, imported = bytes.fromhex("bf853e03020100"), bytes.fromhex("bf853e03020102")
    to_sign, to_both = bytes.fromhex("a1053103020102"), bytes.fromhex("a1083106020102020103")

    assert certificates._is_made_to_sign(to_sign + made)
    assert certificates._is_made_to_sign(to_both + made)
    assert not certificates._is_made_to_sign(to_sign + imported)
    assert not certificates._is_made_to_sign(to_sign) and not certificates._is_made_to_sign(made)
