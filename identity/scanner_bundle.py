"""Packs what a terminal needs to decide without network: keys, rules, and which lists to fetch."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from django.conf import settings

from identity import keys, offline, status_list
from vpass.common import contributions
from vpass.common.callers import Caller
from vpass.common.encodings import b64url_encode
from vpass.common.signing import encode_jws

LIVES = timedelta(hours=24)
MAX_LIST_AGE = timedelta(hours=1)
# How often a bus takes one grant while its list is too old; everybody else refuses.
STALE_USES: Final = {"bus": 2}

# Asked of the floors above with `terminal_id`; each answers the ascending door group ids which this
# terminal opens for, or none.
DOOR_GROUPS = "identity.door_groups"


@dataclass(frozen=True)
class BundlePacked:
    """A bundle (a JWS; docs/offline.md) and its version, another one when anything has changed."""

    bundle: str
    version: str


def pack_bundle(*, caller: Caller, at: datetime) -> BundlePacked:
    """Return the bundle of the terminal which asks. Two statements."""
    content: dict[str, Any] = {
        "iss": settings.CITY,
        "aud": str(caller.id),
        "scene": caller.scene,
        "keys": keys.public_key_set()["keys"],
        "lists_at": settings.PUBLIC_URL + status_list.LISTS_PATH,
        "lists": {
            str(number): b64url_encode(digest)
            for number, digest in status_list.published_lists(at=at)
        },
        "rules": {
            "max_list_age_s": int(MAX_LIST_AGE.total_seconds()),
            "stale_uses": STALE_USES.get(caller.scene or "", 0),
            "door_groups": sorted(
                {
                    group
                    for _, groups in contributions.ask(DOOR_GROUPS, terminal_id=caller.id)
                    for group in groups
                }
            ),
        },
    }
    spelt = json.dumps(content, sort_keys=True, separators=(",", ":"))
    version = b64url_encode(sha256(spelt.encode()).digest()[:16])
    issued_at = int(at.timestamp())
    signer = keys.current_signer(at=at)
    bundle = encode_jws(
        content | {"iat": issued_at, "exp": issued_at + int(LIVES.total_seconds()), "ver": version},
        signer.private,
        typ=offline.BUNDLE_TYPE,
        kid=signer.key_id.hex(),
    )
    return BundlePacked(bundle=bundle, version=version)
