"""Those who use cards on the day: the card wallet in a phone, and a bus's validator."""

from dataclasses import dataclass

from vpass.common import signing
from vpass.day.actors import TERMINAL, Phone, new_key, send_signed
from vpass.day.transport import Reply, Transport


@dataclass
class CardWallet:
    """The cards of the resident whose phone this is."""

    phone: Phone

    def cards(self) -> Reply:
        """What stands in the wallet, newest first."""
        return self.phone.send("GET", "/cards")

    def card(self, card_id: str) -> Reply:
        """One of the cards."""
        return self.phone.send("GET", f"/cards/{card_id}")

    def bind(
        self, card_type: str, issuer: str, fields: dict[str, str], *, key: str | None = None
    ) -> Reply:
        """Asks for a card to be bound; `key` repeats an earlier request."""
        body = {"card_type": card_type, "issuer": issuer, "fields": fields}
        return self.phone.send("POST", "/cards", body, idempotency_key=key or new_key())

    def change(self, card_id: str, what: str) -> Reply:
        """Does one of freeze, lift, loss, unbinding to a card."""
        path = f"/cards/{card_id}/{what}"
        return self.phone.send("POST", path, {}, idempotency_key=new_key())


@dataclass
class Bus:
    """A bus on a line, whose validator is known by an Ed25519 key."""

    transport: Transport
    line: str
    key_id: str
    private: signing.Ed25519Private

    def tap(self, code: str, *, key: str | None = None) -> Reply:
        """Scans a code for a ride; `key` repeats an earlier request."""
        return send_signed(
            self.transport,
            "POST",
            f"{TERMINAL}/bus-taps",
            {"code": code, "line": self.line},
            key=key or new_key(),
            key_id=self.key_id,
            private=self.private,
        )
