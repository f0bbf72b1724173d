"""Every route × kind of caller × method: exactly one expected answer, and no route forgotten."""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver

from identity.api import login
from identity.models import AccessLine, Organisation, Staff
from tests import city
from tests.shop import open_shop
from vpass import pages
from vpass.common import clock, health
from vpass.common.api import Endpoint
from vpass.common.policy import ADMISSIONS, Audience

pytestmark = pytest.mark.django_db(transaction=True)

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
NOBODY = str(uuid.UUID(int=1))

# Routes which are no endpoints, each with what it is and what anybody gets.
PLAIN: dict[str, tuple[Any, int]] = {
    "phone/": (pages.PhonePage, 200),
    "phone/manifest.webmanifest": (pages.PhoneManifest, 200),
    "phone/service-worker.js": (pages.PhoneServiceWorker, 200),
    "pay/<slug:reference>.<slug:tag>": (pages.PayLink, 302),
    "counter/": (pages.CounterPage, 200),
    "till/": (pages.TillPage, 200),
    "operations/": (pages.OperationsPage, 200),
    "city/": (pages.CityPage, 200),
    "oidc/authorize": (pages.LoginPage, 200),
    "oidc/logout": (login.EndSession, 200),
    "oidc/token": (login.token, 405),
    "oidc/revoke": (login.revoke, 405),
    "oidc/userinfo": (login.user_info, 401),
    "health/live": (health.live, 200),
    "health/ready": (health.ready, 200),
    "metrics": (health.metrics, 401),
}

# What each kind of caller meets who does what the route's own callers do: in the order of CALLERS.
# A status alone is a success; what is refused beyond the edge shows that the edge let it through.
CALLERS = (
    "anonymous", "key", "resident 1", "resident 2", "staff", "accountant", "terminal", "merchant",
    "bank", "issuer", "operator", "department",
)  # fmt: skip
Cell = tuple[int, str | None]
NO_PROOF: Cell = (401, "proof.missing")
FOREIGN_PROOF: Cell = (401, "proof.invalid")
UNKNOWN: Cell = (401, "caller.not_authenticated")
UNSIGNED: Cell = (401, "signature.missing")
UNKNOWN_KEY: Cell = (401, "signature.key_unknown")
OTHERS: Cell = (403, "caller.wrong_audience")
OWN_ID_ONLY: Cell = (404, "object.not_found")
INVALID: Cell = (400, "request.invalid")
NO_KEY: Cell = (400, "idempotency.key_missing")
LOW: Cell = (403, "caller.level_too_low")
ROLE: Cell = (403, "caller.role_missing")
GOOD: Cell = (200, None)


# Residents carry their proof in DPoP, desks theirs in Desk-Proof: neither opens the other's door.
def resident(level_1: Cell, level_2: Cell) -> tuple[Cell, ...]:
    return (UNKNOWN, UNKNOWN, level_1, level_2, *[UNKNOWN] * 8)


def staff(anyone: Cell, accountant: Cell, operator: Cell | None = None) -> tuple[Cell, ...]:
    return (*[UNKNOWN] * 4, anyone, accountant, *[UNKNOWN] * 4, operator or anyone, UNKNOWN)


def machine(
    *,
    terminal: Cell = OTHERS,
    merchant: Cell = OTHERS,
    bank: Cell = OTHERS,
    issuer: Cell = OTHERS,
    department: Cell = OTHERS,
) -> tuple[Cell, ...]:
    return (*[UNSIGNED] * 6, terminal, merchant, bank, issuer, UNSIGNED, department)


_R, _C, _T = "api/resident/v1/", "api/counter/v1/", "api/terminal/v1/"
_M, _B, _F = "api/merchant/v1/", "api/bank/v1/", "api/finance/v1/"
_I = "api/issuer/v1/"
_P = "api/platform/v1/"
_O = "api/operations/v1/"
_D = "api/department/v1/"
_A = "api/administration/v1/"
# On their way in: the key alone is asked for, and a proof tied to a token is none of it.
_NEW_PHONE = (NO_PROOF, INVALID, FOREIGN_PROOF, FOREIGN_PROOF, *[NO_PROOF] * 8)
_NEW_DESK = (
    *[NO_PROOF] * 4, FOREIGN_PROOF, FOREIGN_PROOF, *[NO_PROOF] * 4, FOREIGN_PROOF, NO_PROOF,
)  # fmt: skip
MATRIX: dict[tuple[str, str], tuple[Cell, ...]] = {
    ("get", ".well-known/vpass-keys.json"): (GOOD,) * len(CALLERS),
    ("get", ".well-known/vpass-attestation-challenge"): (GOOD,) * len(CALLERS),
    ("get", ".well-known/vpass-status/<int:number>"): (OWN_ID_ONLY,) * len(CALLERS),
    # Browsers that log in somewhere: the pages' own calls, and what relying parties read
    ("get", ".well-known/openid-configuration"): (GOOD,) * len(CALLERS),
    ("post", "oidc/logins"): (INVALID,) * len(CALLERS),
    ("get", "oidc/logins/<uuid:login_id>"): (OWN_ID_ONLY,) * len(CALLERS),
    ("post", "oidc/logins/<uuid:login_id>/return"): (OWN_ID_ONLY,) * len(CALLERS),
    ("post", "oidc/logouts"): (INVALID,) * len(CALLERS),
    ("get", "api/public/v1/receipts/<slug:code>"): (OWN_ID_ONLY,) * len(CALLERS),
    ("post", "api/public/v1/receipt-checks"): (INVALID,) * len(CALLERS),
    # Residents
    ("post", _R + "login-looks"): resident(INVALID, INVALID),
    ("get", _R + "logins"): resident(GOOD, GOOD),
    ("post", _R + "logins/<uuid:login_id>/approval"): resident(INVALID, INVALID),
    ("post", _R + "logins/<uuid:login_id>/refusal"): resident(NO_KEY, NO_KEY),
    ("post", _R + "logins/<uuid:login_id>/withdrawal"): resident(NO_KEY, NO_KEY),
    ("post", _R + "reverse-scan-looks"): resident(LOW, INVALID),
    ("post", _R + "reverse-scans/<uuid:scan_id>/answer"): resident(LOW, INVALID),
    ("get", _R + "me"): resident(GOOD, GOOD),
    ("get", _R + "access-log"): resident(GOOD, GOOD),
    ("get", _R + "access-log/<uuid:line_id>"): resident(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _R + "access-log/exports"): resident(INVALID, INVALID),
    ("post", _R + "access-log/<uuid:line_id>/dispute"): resident(NO_KEY, NO_KEY),
    ("post", _R + "access-log/<uuid:line_id>/dispute/withdrawal"): resident(NO_KEY, NO_KEY),
    ("get", _R + "consents"): resident(GOOD, GOOD),
    ("post", _R + "consents/<uuid:consent_id>/approval"): resident(LOW, INVALID),
    ("post", _R + "consents/<uuid:consent_id>/refusal"): resident(NO_KEY, NO_KEY),
    ("post", _R + "consents/<uuid:consent_id>/withdrawal"): resident(NO_KEY, NO_KEY),
    ("get", _R + "share-recipients"): resident(GOOD, GOOD),
    ("get", _R + "case-shares"): resident(LOW, GOOD),
    ("post", _R + "case-shares"): resident(LOW, INVALID),
    ("post", _R + "case-shares/<uuid:share_id>/withdrawal"): resident(LOW, NO_KEY),
    ("get", _R + "delegations"): resident(LOW, GOOD),
    ("post", _R + "delegations"): resident(LOW, INVALID),
    ("post", _R + "delegations/<uuid:delegation_id>/acceptance"): resident(LOW, INVALID),
    ("post", _R + "delegations/<uuid:delegation_id>/refusal"): resident(LOW, NO_KEY),
    ("post", _R + "delegations/<uuid:delegation_id>/revocation"): resident(LOW, NO_KEY),
    ("get", _R + "delegations/<uuid:delegation_id>/uses"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "face-checks"): resident(LOW, NO_KEY),
    ("post", _R + "face-checks/<uuid:check_id>/result"): resident(LOW, NO_KEY),
    ("post", _R + "counter-numbers"): resident(NO_KEY, NO_KEY),
    ("post", _R + "pay-codes"): resident(LOW, NO_KEY),
    ("post", _R + "scanned-payments"): resident(LOW, INVALID),
    ("get", _R + "visits"): resident(LOW, GOOD),
    ("post", _R + "payer-handles"): resident(LOW, NO_KEY),
    ("get", _R + "payer-handles"): resident(LOW, GOOD),
    ("get", _R + "payer-handles/<uuid:merchant_id>"): resident(LOW, OWN_ID_ONLY),
    ("delete", _R + "payer-handles/<uuid:merchant_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "payment-pin"): resident(LOW, GOOD),
    ("put", _R + "payment-pin"): resident(LOW, INVALID),
    ("post", _R + "identity-proofs"): resident(NO_KEY, NO_KEY),
    ("delete", _R + "tokens/own"): resident((204, None), (204, None)),
    ("get", _R + "devices"): resident(GOOD, GOOD),
    ("post", _R + "devices/<uuid:device_id>/freeze"): resident(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _R + "devices/<uuid:device_id>/thaw"): resident(OWN_ID_ONLY, OWN_ID_ONLY),
    ("get", _R + "suspensions"): resident(GOOD, GOOD),
    ("post", _R + "suspensions"): resident(INVALID, INVALID),
    ("post", _R + "suspensions/<uuid:suspension_id>/lift"): resident(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _R + "grants"): resident(LOW, NO_KEY),
    ("post", _R + "codes"): resident(LOW, NO_KEY),
    ("get", _R + "wallet"): resident(LOW, GOOD),
    ("get", _R + "payments"): resident(LOW, GOOD),
    ("get", _R + "payments/<uuid:payment_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "payments/<uuid:payment_id>/way"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "payments/<uuid:payment_id>/confirmation"): resident(LOW, NO_KEY),
    ("post", _R + "payments/<uuid:payment_id>/refusal"): resident(LOW, NO_KEY),
    ("get", _R + "statement"): resident(LOW, GOOD),
    ("get", _R + "charges"): resident(LOW, GOOD),
    ("get", _R + "bills"): resident(LOW, GOOD),
    ("get", _R + "bills/<uuid:bill_id>"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "bill-look-ups"): resident(LOW, INVALID),
    ("post", _R + "bill-follows"): resident(LOW, INVALID),
    ("delete", _R + "bill-follows/<uuid:bill_id>"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "bill-payments"): resident(LOW, INVALID),
    ("get", _R + "bill-payments/<uuid:payment_id>/receipt"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "owed"): resident(LOW, GOOD),
    ("get", _R + "top-ups"): resident(LOW, GOOD),
    ("post", _R + "top-ups"): resident(LOW, NO_KEY),
    ("get", _R + "top-ups/<uuid:top_up_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "payment-source"): resident(LOW, GOOD),
    ("put", _R + "payment-source"): resident(LOW, INVALID),
    ("get", _R + "withdrawals"): resident(LOW, GOOD),
    ("post", _R + "withdrawals"): resident(LOW, NO_KEY),
    ("get", _R + "withdrawals/<uuid:withdrawal_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "funding-sources"): resident(LOW, GOOD),
    ("get", _R + "card-types"): resident(GOOD, GOOD),
    ("get", _R + "cards"): resident(LOW, GOOD),
    ("post", _R + "cards"): resident(LOW, NO_KEY),
    ("get", _R + "cards/<uuid:card_id>"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "cards/<uuid:card_id>/freeze"): resident(LOW, NO_KEY),
    ("post", _R + "cards/<uuid:card_id>/lift"): resident(LOW, NO_KEY),
    ("post", _R + "cards/<uuid:card_id>/loss"): resident(LOW, NO_KEY),
    ("post", _R + "cards/<uuid:card_id>/unbinding"): resident(LOW, NO_KEY),
    ("post", _R + "parking/claims"): resident(LOW, NO_KEY),
    ("get", _R + "parking/sessions"): resident(LOW, GOOD),
    ("get", _R + "parking/sessions/<uuid:session_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "services"): resident(LOW, GOOD),
    ("get", _R + "services/<uuid:service_id>"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "services/<uuid:service_id>/slots"): resident(LOW, OWN_ID_ONLY),
    ("get", _R + "bookings"): resident(LOW, GOOD),
    ("post", _R + "bookings"): resident(LOW, NO_KEY),
    ("get", _R + "bookings/<uuid:booking_id>"): resident(LOW, OWN_ID_ONLY),
    ("post", _R + "bookings/<uuid:booking_id>/confirmation"): resident(LOW, NO_KEY),
    ("post", _R + "bookings/<uuid:booking_id>/cancellation"): resident(LOW, NO_KEY),
    ("get", _R + "exports"): resident(GOOD, GOOD),
    ("post", _R + "exports"): resident(INVALID, INVALID),
    ("get", _R + "corrections"): resident(LOW, GOOD),
    ("post", _R + "corrections"): resident(LOW, NO_KEY),
    ("post", _R + "corrections/<uuid:correction_id>/withdrawal"): resident(LOW, NO_KEY),
    ("get", _R + "deletion-terms"): resident(GOOD, GOOD),
    ("get", _R + "deletions"): resident(GOOD, GOOD),
    ("post", _R + "deletions"): resident(INVALID, INVALID),
    ("post", _R + "deletions/<uuid:deletion_id>/cancellation"): resident(NO_KEY, NO_KEY),
    # Staff
    ("get", _C + "corrections"): staff(ROLE, GOOD),
    ("post", _C + "corrections/<uuid:correction_id>/refusal"): staff(ROLE, NO_KEY),
    ("post", _C + "corrections/<uuid:correction_id>/grant"): staff(ROLE, NO_KEY),
    ("post", _C + "check-ins"): staff(NO_KEY, NO_KEY),
    ("get", _C + "queue"): staff(GOOD, GOOD),
    ("post", _C + "queue/next"): staff(NO_KEY, NO_KEY),
    ("post", _C + "tickets/<uuid:ticket_id>/recall"): staff(NO_KEY, NO_KEY),
    ("post", _C + "tickets/<uuid:ticket_id>/serve"): staff(NO_KEY, NO_KEY),
    ("post", _C + "tickets/<uuid:ticket_id>/finish"): staff(NO_KEY, NO_KEY),
    ("post", _C + "tickets/<uuid:ticket_id>/miss"): staff(NO_KEY, NO_KEY),
    ("post", _C + "scans"): staff(NO_KEY, NO_KEY),
    ("get", _C + "scans/<uuid:scan_id>/photo"): staff(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _C + "level-raises"): staff(ROLE, ROLE),
    ("post", _C + "enrolments"): staff(ROLE, ROLE),
    ("get", _C + "register-reviews"): staff(ROLE, ROLE),
    ("post", _C + "register-reviews/<uuid:change_id>/decision"): staff(ROLE, ROLE),
    ("post", _C + "codes"): staff(ROLE, ROLE),
    ("post", _C + "lost-phones"): staff(ROLE, ROLE),
    ("post", _C + "found-phones"): staff(ROLE, ROLE),
    ("post", _C + "suspensions"): staff(ROLE, ROLE),
    ("post", _C + "suspensions/lift"): staff(ROLE, ROLE),
    ("post", _C + "reverse-scans"): staff(NO_KEY, NO_KEY),
    ("get", _C + "reverse-scans/<uuid:scan_id>"): staff(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _C + "reverse-scans/<uuid:scan_id>/collection"): staff(NO_KEY, NO_KEY),
    ("post", _C + "consent-requests"): staff(INVALID, INVALID),
    ("get", _C + "consent-requests/<uuid:consent_id>"): staff(OWN_ID_ONLY, OWN_ID_ONLY),
    ("post", _C + "consent-requests/<uuid:consent_id>/release"): staff(NO_KEY, NO_KEY),
    ("get", _C + "disputes"): staff(ROLE, GOOD),
    ("post", _C + "disputes/<uuid:line_id>/answer"): staff(ROLE, NO_KEY),
    ("get", _C + "sessions/current"): staff(GOOD, GOOD),
    ("delete", _C + "sessions/current"): staff((204, None), (204, None)),
    ("get", _F + "windows"): staff(ROLE, GOOD),
    ("get", _F + "windows/<int:window_id>"): staff(ROLE, OWN_ID_ONLY),
    ("get", _F + "windows/<int:window_id>/lines"): staff(ROLE, OWN_ID_ONLY),
    ("get", _F + "windows/<int:window_id>/lines/<int:line_id>/payments"): staff(ROLE, OWN_ID_ONLY),
    ("get", _F + "risk-cases"): staff(ROLE, GOOD),
    ("post", _F + "risk-cases/<uuid:case_id>/decision"): staff(ROLE, NO_KEY),
    ("get", _F + "risk-rules"): staff(ROLE, GOOD),
    ("get", _F + "payment-limits"): staff(ROLE, GOOD),
    ("get", _F + "merchants"): staff(ROLE, GOOD),
    ("post", _F + "merchants/<uuid:merchant_id>/suspension"): staff(ROLE, INVALID),
    ("post", _F + "merchants/<uuid:merchant_id>/reinstatement"): staff(ROLE, INVALID),
    ("post", _F + "merchants/<uuid:merchant_id>/refund-alone"): staff(ROLE, INVALID),
    ("post", _F + "payment-limit-changes"): staff(ROLE, INVALID),
    ("post", _F + "risk-rule-changes"): staff(ROLE, INVALID),
    ("get", _F + "setting-changes"): staff(ROLE, GOOD),
    ("get", _F + "shop-doors"): staff(ROLE, GOOD),
    ("post", _F + "shop-doors"): staff(ROLE, INVALID),
    ("post", _F + "shop-doors/<uuid:terminal_id>/closing"): staff(ROLE, INVALID),
    ("post", _F + "merchant-applications"): staff(ROLE, NO_KEY),
    ("get", _F + "proposals"): staff(ROLE, GOOD),
    ("post", _F + "proposals"): staff(ROLE, NO_KEY),
    ("post", _F + "proposals/<uuid:proposal_id>/approval"): staff(ROLE, NO_KEY),
    ("post", _F + "proposals/<uuid:proposal_id>/rejection"): staff(ROLE, NO_KEY),
    ("get", _O + "state"): staff(ROLE, ROLE, GOOD),
    ("get", _O + "city"): staff(ROLE, ROLE, GOOD),
    ("get", _O + "dead-letters"): staff(ROLE, ROLE, GOOD),
    ("post", _O + "dead-letters/<int:delivery_id>/redelivery"): staff(ROLE, ROLE, NO_KEY),
    **{
        ("get", _A + name): staff(ROLE, ROLE)
        for name in (
            "organisations",
            "desks",
            "terminals",
            "stores",
            "staff",
            "entitlements",
            "relying-parties",
            "proposals",
        )
    },
    **{
        ("post", _A + name): staff(ROLE, ROLE)
        for name in (
            "proposals",
            "invitations",
            "organisations/<uuid:row_id>/suspension",
            "desks/<uuid:row_id>/suspension",
            "terminals/<uuid:row_id>/suspension",
            "stores/<uuid:row_id>/suspension",
            "relying-parties/<uuid:row_id>/suspension",
            "terminals/<uuid:row_id>/key-revocation",
            "staff/<uuid:row_id>/suspension",
            "staff/<uuid:row_id>/role-removal",
            "proposals/<uuid:proposal_id>/approval",
            "proposals/<uuid:proposal_id>/rejection",
        )
    },
    ("post", _C + "password"): staff(INVALID, INVALID),
    # Machines
    ("post", "api/register/v1/changes"): machine(),
    ("post", _T + "keys/rotation"): machine(terminal=INVALID),
    ("post", _D + "keys/rotation"): machine(department=INVALID),
    ("post", _M + "keys/rotation"): machine(merchant=INVALID),
    ("post", _B + "keys/rotation"): machine(bank=INVALID),
    ("post", _I + "keys/rotation"): machine(issuer=INVALID),
    ("post", _T + "scans"): machine(terminal=NO_KEY),
    ("get", _T + "scanner-bundle"): machine(terminal=GOOD),
    ("post", _D + "case-share-openings"): machine(department=NO_KEY),
    ("post", _D + "case-shares/<uuid:share_id>/decision"): machine(department=NO_KEY),
    ("get", _M + "stores"): machine(merchant=GOOD),
    ("get", _M + "payments"): machine(merchant=GOOD),
    ("post", _M + "payments"): machine(merchant=NO_KEY),
    ("get", _M + "payments/<uuid:payment_id>"): machine(merchant=OWN_ID_ONLY),
    ("post", _M + "payments/<uuid:payment_id>/cancellation"): machine(merchant=NO_KEY),
    ("post", _M + "payments/<uuid:payment_id>/refunds"): machine(merchant=NO_KEY),
    ("get", _M + "payments/<uuid:payment_id>/way"): machine(merchant=OWN_ID_ONLY),
    ("get", _M + "settlements"): machine(merchant=GOOD),
    ("get", _M + "settlements/<int:settlement_id>/payments"): machine(merchant=OWN_ID_ONLY),
    ("post", _M + "qr-codes"): machine(merchant=INVALID),
    ("get", _M + "qr-codes/<uuid:qr_id>"): machine(merchant=OWN_ID_ONLY),
    ("post", _M + "qr-codes/<uuid:qr_id>/withdrawal"): machine(merchant=NO_KEY),
    ("post", _M + "app-orders"): machine(merchant=NO_KEY),
    ("post", _M + "payments/<uuid:payment_id>/refund-requests"): machine(merchant=NO_KEY),
    ("get", _M + "refund-requests"): machine(merchant=GOOD),
    ("post", _M + "refund-requests/<uuid:request_id>/approval"): machine(merchant=NO_KEY),
    ("post", _M + "refund-requests/<uuid:request_id>/rejection"): machine(merchant=NO_KEY),
    ("get", _M + "visits"): machine(merchant=GOOD),
    ("post", _M + "visits"): machine(merchant=NO_KEY),
    ("get", _M + "visits/<uuid:visit_id>"): machine(merchant=OWN_ID_ONLY),
    ("post", _M + "visits/<uuid:visit_id>/leaving"): machine(merchant=NO_KEY),
    ("get", _M + "statement"): machine(merchant=GOOD),
    ("post", _M + "bill-batches"): machine(merchant=INVALID),
    ("get", _M + "bills"): machine(merchant=GOOD),
    ("get", _M + "bills/<uuid:bill_id>"): machine(merchant=OWN_ID_ONLY),
    ("post", _M + "bills/<uuid:bill_id>/amendment"): machine(merchant=INVALID),
    ("post", _M + "bills/<uuid:bill_id>/cancellation"): machine(merchant=NO_KEY),
    ("post", _B + "credit-notices"): machine(bank=INVALID),
    ("post", _B + "payout-notices"): machine(bank=INVALID),
    ("post", _B + "debit-notices"): machine(bank=INVALID),
    ("post", _T + "bus-taps"): machine(terminal=NO_KEY),
    ("post", _I + "card-freezes"): machine(issuer=NO_KEY),
    ("post", _I + "card-lifts"): machine(issuer=NO_KEY),
    ("post", _I + "card-replacements"): machine(issuer=NO_KEY),
    ("post", _I + "card-expiries"): machine(issuer=NO_KEY),
    # IoT platforms: a secret in the address, so nobody who has another one
    ("post", _P + "push/<slug:source>/<slug:secret>"): (UNKNOWN,) * len(CALLERS),
    # On their way in
    ("post", _R + "enrolments"): _NEW_PHONE,
    ("post", _R + "enrolments/<uuid:enrolment_id>/phone-proof"): _NEW_PHONE,
    ("post", _R + "enrolments/<uuid:enrolment_id>/move"): _NEW_PHONE,
    ("post", _R + "tokens"): _NEW_PHONE,
    ("post", _R + "tokens/refresh"): _NEW_PHONE,
    ("post", _C + "desk-keys"): _NEW_DESK,
    ("post", _C + "sessions"): _NEW_DESK,
    ("post", _C + "invitations/password"): _NEW_DESK,
    ("post", _C + "invitations/acceptance"): _NEW_DESK,
    **{
        ("post", path + "keys"): machine(
            terminal=UNKNOWN_KEY,
            merchant=UNKNOWN_KEY,
            bank=UNKNOWN_KEY,
            issuer=UNKNOWN_KEY,
            department=UNKNOWN_KEY,
        )
        for path in (_M + "till-", _T, _D, _B, _I)
    },
}


def routes() -> dict[str, Any]:
    """Every route of the program, flattened, with its view."""
    found: dict[str, Any] = {}
    for pattern in get_resolver().url_patterns:
        assert isinstance(pattern, URLPattern), "an include() hides routes from this test"
        assert str(pattern.pattern) not in found, pattern
        callback = pattern.callback
        found[str(pattern.pattern)] = (
            getattr(callback, "cls", None) or getattr(callback, "view_class", None) or callback
        )
    return found


def endpoints() -> dict[str, type[Endpoint]]:
    return {
        route: view
        for route, view in routes().items()
        if isinstance(view, type) and issubclass(view, Endpoint)
    }


def offered(view: type[Endpoint]) -> list[str]:
    found = [name for name in METHODS if hasattr(view, name) and name in view.http_method_names]
    return [*found, "head"] if "get" in found else found  # Django answers HEAD where there is a GET


def url(route: str) -> str:
    found = re.sub(r"<int:\w+>", "999999", re.sub(r"<uuid:\w+>", NOBODY, route))
    return "/" + re.sub(r"<slug:\w+>", "nobody", found)


@dataclass
class Everybody:
    """One caller of each kind, ready to send."""

    senders: dict[str, Callable[..., Any]]

    def send(self, who: str, method: str, route: str) -> Any:
        body = {} if method in ("post", "put", "patch") else None
        return self.senders[who](method.upper(), url(route), body)


@pytest.fixture
def everybody(
    hall: Organisation,
    counter: city.DeskBrowser,
    kiosk: city.Machine,
    phone: city.Phone,
    at: datetime,
) -> Everybody:
    shop = open_shop()
    accountant = city.sign_in_clerk(city.make_desk(hall, name="财务室"), username="a", at=at)
    operator = city.sign_in_clerk(city.make_desk(hall, name="值班室"), username="o", at=at)
    for username, roles in (("a", ["finance", "privacy"]), ("o", ["operations"])):
        Staff.objects.filter(user__username=username).update(roles=roles)
    return Everybody(
        {
            "anonymous": lambda method, path, body: city.send(method, path, body, {}),
            "key": city.Phone().send,
            "resident 1": city.make_phone(1, level=1, at=at).send,
            "resident 2": phone.send,
            "staff": counter.send,
            "accountant": accountant.send,
            "terminal": kiosk.send,
            "merchant": shop.till.send,
            "bank": shop.system.machine.send,
            # A bank's own machine as the issuer of its cards.
            "issuer": city.make_terminal(
                shop.system.bank.organisation, scene="issuer", key_id="issuer-1"
            ).send,
            "operator": operator.send,
            "department": city.make_department(hall).send,
        }
    )


# No route is forgotten


def test_routes__each_an_endpoint_with_an_audience_or_named_here():
    for route, view in routes().items():
        if route in PLAIN:
            assert view is PLAIN[route][0], route
            continue
        assert route in endpoints(), f"{route}: neither an Endpoint nor named in PLAIN"
        assert isinstance(view.audience, Audience), route
        assert bool(view.authentication_classes) == (view.audience is not Audience.PUBLIC), route
        if route.startswith("api/"):
            assert route.split("/")[1] == view.audience.value, route
    assert set(PLAIN) <= set(routes())


def test_matrix__has_a_line_for_each_route_and_method_and_no_other():
    expected = {
        (method, route)
        for route, view in endpoints().items()
        for method in offered(view)
        if method not in ("head", "options")
    }

    assert set(MATRIX) == expected
    assert all(len(cells) == len(CALLERS) for cells in MATRIX.values())


def _converter(found: re.Match[str]) -> str:
    if "/push/" in found.string or found[1] == "code":
        return f"<slug:{found[1]}>"
    numbers = {"delivery_id", "number", "settlement_id"}
    is_number = found[1] in {"window_id", "line_id"} and "window" in found.string
    return f"<{'int' if is_number or found[1] in numbers else 'uuid'}:{found[1]}>"


def test_openapi__same_routes_and_methods():
    described = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]

    assert {
        (method, re.sub(r"\{(\w+)\}", _converter, path).lstrip("/"))
        for path, operations in described.items()
        for method in operations
    } == set(MATRIX)


def test_audiences__each_has_an_admission():
    assert set(ADMISSIONS) == set(Audience)


# Every cell


@pytest.mark.parametrize("audience", sorted(Audience))
def test_access__each_kind_of_caller__the_expected_answer(everybody: Everybody, audience: Audience):
    wrong = {}
    for (method, route), cells in sorted(MATRIX.items(), key=ends_last):
        if endpoints()[route].audience is not audience:
            continue
        for who, (status, code) in zip(CALLERS, cells, strict=True):
            answer = everybody.send(who, method, route)

            found = (answer.status_code, None) if code is None else city.problem(answer)
            if found != (status, code):
                wrong[method, route, who] = answer.content
            if code is not None:
                assert (answer.status_code == 401) == ("WWW-Authenticate" in answer), (route, who)
            if route != ".well-known/vpass-keys.json":
                assert answer["Cache-Control"] == "no-store", route

    assert wrong == {}


def ends_last(line: tuple[tuple[str, str], Any]) -> tuple[bool, str, str]:
    """Sorts what ends a caller's token behind everything else that the caller does."""
    (method, route), _ = line
    return method == "delete", route, method


@pytest.mark.parametrize("audience", sorted(Audience))
def test_access__unlisted_method__405_for_everybody(everybody: Everybody, audience: Audience):
    """The method is judged before the caller: each pair of them at one route, else one in turn."""
    callers = ("anonymous", "resident 2", "staff", "terminal", "merchant", "bank", "issuer")
    pairs = None
    for route, view in sorted(endpoints().items()):
        if view.audience is not audience:
            continue
        listed = {name.upper() for name in offered(view)}
        methods = [method for method in METHODS if method.upper() not in listed]
        pairs = product(methods, callers) if pairs is None else zip(methods, cycle(callers))
        for method, who in pairs:
            answer = everybody.send(who, method, route)
            assert answer.status_code == 405, (route, method, who, answer.content)
            assert set(answer["Allow"].split(", ")) == listed, route


@pytest.mark.parametrize("route", sorted(PLAIN))
def test_access__plain_route__anybody_gets_the_same(everybody: Everybody, route: str):
    for who in ("anonymous", "key", "staff"):
        assert everybody.send(who, "get", route).status_code == PLAIN[route][1]


# Once inside: what is somebody else's


def test_access_line__another_residents__as_if_there_were_none(
    everybody: Everybody,
    counter: city.DeskBrowser,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
):
    counter.scan(grant.code(at))
    line = AccessLine.objects.get()
    stranger = city.make_phone(2, at=at)
    path = f"{city.RESIDENT}/access-log/{line.id}"

    own = phone.send("GET", path)
    foreign = stranger.send("GET", path)
    missing = stranger.send("GET", f"{city.RESIDENT}/access-log/{NOBODY}")

    assert own.status_code == 200
    assert own.json()["id"] == str(line.id)
    assert city.problem(foreign) == city.problem(missing) == OWN_ID_ONLY
    without_id = [{**each.json(), "request_id": ""} for each in (foreign, missing)]
    assert without_id[0] == without_id[1]
    assert stranger.send("GET", f"{city.RESIDENT}/access-log").json() == {"items": [], "next": None}


def test_enrolment__begun_by_another_key__as_if_there_were_none(everybody: Everybody):
    mine, stranger = city.Phone(), city.Phone()
    started = mine.send("POST", f"{city.RESIDENT}/enrolments", {"phone": "13800000001"}).json()

    answers = [
        stranger.send(
            "POST", f"{city.RESIDENT}/enrolments/{each}/phone-proof", {"one_time_code": "000000"}
        )
        for each in (started["enrolment_id"], NOBODY)
    ]

    assert [city.problem(each) for each in answers] == [OWN_ID_ONLY] * 2


@pytest.mark.parametrize("change", ["device", "token", "closed"])
def test_resident__no_longer_in_force__refused_with_the_next_request(
    phone: city.Phone, at: datetime, change: str
):
    assert phone.send("GET", f"{city.RESIDENT}/me").status_code == 200
    device = phone.device
    if change == "device":
        device.state = "frozen"
        device.save(update_fields=["state"])
    elif change == "token":
        device.accesstoken_set.update(expires_at=at)
    else:
        type(device.resident).objects.update(state="closed")

    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")


@pytest.mark.parametrize(
    "part", ["staff", "user", "desk", "organisation", "session", "expiry", "key"]
)
def test_staff__no_longer_in_force__refused_with_the_next_request(
    counter: city.DeskBrowser, part: str
):
    path = f"{city.COUNTER}/sessions/current"
    assert counter.send("GET", path).status_code == 200
    expected = (401, "token.unknown")
    desk, staff = counter.desk, counter.staff
    match part:
        case "staff":
            type(staff).objects.update(state="suspended")
        case "user":
            type(staff.user).objects.update(is_active=False)
        case "desk":
            type(desk).objects.update(state="suspended")
        case "organisation":
            type(desk.organisation).objects.update(state="suspended")
        case "session":
            staff.staffsession_set.update(ended_at=clock.now())
        case "expiry":
            staff.staffsession_set.update(expires_at=clock.now())
        case "key":
            other = city.signing.public_point(city.signing.generate_p256())
            type(desk).objects.update(key_point=other)
            expected = (401, "proof.invalid")

    assert city.problem(counter.send("GET", path)) == expected


@pytest.mark.parametrize("part", ["key", "terminal", "organisation"])
def test_terminal__no_longer_in_force__refused_with_the_next_request(
    kiosk: city.Machine, part: str
):
    terminal = kiosk.terminal
    match part:
        case "key":
            terminal.machinekey_set.update(state="retired")
        case "terminal":
            type(terminal).objects.update(state="suspended")
        case "organisation":
            type(terminal.organisation).objects.update(state="suspended")

    assert city.problem(kiosk.scan("VP1:X")) == (401, "signature.key_unknown")
