"""The clients of the fault tests: tills, wallets, accountants, and the bank's control.

They sign as in life and know a running stack by its addresses only.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import requests

from vpass.common import clock, key_proofs, signing
from vpass.common.encodings import b64url_decode, b64url_encode
from vpass.day.actors import Phone, key_proof, send_json
from vpass.day.payment_actors import FINANCE, Till
from vpass.day.transport import HttpTransport, Reply, Unexpected


@dataclass
class Shop:
    """A merchant at one of its tills."""

    merchant_id: str
    till: Till


@dataclass
class Wallet:
    """A resident's phone, the bank account the money comes from, and a bound bank card."""

    phone: Phone
    resident_id: str
    top_up_number: str
    last4: str
    card_id: str

    def send(self, path: str, body: dict[str, Any], *, key: str) -> Reply:
        """A POST with a fresh proof."""
        return self.phone.send("POST", path, body, idempotency_key=key)

    def confirmation(self, *, payment_id: str, payee: str, amount_fen: int) -> str:
        """The phone's signature over order, payee and amount."""
        claims = {
            "order": payment_id,
            "payee": payee,
            "amount_fen": amount_fen,
            **self.phone.request_claims(f"/payments/{payment_id}/confirmation"),
        }
        return signing.encode_jws(claims, self.phone.key, typ="vpass-confirm+jwt")


@dataclass
class Accountant:
    """One of the two who stand behind a settlement."""

    transport: HttpTransport
    private: signing.P256Private
    token: str

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str | None = None
    ) -> Reply:
        """A request from the accountant's desk."""
        proof = key_proof(
            self.private,
            method=method,
            url=self.transport.public_url + FINANCE + path,
            at=clock.now(),
            token_hash=b64url_encode(key_proofs.token_hash(self.token)),
        )
        headers = {"Cookie": f"vpass-staff={self.token}", "Desk-Proof": proof}
        return send_json(self.transport, method, FINANCE + path, headers, body, key=key)


@dataclass(frozen=True)
class BankControl:
    """What a demonstration may tell the sandbox's bank, and ask it."""

    url: str

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of a control route; the sandbox is never killed, so it has to answer."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, self.url + path, json=body, timeout=10)
        if answer.status_code != 200:
            raise Unexpected(f"the sandbox answered {answer.status_code}")
        return answer.json()

    def credit(self, wallet: Wallet, amount_fen: int) -> str:
        """Money comes in for a wallet; the id of the notice that the bank will give."""
        body = {
            "top_up_number": wallet.top_up_number,
            "amount_fen": amount_fen,
            "payer_name": wallet.resident_id,
            "payer_last4": wallet.last4,
        }
        return str(self.ask("POST", "/bank/control/credits", body)["id"])

    def totals(self) -> dict[str, Any]:
        """Counts and sums over everything."""
        found: dict[str, Any] = self.ask("GET", "/bank/control/totals")
        return found

    def breaks(self, site: str, mode: str, **options: Any) -> None:
        """The next answers or notices of the bank go wrong."""
        self.ask("POST", "/faults", {"site": site, "mode": mode, **options})

    def heals(self) -> None:
        """Nothing is to go wrong any more."""
        self.ask("DELETE", "/faults")


@dataclass(frozen=True)
class IotPlatform:
    """A platform that pushes what its sensors say, at the address it was given."""

    transport: HttpTransport
    path: str

    def push(self, body: bytes) -> Reply:
        """A message, once."""
        headers = {"Content-Type": "application/json"}
        return self.transport.send("POST", self.path, headers=headers, body=body)


@dataclass
class Town:
    """Everybody of `tests.faults.town`, at one running stack."""

    bank_code: str
    bank: BankControl
    shops: list[Shop]
    wallets: list[Wallet]
    accountants: list[Accountant]
    platform: IotPlatform


def new_key() -> str:
    return uuid.uuid4().hex


def meet(
    made: dict[str, Any], *, web_url: str, public_url: str, sandbox_url: str, iot_source: str
) -> Town:
    """The clients of what the town program printed."""
    transport = HttpTransport(web_url, public_url=public_url)
    source, _, secret = iot_source.split(":")
    return Town(
        bank_code=made["bank"],
        bank=BankControl(sandbox_url),
        shops=[
            Shop(merchant["id"], Till(transport, signing.load_private(key)))
            for merchant in made["merchants"]
            for key in merchant["tills"]
        ],
        wallets=[
            Wallet(
                Phone(
                    transport,
                    key=signing.load_private(each["key"]),
                    access_token=each["access_token"],
                    grant=b64url_decode(each["grant"]),
                    _grant_key=signing.load_private(each["grant_key"]),
                ),
                each["id"],
                each["top_up_number"],
                each["last4"],
                each["card"],
            )
            for each in made["residents"]
        ],
        accountants=[
            Accountant(transport, signing.load_private(each["key"]), each["token"])
            for each in made["accountants"]
        ],
        platform=IotPlatform(transport, f"/api/platform/v1/push/{source}/{secret}"),
    )
