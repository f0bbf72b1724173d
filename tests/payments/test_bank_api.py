"""The bank's routes: strict in what they take, signed in what they answer, closed to others."""

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings

from payments import funding, payouts, pursuit
from payments.models import CreditNotice, Payout, Posting
from payments.settlement import windows
from tests import city
from tests.banking import (
    ACCEPTED,
    TOKEN,
    BankSystem,
    StubBank,
    fund,
    make_bank,
    make_resident,
    standing,
    withdraw,
)
from vpass.common import clock, http_signatures, signing
from vpass.common.http_signatures import Parts
from vpass.common.signing import VerificationKey

pytestmark = pytest.mark.django_db(transaction=True)

CREDITS, PAYOUTS = "/api/bank/v1/credit-notices", "/api/bank/v1/payout-notices"


@pytest.fixture
def at(transactional_db: None) -> datetime:
    moment = clock.now()
    windows.ensure_open(at=moment)
    return moment


@pytest.fixture
def bank(at: datetime) -> BankSystem:
    return make_bank()


@pytest.fixture
def resident(at: datetime) -> uuid.UUID:
    return make_resident(at=at)


def notice(number: str, **changes: Any) -> dict[str, Any]:
    return {
        "notice_id": str(uuid.uuid4()),
        "top_up_number": number,
        "amount_fen": 50_000,
        "currency": "CNY",
        "payer_account_token": TOKEN,
        "payer_last4": "6217",
        "booked_at": "2026-03-02T01:29:58Z",
    } | changes


def tell(bank: BankSystem, body: dict[str, Any], *, path: str = CREDITS, **changes: Any) -> Any:
    key = changes.pop("key", None) or body.get("notice_id") or body.get("payout_id")
    return bank.machine.send("POST", path, changes.pop("raw", body), key=str(key), **changes)


def test_credit__good__exactly_two_members(bank: BankSystem, resident: uuid.UUID):
    body = notice(funding.top_up_number(resident_id=resident))

    answer = tell(bank, body)

    assert answer.status_code == 200
    assert answer.json() == {"notice_id": body["notice_id"], "status": "credited"}
    assert standing(funding.resident_account(resident)) == (50_000, 0)


def test_credit__returned__with_its_reason(bank: BankSystem):
    body = notice("880000000000")

    assert tell(bank, body).json() == {
        "notice_id": body["notice_id"],
        "status": "returned",
        "reason": "number_unknown",
    }


def test_credit__repeated_with_a_new_signature__same_answer(bank: BankSystem, resident: uuid.UUID):
    body = notice(funding.top_up_number(resident_id=resident))

    answers = [tell(bank, body).json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert (CreditNotice.objects.count(), Posting.objects.count()) == (1, 1)


def test_credit__same_key_other_body__422(bank: BankSystem, resident: uuid.UUID):
    body = notice(funding.top_up_number(resident_id=resident))
    tell(bank, body)

    answer = tell(bank, body | {"amount_fen": 1})

    assert city.problem(answer) == (422, "idempotency.key_reused")
    assert standing(funding.resident_account(resident)) == (50_000, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_fen": 0},
        {"amount_fen": -1},
        {"amount_fen": 1_000_000_000_000},
        {"amount_fen": 1.0},
        {"amount_fen": "100"},
        {"amount_fen": True},
        {"amount_fen": None},
        {"currency": "USD"},
        {"currency": "cny"},
        {"notice_id": "5B0D7C52-8F43-4D0E-9A55-0C8E5E0D7A11"},
        {"notice_id": "5b0d7c528f434d0e9a550c8e5e0d7a11"},
        {"top_up_number": "８８0012345678"},
        {"top_up_number": "88001234567"},
        {"payer_account_token": "short"},
        {"payer_account_token": TOKEN + " "},
        {"payer_last4": "621"},
        {"booked_at": "2026-02-30T00:00:00Z"},
        {"booked_at": "2026-03-02T01:29:58+00:00"},
        {"booked_at": "2026-03-02 01:29:58Z"},
        {"extra": 1},
    ],
    ids=str,
)
def test_credit__malformed__400_and_nothing_written(
    bank: BankSystem, resident: uuid.UUID, changes: dict[str, Any]
):
    body = notice(funding.top_up_number(resident_id=resident), **changes)

    answer = tell(bank, body)

    assert city.problem(answer) == (400, "request.invalid")
    assert (CreditNotice.objects.count(), Posting.objects.count()) == (0, 0)


@pytest.mark.parametrize("raw", [b'{"amount_fen": 1e2}', b'{"amount_fen": NaN}', b"[]", b"{"])
def test_credit__odd_json__400(bank: BankSystem, raw: bytes):
    answer = tell(bank, {}, raw=raw, key="5b0d7c52-8f43-4d0e-9a55-0c8e5e0d7a11")

    assert answer.status_code == 400
    assert CreditNotice.objects.count() == 0


def test_credit__key_is_not_the_notice__400(bank: BankSystem, resident: uuid.UUID):
    body = notice(funding.top_up_number(resident_id=resident))

    answer = tell(bank, body, key=str(uuid.uuid4()))

    assert city.problem(answer) == (400, "request.invalid")
    assert CreditNotice.objects.count() == 0


def test_credit__answer_is_signed_and_tied_to_the_question(bank: BankSystem):
    body = json.dumps(notice("880000000000")).encode()
    key = json.loads(body)["notice_id"]
    headers = {"content-type": "application/json", "idempotency-key": key}
    signed = http_signatures.sign_request(
        Parts(method="POST", target_uri=settings.PUBLIC_URL + CREDITS, headers=headers, body=body),
        key_id=bank.machine.key_id,
        private=bank.machine.private,
        algorithm="ed25519",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    answer = city.send("POST", CREDITS, body, signed | {"idempotency-key": key})

    private = signing.load_ed25519_private(settings.SECRETS.machine_private_key_pem)
    verified = http_signatures.verify_response(
        answer.status_code,
        {name.lower(): value for name, value in answer.items()},
        answer.content,
        request_signature=http_signatures.signature_bytes({"signature": signed["Signature"]}),
        find_key=lambda _: VerificationKey("Ed25519", private.public_key()),
        at=clock.now(),
        label="vpass",
    )
    assert verified.key_id == settings.SECRETS.machine_key_id
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_routes__other_machines__refused(at: datetime):
    terminal = city.make_terminal(city.make_organisation())

    for path in (CREDITS, PAYOUTS):
        answer = terminal.send("POST", path, {}, key=city.new_key())
        assert city.problem(answer) == (403, "caller.wrong_audience")


# Payout notices


@pytest.fixture
def payout(
    bank: BankSystem, resident: uuid.UUID, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> Payout:
    """An accepted withdrawal of 20,000 out of 50,000."""
    fund(bank, resident, 50_000, at=at)
    made = withdraw(resident, 20_000, at=at)
    stub = StubBank([ACCEPTED])
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: stub)
    payouts.pursue(payout_id=made.id, at=at)
    return made


def booked(payout: Payout, **changes: Any) -> dict[str, Any]:
    return {
        "payout_id": str(payout.id),
        "status": "booked",
        "bank_reference": "SB2026030200000017",
        "booked_at": "2026-03-02T02:00:03Z",
    } | changes


def test_payout__booked__exactly_two_members(bank: BankSystem, resident: uuid.UUID, payout: Payout):
    answers = [tell(bank, booked(payout), path=PAYOUTS) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == {"payout_id": str(payout.id), "status": "booked"}
    assert answers[0].json() == answers[1].json()
    assert standing(funding.resident_account(resident)) == (30_000, 0)
    payout.refresh_from_db()
    assert (payout.state, payout.bank_reference) == ("booked", "SB2026030200000017")


def test_payout__rejected__reason_we_do_not_know_is_refused(
    bank: BankSystem, resident: uuid.UUID, payout: Payout
):
    body = {"payout_id": str(payout.id), "status": "rejected", "reason": "moon_phase"}

    assert tell(bank, body, path=PAYOUTS).status_code == 200

    payout.refresh_from_db()
    assert (payout.state, payout.reason) == ("rejected", "refused")
    assert standing(funding.resident_account(resident)) == (50_000, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "accepted"},
        {"status": "rejected"},
        {"reason": "refused"},
        {"bank_reference": "small"},
        {"booked_at": "yesterday"},
    ],
    ids=str,
)
def test_payout__malformed__400_and_nothing_changed(
    bank: BankSystem, payout: Payout, changes: dict[str, Any]
):
    answer = tell(bank, booked(payout, **changes), path=PAYOUTS)

    assert city.problem(answer) == (400, "request.invalid")
    payout.refresh_from_db()
    assert payout.state == "accepted"


def test_payout__of_another_bank_or_none__404_alike(bank: BankSystem, payout: Payout, at: datetime):
    other = make_bank("第二银行", code="SECOND", key_id="second-1")

    foreign = tell(other, booked(payout), path=PAYOUTS)
    missing = tell(other, booked(payout, payout_id=str(uuid.uuid4())), path=PAYOUTS)

    assert city.problem(foreign) == city.problem(missing) == (404, "object.not_found")
    payout.refresh_from_db()
    assert payout.state == "accepted"


def test_payout__contradicts_the_end__409(bank: BankSystem, payout: Payout):
    Payout.objects.update(state="never_arrived")

    answer = tell(bank, booked(payout), path=PAYOUTS)

    assert city.problem(answer) == (409, "payout.contradicted")
