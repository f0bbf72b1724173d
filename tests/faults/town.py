"""Makes the people of the fault tests in a stack's own database, and prints their keys as JSON.

Run as a program, in the environment of the stack: `python -m tests.faults.town`.
"""

import json
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

import django

FIRST_PERSON = 120  # those before may belong to whoever works with the same stack
LAST4 = ("6217", "0002", "6218", "0001")  # booked later, at once, later, rejected later
# What becomes of a debit of their cards: booked, booked later, booked, rejected for want of money.
CARDS = ("5501", "0004", "5502", "0003")
PAY_BY_CARD = (1, 2)


def main() -> None:
    """Everybody, with keys and tokens that last as long as the test may."""
    django.setup()
    from identity.models import Device
    from payments.models import PaymentLimit, RiskRule
    from payments.settlement import windows
    from vpass.common import clock

    at = clock.now()
    # Thousands of payments by four people in minutes: counted and weighed, and never stopped.
    PaymentLimit.objects.update(daily_fen=None)
    RiskRule.objects.exclude(kind="new_device_hours").update(threshold=10**12)
    windows.ensure_open(at=at)
    bank = _bank()
    made = {
        "bank": bank.code,
        "merchants": [
            _merchant(bank, number, token=f"tok_of_a_shop_{number}_{last4}")
            for number, last4 in enumerate(("0002", "6217"))
        ],
        "residents": [_resident(bank, number, at=at) for number in range(4)],
        "accountants": _accountants(at=at),
    }
    Device.objects.update(bound_at=at - timedelta(days=30))  # they are no new phones
    print(json.dumps(made))


def _bank() -> Any:
    from django.conf import settings

    from identity.models import MachineKey, Organisation, Terminal
    from payments.models import Bank
    from vpass.common import signing

    bank = Bank.objects.filter(code=settings.BANK_CODE).first()
    if bank is None:
        organisation = Organisation.objects.create(
            kind="bank", name_zh="沙盒银行", name_en="Sandbox Bank"
        )
        bank = Bank.objects.create(organisation=organisation, code=settings.BANK_CODE)
    if not MachineKey.objects.filter(id=settings.BANK_KEY_ID).exists():
        terminal = Terminal.objects.create(
            organisation=bank.organisation, scene="bank", name_zh="银行系统", name_en="Bank system"
        )
        public: Any = signing.load_public(settings.BANK_PUBLIC_KEY_PEM)
        MachineKey.objects.create(
            id=settings.BANK_KEY_ID,
            terminal=terminal,
            algorithm="Ed25519",
            public_key=signing.ed25519_public_bytes(public),
        )
    return bank


def _merchant(bank: Any, number: int, *, token: str) -> dict[str, Any]:
    from identity.models import Entitlement, MachineKey, Organisation, Terminal
    from payments import merchants
    from vpass.common import signing

    organisation = Organisation.objects.create(
        kind="merchant", name_zh=f"商铺{number}", name_en=f"Shop {number}"
    )
    Entitlement.objects.get_or_create(
        organisation=organisation,
        scene="pay",
        purpose="payment",
        defaults={"purpose_zh": "付款", "purpose_en": "Payment", "attributes": []},
    )
    merchant = merchants.open_merchant(organisation=organisation, bank=bank, payout_account=token)
    tills = []
    for place in range(2):
        till = Terminal.objects.create(
            organisation=organisation, scene="pay", name_zh=f"{place}号", name_en=f"Till {place}"
        )
        private = signing.generate_p256()
        MachineKey.objects.create(
            id=signing.thumbprint(signing.jwk_of(private)),
            terminal=till,
            algorithm="ES256",
            public_key=signing.public_point(private),
        )
        tills.append(signing.private_pem(private))
    return {"id": str(merchant.id), "tills": tills}


def _resident(bank: Any, number: int, *, at: datetime) -> dict[str, Any]:
    from identity.models import AccessToken
    from payments import funding, sources
    from tests import banking, city
    from vpass.common import signing
    from vpass.common.encodings import b64url_encode

    phone = city.make_phone(FIRST_PERSON + number, at=at)
    assert phone.device is not None
    AccessToken.objects.update(expires_at=at + timedelta(hours=12))
    grant = phone.grant(at=at)
    resident_id = phone.device.resident_id
    token = f"tok_of_a_card_{number}_{CARDS[number]}"
    card = banking.make_card(bank, resident_id, token=token, at=at)
    if number in PAY_BY_CARD:
        sources.choose_source(resident_id=resident_id, card_id=card.id, version=0, at=at)
    return {
        "id": str(resident_id),
        "key": signing.private_pem(phone.key),
        "access_token": phone.token,
        "grant": b64url_encode(grant.encoded),
        "grant_key": signing.private_pem(grant.private),
        "top_up_number": funding.top_up_number(resident_id=resident_id),
        "last4": LAST4[number],
        "card": str(card.id),
    }


def _accountants(*, at: datetime) -> list[dict[str, str]]:
    from django.contrib.auth.models import User

    from identity.models import Desk, Organisation, Staff, StaffSession
    from vpass.common import key_proofs, signing

    office = Organisation.objects.create(
        kind="department", name_zh="财务处", name_en="Accounts", parent=None
    )
    made = []
    for name in ("one", "two"):
        key, token = signing.generate_p256(), secrets.token_urlsafe(32)
        desk = Desk.objects.create(
            organisation=office,
            name_zh=f"财务{name}",
            name_en=f"Accounts {name}",
            key_point=signing.public_point(key),
            key_thumbprint=signing.thumbprint(signing.jwk_of(key)),
        )
        user = User.objects.create(username=f"accountant-{name}-{uuid.uuid4().hex[:6]}")
        staff = Staff.objects.create(user=user, organisation=office, roles=["finance"])
        StaffSession.objects.create(
            token_hash=key_proofs.token_hash(token),
            staff=staff,
            desk=desk,
            created_at=at,
            expires_at=at + timedelta(hours=12),
        )
        made.append({"key": signing.private_pem(key), "token": token})
    return made


if __name__ == "__main__":
    main()
