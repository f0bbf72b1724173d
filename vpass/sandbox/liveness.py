"""The face checking service of docs/liveness-protocol.md, before whose camera stands whom we say.

It sees no pictures: the right person is alive before the camera, unless the switch says otherwise.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from vpass.sandbox.keys import SigningKey, b64url
from vpass.sandbox.population import Person
from vpass.sandbox.signatures import time_now

RESULT_LIFE_S = 300
RESULT_TYPE = "vpass-liveness+jwt"
MAX_SECONDS = 60.0

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_URL = re.compile(r"https?://[!-~]{1,180}", re.ASCII)

# What the switch can make of the next check: changes of header and claims.
MODES: dict[str, dict[str, Any]] = {
    "slow": {},
    "spoof": {"outcome": "not_live", "score": 12},
    "no_match": {"outcome": "no_match", "score": 31},
    "weak": {"score": 79},
    "expired": {"iat": -1000, "exp": -700},
    "early": {"iat": 1000, "exp": 1300},
    "long": {"exp": 86_400},
    "other_audience": {"aud": "https://elsewhere.example"},
    "other_issuer": {"iss": "stranger-1"},
    "other_challenge": {"challenge": "A" * 43},
    "other_subject": {"sub": "A" * 43},
    "other_key": {},
    "key_in_header": {},
    "not_es256": {},
}


class Liveness:
    """Looks, and signs what it found."""

    def __init__(
        self,
        *,
        key: SigningKey,
        key_id: str,
        subject_key: str,
        find_by: Callable[[Callable[[Person], bool]], Person | None],
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._subject_key = subject_key.encode()
        self._find_by = find_by
        self._next: deque[tuple[str, float]] = deque()

    async def control(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Has the next check go as `mode` says, `seconds` late; raises ValueError."""
        mode, seconds = members.get("mode"), members.get("seconds", 0)
        if members.keys() - {"mode", "seconds"} or mode not in MODES:
            raise ValueError("mode")
        if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_SECONDS:
            raise ValueError("seconds")
        self._next.append((mode, float(seconds)))
        return {"waiting": len(self._next)}

    async def check(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """The signed result of a look. Raises ValueError, and LookupError for a stranger."""
        texts = [members.get(name) for name in ("challenge", "subject", "audience")]
        if members.keys() != {"challenge", "subject", "audience"}:
            raise ValueError("members")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("texts")
        challenge, subject, audience = (str(text) for text in texts)
        if not _TOKEN.fullmatch(challenge) or not _TOKEN.fullmatch(subject):
            raise ValueError("challenge, subject")
        if not _URL.fullmatch(audience):
            raise ValueError("audience")
        if self._find_by(lambda person: self._subject(person) == subject) is None:
            raise LookupError("subject")
        mode, seconds = self._next.popleft() if self._next else ("slow", 0.0)
        claims: dict[str, Any] = {
            "iss": self._key_id,
            "aud": audience,
            "sub": subject,
            "challenge": challenge,
            "outcome": "match",
            "score": 96,
            "iat": 0,
            "exp": RESULT_LIFE_S,
            "jti": secrets.token_urlsafe(18),
        } | MODES[mode]
        now = time_now()
        claims |= {"iat": now + claims["iat"], "exp": now + claims["exp"]}
        await asyncio.sleep(seconds)
        return {"result": self._signed(claims, mode)}

    def _signed(self, claims: dict[str, Any], mode: str) -> str:
        header: dict[str, Any] = {"alg": "ES256", "typ": RESULT_TYPE, "kid": self._key_id}
        key = self._key
        if mode in ("other_key", "key_in_header"):
            key = SigningKey()
        if mode == "key_in_header":
            x, y = key.point[1:33], key.point[33:]
            header["jwk"] = {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y)}
        if mode == "not_es256":
            header["alg"] = "none"
        return key.jws(header, claims)

    def _subject(self, person: Person) -> str:
        digest = hmac.digest(self._subject_key, person.id_number.encode(), hashlib.sha256)
        return b64url(digest)
