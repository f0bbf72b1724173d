"""The sandbox's register keeps to docs/register-protocol.md."""

import json

import pytest
from django.conf import settings

from tests.outside import OutsideWorld
from tests.parameters import stable_id
from tests.sandbox.asking import SIGNED, ask, post, proof_of, question, signed_headers
from vpass.common import clock, signing
from vpass.sandbox import population

PEOPLE = population.people()
LIVING, DEAD = PEOPLE[0], PEOPLE[population.DECEASED]


@pytest.fixture
def url(sandbox: OutsideWorld) -> str:
    return f"{sandbox.url}/register/v1/matches"


def test_matches__name_and_number_of_one_living_person__whole_answer_signed(url: str):
    body = json.dumps(
        question(real_name=LIVING.real_name, id_number=LIVING.id_number), ensure_ascii=False
    ).encode()
    headers = signed_headers(url, body)

    status, answer, answered = post(url, body, headers)

    assert status == 200
    assert answer == {
        "request_id": json.loads(body)["request_id"],
        "matched": True,
        "census_id": LIVING.census_id,
        "real_name": LIVING.real_name,
        "birth_date": LIVING.birth_date.isoformat(),
        "sex": LIVING.sex,
    }
    assert answered["content-type"] == "application/json"
    assert answered["connection"] == "close"
    raw = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    proof = proof_of(answered, raw, headers, settings.REGISTER_PUBLIC_KEY_PEM)
    assert proof.key_id == "register-1"


@pytest.mark.parametrize(
    ("real_name", "id_number"),
    [
        ("无此人", LIVING.id_number),
        (LIVING.real_name, PEOPLE[1].id_number),
        (LIVING.real_name, "370702199001019910"),
        (DEAD.real_name, DEAD.id_number),
    ],
    ids=["other name", "other number", "no such number", "dead"],
)
def test_matches__anything_else__one_answer_without_a_hint(
    url: str, real_name: str, id_number: str
):
    asked = question(real_name=real_name, id_number=id_number)

    assert ask(url, asked) == (200, {"request_id": asked["request_id"], "matched": False})


def test_matches__same_question_again__same_answer_and_one_line_in_the_journal(
    sandbox: OutsideWorld, url: str
):
    asked = question(real_name=LIVING.real_name, id_number=LIVING.id_number)
    before = sandbox.read("/register/journal")

    first, second = ask(url, asked), ask(url, asked)

    after = sandbox.read("/register/journal")
    assert first == second
    assert after["questions"] == before["questions"] + 1
    assert after["repeats"] == before["repeats"] + 1


def test_matches__same_request_id_for_another_question__409(url: str):
    asked = question()
    ask(url, asked)

    assert ask(url, {**asked, "real_name": "另一人"}) == (409, {"error": "request_id_reused"})


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": "1"},
        {"request_id": "00000000-0000-1000-8000-000000000000"},
        {"real_name": ""},
        {"real_name": " 王"},
        {"real_name": "王\u0000"},
        {"real_name": "王" * 51},
        {"real_name": 7},
        {"id_number": "37070219900101991"},
        {"id_number": "37070219900101991x"},
        {"id_number": "３７０７０２199001019910"},
        {"more": True},
    ],
    ids=str,
)
def test_matches__malformed_question__400(url: str, changes: dict[str, object]):
    assert ask(url, question(**changes)) == (400, {"error": "malformed"})


@pytest.mark.parametrize("members", [[], "text", 1, None], ids=str)
def test_matches__not_an_object__400(url: str, members: object):
    assert ask(url, members) == (400, {"error": "malformed"})


def test_matches__member_twice__400(url: str):
    body = b'{"real_name":"a",' + json.dumps(question()).encode()[1:]

    status, answer, _ = post(url, body, signed_headers(url, body))

    assert (status, answer) == (400, {"error": "malformed"})


def test_matches__too_large__413(url: str):
    assert ask(url, question(more="x" * 5000)) == (413, {"error": "too_large"})
    assert ask(url, question(more="x" * 50_000)) == (413, {"error": "too_large"})


NOW = int(clock.now().timestamp())


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"created": NOW - 3600}, "signature_expired"),
        ({"created": NOW + 3600}, "signature_expired"),
        ({"key_id": "vpass-2"}, "key_unknown"),
        ({"private": signing.generate_ed25519()}, "signature_invalid"),
        ({"label": "other"}, "signature_invalid"),
        ({"nonce": "short"}, "signature_invalid"),
        ({"extra": ';tag="x"'}, "signature_invalid"),
        ({"components": SIGNED[1:]}, "signature_invalid"),
        ({"components": SIGNED[:1] + SIGNED[2:]}, "signature_invalid"),
        ({"components": SIGNED[:2] + SIGNED[3:]}, "signature_invalid"),
        ({"components": SIGNED[:3]}, "signature_invalid"),
    ],
    ids=stable_id,
)
def test_matches__wrong_signature__401_and_nothing_asked(
    sandbox: OutsideWorld, url: str, wrong: dict[str, object], code: str
):
    before = sandbox.read("/register/journal")

    assert ask(url, question(), **wrong) == (401, {"error": code})

    after = sandbox.read("/register/journal")
    assert after["questions"] == before["questions"]
    assert after["refused"] == before["refused"] + 1


def test_matches__components_in_another_order__accepted(url: str):
    assert ask(url, question(), components=SIGNED[::-1])[0] == 200


def test_matches__no_signature__401(url: str):
    body = json.dumps(question()).encode()
    headers = signed_headers(url, body)

    for name in ("signature", "signature-input", "content-digest"):
        left = {key: value for key, value in headers.items() if key != name}
        assert post(url, body, left)[:2] == (401, {"error": "signature_missing"})


def test_matches__same_message_twice__second_refused(url: str):
    body = json.dumps(question()).encode()
    headers = signed_headers(url, body)
    assert post(url, body, headers)[0] == 200

    assert post(url, body, headers)[:2] == (401, {"error": "nonce_used"})


def test_matches__body_changed_on_the_way__401(url: str):
    body = json.dumps(question(real_name="王小明")).encode()
    headers = signed_headers(url, body)

    changed = body.replace(b"19910", b"19911")
    assert post(url, changed, headers)[:2] == (401, {"error": "signature_invalid"})


def test_matches__signed_for_another_address__401(url: str):
    body = json.dumps(question()).encode()
    headers = signed_headers("https://register.example/v1/matches", body)
    headers["host"] = "register.example"

    assert post(url, body, headers)[:2] == (401, {"error": "signature_invalid"})


def test_demo_people__twenty_and_the_special_ones(sandbox: OutsideWorld):
    shown = sandbox.read("/register/demo-people")

    assert [one["id_number"] for one in shown["people"]] == [one.id_number for one in PEOPLE[:20]]
    assert shown["people"][0].keys() == {"real_name", "id_number", "phone"}
    assert shown["special"].keys() == {"minor", "deceased", "same_name"}
    assert shown["special"]["deceased"]["id_number"] == DEAD.id_number


def test_demo_people__by_their_places__known_to_the_register(sandbox: OutsideWorld, url: str):
    (person,) = sandbox.read("/register/demo-people?from=5999&count=1")["people"]

    asked = question(real_name=person["real_name"], id_number=person["id_number"])

    assert ask(url, asked)[1]["census_id"] == "370700006000"


@pytest.mark.parametrize(
    "query",
    [
        "from=0",
        "count=1",
        "from=x&count=1",
        "from=-1&count=1",
        "from=6000&count=1",
        "from=0&count=0",
        "from=0&count=101",
    ],
)
def test_demo_people__places_nobody_has__refused(sandbox: OutsideWorld, query: str):
    assert sandbox.read(f"/register/demo-people?{query}") == {"error": "malformed"}


@pytest.mark.parametrize(
    ("route", "members"),
    [
        ("relations", {"relation": "spouse"}),
        ("relations", {"relation": "child", "other_real_name": "王小"}),
        ("relations", {}),
        ("representatives", {"credit_code": "short"}),
        ("representatives", {"credit_code": "91370700MA3000000a"}),
        ("representatives", {}),
    ],
)
def test_further_questions__not_as_they_must_be__malformed(
    sandbox: OutsideWorld, route: str, members: dict[str, str]
):
    asked = question(**members)

    answer = ask(f"{sandbox.url}/register/v1/{route}", asked)

    assert answer == (400, {"error": "malformed"})


def test_demo_families__child_and_firm_of_a_place(sandbox: OutsideWorld):
    child, firm = population.child_of(205), population.enterprise_of(205)

    assert sandbox.read("/register/demo-families?of=205") == {
        "child": {"real_name": child.real_name, "id_number": child.id_number},
        "enterprise": {"credit_code": firm.credit_code, "name": firm.name},
    }
