"""The scan the other way round: the counter's nonce, signed by one phone, seen once."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import disclosure, reverse_scans
from identity.code_claims import SCENES
from identity.models import AccessLine, Entitlement, Resident, ReverseScan
from tests import city
from vpass.common import signing
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

SCANS = f"{city.COUNTER}/reverse-scans"
FIELDS = sorted(city.FIELDS)


def show(counter: city.DeskBrowser, **changes: Any) -> Any:
    body = {"purpose": city.PURPOSE, "case_number": "WF-9", "fields": None} | changes
    return counter.send("POST", SCANS, body, key=city.new_key())


def nonce_of(shown: dict[str, Any]) -> str:
    return str(shown["qr"].partition("#counter=")[2])


def look(phone: city.Phone, nonce: str) -> Any:
    return phone.send("POST", f"{city.RESIDENT}/reverse-scan-looks", {"nonce": nonce})


def word(
    phone: city.Phone, asked: dict[str, Any], nonce: str, /, *, at: datetime, **changes: Any
) -> str:
    """What the phone signs over what it was shown; `typ` and `by` may be changed too."""
    claims = {
        "nonce": nonce,
        "organisation": asked["organisation"]["id"],
        "desk": asked["desk"],
        "purpose": asked["purpose"]["code"],
        "fields": asked["fields"],
        "case_number": asked["case_number"],
    } | changes
    typ = claims.pop("typ", reverse_scans.TYPE)
    return phone.word(f"/reverse-scans/{asked['id']}/answer", typ=typ, at=at, **claims)


def send_answer(phone: city.Phone, scan_id: str, signed: str) -> Any:
    path = f"{city.RESIDENT}/reverse-scans/{scan_id}/answer"
    return phone.send("POST", path, {"answer": signed}, key=city.new_key())


def collect(counter: city.DeskBrowser, scan_id: str) -> Any:
    return counter.send("POST", f"{SCANS}/{scan_id}/collection", {}, key=city.new_key())


def test_reverse_scan__signed_by_the_phone__the_desk_sees_its_fields_once(
    counter: city.DeskBrowser, phone: city.Phone, at: datetime
):
    shown = show(counter).json()
    asked = look(phone, nonce_of(shown)).json()
    assert (asked["fields"], asked["case_number"]) == (FIELDS, "WF-9")
    assert city.problem(collect(counter, shown["id"])) == (409, "reverse_scan.waiting")
    signed = word(phone, asked, nonce_of(shown), at=at)

    assert send_answer(phone, shown["id"], signed).json()["state"] == "answered"
    again = send_answer(phone, shown["id"], word(phone, asked, nonce_of(shown), at=at))
    state = counter.send("GET", f"{SCANS}/{shown['id']}").json()["state"]
    seen = collect(counter, shown["id"]).json()

    assert city.problem(again) == (409, "reverse_scan.over")
    assert state == "answered"
    person = city.PEOPLE[0]
    assert seen["fields"] == {
        "real_name": person.real_name, "id_last4": person.id_number[-4:], "over_18": True,
    }  # fmt: skip
    assert (seen["outcome"], seen["assurance"], seen["device"]) == ("accepted", "high", "software")
    assert seen["holder"] == disclosure.pseudonym(
        resident_id=phone.device.resident_id, organisation_id=counter.desk.organisation_id
    )
    line = AccessLine.objects.get()
    assert str(line.id) == seen["scan"]
    assert (line.fields, line.case_number, line.staff) == (FIELDS, "WF-9", counter.staff)
    assert city.problem(collect(counter, shown["id"])) == (409, "reverse_scan.over")
    kept = ReverseScan.objects.get()
    assert nonce_of(shown).encode() not in bytes(kept.nonce_hash) and kept.state == "collected"


@pytest.mark.parametrize("when", ["before the answer", "after it"])
def test_reverse_scan__scene_closed_for_the_person__refused_and_nothing_seen(
    counter: city.DeskBrowser, phone: city.Phone, at: datetime, when: str
):
    shown = show(counter).json()
    asked = look(phone, nonce_of(shown)).json()
    if when == "after it":
        send_answer(phone, shown["id"], word(phone, asked, nonce_of(shown), at=at))
    Resident.objects.update(suspended_scenes=SCENES["id"])

    if when == "after it":
        answer = collect(counter, shown["id"])
    else:
        answer = send_answer(phone, shown["id"], word(phone, asked, nonce_of(shown), at=at))

    assert city.problem(answer) == (403, "account.suspended")
    assert AccessLine.objects.count() == 0


def test_reverse_scan__what_is_signed_differs_from_what_is_shown__refused_and_still_open(
    counter: city.DeskBrowser, phone: city.Phone, at: datetime
):
    shown = show(counter).json()
    asked = look(phone, nonce_of(shown)).json()
    other = show(counter, case_number="WF-10").json()
    nowhere = "00000000-0000-0000-0000-000000000001"

    for changes in (
        {"nonce": nonce_of(other)},
        {"desk": nowhere},
        {"organisation": nowhere},
        {"purpose": "name-only"},
        {"fields": ["real_name"]},
        {"case_number": "WF-10"},
        {"typ": "vpass-consent+jwt"},
        {"typ": "dpop+jwt"},
        {"aud": "https://elsewhere.example/"},
        {"iat": int((at - timedelta(seconds=120)).timestamp())},
        {"by": signing.generate_p256()},
    ):
        signed = word(phone, asked, nonce_of(shown), at=at, **changes)
        refused = send_answer(phone, shown["id"], signed)
        assert city.problem(refused) == (422, "word.invalid"), changes

    assert set(ReverseScan.objects.values_list("state", flat=True)) == {"shown"}
    assert not AccessLine.objects.exists()


def test_reverse_scan__of_others_or_too_late__as_if_there_were_none(
    counter: city.DeskBrowser, phone: city.Phone, at: datetime
):
    shown = show(counter).json()
    asked = look(phone, nonce_of(shown)).json()
    signed = word(phone, asked, nonce_of(shown), at=at)
    neighbour = city.sign_in_clerk(
        city.make_desk(counter.desk.organisation, name="2号窗口"), username="other", at=at
    )
    assert city.problem(collect(neighbour, shown["id"])) == (404, "object.not_found")
    assert city.problem(look(phone, "VPN1." + "A" * 43)) == (404, "object.not_found")
    low = city.make_phone(1, level=1, at=at)
    assert city.problem(look(low, nonce_of(shown))) == (403, "caller.level_too_low")

    Resident.objects.update(state="suspended")
    suspended = send_answer(phone, shown["id"], signed)
    Resident.objects.update(state="active")
    ReverseScan.objects.update(expires_at=at)

    assert city.problem(suspended) == (403, "account.suspended")
    assert city.problem(look(phone, nonce_of(shown))) == (409, "reverse_scan.over")
    late = word(phone, asked, nonce_of(shown), at=at)
    assert city.problem(send_answer(phone, shown["id"], late)) == (409, "reverse_scan.over")
    assert reverse_scans.expire_old(at=at) == 1
    assert ReverseScan.objects.get().state == "expired"
    assert not AccessLine.objects.exists()


def test_reverse_scan__beyond_the_right__refused_and_written_down(
    counter: city.DeskBrowser, phone: city.Phone, at: datetime
):
    refused = [
        city.problem(show(counter, purpose="unknown")),
        city.problem(show(counter, fields=["real_name", "phone"])),
    ]
    assert refused == [(403, "scan.not_entitled"), (403, "scan.over_asking")]
    assert not ReverseScan.objects.exists()
    (noted,) = AuditEvent.objects.filter(action="reverse_scan.over_asked")
    assert noted.detail["fields"] == ["phone"]

    # What was taken away after the phone signed is not seen either.
    shown = show(counter).json()
    asked = look(phone, nonce_of(shown)).json()
    send_answer(phone, shown["id"], word(phone, asked, nonce_of(shown), at=at))
    Entitlement.objects.update(attributes=["real_name"])
    assert city.problem(collect(counter, shown["id"])) == (403, "scan.not_entitled")
    assert not AccessLine.objects.exists()
