"""identity.status_format says what a second reader, written from docs/status-list.md, says."""

import json
import os
import random
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pycose.keys import EC2Key
from pycose.messages import Sign1Message

from identity import status_format
from identity.status_format import ListRefused, check_list, decode_list, encode_list, pack
from tests.identity import reference_verifier
from vpass.common.signing import generate_p256, public_from_jwk

FOLDER = Path(__file__).parent / "vectors"
VECTORS = json.loads((FOLDER / "status_lists.json").read_text("utf-8"))
KEY_SET = VECTORS["key_set"]
KEYS = {
    jwk["kid"]: public_from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    for jwk in KEY_SET["keys"]
}
TEST_KEYS = json.loads((FOLDER / "codes.json").read_text("utf-8"))["test_private_keys"]
PRIVATE = ec.derive_private_key(int(TEST_KEYS["city 7a3c19e4"], 16), ec.SECP256R1())
AT = 1_780_000_000
ADDRESS = "https://vpass.example/.well-known/vpass-status/1"
ROUNDS = 10_000 if "VPASS_ROUNDS" in os.environ else 600


def ours(data: bytes, *, at: int, address: str) -> str:
    """What identity.status_format says: "accepted" or the reason."""
    try:
        found = decode_list(data)
        check_list(found, key=KEYS.get(found.kid.hex()), at=at, subject=address)
    except ListRefused as refused:
        return refused.reason
    return "accepted"


def theirs(data: bytes, *, at: int, address: str) -> str:
    """What the second reader says."""
    said = reference_verifier.verify_list(data, at, address, KEY_SET)
    return said if isinstance(said, str) else "accepted"


def made(statuses: Any = (), **changes: Any) -> bytes:
    """A good list, or one with a change."""
    fields: dict[str, Any] = {
        "lst": pack(statuses),
        "subject": ADDRESS,
        "issued_at": AT,
        "expires_at": AT + 86400,
        "ttl_s": 300,
        "kid": bytes.fromhex("7a3c19e4"),
        "private": PRIVATE,
    }
    return encode_list(**fields | changes)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda each: each["name"])
def test_good_vector__both_readers__accept_and_read_the_same_values(vector: dict[str, Any]):
    data, at, address = bytes.fromhex(vector["data"]), vector["at"], vector["address"]

    assert ours(data, at=at, address=address) == "accepted"
    read = decode_list(data)
    issued_at, _, entries = reference_verifier.verify_list(data, at, address, KEY_SET)
    assert read.issued_at == issued_at
    for index, value in vector["entries"]:
        assert read.status(index) == reference_verifier.entry(entries, index) == value


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda each: each["name"])
def test_bad_vector__both_readers__same_reason(vector: dict[str, Any]):
    asked = {"at": vector["at"], "address": vector["address"]}

    assert ours(bytes.fromhex(vector["data"]), **asked) == vector["reason"]
    assert theirs(bytes.fromhex(vector["data"]), **asked) == vector["reason"]


def test_encode__what_it_writes__both_readers_accept():
    data = made([(0, 1), (1, 15), (1_048_575, 12)])

    assert ours(data, at=AT, address=ADDRESS) == theirs(data, at=AT, address=ADDRESS) == "accepted"
    read = decode_list(data)
    first = 1 << 20
    assert [read.status(first + place) for place in (0, 1, 2, 1_048_575)] == [1, 15, 0, 12]
    assert (read.number, read.ttl_s, read.expires_at) == (1, 300, AT + 86400)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda each: each["name"])
def test_good_vector__read_by_pycose_and_cbor2__signature_and_claims(vector: dict[str, Any]):
    """General libraries read it as what the standard says: a tagged COSE_Sign1 with a CWT in it."""
    data = bytes.fromhex(vector["data"])
    item = cbor2.loads(data[1:])
    numbers = KEYS[cbor2.loads(item[0])[4].hex()].public_numbers()
    message = Sign1Message.from_cose_obj(list(item), True)
    message.key = EC2Key(crv="P_256", x=numbers.x.to_bytes(32), y=numbers.y.to_bytes(32))
    claims = cbor2.loads(item[2])

    assert cbor2.loads(data).tag == 18
    assert message.verify_signature()
    assert cbor2.loads(item[0])[16] == "application/statuslist+cwt"
    assert claims[2] == vector["address"]
    assert claims[65533]["bits"] == 4
    assert len(zlib.decompress(claims[65533]["lst"])) == 524_288


@pytest.mark.parametrize("index", [0, (1 << 20) - 1, 2 << 20, 2**32 - 1])
def test_status__index_of_another_list__unknown(index: int):
    with pytest.raises(status_format.IndexUnknown):
        decode_list(made()).status(index)


def test_pack__five_in_a_thousand_set__at_most_fourteen_kibibytes():
    chance = random.Random(20261125)
    values = [1, 2, 3, 12, 13, 14, 15]
    places = chance.sample(range(status_format.ENTRIES), status_format.ENTRIES // 200)

    data = made((place, chance.choice(values)) for place in places)

    assert len(data) <= 14 * 1024, len(data)


@pytest.mark.parametrize("pair", [(-1, 1), (1 << 20, 1), (0, 16), (0, -1)])
def test_pack__place_or_value_out_of_range__refused(pair: tuple[int, int]):
    with pytest.raises(ValueError):
        pack([pair])


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": b"abc"},
        {"subject": "ftp://x/1"},
        {"subject": "https://x/"},
        {"issued_at": 2**32},
        {"expires_at": 2**32},
        {"ttl_s": -1},
        {"lst": b"x"},
    ],
    ids=str,
)
def test_encode__does_not_fit_the_format__refused(changes: dict[str, Any]):
    with pytest.raises((ValueError, OverflowError)):
        made(**changes)


def test_moments_around_the_limits__both_readers__agree():
    data = made(private=PRIVATE)

    for at in (AT - 31, AT - 30, AT, AT + 86399, AT + 86400):
        said = ours(data, at=at, address=ADDRESS)
        assert said == theirs(data, at=at, address=ADDRESS)
        assert said == ("accepted" if AT - 30 <= at < AT + 86400 else "list_expired")


def test_signature_by_another_key__both_readers__refuse():
    data = made(private=generate_p256())

    assert ours(data, at=AT, address=ADDRESS) == "list_signature_invalid"
    assert theirs(data, at=AT, address=ADDRESS) == "list_signature_invalid"


def test_mutated_lists__both_readers__refuse_for_the_same_reason():
    chance = random.Random(20261126)
    origin = made([(5, 1), (6, 12)])
    reasons: Counter[str] = Counter()
    disagreements = []

    for number in range(ROUNDS):
        data = bytearray(origin)
        place = chance.randrange(len(data))
        # Half of the changes outside of the long run of packed zeros.
        if chance.random() < 0.5:
            place = chance.choice([*range(140), *range(len(data) - 90, len(data))])
        kind = number % 4
        if kind == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[place : place + chance.choice((1, 2, 9))]
        elif kind == 2:
            data[place:place] = chance.randbytes(chance.choice((1, 2, 9)))
        else:
            data[place] = (data[place] + chance.randrange(1, 256)) % 256
        said = (
            theirs(bytes(data), at=AT, address=ADDRESS), ours(bytes(data), at=AT, address=ADDRESS),
        )  # fmt: skip
        reasons[said[0]] += 1
        if bytes(data) != origin and (said[0] != said[1] or "accepted" in said):
            disagreements.append((number, place, *said))

    print(f"faults list-mutations: {ROUNDS} tried, {len(disagreements)} broken")
    assert disagreements == []
    assert set(reasons) >= {"list_unreadable", "list_key_unknown", "list_signature_invalid"}
