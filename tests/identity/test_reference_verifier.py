"""identity.code_format says what a second reader, written from docs/code-format.md alone, says."""

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import base45
import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from identity.code_format import CodeError, check_code, read_code
from tests.identity import reference_verifier
from tests.identity.reference_verifier import ORDER
from vpass.common.signing import es256_sign, public_from_jwk

VECTORS = json.loads((Path(__file__).parent / "vectors" / "codes.json").read_text("utf-8"))
CITY, KEY_SET = VECTORS["issuer"], VECTORS["key_set"]
KEYS = {
    jwk["kid"]: public_from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    for jwk in KEY_SET["keys"]
}
PRIVATE = {
    name: ec.derive_private_key(int(number, 16), ec.SECP256R1())
    for name, number in VECTORS["test_private_keys"].items()
}
SEED = 20260302
ROUNDS = 10_000 if "VPASS_ROUNDS" in os.environ else 2_000
# The good vectors are spread over a few years; the mutants keep the time of their origin.
GENUINE = VECTORS["good"]
P = 2**256 - 2**224 + 2**192 + 2**96 - 1

Mutation = Callable[[random.Random, str], str]


def ours(text: str, at: int) -> str:
    """What identity.code_format says: "accepted" or the reason."""
    try:
        code = read_code(text)
        check_code(code, key=KEYS.get(code.kid.hex()), at=at, issuer=CITY)
    except CodeError as error:
        return error.reason
    return "accepted"


def theirs(text: str, at: int) -> str:
    """What the second reader says."""
    return reference_verifier.verify(text, at, CITY, KEY_SET)


def octets_of(text: str) -> bytes:
    return bytes(base45.b45decode(text[4:]))


def text_of(octets: bytes) -> str:
    return "VP1:" + base45.b45encode(octets).decode("ascii")


def signed(private: Any, *parts: bytes) -> bytes:
    return es256_sign(private, cbor2.dumps(["Signature1", *parts]))


def resigned(items: list[list[Any]], grant_by: str, presentation_by: str) -> str:
    """The text of two items, both signed again with the test keys named."""
    grant, presentation = items
    grant[3] = signed(PRIVATE[grant_by], grant[0], b"", grant[2])
    outer = cbor2.dumps(grant)
    presentation[3] = signed(PRIVATE[presentation_by], presentation[0], outer, presentation[2])
    return text_of(cbor2.dumps(items))


# Mutations of the text and of its bytes


def change_character(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text))
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:az\n０é!"
    return text[:place] + chance.choice(letters.replace(text[place], "")) + text[place + 1 :]


def drop_character(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text))
    return text[:place] + text[place + 1 :]


def insert_character(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice("0AZ :\n\tx") + text[place:]


def swap_characters(chance: random.Random, text: str) -> str:
    places = [place for place in range(len(text) - 1) if text[place] != text[place + 1]]
    place = chance.choice(places)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def cut_text(chance: random.Random, text: str) -> str:
    return text[: chance.randrange(len(text))]


def extend_text(chance: random.Random, text: str) -> str:
    return text + "".join(chance.choices("0A:Z ", k=chance.choice((1, 2, 3, 6, 300))))


def lower_case(chance: random.Random, text: str) -> str:
    return text.lower() if chance.random() < 0.5 else text[:4] + text[4:].lower()


def flip_bit(chance: random.Random, text: str) -> str:
    octets = bytearray(octets_of(text))
    octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
    return text_of(bytes(octets))


def change_byte(chance: random.Random, text: str) -> str:
    octets = bytearray(octets_of(text))
    place = chance.randrange(len(octets))
    octets[place] = (octets[place] + chance.randrange(1, 256)) % 256
    return text_of(bytes(octets))


def drop_bytes(chance: random.Random, text: str) -> str:
    octets = octets_of(text)
    place, size = chance.randrange(len(octets)), chance.choice((1, 1, 2, 8, 64))
    return text_of(octets[:place] + octets[place + size :])


def insert_bytes(chance: random.Random, text: str) -> str:
    octets = octets_of(text)
    place = chance.randrange(len(octets) + 1)
    return text_of(octets[:place] + chance.randbytes(chance.choice((1, 1, 2, 8))) + octets[place:])


# Mutations of the CBOR, the signatures made anew so that only the form is at fault


def change_structure(chance: random.Random, text: str) -> str:
    """Another shape around the payloads: items, headers, members, a tag."""
    items = cbor2.loads(octets_of(text))
    grant, presentation = items
    which = chance.choice(items)
    whole: Any = items
    kind = chance.randrange(10)
    if kind == 0:
        whole = [presentation, grant]
    elif kind == 1:
        whole = [grant] if chance.random() < 0.5 else [grant, presentation, presentation]
    elif kind == 2:
        which[1] = chance.choice(({4: b"kid1"}, [], None, {1: -7}, 0))
    elif kind == 3:
        which[0] = chance.choice(
            (b"", b"\xa0", grant[0] + b"\x00", presentation[0], b"\xa1\x01\x27", {1: -7})
        )
        if which is presentation and which[0] == b"\xa1\x01\x26":
            which[0] = b"\xbf\x01\x26\xff"
    elif kind == 4:
        which[2] = chance.choice((None, "text", cbor2.loads(which[2]), which[2].decode("latin-1")))
    elif kind == 5:
        which[3] = chance.choice((which[3][:63], which[3] + b"\0", b"", None, [which[3]]))
    elif kind == 6:
        index = items.index(which)
        items[index] = cbor2.CBORTag(18, which)
    elif kind == 7:
        which.append(0)
    elif kind == 8:
        which.pop()
    else:
        whole = cbor2.CBORTag(55799, items)
    return text_of(cbor2.dumps(whole))


def head(kind: int, number: int, size: int) -> bytes:
    """A CBOR head with its number in `size` bytes, shortest form or not; 0: inside the head."""
    if size == 0:
        return bytes([kind << 5 | number])
    return bytes([kind << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + number.to_bytes(size, "big")


def shortest(number: int) -> int:
    return 0 if number < 24 else next(size for size in (1, 2, 4, 8) if number < 256**size)


def spell(value: Any, spoil: Callable[[int], int]) -> bytes:
    """CBOR of a value, each number's size chosen by `spoil` from its shortest."""

    def start(kind: int, number: int) -> bytes:
        return head(kind, number, spoil(shortest(number)))

    if isinstance(value, dict):
        pairs = [spell(k, spoil) + spell(v, spoil) for k, v in value.items()]
        return start(5, len(value)) + b"".join(pairs)
    if isinstance(value, list):
        return start(4, len(value)) + b"".join(spell(each, spoil) for each in value)
    if isinstance(value, bytes):
        return start(2, len(value)) + value
    if isinstance(value, str):
        return start(3, len(value.encode())) + value.encode()
    return start(0, value)


def longer_number(chance: random.Random, text: str) -> str:
    """One number or length, inside a payload or outside, written in a longer form."""
    items = cbor2.loads(octets_of(text))
    target = chance.choice(("grant", "presentation", "outside"))
    victims = {"grant": 14, "presentation": 9, "outside": 11}[target]
    victim, seen = chance.randrange(victims), [0]

    def spoil(size: int) -> int:
        seen[0] += 1
        if seen[0] - 1 != victim or size == 8:
            return size
        return chance.choice([each for each in (1, 2, 4, 8) if each > size])

    if target == "outside":
        return text_of(spell(items, spoil))
    which = items[0] if target == "grant" else items[1]
    payload = spell(cbor2.loads(which[2]), spoil)
    which[2] = payload if payload != which[2] else payload + b"\0"
    return resigned(items, "city 7a3c19e4", "phone 1")


def indefinite(chance: random.Random, text: str) -> str:
    items = cbor2.loads(octets_of(text))
    which = chance.choice(items)
    claims = which[2]
    which[2] = b"\xbf" + claims[1:] + b"\xff"
    if chance.random() < 0.3:
        which[2] = claims
        return text_of(b"\x9f" + octets_of(text)[1:] + b"\xff")
    return resigned(items, "city 7a3c19e4", "phone 1")


def change_keys(chance: random.Random, text: str) -> str:
    """A payload's keys swapped, doubled, renamed, left out or added to; signed anew."""
    items = cbor2.loads(octets_of(text))
    which = chance.choice(items)
    pairs = [(cbor2.dumps(k), cbor2.dumps(v)) for k, v in cbor2.loads(which[2]).items()]
    kind, place = chance.randrange(6), chance.randrange(len(pairs))
    if kind == 0:
        other = chance.choice([index for index in range(len(pairs)) if index != place])
        pairs[place], pairs[other] = pairs[other], pairs[place]
    elif kind == 1:
        pairs.insert(place, pairs[place])
    elif kind == 2:
        pairs[place] = (cbor2.dumps(chance.choice((0, 2, 13, -1, "iss", True))), pairs[place][1])
    elif kind == 3:
        del pairs[0 if place == 5 else place]  # a grant without its rights is a good one
    elif kind == 4:
        pairs.append((cbor2.dumps(chance.choice((13, 99, 2**32))), cbor2.dumps(1)))
    else:  # the values of two keys change places, the keys stay ascending
        other = chance.choice([index for index in range(len(pairs)) if index != place])
        first, second = pairs[place], pairs[other]
        pairs[place], pairs[other] = (first[0], second[1]), (second[0], first[1])
    which[2] = bytes([0xA0 | len(pairs)]) + b"".join(k + v for k, v in pairs)
    return resigned(items, "city 7a3c19e4", "phone 1")


BAD_VALUES: dict[int, tuple[Any, ...]] = {
    1: ("", "Weifang", "weifang\n", "wei fang", "w" * 25, "潍坊", b"weifang", 7, "1a", "jinan"),
    4: (-1, 2**32, 1.0, True, None, "1", 0, 1),
    7: (b"", bytes(15), bytes(17), "0" * 16, 0),
    8: (b"", bytes(33), b"\x04" + bytes(32), b"\x02" + b"\xff" * 32, b"\x02" + P.to_bytes(32)),
    9: (-1, 2**32, False, b"", 2.5),
    10: ({}, [], None, {1: 1}, {2: bytes(8)}, {1: 256, 2: bytes(8)}, {1: 1, 2: bytes(7)},
         {3: []}, {3: [2, 1]}, {3: [1, 1]}, {3: [1, 2, 3, 4, 5]}, {3: [2**32]}, {4: 1},
         {1: True, 2: bytes(8)}, {3: [True]}, {1: 1, 3: [1]}, {2: bytes(8), 3: [1]}),
    6: (-1, 2**32, True, 1.5, 0, 1),
    11: (0, 64, -1, True, 63.0, 2**32),
    12: (b"", bytes(5), bytes(7), "abcdef", 0),
}  # fmt: skip


def change_value(chance: random.Random, text: str) -> str:
    """One claim of a wrong type, size or range; signed anew."""
    items = cbor2.loads(octets_of(text))
    which = chance.choice(items)
    claims = cbor2.loads(which[2])
    key = chance.choice([*claims, *((10,) if which is items[0] else ())])
    claims[key] = chance.choice(BAD_VALUES[key])
    which[2] = cbor2.dumps(claims)
    return resigned(items, "city 7a3c19e4", "phone 1")


# Mutations of the signatures


def replace_signature(chance: random.Random, which: list[Any], r: int, s: int) -> None:
    which[3] = (r % 2**256).to_bytes(32, "big") + (s % 2**256).to_bytes(32, "big")


def change_signature(chance: random.Random, text: str) -> str:
    """High s, zero, the order itself, swapped halves, the other item's signature."""
    items = cbor2.loads(octets_of(text))
    which = chance.choice(items)
    r, s = int.from_bytes(which[3][:32], "big"), int.from_bytes(which[3][32:], "big")
    choices = [(r, ORDER - s), (0, s), (r, 0), (ORDER, s), (r, ORDER), (s, r), (r + ORDER, s)]
    choices += [(r, s + ORDER), (ORDER - r, s), (r + 1, s), (2**256 - 1, 2**256 - 1), (0, 0)]
    kind = chance.randrange(len(choices) + 2)
    if kind == len(choices):
        items[0][3], items[1][3] = items[1][3], items[0][3]
    elif kind == len(choices) + 1:
        which[3] = chance.randbytes(64)
    else:
        replace_signature(chance, which, *choices[kind])
    return text_of(cbor2.dumps(items))


def sign_with_wrong_key(chance: random.Random, text: str) -> str:
    """A payload changed within its range, and signed by somebody whose key is another."""
    items = cbor2.loads(octets_of(text))
    claims, shown = cbor2.loads(items[0][2]), cbor2.loads(items[1][2])
    claims[9] = chance.randrange(2**32)
    shown[12] = chance.randbytes(6)
    grant_by, presentation_by = "city 7a3c19e4", "phone 1"
    is_phone_1 = claims[8] == point_of("phone 1")
    wrong_city = "city 05b1d6f2" if items[0][0].endswith(bytes.fromhex("7a3c19e4")) else grant_by
    if chance.random() < 0.5:
        grant_by = wrong_city
    else:
        presentation_by = "phone 2" if is_phone_1 else "phone 1"
        grant_by = "city 05b1d6f2" if wrong_city == grant_by else grant_by
    items[0][2], items[1][2] = cbor2.dumps(claims), cbor2.dumps(shown)
    return resigned(items, grant_by, presentation_by)


def point_of(name: str) -> bytes:
    numbers = PRIVATE[name].public_key().public_numbers()
    return bytes([2 + numbers.y % 2]) + numbers.x.to_bytes(32, "big")


def change_payload(chance: random.Random, text: str) -> str:
    """A claim changed within its range and not signed again, or another key id, point or grant."""
    items = cbor2.loads(octets_of(text))
    claims, shown = cbor2.loads(items[0][2]), cbor2.loads(items[1][2])
    kind = chance.randrange(6)
    if kind == 0:
        claims[8] = bytes([claims[8][0] ^ 1]) + claims[8][1:]
    elif kind == 1:
        shown[11] = shown[11] % 63 + 1
    elif kind == 2:
        shown[12] = chance.randbytes(6)
    elif kind == 3:
        claims[8] = bytes([2 + chance.randrange(2)]) + chance.randbytes(32)
    elif kind == 4:
        claims[4] = min(claims[4] + 1, 2**32 - 1) if claims[4] < 2**32 - 1 else claims[4] - 1
    else:
        kid = chance.choice((chance.randbytes(4), bytes.fromhex("05b1d6f2"), bytes(4)))
        other = bytes.fromhex("7a3c19e4") if items[0][0].endswith(kid) else kid
        items[0][0] = items[0][0][:5] + other
    items[0][2], items[1][2] = cbor2.dumps(claims), cbor2.dumps(shown)
    return text_of(cbor2.dumps(items))


MUTATIONS: tuple[Mutation, ...] = (
    change_character,
    drop_character,
    insert_character,
    swap_characters,
    cut_text,
    extend_text,
    lower_case,
    flip_bit,
    change_byte,
    drop_bytes,
    insert_bytes,
    change_structure,
    longer_number,
    indefinite,
    change_keys,
    change_value,
    change_signature,
    sign_with_wrong_key,
    change_payload,
)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda each: each["name"])
def test_good_vector__both_readers__accept(vector: dict[str, Any]) -> None:
    assert theirs(vector["text"], vector["at"]) == "accepted"
    assert ours(vector["text"], vector["at"]) == "accepted"


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda each: each["name"])
def test_bad_vector__both_readers__same_reason(vector: dict[str, Any]) -> None:
    assert theirs(vector["text"], vector["at"]) == vector["reason"]
    assert ours(vector["text"], vector["at"]) == vector["reason"]


def test_mutated_codes__both_readers__refuse_for_the_same_reason() -> None:
    chance = random.Random(SEED)
    reasons: Counter[str] = Counter()
    disagreements = []

    for number in range(ROUNDS):
        origin = chance.choice(GENUINE)
        mutate = MUTATIONS[number % len(MUTATIONS)]
        text, at = mutate(chance, origin["text"]), origin["at"]
        assert text != origin["text"], (number, mutate.__name__)
        said = theirs(text, at), ours(text, at)
        reasons[said[0]] += 1
        if said[0] != said[1] or "accepted" in said:
            disagreements.append((number, mutate.__name__, origin["name"], *said, text))

    print(f"faults code-mutations: {ROUNDS} tried, {len(disagreements)} broken")
    assert disagreements == []
    assert reasons.total() == ROUNDS
    # Every layer was reached, not the first alone.
    assert set(reasons) >= {
        "unreadable",
        "signature_invalid",
        "key_unknown",
        "other_city",
        "expired",
    }
    assert reasons["signature_invalid"] > 300


def test_moments_around_the_limits__both_readers__agree() -> None:
    for vector in GENUINE:
        issued, expires = vector["presentation"]["issued_at"], vector["grant"]["expires_at"]
        moments = [issued + shift for shift in (-31, -30, -1, 0, 59, 60, 61)]
        moments += [expires - 1, expires, expires + 1, 0]
        for at in moments:
            assert theirs(vector["text"], at) == ours(vector["text"], at), (vector["name"], at)
