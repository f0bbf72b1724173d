"""Those who register what the city has, and a machine that makes its own keys.

As in `actors`, methods return the Reply as it came.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from vpass.common import clock, signing
from vpass.day.actors import TERMINAL, Clerk, new_key, send_signed
from vpass.day.memory import Memory
from vpass.day.transport import Reply, Transport

ADMINISTRATION = "/api/administration/v1"


@dataclass
class Administrator(Clerk):
    """Somebody who proposes, approves and suspends, at a desk of the city."""

    def organisations(self) -> Reply:
        """The own organisation and those below."""
        return self._do("GET", "/organisations?limit=100")

    def propose(self, action: str, subject: str, **detail: Any) -> Reply:
        """Proposes what gives rights."""
        return self._do(
            "POST", "/proposals", {"action": action, "subject": subject, "detail": detail}
        )

    def approve(self, proposal_id: str) -> Reply:
        """Approves it."""
        return self._do("POST", f"/proposals/{proposal_id}/approval", {})

    def suspend(self, kind: str, row_id: str) -> Reply:
        """Switches something off."""
        return self._do("POST", f"/{kind}/{row_id}/suspension", {"reason": "drill"})

    def refuse_correction(self, correction_id: str, *, text: str) -> Reply:
        """Answers a resident that the record stays as it is."""
        path = f"/corrections/{correction_id}/refusal"
        return self.send("POST", path, {"text": text}, idempotency_key=new_key())

    def _do(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        key = new_key() if method == "POST" else None
        return self.send(method, path, body, idempotency_key=key, part=ADMINISTRATION)


@dataclass
class KeyedMachine:
    """A terminal whose key was made inside it, and the one that is to follow."""

    transport: Transport
    key: signing.P256Private = field(default_factory=signing.generate_p256)
    next_key: signing.P256Private = field(default_factory=signing.generate_p256)

    def enrol(self, *, enrolment_code: str) -> Reply:
        """Brings its key, with the administrator's code."""
        body = {"enrolment_code": enrolment_code, "jwk": signing.jwk_of(self.key)}
        return self._send("POST", "/keys", body, by=self.key)

    def rotate(self) -> Reply:
        """Has the next key take over, proven by both."""
        claims = {
            "aud": f"{self.transport.public_url}{TERMINAL}/keys/rotation",
            "sub": _thumbprint(self.key),
            "iat": int(clock.now().timestamp()),
            "jti": secrets.token_urlsafe(18),
        }
        proof = signing.encode_jws(
            claims, self.next_key, typ="vpass-next-key+jwt", jwk=signing.jwk_of(self.next_key)
        )
        return self._send("POST", "/keys/rotation", {"proof": proof}, by=self.key)

    def fetch_bundle(self, *, by: signing.P256Private) -> Reply:
        """Asks for what a scanner needs offline, signed by one of its keys."""
        return self._send("GET", "/scanner-bundle", None, by=by)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, *, by: signing.P256Private
    ) -> Reply:
        return send_signed(
            self.transport,
            method,
            TERMINAL + path,
            body,
            key=new_key() if method == "POST" else None,
            key_id=_thumbprint(by),
            private=by,
        )


@dataclass
class Administration:
    """The two administrators of the city, and the codes of their desks, used once."""

    proposer: Administrator
    approver: Administrator
    desk_enrolment_codes: list[str]

    @classmethod
    def of(cls, transport: Transport, memory: Memory, login: dict[str, Any]) -> "Administration":
        """Those whom the seeding wrote down."""
        first, second = (
            Administrator(transport, memory.key(each["username"]), **each)
            for each in login["staff"]
        )
        return cls(first, second, login["desk_enrolment_codes"])


def _thumbprint(key: signing.P256Private) -> str:
    return signing.thumbprint(signing.jwk_of(key))
