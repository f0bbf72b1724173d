"""Who issues cards in the demo city, and its bus company with one line."""

from typing import Any

from cards import taps
from cards.models import BusLine, Issuer
from identity.models import MachineKey, Organisation, Terminal
from identity.organisations import ISSUER_SCENE
from payments import ledger, merchants
from payments.models import Bank
from vpass.common.signing import ed25519_public_bytes, generate_ed25519, private_pem
from vpass.seed.people import open_organisation

FLAT_FARE_FEN = 200


def open_issuers(city: Organisation, *, bank: Bank) -> dict[str, Any]:
    """The issuers that the settings lead to, each with a key for calling us, and a bus validator.

    Returns the log-ins: `issuers` by code, and `bus`.
    """
    police = open_organisation(city, "department", "潍坊市公安局", "Weifang Public Security Bureau")
    company = open_organisation(
        city,
        "issuer",
        "潍坊公交集团",
        "Weifang Bus Company",
        [(taps.PURPOSE, "乘车", "Bus ride", [])],
        scene="bus",
    )
    payee = merchants.open_merchant(
        organisation=company, bank=bank, payout_account="tok_weifang_bus_company_8017"
    )
    # Every tap pays it.
    ledger.spread_account(merchants.merchant_account(payee), shards=ledger.HOT_SHARDS)
    BusLine.objects.create(
        organisation=company,
        code="1",
        name_zh="1路",
        name_en="Line 1",
        flat_fare_fen=FLAT_FARE_FEN,
    )
    validator = Terminal.objects.create(
        organisation=company, scene="bus", name_zh="1路车载机", name_en="Validator of line 1"
    )
    return {
        "issuers": {
            code: _open_issuer(organisation, code, card_type)
            for organisation, code, card_type in (
                (police, "public-security", "id"),
                (bank.organisation, "weifang-bank", "bank"),
                (company, "weifang-bus", "bus"),
            )
        },
        "bus": {"line": "1", **_key_of(validator, key_id="bus-1")},
    }


def _open_issuer(organisation: Organisation, code: str, card_type: str) -> dict[str, str]:
    Issuer.objects.create(organisation=organisation, code=code, card_types=[card_type])
    system = Terminal.objects.create(
        organisation=organisation, scene=ISSUER_SCENE, name_zh="发卡系统", name_en="Card system"
    )
    return _key_of(system, key_id=f"issuer-{code}")


def _key_of(terminal: Terminal, *, key_id: str) -> dict[str, str]:
    private = generate_ed25519()
    MachineKey.objects.create(
        id=key_id,
        terminal=terminal,
        algorithm="Ed25519",
        public_key=ed25519_public_bytes(private),
    )
    return {"key_id": key_id, "private_key_pem": private_pem(private)}
