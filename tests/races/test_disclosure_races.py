"""A case share is opened once, and a consent given out once, however many try at the same time."""

import os
import time
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from identity import case_shares, consent
from identity.models import AccessLine, CaseShare, Consent, Entitlement, Organisation
from tests import city
from tests.together import together
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
AT_ONCE = 8


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def bureau(hall: Organisation) -> city.Machine:
    Entitlement.objects.create(
        organisation=hall, scene="remote", purpose="pension", purpose_zh="养老金",
        purpose_en="Pension", attributes=["real_name"],
    )  # fmt: skip
    Entitlement.objects.filter(scene="id").update(may_ask=["phone"])
    return city.make_department(hall)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident-wide limits are not what is tested here."""
    for module, name in ((case_shares, "SHARES_PER_DAY"), (consent, "ASKED_BY_ONE"),
                         (consent, "ASKED_BY_ALL")):  # fmt: skip
        limit = getattr(module, name)
        wide = type(limit)(limit.name, maximum=100_000, per=limit.per)
        monkeypatch.setattr(module, name, wide)


def make_share(phone: city.Phone, bureau: city.Machine, *, at: datetime) -> str:
    word = phone.word(
        "/case-shares", typ=case_shares.TYPE, at=at, purpose="pension", matter="WF-1",
        organisation=str(bureau.terminal.organisation_id), fields=["real_name"],
        expires_at=int((at + timedelta(hours=1)).timestamp()),
    )  # fmt: skip
    made = case_shares.create_share(
        caller=phone.caller, word=word, idempotency_key=city.idempotency(phone.caller.scope), at=at
    )
    return str(made["handle"])


def open_together(bureau: city.Machine, handle: str, *, at: datetime) -> Counter[str]:
    def one(_: int) -> Any:
        return case_shares.open_share(
            caller=bureau.caller, handle=handle, official="1", case_number="2",
            idempotency_key=city.idempotency(bureau.caller.scope), at=at,
        )  # fmt: skip

    return Counter(type(each).__name__ for each in together(AT_ONCE, one))


def test_open__eight_at_once__one_opening_and_one_line(
    phone: city.Phone, bureau: city.Machine, patient: None, at: datetime
):
    tried, broken = rounds(short=8), 0

    for _ in range(tried):
        before = AccessLine.objects.count()
        seen = open_together(bureau, make_share(phone, bureau, at=at), at=at)
        lines = AccessLine.objects.count() - before
        broken += seen != {"Opening": 1, "ShareSpent": AT_ONCE - 1} or lines != 1

    tell("share-race", tried=tried, broken=broken)
    assert broken == 0


def test_open__looking_first_and_writing_then__opened_more_than_once(
    phone: city.Phone, bureau: city.Machine, patient: None, at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    def look_then_write(handle: str, *, caller: Any, at: datetime) -> uuid.UUID | None:
        share = CaseShare.objects.filter(
            handle_hash=case_shares._hash(handle), state="offered"
        ).first()
        if share is None:
            return None
        time.sleep(0.05)
        CaseShare.objects.filter(id=share.id).update(state="opened", opened_at=at)
        return share.id

    monkeypatch.setattr(case_shares, "_take", look_then_write)

    seen = open_together(bureau, make_share(phone, bureau, at=at), at=at)

    assert seen["Opening"] > 1


def ask_and_approve(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, *, at: datetime
) -> Consent:
    scan = counter.scan(grant.code(at)).json()["scan"]
    asked = consent.ask(
        caller=counter.caller, scan_id=uuid.UUID(scan), fields=["phone"], case_number=None,
        idempotency_key=city.idempotency(counter.caller.scope), at=at,
    )  # fmt: skip
    word = phone.word(
        f"/consents/{asked.id}/approval", typ=consent.TYPE, at=at, consent=asked.id,
        organisation=str(counter.desk.organisation_id), purpose=city.PURPOSE, fields=["phone"],
    )  # fmt: skip
    consent.approve(
        caller=phone.caller, consent_id=uuid.UUID(asked.id), word=word,
        idempotency_key=city.idempotency(phone.caller.scope), at=at,
    )  # fmt: skip
    return Consent.objects.get(id=asked.id)


def release_together(counter: city.DeskBrowser, approved: Consent, *, at: datetime) -> Counter[str]:
    def one(_: int) -> Any:
        return consent.release(
            caller=counter.caller, consent_id=approved.id,
            idempotency_key=city.idempotency(counter.caller.scope), at=at,
        )  # fmt: skip

    return Counter(type(each).__name__ for each in together(AT_ONCE, one))


def test_release__eight_at_once__given_out_once(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, bureau: city.Machine,
    patient: None,
):  # fmt: skip
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        at = clock.now()  # a thousand rounds outlast a code
        approved = ask_and_approve(counter, phone, grant, at=at)
        before = AccessLine.objects.count()
        seen = release_together(counter, approved, at=at)
        lines = AccessLine.objects.count() - before
        broken += seen != {"Released": 1, "ConsentOver": AT_ONCE - 1} or lines != 1

    tell("consent-race", tried=tried, broken=broken)
    assert broken == 0


def test_release__without_the_lock__given_out_more_than_once(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, bureau: city.Machine,
    patient: None, at: datetime, monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    approved = ask_and_approve(counter, phone, grant, at=at)
    move = consent._move

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return move(*args, **options)

    monkeypatch.setattr(consent, "_move", slowly)
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)

    assert release_together(counter, approved, at=at)["Released"] > 1
