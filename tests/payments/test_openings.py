"""What stood in the older Cloud Pay comes into the wallet: by two people, once for each account."""

from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity import takeovers
from identity.models import Resident, Takeover
from payments import accounts, ledger, openings
from payments.models import Proposal, Transaction
from payments.settlement import windows
from tests import city
from tests.banking import make_accountants
from tests.ledger import standing
from tests.together import together
from vpass.common import clock
from vpass.common.models import AuditEvent, OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

PROPOSALS = "/api/finance/v1/proposals"
REFERENCE = "CP-0042"


@pytest.fixture
def at(transactional_db: None) -> datetime:
    return clock.now()


@pytest.fixture
def taken_over(at: datetime) -> Takeover:
    """Somebody of the older system, who has no phone here yet."""
    windows.ensure_open(at=at)
    takeovers.import_users([(city.PEOPLE[5].phone, REFERENCE)], actor="test", at=at)
    return Takeover.objects.get()


def propose(browser: city.DeskBrowser, **changes: Any) -> Any:
    body = {"action": "wallet.open", "subject": REFERENCE, "amount_fen": 12_345} | changes
    return browser.send("POST", PROPOSALS, body, key=city.new_key())


def approve(browser: city.DeskBrowser, proposed: Any) -> Any:
    path = f"{PROPOSALS}/{proposed.json()['id']}/approval"
    return browser.send("POST", path, {}, key=city.new_key())


def suspense() -> int:
    return ledger.open_account(kind="suspense", owner=openings.OLDER_SYSTEM, floor_fen=None)


def test_opening__proposed_by_one_approved_by_another__in_the_wallet_once(
    taken_over: Takeover, at: datetime
):
    one, other = make_accountants(at=at)
    proposed = propose(one)
    assert proposed.status_code == 201, proposed.content
    wallet = accounts.resident_account(taken_over.resident_id)
    assert standing(wallet)[0] == 0
    assert city.problem(approve(one, proposed)) == (403, "proposal.self_approval")
    assert city.problem(propose(other)) == (409, "proposal.waiting")
    (shown,) = other.send("GET", PROPOSALS).json()["items"]
    assert (shown["reference"], shown["amount_fen"]) == (REFERENCE, 12_345)

    assert approve(other, proposed).json()["state"] == "approved"

    assert (standing(wallet)[0], standing(suspense())[0]) == (12_345, -12_345)
    posted = Transaction.objects.get(kind="opening")
    assert (posted.caller, posted.key) == (openings.OLDER_SYSTEM, str(taken_over.id))
    assert OutboxDelivery.objects.filter(name=accounts.WALLET_CREDITED).count() == 1
    assert city.problem(propose(one)) == (409, "opening.booked")
    assert city.problem(propose(one, amount_fen=1)) == (409, "opening.booked")
    assert standing(wallet)[0] == 12_345
    told = AuditEvent.objects.get(action="proposal.approved").detail
    assert told == {
        "action": "wallet.open", "subject": str(taken_over.id), "amount_fen": 12_345,
    }  # fmt: skip


def test_opening__badly_asked__each_its_own_code_and_nothing_waits(
    taken_over: Takeover, at: datetime
):
    one, other = make_accountants(at=at)

    assert city.problem(propose(one, subject="CP-0043")) == (404, "object.not_found")
    assert city.problem(propose(one, amount_fen=None)) == (400, "request.invalid")
    assert city.problem(propose(one, amount_fen=0)) == (400, "request.invalid")
    close = propose(one, action="window.close", subject="1")
    assert city.problem(close) == (400, "request.invalid")
    assert Proposal.objects.count() == 0

    proposed = propose(one)
    Resident.objects.update(state="closed")  # deleted meanwhile
    assert city.problem(approve(other, proposed)) == (404, "object.not_found")
    assert Proposal.objects.get().state == "proposed"
    assert not Transaction.objects.exists()


def test_opening__booked_by_six_at_once__one_posting(taken_over: Takeover, at: datetime):
    def book(number: int) -> str:
        try:
            with transaction.atomic():
                openings.book(
                    takeover_id=taken_over.id,
                    resident_id=taken_over.resident_id,
                    amount_fen=100 + number % 2,
                    at=at,
                )
        except openings.OpeningBooked:
            return "booked"
        return "new"

    found = together(6, book)

    assert sorted(found) == ["booked"] * 5 + ["new"]
    assert standing(accounts.resident_account(taken_over.resident_id))[0] in (100, 101)
