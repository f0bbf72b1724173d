"""Desks and terminals are known by the keys they hold."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import organisations
from identity.models import Desk, DeskEnrolment, MachineKey, Organisation
from tests import city
from tests.statements import statements
from tests.together import together
from vpass.common import signing
from vpass.common.key_proofs import KeyProof
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def a_proof() -> KeyProof:
    key = signing.generate_p256()
    jwk = signing.jwk_of(key)
    return KeyProof(jwk=jwk, thumbprint=signing.thumbprint(jwk), point=signing.public_point(key))


@pytest.fixture
def desk(hall: Organisation) -> Desk:
    return Desk.objects.create(organisation=hall, name_zh="1号窗口", name_en="Desk 1")


def code_for(desk: Desk) -> str:
    return organisations.issue_desk_code(desk=desk, actor="test", at=AT)


def test_enrol_desk__with_its_code__holds_the_key(desk: Desk):
    code, proof = code_for(desk), a_proof()

    enrolled = organisations.enrol_desk(enrolment_code=code, proof=proof, at=AT)

    assert (enrolled.id, enrolled.key_thumbprint) == (desk.id, proof.thumbprint)
    assert bytes(enrolled.key_point) == proof.point
    assert {event.action for event in AuditEvent.objects.all()} == {
        "desk.code_issued", "desk.key_enrolled",
    }  # fmt: skip
    assert code.encode() not in bytes(DeskEnrolment.objects.get().code_hash)


@pytest.mark.parametrize("fault", ["unknown", "used", "late"])
def test_enrol_desk__code_not_good__refused_and_the_desk_unchanged(desk: Desk, fault: str):
    code, at = code_for(desk), AT
    match fault:
        case "unknown":
            code = "A" * 16
        case "used":
            organisations.enrol_desk(enrolment_code=code, proof=a_proof(), at=AT)
        case "late":
            at = AT + timedelta(days=7)
    before = Desk.objects.values().get()

    with pytest.raises(organisations.DeskCodeRefused):
        organisations.enrol_desk(enrolment_code=code, proof=a_proof(), at=at)

    assert Desk.objects.values().get() | {"key_point": None} == before | {"key_point": None}


def test_enrol_desk__key_of_another_desk__refused_and_the_code_still_good(
    desk: Desk, hall: Organisation
):
    other = Desk.objects.create(organisation=hall, name_zh="2号窗口", name_en="Desk 2")
    proof = a_proof()
    organisations.enrol_desk(enrolment_code=code_for(desk), proof=proof, at=AT)
    code = code_for(other)

    with pytest.raises(organisations.DeskKeyTaken):
        organisations.enrol_desk(enrolment_code=code, proof=proof, at=AT)

    assert organisations.enrol_desk(enrolment_code=code, proof=a_proof(), at=AT).id == other.id


def test_enrol_desk__one_code_in_ten_browsers__one_wins(desk: Desk):
    code = code_for(desk)

    found = together(
        10, lambda _: organisations.enrol_desk(enrolment_code=code, proof=a_proof(), at=AT)
    )

    assert sum(isinstance(each, Desk) for each in found) == 1
    assert sum(isinstance(each, organisations.DeskCodeRefused) for each in found) == 9


def test_enrol_desk__one_key_at_ten_desks_at_once__one_wins(hall: Organisation):
    desks = [
        Desk.objects.create(organisation=hall, name_zh=f"{n}号窗口", name_en="Desk")
        for n in range(10)
    ]
    codes, proof = [code_for(each) for each in desks], a_proof()

    found = together(
        10, lambda n: organisations.enrol_desk(enrolment_code=codes[n], proof=proof, at=AT)
    )

    assert sum(isinstance(each, Desk) for each in found) == 1
    assert sum(isinstance(each, organisations.DeskKeyTaken) for each in found) == 9


def test_issue__another_code__the_one_before_is_good_no_more(hall: Organisation, desk: Desk):
    machine = city.make_terminal(hall).terminal
    desk_codes = [code_for(desk) for _ in range(2)]
    codes = [
        organisations.issue_terminal_code(terminal=machine, actor="test", at=AT) for _ in range(2)
    ]

    with pytest.raises(organisations.DeskCodeRefused):
        organisations.enrol_desk(enrolment_code=desk_codes[0], proof=a_proof(), at=AT)
    with pytest.raises(organisations.TerminalCodeRefused):
        organisations.enrol_terminal(
            enrolment_code=codes[0], kind="terminal", proof=a_proof(), at=AT
        )

    organisations.enrol_desk(enrolment_code=desk_codes[1], proof=a_proof(), at=AT)
    organisations.enrol_terminal(enrolment_code=codes[1], kind="terminal", proof=a_proof(), at=AT)


def test_enrol_desk__new_browser__the_old_key_opens_nothing_more(
    counter: city.DeskBrowser, at: datetime
):
    code = organisations.issue_desk_code(desk=counter.desk, actor="test", at=at)

    organisations.enrol_desk(enrolment_code=code, proof=a_proof(), at=at)

    answer = counter.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(answer) == (401, "proof.invalid")


def test_desk_keys__over_http(desk: Desk, at: datetime):
    code = organisations.issue_desk_code(desk=desk, actor="test", at=at)
    browser = city.DeskBrowser(desk, signing.generate_p256())

    enrolled = browser.send("POST", f"{city.COUNTER}/desk-keys", {"enrolment_code": code})
    again = browser.send("POST", f"{city.COUNTER}/desk-keys", {"enrolment_code": code})

    assert enrolled.status_code == 201
    assert enrolled.json()["desk"]["id"] == str(desk.id)
    assert city.problem(again) == (422, "desk.code_refused")


def test_find_machine_caller__one_statement_and_the_whole_caller(kiosk: city.Machine):
    with statements() as sent:
        known = organisations.find_machine_caller(kiosk.key_id, AT)

    assert len(sent) == 1
    assert known.caller == kiosk.caller
    assert known.key.algorithm == "Ed25519"


def test_issue_desk_code__letters_nobody_mistypes(desk: Desk):
    letters = set("".join(code_for(desk) for _ in range(20)))

    assert not letters & set("01IO")


def test_enrol_terminal__one_code_in_five_threads__one_key(hall: Organisation):
    terminal = city.make_terminal(hall).terminal
    code = organisations.issue_terminal_code(terminal=terminal, actor="test", at=AT)
    proofs = [a_proof() for _ in range(5)]

    found = together(
        5,
        lambda index: organisations.enrol_terminal(
            enrolment_code=code, kind="terminal", proof=proofs[index], at=AT
        ),
    )

    refused = [each for each in found if isinstance(each, organisations.TerminalCodeRefused)]
    assert len(refused) == 4
    keys = MachineKey.objects.filter(terminal=terminal)
    assert sorted(keys.values_list("state", "algorithm")) == [
        ("active", "ES256"), ("retired", "Ed25519"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["merchant", "bank"])
def test_enrol_terminal__for_another_kind_of_organisation__refused(hall: Organisation, kind: str):
    terminal = city.make_terminal(hall).terminal
    code = organisations.issue_terminal_code(terminal=terminal, actor="test", at=AT)

    with pytest.raises(organisations.TerminalCodeRefused):
        organisations.enrol_terminal(enrolment_code=code, kind=kind, proof=a_proof(), at=AT)
    with pytest.raises(organisations.TerminalCodeRefused):
        organisations.enrol_terminal(
            enrolment_code=code, kind="terminal", proof=a_proof(), at=AT + timedelta(days=7)
        )

    assert MachineKey.objects.get(terminal=terminal).algorithm == "Ed25519"
