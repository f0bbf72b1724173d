"""Planted names, numbers and tokens go through every flow, and stand nowhere in clear
afterwards."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import keys, organisations
from identity.api import resident
from identity.models import AccessLine, Desk, Enrolment, Organisation, Resident, Staff
from payments.models import Debit
from payments.settlement import windows
from tests import banking, city
from tests.shop import open_shop
from vpass.common import outbox, signing, sms
from vpass.common.sealed_fields import lookup_hash

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = city.PEOPLE[7]
PASSWORD = "canary-password-9d31"
CARD_TOKEN = "tok_canary_5f2c8e1b7d_1234"
TOTP_KEY = "63616e6172792d746f74702d736563726574"


def spellings(canary: str) -> Iterator[str]:
    """How a text would look in a dump: as it is, escaped in JSON, in hex, in base64."""
    raw = canary.encode()
    yield canary
    yield json.dumps(canary)[1:-1]
    yield raw.hex()
    for shift in range(3):  # wherever it begins in what was encoded
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        yield encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]


def found_in(dump: str, canaries: dict[str, str]) -> set[str]:
    lowered = dump.lower()
    return {
        name
        for name, canary in canaries.items()
        if any(len(each) >= 6 and each.lower() in lowered for each in spellings(canary))
        or canary in dump
    }


def dump_of_database() -> str:
    """Every row of every table, bytea in hex."""
    lines = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')
            lines += [f"{table}: {row[0]}" for row in cursor.fetchall()]
    return "\n".join(lines)


def dump_of_redis() -> str:
    client = redis.Redis.from_url(settings.REDIS_URL)
    try:
        pieces = [client.dump(key) or b"" for key in client.scan_iter()]
    finally:
        client.close()
    return "\n".join(piece.decode("utf-8", "replace") for piece in pieces)


def right_code() -> str:
    generator = TOTP(bytes.fromhex(TOTP_KEY))
    generator.time = city.clock.now().timestamp()
    return f"{generator.token():06d}"


def play_everything(hall: Organisation, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """Every flow once, right and wrong; returns the canaries and what refusals answered."""
    at = city.clock.now()
    monkeypatch.setattr(resident.http, "population_register", city.StubRegister)
    texts: list[str] = []
    monkeypatch.setattr(sms, "send_text", lambda **message: texts.append(message["text"]))
    refusals: list[str] = []

    def note(answer: Any) -> Any:
        if answer.status_code >= 400:
            refusals.append(answer.content.decode())
        return answer

    phone = city.Phone()
    started = phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": PERSON.phone}).json()
    note(phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": PERSON.phone}))
    note(phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": PERSON.phone + "x"}))
    outbox.deliver_due(at=city.clock.now())
    assert len(texts) == 1
    path = f"{city.RESIDENT}/enrolments/{started['enrolment_id']}/phone-proof"
    one_time_code = Enrolment.objects.get().one_time_code
    proven = phone.send("POST", path, {"one_time_code": one_time_code}).json()
    phone.token = proven["access_token"]
    proofs = f"{city.RESIDENT}/identity-proofs"
    for name in (PERSON.real_name + "海", PERSON.real_name + "<", PERSON.real_name):
        body = {"real_name": name, "id_number": PERSON.id_number}
        answer = note(phone.send("POST", proofs, body, key=city.new_key()))
    assert answer.json() == {"level": 2}

    desk = Desk.objects.create(organisation=hall, name_zh="9号窗口", name_en="Desk 9")
    desk_code = organisations.issue_desk_code(desk=desk, actor="test", at=at)
    browser = city.DeskBrowser(desk, signing.generate_p256())
    browser.send("POST", f"{city.COUNTER}/desk-keys", {"enrolment_code": desk_code})
    user = User.objects.create_user(username="clerk", password=PASSWORD)
    TOTPDevice.objects.create(user=user, name="authenticator", key=TOTP_KEY)
    Staff.objects.create(user=user, organisation=hall)
    sign_in = {"username": "clerk", "password": PASSWORD, "one_time_code": right_code()}
    note(browser.send("POST", f"{city.COUNTER}/sessions", {**sign_in, "password": PASSWORD + "x"}))
    TOTPDevice.objects.update(throttling_failure_count=0)
    signed = browser.send("POST", f"{city.COUNTER}/sessions", sign_in)
    assert signed.status_code == 201, signed.content
    browser.token = signed.cookies["vpass-staff"].value

    fresh = signing.generate_p256()
    request = phone.grant_request(fresh, at=at)
    granted = phone.send(
        "POST", f"{city.RESIDENT}/grants", {"request": request}, key=city.new_key()
    ).json()
    held = city.HeldGrant(city.b64url_decode(granted["grant"]), fresh)
    code = held.code(at)
    scan = browser.scan(code)
    assert scan.json()["fields"]["real_name"] == PERSON.real_name
    note(browser.scan(code))
    note(browser.scan(code[:-3]))
    assert len(refusals) == 7
    pay_by_card(phone, held)

    canaries = {
        "name": PERSON.real_name,
        "ID number": PERSON.id_number,
        "phone number": PERSON.phone,
        "census id": PERSON.census_id,
        "birth date and sequence": PERSON.id_number[6:17],
        "access token": phone.token,
        "session token": browser.token,
        "password": PASSWORD,
        "desk code": desk_code,
        "code": code[4:200],
        "signing key": base64.b64encode(
            signing.private_der(keys.current_signer(at=at).private)
        ).decode(),
        "grant": granted["grant"],
        "holder": scan.json()["holder"],
        "bank card's token": CARD_TOKEN,
    }
    return canaries, refusals


def pay_by_card(phone: city.Phone, held: city.HeldGrant) -> None:
    """A top-up and a payment from a bound bank card, whose bank cannot be reached."""
    at = city.clock.now()
    windows.ensure_open(at=at)
    shop = open_shop()
    resident_id = Resident.objects.get(phone_hash=lookup_hash("phone", PERSON.phone)).id
    card = banking.make_card(shop.system.bank, resident_id, token=CARD_TOKEN, at=at)
    path = f"{city.RESIDENT}/top-ups"
    phone.send("POST", path, {"card_id": str(card.id), "amount_fen": 100}, key=city.new_key())
    choice = {"card_id": str(card.id), "version": 0}
    phone.send("PUT", f"{city.RESIDENT}/payment-source", choice)
    assert shop.till.pay(held.code(at)).json()["state"] == "capturing"
    outbox.deliver_due(at=city.clock.now())
    assert Debit.objects.count() == 2


def test_canaries__after_every_flow__nowhere_in_clear(
    hall: Organisation,
    monkeypatch: pytest.MonkeyPatch,
    program_log: io.StringIO,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)

    canaries, refusals = play_everything(hall, monkeypatch)

    said = program_log.getvalue()
    assert '"route"' in said, "the log of requests was not caught"
    assert found_in(dump_of_database(), canaries) == set()
    assert found_in(said, canaries) == set()
    # Django logs its SQL at DEBUG only where somebody asks for it; nobody may.
    told = [record for record in caplog.records if record.name != "django.db.backends"]
    assert found_in("\n".join(record.getMessage() for record in told), canaries) == set()
    assert found_in("\n".join(refusals), canaries) == set()
    assert found_in(dump_of_redis(), canaries) == set()


@pytest.mark.parametrize("form", ["text", "hex", "base64"])
def test_canaries__planted_in_clear__found(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime, form: str
):
    raw = PERSON.real_name.encode()
    planted = {
        "text": PERSON.real_name,
        "hex": raw.hex(),
        "base64": base64.b64encode(raw + b"123").decode(),
    }
    counter.scan(grant.code(at), case_number=planted[form])

    assert AccessLine.objects.count() == 1
    assert found_in(dump_of_database(), {"name": PERSON.real_name}) == {"name"}
