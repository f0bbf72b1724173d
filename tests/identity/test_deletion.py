"""Who wants to be forgotten is: after seven days, unless something is open, and for good."""

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError

from cards.models import Card
from identity import deletion, devices, lost_phones, own_data
from identity.models import (
    AccessLine,
    Deletion,
    Device,
    Enrolment,
    Grant,
    Organisation,
    Resident,
    StateChange,
    Suspension,
)
from payments import personal as money
from payments.models import Debit, TopUpNumber
from payments.settlement import windows
from tests import banking, city
from tests.contracts.test_canaries import dump_of_database, dump_of_redis, found_in
from tests.shop import fill, open_shop
from tests.together import together
from vpass.common import clock, contributions, outbox, sms
from vpass.common.models import AuditEvent, IdempotencyRecord, OutboxDelivery
from vpass.common.sealed_fields import SealedText, lookup_hash, unseal

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/deletions"
DUE = timedelta(days=7, minutes=1)
PERSON = city.PEOPLE[0]
TOKEN = "tok_forget_me_4f2a9c_4321"


def word(phone: city.Phone, *, at: datetime, **changes: Any) -> str:
    claims = {"account": str(phone.caller.resident_id), "terms": deletion.terms_digest()} | changes
    return phone.word("/deletions", typ=claims.pop("typ", deletion.TYPE), at=at, **claims)


def ask(phone: city.Phone, *, at: datetime, key: str | None = None, **changes: Any) -> Any:
    body = {"request": word(phone, at=at, **changes)}
    return phone.send("POST", PATH, body, key=key or city.new_key())


def export(phone: city.Phone, section: str, *, at: datetime, **changes: Any) -> Any:
    claims = {"section": section} | changes
    made = phone.word("/exports", typ=own_data.TYPE, at=at, **claims)
    return phone.send("POST", f"{city.RESIDENT}/exports", {"section": section, "request": made})


def test_terms__shown_then_signed__waits_seven_days_and_can_be_called_off(
    phone: city.Phone, at: datetime
):
    terms = phone.send("GET", f"{city.RESIDENT}/deletion-terms").json()
    assert terms["account"] == str(phone.caller.resident_id)
    assert (terms["terms"], terms["obligations"]) == (deletion.terms_digest(), [])

    made = ask(phone, at=at, account=terms["account"], terms=terms["terms"])
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["obligations"]) == ("waiting", [])
    assert city.problem(ask(phone, at=at)) == (409, "deletion.waiting")
    deletion_id = made.json()["id"]
    assert deletion.delete_due(at=at + timedelta(days=6, hours=23)) == 0

    path = f"{PATH}/{deletion_id}/cancellation"
    kept = phone.send("POST", path, {}, key=city.new_key())
    again = phone.send("POST", path, {}, key=city.new_key())
    assert kept.json()["state"] == "cancelled"
    assert city.problem(again) == (409, "deletion.over")
    assert deletion.delete_due(at=at + timedelta(days=30)) == 0
    assert Resident.objects.get().state == "active"
    assert phone.send("GET", f"{city.RESIDENT}/me").status_code == 200
    stranger = city.make_phone(1, at=at)
    foreign = stranger.send("POST", path, {}, key=city.new_key())
    assert city.problem(foreign) == (404, "object.not_found")


@pytest.mark.parametrize(
    "changes",
    [{"terms": "other"}, {"account": "018f2f6e-0000-7000-8000-000000000001"},
     {"typ": "vpass-export+jwt"}, {"by": city.signing.generate_p256()}],
    ids=["terms", "account", "typ", "key"],
)  # fmt: skip
def test_request__not_signed_over_what_was_shown__refused(
    phone: city.Phone, at: datetime, changes: dict[str, Any]
):
    assert city.problem(ask(phone, at=at, **changes)) == (422, "word.invalid")
    assert Deletion.objects.count() == 0


def test_delete__before_its_time__the_database_refuses(phone: city.Phone, at: datetime):
    ask(phone, at=at)

    with pytest.raises(IntegrityError, match="deletion_not_before_its_time"):
        Deletion.objects.update(state="done", ended_at=at)


def test_request__something_open__refused_with_every_reason_and_told_again_when_due(
    phone: city.Phone, hall: Organisation, at: datetime
):
    resident_id = phone.caller.resident_id
    windows.ensure_open(at=at)
    fill(open_shop(), phone, 500, at=at)
    police = Suspension.objects.create(
        resident_id=resident_id, source="police", scope="pay", reason="x", set_at=at
    )

    refused = ask(phone, at=at)

    assert city.problem(refused) == (409, "deletion.obliged")
    assert refused.json()["obligations"] == ["identity.suspended", money.BALANCE]
    assert Deletion.objects.count() == 0
    Deletion.objects.create(
        id=city.uuid.uuid4(), resident_id=resident_id, device_id=phone.caller.device_id,
        asked_at=at, due_at=at + timedelta(days=7),
    )  # fmt: skip
    assert deletion.delete_due(at=at + timedelta(days=7)) == 0
    shown = phone.send("GET", PATH).json()["items"][0]
    assert (shown["state"], shown["obligations"]) == (
        "refused", ["identity.suspended", money.BALANCE],
    )  # fmt: skip
    assert Resident.objects.get(id=resident_id).state == "active"
    police.delete()


def test_questions__asked_of_every_floor():
    named = contributions._contributors
    assert sorted(named[deletion.OBLIGATIONS]) == ["cards", "iot", "payments", "services"]
    assert sorted(named[deletion.FORGET]) == ["cards", "payments"]
    assert sorted(named[own_data.EXPORT]) == ["cards", "iot", "payments", "services"]


def opened_values() -> list[str]:
    """Every sealed field of every row, opened, and the answers kept for repeats."""
    found = []
    for model in apps.get_models():
        sealed = [each for each in model._meta.fields if isinstance(each, SealedText)]
        for row in model.objects.all() if sealed else []:
            found += [str(getattr(row, each.name)) for each in sealed]
    for record in IdempotencyRecord.objects.exclude(answer=None):
        place: Any = {"table": "common_idempotency", "row": record.id, "column": "answer"}
        found.append(unseal(record.answer, **place))
    return found


def hashes(person: Any) -> set[bytes]:
    values = [("phone", person.phone), ("census", person.census_id)]
    return {lookup_hash(purpose, value) for purpose, value in values}


def live(phone: city.Phone, counter: city.DeskBrowser, *, at: datetime) -> city.HeldGrant:
    """A life with a scan, a bank card, a debit, a share and an offered delegation."""
    resident_id = phone.caller.resident_id
    grant = phone.grant(at=at)
    assert counter.scan(grant.code(at)).status_code == 200
    windows.ensure_open(at=at)
    shop = open_shop()
    card = banking.make_card(shop.system.bank, resident_id, token=TOKEN, at=at)
    path = f"{city.RESIDENT}/top-ups"
    phone.send("POST", path, {"card_id": str(card.id), "amount_fen": 100}, key=city.new_key())
    outbox.deliver_due(at=at)
    # The bank cannot be reached here; it says later that it never had the debit.
    Debit.objects.update(state="never_arrived", next_inquiry_at=None)
    phone.send("GET", f"{city.RESIDENT}/wallet")
    begun = city.Phone(key=phone.key).send(
        "POST", f"{city.RESIDENT}/enrolments", {"phone": PERSON.phone}
    )
    assert begun.status_code == 201
    assert Enrolment.objects.get().thumbprint == phone.thumbprint
    return grant


def test_delete__after_seven_days__nothing_of_the_person_is_left_and_may_come_again(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, program_log: io.StringIO,
):  # fmt: skip
    resident_id = phone.caller.resident_id
    grant = live(phone, counter, at=at)
    assert ask(phone, at=at).status_code == 201
    lines = AccessLine.objects.filter(resident_id=resident_id).count()
    thumbprint = phone.thumbprint
    # Due at once, so that token and grant are still good but for the deletion.
    Deletion.objects.update(due_at=at)

    assert deletion.delete_due(at=clock.now()) == 1
    assert deletion.delete_due(at=at + DUE) == 0

    # Answers for repeats go after 30 days, as everybody's do.
    IdempotencyRecord.objects.all().delete()
    canaries = {
        "name": PERSON.real_name, "ID number": PERSON.id_number, "phone": PERSON.phone,
        "census id": PERSON.census_id, "bank card": TOKEN,
    }  # fmt: skip
    assert found_in("\n".join(opened_values()), canaries) == set()
    dump = dump_of_database()
    assert found_in(dump, canaries) == set()
    assert not [each for each in hashes(PERSON) if each.hex() in dump]
    assert found_in(dump_of_redis(), canaries) == set()
    assert '"route"' in program_log.getvalue()
    assert found_in(program_log.getvalue(), canaries) == set()
    gone = Resident.objects.get(id=resident_id)
    assert (gone.state, gone.level, gone.real_name, gone.phone_hash) == ("closed", 1, None, None)
    assert not Device.objects.filter(thumbprint=thumbprint).exists()
    assert not Grant.objects.filter(resident_id=resident_id, ended_at=None).exists()
    assert [card.state for card in Card.objects.all()] == ["unbound"]
    assert not TopUpNumber.objects.filter(resident_id=resident_id).exists()
    assert AccessLine.objects.filter(resident_id=resident_id).count() == lines
    assert AuditEvent.objects.filter(subject=f"resident:{resident_id}").count() == 1
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    assert city.problem(counter.scan(grant.code(clock.now()))) == (403, "code.revoked")

    again = city.make_phone(0, at=at)
    assert again.caller.resident_id != resident_id
    assert again.send("GET", f"{city.RESIDENT}/access-log").json()["items"] == []


def test_canaries__before_the_deletion__found_when_sealed_fields_are_opened(phone: city.Phone):
    assert found_in("\n".join(opened_values()), {"name": PERSON.real_name}) == {"name"}
    assert any(each.hex() in dump_of_database() for each in hashes(PERSON))


def test_request__person_told_by_text_message_unless_called_off(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(sms, "send_text", lambda **message: sent.append(message))
    deletion_id = ask(phone, at=at).json()["id"]
    row = OutboxDelivery.objects.get(name=deletion.DELETION_ASKED)
    event = outbox.Event(
        id=row.event_id, name=row.name, payload=row.payload, published_at=at, attempt=1
    )

    deletion.tell_of_request(event)
    phone.send("POST", f"{PATH}/{deletion_id}/cancellation", {}, key=city.new_key())
    deletion.tell_of_request(event)

    assert row.payload == {"deletion": deletion_id}
    assert [(each["to"], each["message_id"]) for each in sent] == [(PERSON.phone, event.id)]
    day = str(clock.city_date(at + timedelta(days=7)))
    assert sent[0]["text"].count(day) == 2
    assert len(sent[0]["text"]) <= 500


def test_delete__phone_that_asked_frozen_or_replaced__account_stays(
    phone: city.Phone, at: datetime
):
    resident_id, device_id = phone.caller.resident_id, phone.caller.device_id
    ask(phone, at=at)
    named = {"resident_id": resident_id, "device_id": device_id, "actor": "t", "at": at}

    lost_phones.freeze_device(**named)
    # Found again: what a thief may have asked for does not come back with it.
    lost_phones.thaw_device(**named)

    assert Deletion.objects.get().state == "cancelled"
    assert StateChange.objects.get(object_kind="deletion").event == "call_off"
    assert deletion.delete_due(at=at + DUE) == 0
    phone.token = devices.issue_token(device=Device.objects.get(), at=at).access_token
    ask(phone, at=at)
    Device.objects.update(state="ended")
    assert deletion.delete_due(at=at + DUE) == 0
    assert [each.state for each in Deletion.objects.order_by("id")] == ["cancelled"] * 2
    assert Resident.objects.get().state == "active"


def test_delete__phone_frozen_at_the_same_moment__one_or_the_other(phone: city.Phone, at: datetime):
    resident_id = phone.caller.resident_id
    ask(phone, at=at)

    def work(number: int) -> int:
        if number % 2:
            return deletion.delete_due(at=at + DUE)
        return lost_phones.freeze_all(resident_id=resident_id, actor="hotline", at=at)

    found = together(4, work)

    assert [type(each) for each in found] == [int] * 4
    end = (Deletion.objects.get().state, Resident.objects.get().state)
    assert end in {("done", "closed"), ("cancelled", "active")}


def test_delete__two_workers_at_once__done_once(phone: city.Phone, at: datetime):
    ask(phone, at=at)

    found = together(4, lambda _: deletion.delete_due(at=at + DUE))

    assert sorted(found) == [0, 0, 0, 1]
    assert AuditEvent.objects.filter(action="account.deleted").count() == 1


def test_export__every_section__whole_and_only_ones_own(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    live(phone, counter, at=at)
    stranger = city.make_phone(1, at=at)
    sections = phone.send("GET", f"{city.RESIDENT}/exports").json()["sections"]
    assert sections == sorted(sections)
    assert {"account", "cards", "wallet", "bookings", "parking", "delegations"} <= set(sections)

    parts = {each: export(phone, each, at=at).json() for each in sections}
    foreign = {each: export(stranger, each, at=at).json() for each in sections}

    account = parts["account"]["rows"][0]
    assert (account["real_name"], account["id_number"], account["phone"]) == (
        PERSON.real_name, PERSON.id_number, PERSON.phone,
    )  # fmt: skip
    assert [each["last4"] for each in parts["cards"]["rows"]] == ["4321"]
    assert [each["amount_fen"] for each in parts["bank_debits"]["rows"]] == [100]
    assert len(parts["devices"]["rows"]) == 1
    assert all(part["next"] is None for part in parts.values())
    assert str(phone.caller.resident_id) not in json.dumps(foreign)
    assert [name for name, part in foreign.items() if part["rows"]] == ["account", "devices"]
    lines = AccessLine.objects.filter(resident_id=phone.caller.resident_id, purpose="export")
    assert lines.count() == len(sections)


def test_export__in_parts__each_row_once(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(own_data, "ROWS_AT_ONCE", 2)
    for number in range(5):
        Suspension.objects.create(
            resident_id=phone.caller.resident_id, source="holder", scope="bus", state="lifted",
            reason=f"r{number}", set_at=at,
        )  # fmt: skip
    seen, before = [], None
    for _ in range(3):
        made = phone.word("/exports", typ=own_data.TYPE, at=at, section="suspensions")
        body = {"section": "suspensions", "request": made, "before": before}
        part = phone.send("POST", f"{city.RESIDENT}/exports", body).json()
        seen += [each["reason"] for each in part["rows"]]
        before = part["next"]

    assert before is None
    assert sorted(seen) == [f"r{number}" for number in range(5)]


def test_export__badly_asked__each_its_own_code(phone: city.Phone, at: datetime):
    path = f"{city.RESIDENT}/exports"
    made = phone.word("/exports", typ=own_data.TYPE, at=at, section="devices")

    first = phone.send("POST", path, {"section": "devices", "request": made})
    replayed = phone.send("POST", path, {"section": "devices", "request": made})
    other = phone.word("/exports", typ=own_data.TYPE, at=at, section="devices")
    crossed = phone.send("POST", path, {"section": "account", "request": other})
    unknown = export(phone, "secrets", at=at)
    odd = phone.word("/exports", typ=own_data.TYPE, at=at, section="devices")
    placed = phone.send("POST", path, {"section": "devices", "request": odd, "before": "x"})

    assert first.status_code == 200
    assert city.problem(replayed) == city.problem(crossed) == (422, "word.invalid")
    assert city.problem(unknown) == (422, "export.section_unknown")
    assert "devices" in unknown.json()["sections"]
    assert city.problem(placed) == (422, "export.before_unknown")
