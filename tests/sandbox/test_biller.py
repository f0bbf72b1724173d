"""The sandbox's biller sends what it is told to, and only what is a batch."""

from typing import Any

import requests

from tests.outside import OutsideWorld
from vpass.common.signing import generate_ed25519, private_pem


def tell(world: OutsideWorld, what: str, body: Any) -> requests.Response:
    return requests.post(f"{world.url}/biller/control/{what}", json=body, timeout=20)


def order(**changes: Any) -> dict[str, Any]:
    return {
        "key_id": "biller-1",
        "private_key_pem": private_pem(generate_ed25519()),
        "idempotency_key": "k" * 16,
        "bills": [],
    } | changes


REFUSED = [
    ("downloads", {}, 404),
    ("uploads", {"bills": "all"}, 400),
    ("uploads", {"key_id": 7}, 400),
    ("uploads", {"private_key_pem": "none"}, 400),
    ("uploads", {"stray": 1}, 400),
]


def test_uploads__signed_by_a_stranger__refusal_passed_on_and_what_is_no_order_refused(
    sandbox_of_own: OutsideWorld,
):
    answer = tell(sandbox_of_own, "uploads", order()).json()
    statuses = [
        tell(sandbox_of_own, what, order(**changes)).status_code for what, changes, _ in REFUSED
    ]

    assert (answer["status"], answer["answer"]["code"]) == (401, "signature.key_unknown")
    assert statuses == [status for _, _, status in REFUSED]
