"""Those who prove people: a phone with a chip of its own, and what stands behind it outside.

What the phone asks of the checking service is told by docs/liveness-protocol.md, and what its chip
gives by docs/phone-proofs.md.
"""

from dataclasses import dataclass
from typing import Any

from vpass.common import signing
from vpass.day.actors import Clerk, Phone, new_key
from vpass.day.outside import Outside, Person
from vpass.day.transport import Reply

PURPOSE = "identity-check"


@dataclass
class ChipPhone(Phone):
    """A phone whose key lives in a chip, for which its maker vouches."""

    def attest(self, outside: Outside) -> list[str]:
        """The maker's chain for this phone's key and a challenge of the city."""
        reply = self.transport.patience.ask(
            lambda: self.transport.send(
                "GET", "/.well-known/vpass-attestation-challenge", headers={}
            ),
            is_repeatable=True,
        )
        challenge = reply.expect(200)["challenge"]
        return outside.vouch(signing.jwk_of(self.key), challenge=challenge)

    def confirm_phone_by_chip(
        self, *, enrolment_id: str, one_time_code: str, chain: list[str]
    ) -> Reply:
        """Gives the one-time code back together with the chip's proof."""
        body = {"one_time_code": one_time_code, "attestation": chain}
        path = f"/enrolments/{enrolment_id}/phone-proof"
        return self._keep_token(self.send("POST", path, body, signed_in=False))

    def begin_face_check(self) -> Reply:
        """Asks for a challenge for the checking service."""
        return self.send("POST", "/face-checks", {}, idempotency_key=new_key())

    def finish_face_check(self, check_id: str, result: str) -> Reply:
        """Hands in what the checking service signed."""
        path = f"/face-checks/{check_id}/result"
        return self.send("POST", path, {"result": result}, idempotency_key=new_key())


@dataclass
class Levels:
    """A newcomer with such a phone, and the registrar; the desk's enrolment code is used once."""

    phone: ChipPhone
    registrar: Clerk
    desk_enrolment_code: str  # empty: enrolled on an earlier day
    newcomer: Person | None = None


def look(outside: Outside, begun: dict[str, Any]) -> str:
    """Has the checking service look at the person before the phone; what it signed."""
    asked = {name: begun[name] for name in ("challenge", "subject", "audience")}
    return outside.look_at_face(asked)
