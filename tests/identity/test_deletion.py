"""Who wants to be forgotten is: after seven days, unless something is open, and for good."""

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError

from cards.models import Card
from identity import deletion, devices, lost_phones, own_data, receipts, takeovers
from identity.models import (
    AccessLine,
    Deletion,
    Device,
    Enrolment,
    Entitlement,
    Grant,
    InPersonCheck,
    LevelCheck,
    Login,
    LoginAccessToken,
    LoginCode,
    LoginRefreshToken,
    Organisation,
    RegisterChange,
    Resident,
    ReverseScan,
    Staff,
    StateChange,
    Suspension,
    Takeover,
)
from payments import personal as money
from payments.models import (
    BillPayment,
    Debit,
    PayCode,
    PayerHandle,
    PaymentPin,
    RiskCase,
    TopUpNumber,
)
from payments.settlement import windows
from tests import banking, billing, city, paying, proving, relying
from tests.contracts.test_canaries import dump_of_database, dump_of_redis, found_in
from tests.identity import test_counter_checks as counter_checks
from tests.identity import test_register_changes as register_changes
from tests.identity import test_reverse_scans as reverse_scans
from tests.shop import Shop, fill, open_shop
from tests.together import together
from vpass.common import clock, contributions, outbox, sms
from vpass.common.models import AuditEvent, IdempotencyRecord, OutboxDelivery
from vpass.common.sealed_fields import SealedText, lookup_hash, unseal

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/deletions"
DUE = timedelta(days=7, minutes=1)
PERSON = city.PEOPLE[0]
TOKEN = "tok_forget_me_4f2a9c_4321"
REFERENCE = "CP-forget-me-77120"


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


def test_request__repeated_when_the_word_is_old__the_same_answer(phone: city.Phone, at: datetime):
    asked: Any = {"caller": phone.caller, "word": word(phone, at=at)}
    late = at + timedelta(seconds=90)
    key = city.idempotency(phone.caller.scope)

    made = deletion.request_deletion(**asked, idempotency_key=key, at=at)
    again = deletion.request_deletion(**asked, idempotency_key=key, at=late)

    assert (again.id, again.state) == (made.id, "waiting")
    with pytest.raises(receipts.WordInvalid):
        deletion.request_deletion(
            **asked, idempotency_key=city.idempotency(phone.caller.scope), at=late
        )


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


def test_request__a_bill_being_paid_or_a_payment_frozen__open_until_it_has_ended(
    phone: city.Phone, at: datetime
):
    windows.ensure_open(at=at)
    works = billing.open_waterworks()
    bill = works.issue_to(phone)
    # Unpaid it is the biller's demand, and keeps nobody.
    assert deletion.open_obligations(resident_id=phone.caller.resident_id) == []

    order = billing.open_order(phone, bill, 500, at=at)
    paying_it = deletion.open_obligations(resident_id=phone.caller.resident_id)
    RiskCase.objects.create(
        id=city.uuid.uuid4(), order=order, resident_id=order.payer_id, outcome="freeze",
        reasons=["x"], opened_at=at,
    )  # fmt: skip
    frozen = ask(phone, at=at)
    order.state = "expired"
    order.save(update_fields=["state"])
    RiskCase.objects.update(outcome="review")

    assert paying_it == [money.BILL, money.ORDER]
    assert frozen.json()["obligations"] == [money.BILL, money.ORDER, money.RISK]
    assert BillPayment.objects.get().released_at is None
    assert deletion.open_obligations(resident_id=phone.caller.resident_id) == []


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
    values = [
        ("phone", person.phone), ("census", person.census_id), ("id_number", person.id_number),
    ]  # fmt: skip
    return {lookup_hash(purpose, value) for purpose, value in values}


def live(
    phone: city.Phone, counter: city.DeskBrowser, *, at: datetime
) -> tuple[city.HeldGrant, Shop]:
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
    return grant, shop


def prove(phone: city.Phone, counter: city.DeskBrowser, *, at: datetime) -> None:
    """An older account, level 3 at a counter, a face check begun, and what the register tells."""
    takeovers.import_users([(PERSON.phone, REFERENCE)], actor="test", at=at)
    Staff.objects.filter(id=counter.staff.id).update(roles=["registrar"])
    Entitlement.objects.create(
        organisation=counter.desk.organisation, scene="id", purpose="identity-check",
        purpose_zh="核验", purpose_en="Check", attributes=["real_name"], needs_case=True,
    )  # fmt: skip
    begun = phone.send("POST", f"{city.RESIDENT}/face-checks", {}, key=city.new_key()).json()
    assert proving.look(begun)
    scanned = counter_checks.scan(counter, phone.grant(at=at).code(at))["scan"]
    assert counter_checks.raise_level(counter, scanned).json()["level"] == 3
    office = city.make_organisation("人口登记管理处", kind="department")
    register = city.make_terminal(office, scene="register", key_id="register-1")
    told = register_changes.event("number_corrected", 1, id_number=PERSON.id_number)
    assert register_changes.tell(register, told).json()["state"] == "applied"
    # The number was typed on somebody else's phone too.
    row = Enrolment.objects.get()
    row.pk, row.thumbprint = city.uuid.uuid4(), "never-this-persons-phone"
    row.save(force_insert=True)


def log_in(
    phone: city.Phone, counter: city.DeskBrowser, *, at: datetime
) -> tuple[relying.Site, str]:
    """A web service and a good token, and a counter's nonce that the phone has signed."""
    site = relying.open_site(at=at)
    token = site.log_in(phone, at=at)["access_token"]
    shown = reverse_scans.show(counter).json()
    nonce = reverse_scans.nonce_of(shown)
    asked = reverse_scans.look(phone, nonce).json()
    signed = reverse_scans.word(phone, asked, nonce, at=at)
    assert reverse_scans.send_answer(phone, asked["id"], signed).status_code == 200
    return site, token


def pay(phone: city.Phone, shop: Shop, *, at: datetime) -> None:
    """A PIN, a pay code, a merchant that may ask, a bill for the ID number, partly paid."""
    paying.set_pin(phone, at=at)
    paying.digits(phone, at=at)
    works = billing.open_waterworks(shop)
    fill(shop, phone, 500, at=at)
    body = {"merchant_id": str(shop.merchant.id)}
    path = f"{city.RESIDENT}/payer-handles"
    assert phone.send("POST", path, body, key=city.new_key()).status_code == 201
    billing.pay(phone, works.issue_to(phone), 500, at=at)


def test_delete__after_seven_days__nothing_of_the_person_is_left_and_may_come_again(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, program_log: io.StringIO,
):  # fmt: skip
    resident_id = phone.caller.resident_id
    grant, shop = live(phone, counter, at=at)
    prove(phone, counter, at=at)
    site, token = log_in(phone, counter, at=at)
    assert site.user_info(token).status_code == 200
    pay(phone, shop, at=at)
    asked = ask(phone, at=at)
    assert asked.status_code == 201, asked.content
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
        "census id": PERSON.census_id, "bank card": TOKEN, "older account": REFERENCE,
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
    gone_with_it = (
        LevelCheck, RegisterChange, Enrolment, LoginCode, LoginAccessToken, LoginRefreshToken,
        PayCode, PaymentPin, PayerHandle,
    )  # fmt: skip
    assert [model.__name__ for model in gone_with_it if model.objects.exists()] == []
    login, scan = Login.objects.get(), ReverseScan.objects.get()
    assert (login.state, login.word, login.receipt, login.request) == ("withdrawn", "", "", "")
    assert (scan.state, scan.word) == ("lapsed", "")
    assert site.user_info(token).status_code == 401
    assert reverse_scans.collect(counter, str(scan.id)).status_code == 409
    # By law: a clerk's word, under the account's id, and that the older account is not opened anew.
    assert InPersonCheck.objects.filter(resident_id=resident_id).count() == 1
    assert takeovers.opening_reference(resident_id=resident_id) is None
    again = takeovers.import_users([(PERSON.phone, REFERENCE)], actor="test", at=at)
    assert again.refused == [(1, "reference_of_another")]
    assert (Takeover.objects.count(), Resident.objects.exclude(state="closed").count()) == (1, 0)
    assert AccessLine.objects.filter(resident_id=resident_id).count() == lines
    deleted = AuditEvent.objects.filter(action="account.deleted")
    assert [event.subject for event in deleted] == [f"resident:{resident_id}"]
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    assert city.problem(counter.scan(grant.code(clock.now()))) == (403, "code.revoked")

    new = city.make_phone(0, at=at)
    assert new.caller.resident_id != resident_id
    assert new.send("GET", f"{city.RESIDENT}/access-log").json()["items"] == []


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


def test_delete__one_fails__it_waits_and_the_others_are_deleted(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    other = city.make_phone(1, at=at)
    ask(phone, at=at)
    ask(other, at=at)
    close = deletion._close

    def fail_for_the_first(person: Resident, *, at: datetime) -> None:
        if person.id == phone.caller.resident_id:
            raise RuntimeError("out of order")
        close(person, at=at)

    monkeypatch.setattr(deletion, "_close", fail_for_the_first)

    assert deletion.delete_due(at=at + DUE, limit=1) == 1

    assert dict(Resident.objects.values_list("id", "state")) == {
        phone.caller.resident_id: "active", other.caller.resident_id: "closed",
    }  # fmt: skip
    assert Deletion.objects.get(resident_id=phone.caller.resident_id).state == "waiting"
    monkeypatch.undo()
    assert deletion.delete_due(at=at + DUE) == 1


def test_export__every_section__whole_and_only_ones_own(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    _, shop = live(phone, counter, at=at)
    prove(phone, counter, at=at)
    log_in(phone, counter, at=at)
    pay(phone, shop, at=at)
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
    of_each = (
        "devices", "enrolments", "level_checks", "in_person_checks", "register_changes",
        "takeovers", "logins", "reverse_scans", "bill_payments", "pay_codes", "payer_handles",
        "payment_pin",
    )  # fmt: skip
    assert {name: len(parts[name]["rows"]) for name in of_each} == dict.fromkeys(of_each, 1)
    assert parts["takeovers"]["rows"][0]["reference"] == REFERENCE
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
