"""Those who share and answer: the resident's consents and shares, a department, a privacy officer.

As in `actors`, methods return the Reply as it came. What is signed is told by docs/consent.md.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vpass.common import clock, signing
from vpass.day.actors import Clerk, Phone, new_key, send_signed
from vpass.day.transport import Reply, Transport

DEPARTMENT = "/api/department/v1"


@dataclass
class Sharing:
    """What the resident whose phone this is signs away, and to whom."""

    phone: Phone

    def dispute(self, line_id: str, *, note: str) -> Reply:
        """Disputes a line of the access log."""
        return self._do(f"/access-log/{line_id}/dispute", {"note": note})

    def export(self) -> Reply:
        """Exports the access log with a fresh signature."""
        path = "/access-log/exports"
        request = self._sign(path, typ="vpass-export+jwt")
        return self.phone.send("POST", path, {"request": request, "before": None})

    def consents(self) -> Reply:
        """What organisations ask."""
        return self.phone.send("GET", "/consents")

    def approve(self, asked: dict[str, Any], *, fields: list[str] | None = None) -> Reply:
        """Approves a request as the list shows it, or with other fields than it has."""
        path = f"/consents/{asked['id']}/approval"
        word = self._sign(
            path,
            typ="vpass-consent+jwt",
            consent=asked["id"],
            organisation=asked["organisation"]["id"],
            purpose=asked["purpose"]["code"],
            fields=asked["fields"] if fields is None else fields,
        )
        return self._do(path, {"approval": word})

    def recipients(self) -> Reply:
        """To which departments something may be sent."""
        return self.phone.send("GET", "/share-recipients?limit=100")

    def share(self, recipient: dict[str, Any], *, matter: str, fields: list[str]) -> Reply:
        """Hands chosen fields to a department for a matter, for an hour."""
        path = "/case-shares"
        word = self._sign(
            path,
            typ="vpass-share+jwt",
            organisation=recipient["organisation"]["id"],
            purpose=recipient["purpose"]["code"],
            matter=matter,
            fields=sorted(fields),
            expires_at=int((clock.now() + timedelta(hours=1)).timestamp()),
        )
        return self._do(path, {"share": word})

    def shares(self) -> Reply:
        """What was shared, and what came of it."""
        return self.phone.send("GET", path="/case-shares")

    def act_for_child(self, *, real_name: str, id_number: str) -> Reply:
        """Has the register confirm that this is the resident's child."""
        path = "/delegations"
        word = self._sign(
            path,
            typ="vpass-delegation+jwt",
            kind="child",
            subject=id_number,
            scenes=["id"],
            purposes=[],
            expires_at=int((clock.now() + timedelta(days=30)).timestamp()),
        )
        return self._do(path, {"request": word, "child_name": real_name})

    def uses(self, delegation_id: str) -> Reply:
        """What was done under a delegation."""
        return self.phone.send("GET", f"/delegations/{delegation_id}/uses")

    def revoke(self, delegation_id: str) -> Reply:
        """Ends a delegation."""
        return self._do(f"/delegations/{delegation_id}/revocation", {})

    def _sign(self, path: str, *, typ: str, **claims: Any) -> str:
        whole = {**claims, **self.phone.request_claims(path)}
        return signing.encode_jws(whole, self.phone.key, typ=typ)

    def _do(self, path: str, body: dict[str, Any]) -> Reply:
        return self.phone.send("POST", path, body, idempotency_key=new_key())


@dataclass
class PrivacyOfficer(Clerk):
    """A member of staff who answers disputes, and can serve people at a desk like any clerk."""

    def disputes(self) -> Reply:
        """What residents dispute, newest first."""
        return self.send("GET", "/disputes")

    def answer(self, line_id: str, *, verdict: str, text: str) -> Reply:
        """Answers a dispute."""
        return self._do(f"/disputes/{line_id}/answer", {"verdict": verdict, "text": text})

    def scan_for(
        self, code: str, *, purpose: str, case_number: str, fields: list[str] | None
    ) -> Reply:
        """Scans a code and asks for these fields only."""
        body = {"code": code, "purpose": purpose, "case_number": case_number, "fields": fields}
        return self._do("/scans", body)

    def ask(self, scan: str, *, fields: list[str]) -> Reply:
        """Asks the resident who was just scanned for more."""
        return self._do("/consent-requests", {"scan": scan, "fields": fields, "case_number": None})

    def release(self, consent_id: str) -> Reply:
        """Receives what was approved."""
        return self._do(f"/consent-requests/{consent_id}/release", {})

    def _do(self, path: str, body: dict[str, Any]) -> Reply:
        return self.send("POST", path, body, idempotency_key=new_key())


@dataclass
class Department:
    """A department's own system, known by an Ed25519 key."""

    transport: Transport
    key_id: str
    private: signing.Ed25519Private

    @classmethod
    def of(cls, transport: Transport, login: dict[str, str]) -> "Department":
        """The system with the key that the seeding wrote down."""
        private = signing.load_ed25519_private(login["private_key_pem"])
        return cls(transport, login["key_id"], private)

    def open(self, handle: str, *, case_number: str) -> Reply:
        """Opens a case share."""
        body = {"handle": handle, "official": "0815", "case_number": case_number}
        return self._do("/case-share-openings", body)

    def conclude(self, share_id: str, *, decision: str, note: str) -> Reply:
        """Says how the matter ended."""
        return self._do(f"/case-shares/{share_id}/decision", {"decision": decision, "note": note})

    def _do(self, path: str, body: dict[str, Any]) -> Reply:
        return send_signed(
            self.transport,
            "POST",
            DEPARTMENT + path,
            body,
            key=new_key(),
            key_id=self.key_id,
            private=self.private,
        )
