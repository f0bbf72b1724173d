"""identity.offline decides as a second reader does that was written from docs/offline.md alone."""

import json
import os
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from identity.offline import Bundle, Scanner
from identity.status_format import ListRefused, encode_list, pack
from tests.identity import reference_verifier
from tests.identity.reference_verifier import OfflineReader
from tests.identity.test_reference_verifier import MUTATIONS, PRIVATE
from tests.identity.test_reference_verifier import VECTORS as CODES
from vpass.common.signing import public_from_jwk

VECTORS = json.loads((Path(__file__).parent / "vectors" / "offline.json").read_text("utf-8"))
KEY_SET, LISTS_AT, CITY = VECTORS["key_set"], VECTORS["lists_at"], VECTORS["issuer"]
KEYS = {
    bytes.fromhex(jwk["kid"]): public_from_jwk(
        {name: jwk[name] for name in ("kty", "crv", "x", "y")}
    )
    for jwk in KEY_SET["keys"]
}
AT = 1_780_000_000
SCENES = ("id", "pay", "bus", "door", "library", "check_in")
ROUNDS = 10_000 if "VPASS_ROUNDS" in os.environ else 240


def pair(scene: str, rules: dict[str, Any]) -> tuple[Scanner, OfflineReader]:
    """Our scanner and the second reader, with the same rules and nothing in memory."""
    bundle = Bundle(
        issuer=CITY,
        scene=scene,
        version="",
        keys=KEYS,
        lists_at=LISTS_AT,
        lists={},
        max_list_age_s=rules["max_list_age_s"],
        stale_uses=rules["stale_uses"],
        door_groups=frozenset(rules["door_groups"]),
    )
    return Scanner(bundle), OfflineReader(CITY, KEY_SET, scene, rules)


def load(scanner: Scanner, reader: OfflineReader, number: int, data: bytes, *, at: int) -> None:
    """Give both the same list."""
    scanner.load_list(number, data, at=at)
    found = reference_verifier.verify_list(data, at, f"{LISTS_AT}{number}", KEY_SET)
    assert not isinstance(found, str), found
    reader.lists[number] = found


def ours(scanner: Scanner, text: str, *, at: int) -> str:
    decision = scanner.decide(text, at=at)
    return decision.reason or ("capped" if decision.is_capped else "accepted")


def made_list(number: int, statuses: Any = (), *, at: int = AT) -> bytes:
    return encode_list(
        pack(statuses),
        subject=f"{LISTS_AT}{number}",
        issued_at=at,
        expires_at=at + 86400,
        ttl_s=300,
        kid=bytes.fromhex("7a3c19e4"),
        private=PRIVATE["city 7a3c19e4"],
    )


def door_groups_of(vector: dict[str, Any]) -> list[int]:
    rights = vector["grant"]["rights"] or {}
    return rights.get("door_groups") or [5]


@pytest.mark.parametrize("vector", VECTORS["scanners"], ids=lambda each: each["name"])
def test_vector__both_readers__decide_each_step_as_written(vector: dict[str, Any]):
    scanner, reader = pair(vector["scene"], vector["rules"])
    for number, data in vector["lists"].items():
        load(scanner, reader, int(number), bytes.fromhex(data), at=AT)

    for place, step in enumerate(vector["steps"]):
        assert reader.decide(step["text"], step["at"]) == step["expected"], place
        assert ours(scanner, step["text"], at=step["at"]) == step["expected"], place


def test_mutated_codes__both_readers__same_decision_with_the_lists_in_play():
    """Every scene, lists fresh and old, each value, genuine codes among the mutants."""
    chance = random.Random(20261127)
    decisions: Counter[str] = Counter()
    disagreements = []

    for number in range(ROUNDS):
        origin = chance.choice(CODES["good"])
        at, index = origin["at"], origin["grant"]["status_index"]
        rules = {
            "max_list_age_s": 3600,
            "stale_uses": chance.choice((0, 2)),
            "door_groups": chance.choice(([], [1], door_groups_of(origin))),
        }
        scanner, reader = pair(chance.choice(SCENES), rules)
        if chance.random() < 0.95:
            age = chance.choice((0, 3600, 3601, 86399, -30))
            value = chance.choice((0, 0, 0, 1, 2, 3, 7, 12, 13, 14, 15))
            if at - age >= 0:
                issued = at - age
                statuses = [(index & 0xFFFFF, value)]
                listed = made_list(index >> 20, statuses, at=issued)
                load(scanner, reader, index >> 20, listed, at=issued)
        text = origin["text"]
        if number % 2:
            text = MUTATIONS[number // 2 % len(MUTATIONS)](chance, text)
        for _ in range(2):
            said = reader.decide(text, at), ours(scanner, text, at=at)
            decisions[said[0]] += 1
            if said[0] != said[1]:
                disagreements.append((number, origin["name"], *said, text))

    print(f"faults offline-mutations: {ROUNDS} tried, {len(disagreements)} broken")
    assert disagreements == []
    assert set(decisions) >= {
        "accepted", "capped", "already_used", "offline_stale", "revoked", "suspended",
        "pay_suspended", "right_missing", "unreadable", "signature_invalid",
    }, decisions  # fmt: skip


def test_load_list__older_than_the_one_held__ignored():
    scanner, _ = pair("id", VECTORS["scanners"][0]["rules"])
    scanner.load_list(1, made_list(1, [(1, 1)], at=AT + 60), at=AT + 60)

    scanner.load_list(1, made_list(1, at=AT), at=AT + 60)

    assert scanner.lists[1].issued_at == AT + 60
    assert scanner.lists[1].status((1 << 20) + 1) == 1


def test_load_list__of_another_number_or_refused__the_held_one_stays():
    scanner, _ = pair("id", VECTORS["scanners"][0]["rules"])
    scanner.load_list(1, made_list(1), at=AT)

    for number, data in ((2, made_list(1)), (1, made_list(1)[:-1]), (1, b"")):
        with pytest.raises(ListRefused):
            scanner.load_list(number, data, at=AT)

    assert list(scanner.lists) == [1]


def test_decide__ten_thousand_codes_later__memory_holds_the_last_minute_only():
    scanner, _ = pair("id", VECTORS["scanners"][0]["rules"])
    scanner.seen = {number.to_bytes(32): AT - 61 + number // 5_000 for number in range(10_000)}
    scanner.stale_uses = {b"over": (1, AT), b"living": (1, AT + 1)}

    scanner.decide("VP1:", at=AT)

    assert len(scanner.seen) == 5_000
    assert list(scanner.stale_uses) == [b"living"]


def test_decision__accepted__tells_the_code_and_whether_it_is_capped():
    vector = next(each for each in VECTORS["scanners"] if "two rides" in each["name"])
    scanner, reader = pair(vector["scene"], vector["rules"])
    for number, data in vector["lists"].items():
        load(scanner, reader, int(number), bytes.fromhex(data), at=AT)

    first, second = (scanner.decide(step["text"], at=step["at"]) for step in vector["steps"][:2])

    assert first.is_accepted and not first.is_capped
    assert second.is_accepted and second.is_capped
    assert first.code is not None and first.code.grant.rights is not None
    assert datetime.fromtimestamp(first.code.presentation.issued_at, UTC).year == 2026
