"""A firm becomes a merchant when two accountants stand behind it."""

import uuid
from datetime import datetime
from typing import Any

import pytest

from identity.models import Entitlement, Organisation
from payments import proposals
from payments.merchants import MerchantKnown
from payments.models import Merchant, MerchantApplication, Proposal
from payments.proposals import Decided, ProposalWaiting, SelfApproval
from tests import city
from tests.banking import BankSystem, make_accountants, make_bank
from tests.together import together
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

APPLICATIONS = "/api/finance/v1/merchant-applications"
CREDIT_CODE = "91370700MA3C0QF16K"


@pytest.fixture
def at(transactional_db: None) -> datetime:
    return clock.now()


@pytest.fixture
def bank(at: datetime) -> BankSystem:
    return make_bank()


@pytest.fixture
def people(bank: BankSystem, at: datetime) -> list[city.DeskBrowser]:
    Organisation.objects.create(kind="city", name_zh="潍坊市", name_en="Weifang")
    return make_accountants(at=at)


def asked(bank: BankSystem, **changes: Any) -> dict[str, Any]:
    return {
        "credit_code": CREDIT_CODE,
        "name_zh": "白浪河书店",
        "name_en": "River Books",
        "bank_code": bank.bank.code,
        "payout_account": "tok_river_books_0042",
        "refund_alone_fen": 50_000,
    } | changes


def propose(
    who: city.DeskBrowser, bank: BankSystem, *, at: datetime, key: str | None = None, **changes: Any
) -> Decided:
    return proposals.propose_merchant(
        caller=who.caller,
        idempotency_key=city.idempotency(who.caller.scope, key),
        at=at,
        **asked(bank, **changes),
    )


def approve(who: city.DeskBrowser, proposed: Decided, *, at: datetime) -> Decided:
    return proposals.approve(
        caller=who.caller,
        proposal_id=uuid.UUID(proposed.id),
        idempotency_key=city.idempotency(who.caller.scope),
        at=at,
    )


def test_merchant__proposed_and_approved_by_two__taken_on_once(
    people: list[city.DeskBrowser], bank: BankSystem, at: datetime
):
    one, two = people
    proposed = propose(one, bank, at=at, key="propose-1")
    assert propose(one, bank, at=at, key="propose-1") == proposed
    with pytest.raises(ProposalWaiting):
        propose(two, bank, at=at)
    with pytest.raises(SelfApproval):
        approve(one, proposed, at=at)
    assert Merchant.objects.count() == 0

    found = together(4, lambda _: approve(two, proposed, at=at))

    assert sorted(getattr(each, "state", getattr(each, "code", "")) for each in found) == [
        "approved", "proposal.over", "proposal.over", "proposal.over",
    ]  # fmt: skip
    merchant = Merchant.objects.select_related("organisation__parent").get()
    assert (merchant.credit_code, merchant.state) == (CREDIT_CODE, "active")
    assert (merchant.payout_account, merchant.refund_alone_fen) == ("tok_river_books_0042", 50_000)
    organisation = merchant.organisation
    assert (organisation.kind, organisation.parent and organisation.parent.kind) == (
        "merchant", "city",
    )  # fmt: skip
    right = Entitlement.objects.get(organisation=organisation)
    assert (right.scene, right.purpose, right.attributes) == ("pay", "payment", [])
    with pytest.raises(MerchantKnown):
        propose(one, bank, at=at)
    assert (Proposal.objects.count(), MerchantApplication.objects.count()) == (1, 1)


def test_merchant__rejected__may_apply_again(
    people: list[city.DeskBrowser], bank: BankSystem, at: datetime
):
    first = propose(people[0], bank, at=at)
    path = f"/api/finance/v1/proposals/{first.id}/rejection"
    assert people[1].send("POST", path, {}, key=city.new_key()).json()["state"] == "rejected"

    second = propose(people[1], bank, at=at)

    assert approve(people[0], second, at=at).state == "approved"


def test_merchant__bad_input__a_stable_code_and_nothing_kept(
    people: list[city.DeskBrowser], bank: BankSystem, at: datetime
):
    bad: list[tuple[dict[str, Any], int, str]] = [
        ({"credit_code": "91370700MA3C0QF16L"}, 422, "merchant.credit_code_invalid"),
        ({"credit_code": "91370700MA3C0QI16K"}, 422, "merchant.credit_code_invalid"),
        ({"credit_code": "91370700ma3c0qf16k"}, 400, "request.invalid"),
        ({"credit_code": CREDIT_CODE + "\n"}, 400, "request.invalid"),
        ({"bank_code": "nobody"}, 422, "merchant.bank_unknown"),
        ({"payout_account": "6217 0000 0000 0000"}, 400, "request.invalid"),
        ({"refund_alone_fen": -1}, 400, "request.invalid"),
        ({"refund_alone_fen": "500"}, 400, "request.invalid"),
        ({"name_zh": ""}, 400, "request.invalid"),
        ({"more": 1}, 400, "request.invalid"),
    ]
    for changes, status, code in bad:
        found = people[0].send("POST", APPLICATIONS, asked(bank, **changes), key=city.new_key())
        assert (found.status_code, found.json()["code"]) == (status, code), changes
    body = {"action": "merchant.open", "subject": CREDIT_CODE}
    found = people[0].send("POST", "/api/finance/v1/proposals", body, key=city.new_key())
    assert (found.status_code, found.json()["code"]) == (400, "request.invalid")
    assert (Proposal.objects.count(), Merchant.objects.count()) == (0, 0)
