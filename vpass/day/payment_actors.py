"""Those who move money: the wallet in a phone, a shop's till, an accountant.

As in `actors`, methods return the Reply as it came, refusals included, unless they say otherwise.
What is signed is told by docs/phone-proofs.md and docs/http-signatures.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vpass.common import signing
from vpass.day.actors import Clerk, Phone, new_key, send_signed
from vpass.day.transport import Reply, Transport

MERCHANT = "/api/merchant/v1"
FINANCE = "/api/finance/v1"


@dataclass
class Wallet:
    """The wallet of the resident whose phone this is."""

    phone: Phone

    def show(self) -> Reply:
        """What is there, and the number by which banks top it up."""
        return self.phone.send("GET", "/wallet")

    def statement(self, query: str = "") -> Reply:
        """What moved, newest first."""
        return self.phone.send("GET", f"/statement{query}")

    def payments(self) -> Reply:
        """The resident's payments, newest first."""
        return self.phone.send("GET", "/payments")

    def way(self, payment_id: str) -> Reply:
        """Where the money of a payment is."""
        return self.phone.send("GET", f"/payments/{payment_id}/way")

    def confirm(self, payment: dict[str, Any], *, amount_fen: int | None = None) -> Reply:
        """Confirms a payment as the list shows it, or with another amount than it has."""
        path = f"/payments/{payment['id']}/confirmation"
        claims = {
            "order": payment["id"],
            "payee": payment["payee"]["id"],
            "amount_fen": payment["amount_fen"] if amount_fen is None else amount_fen,
            **self.phone.request_claims(path),
        }
        signed = signing.encode_jws(claims, self.phone.key, typ="vpass-confirm+jwt")
        return self.phone.send("POST", path, {"confirmation": signed}, idempotency_key=new_key())

    def top_up_by_card(self, card_id: str, amount_fen: int, *, key: str) -> Reply:
        """Takes money from a bound bank card; `key` repeats an earlier request."""
        body = {"card_id": card_id, "amount_fen": amount_fen}
        return self.phone.send("POST", "/top-ups", body, idempotency_key=key)

    def top_up(self, top_up_id: str) -> Reply:
        """How far a top-up by card is."""
        return self.phone.send("GET", f"/top-ups/{top_up_id}")

    def payment_source(self) -> Reply:
        """What pays at tills."""
        return self.phone.send("GET", "/payment-source")

    def choose_source(self, card_id: str | None, version: int) -> Reply:
        """Pays with this card from now on, or with the balance, in place of that version."""
        return self.phone.send("PUT", "/payment-source", {"card_id": card_id, "version": version})

    def withdraw(self, amount_fen: int) -> Reply:
        """Sends money to the bank account from which money came last."""
        body = {"amount_fen": amount_fen}
        return self.phone.send("POST", "/withdrawals", body, idempotency_key=new_key())

    def withdrawal(self, withdrawal_id: str) -> Reply:
        """How far a withdrawal is."""
        return self.phone.send("GET", f"/withdrawals/{withdrawal_id}")


@dataclass
class Till:
    """A shop's till, known by a P-256 key which it made itself."""

    transport: Transport
    private: signing.P256Private

    def enrol(self, *, enrolment_code: str) -> Reply:
        """Makes the key known with the code that the administrator gave."""
        body = {"enrolment_code": enrolment_code, "jwk": signing.jwk_of(self.private)}
        return self.send("POST", "/till-keys", body)

    def pay(
        self,
        code: str,
        *,
        amount_fen: int,
        title: str,
        reference: str,
        cashier: str | None = None,
        key: str | None = None,
    ) -> Reply:
        """Scans a code for an amount; `key` repeats an earlier request."""
        body = {
            "code": code,
            "amount_fen": amount_fen,
            "title": title,
            "merchant_reference": reference,
        } | ({} if cashier is None else {"cashier": cashier})
        return self.send("POST", "/payments", body, key=key or new_key())

    def payment(self, payment_id: str) -> Reply:
        """How a payment stands."""
        return self.send("GET", f"/payments/{payment_id}")

    def settlements(self) -> Reply:
        """What the shop was paid out, newest first."""
        return self.send("GET", "/settlements")

    def settled_payments(self, settlement_id: int, query: str = "") -> Reply:
        """The single payments and refunds of a settlement."""
        return self.send("GET", f"/settlements/{settlement_id}/payments{query}")

    def refund(self, payment_id: str, *, amount_fen: int, reference: str, key: str) -> Reply:
        """Gives a part back."""
        body = {"amount_fen": amount_fen, "reference": reference}
        return self.send("POST", f"/payments/{payment_id}/refunds", body, key=key)

    def ask_refund(self, payment_id: str, *, amount_fen: int, reference: str) -> Reply:
        """Asks for a refund that another till is to approve."""
        body = {"amount_fen": amount_fen, "reference": reference}
        path = f"/payments/{payment_id}/refund-requests"
        return self.send("POST", path, body, key=new_key())

    def approve_refund(self, request_id: str) -> Reply:
        """Approves what another till has asked for."""
        return self.send("POST", f"/refund-requests/{request_id}/approval", {}, key=new_key())

    def statement(self, query: str = "") -> Reply:
        """What moved on the shop's account on a business date, newest first."""
        return self.send("GET", f"/statement{query}")

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str | None = None
    ) -> Reply:
        """One signed request; `path` is under the merchants' part."""
        return send_signed(
            self.transport,
            method,
            MERCHANT + path,
            body,
            key=key,
            key_id=signing.thumbprint(signing.jwk_of(self.private)),
            private=self.private,
        )


@dataclass
class FinanceOfficer(Clerk):
    """An accountant of the city, who signs in like a clerk, at a desk of the finance office."""

    def windows(self) -> Reply:
        """The newest settlement windows."""
        return self._ask("/windows")

    def window(self, window_id: int) -> Reply:
        """One settlement window with its history."""
        return self._ask(f"/windows/{window_id}")

    def lines(self, window_id: int, query: str = "") -> Reply:
        """What each merchant gets of a window."""
        return self._ask(f"/windows/{window_id}/lines{query}")

    def line_payments(self, window_id: int, line_id: int, query: str = "") -> Reply:
        """The single payments a line is made of."""
        return self._ask(f"/windows/{window_id}/lines/{line_id}/payments{query}")

    def proposals(self) -> Reply:
        """The newest proposals."""
        return self._ask("/proposals")

    def propose(self, action: str, window_id: int) -> Reply:
        """Proposes something about a window."""
        return self._do("/proposals", {"action": action, "subject": str(window_id)})

    def propose_merchant(self, **asked: Any) -> Reply:
        """Proposes to take a firm on."""
        return self._do("/merchant-applications", asked)

    def merchants(self, query: str = "") -> Reply:
        """Whom the city pays out to."""
        return self._ask(f"/merchants{query}")

    def propose_change(self, path: str, **asked: Any) -> Reply:
        """Proposes to change something that stands."""
        return self._do(path, asked | {"reason": "A drill of the day."})

    def stop(self, path: str) -> Reply:
        """Stops something at once, alone."""
        return self._do(path, {"reason": "drill"})

    def changes(self) -> Reply:
        """What two people have changed, newest first."""
        return self._ask("/setting-changes")

    def approve(self, proposal_id: str) -> Reply:
        """Approves a proposal."""
        return self._do(f"/proposals/{proposal_id}/approval", {})

    def reject(self, proposal_id: str) -> Reply:
        """Rejects a proposal."""
        return self._do(f"/proposals/{proposal_id}/rejection", {})

    def _ask(self, path: str) -> Reply:
        return self.send("GET", path, part=FINANCE)

    def _do(self, path: str, body: dict[str, Any]) -> Reply:
        return self.send("POST", path, body, idempotency_key=new_key(), part=FINANCE)


def all_items(read: Callable[[str], Reply], **asked: str) -> list[Any]:
    """Everything of a list that comes in pages; `read` takes the query of a page's address."""
    items: list[Any] = []
    query = "".join(f"&{name}={value}" for name, value in asked.items())
    cursor = ""
    while True:
        page = read(f"?limit=100{query}{cursor}").expect(200)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"&cursor={page['next']}"
