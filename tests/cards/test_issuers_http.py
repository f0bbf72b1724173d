"""The issuers' adapter takes cards on a believable word only, and says honestly what went wrong."""

import socket
import time
import uuid
from typing import Any

import pytest

from cards.issuers import Answer, CardIssuer, IssuerAnswerInvalid, IssuerUnavailable, Question
from cards.issuers.http import HttpIssuer, card_issuer
from cards.types import CARD_TYPES
from tests import city, wallets
from tests.outside import OutsideWorld
from vpass.common import clock, http_exchange
from vpass.common.errors import DomainError
from vpass.common.outgoing import Peer

PLACE = 3
UNAVAILABLE = ("issuer.unavailable", 503)
INVALID = ("issuer.answer_invalid", 502)


def fields_of(sandbox: OutsideWorld, card_type: str, *, place: int = PLACE) -> dict[str, str]:
    """What the person at a place types to bind the first card of a type."""
    demo = sandbox.read(f"/issuers/demo-cards/{place}")[card_type][0]["fields"]
    return {name: value for name, value in demo.items() if name != "phone"}


def question(card_type: str, told: dict[str, str], *, place: int = PLACE) -> Question:
    return Question(
        binding_id=uuid.uuid4(),
        card_type=CARD_TYPES[card_type],
        holder=wallets.holder_of(place),
        told=told,
    )


def ask(asked: Question) -> Answer:
    code = wallets.ISSUER_OF[asked.card_type.code]
    return card_issuer(code).bind(asked, at=clock.now())


@pytest.mark.parametrize("card_type", CARD_TYPES)
def test_bind__every_type__confirmed_as_the_sandbox_says(sandbox: OutsideWorld, card_type: str):
    demo = sandbox.read(f"/issuers/demo-cards/{PLACE}")[card_type][0]
    told = fields_of(sandbox, card_type)

    issued = ask(question(card_type, told)).issued

    assert issued == CARD_TYPES[card_type].read_card(
        demo["card"], told=told, holder=wallets.holder_of(PLACE)
    )


@pytest.mark.parametrize("card_type", ["bank", "bus"])
def test_bind__another_persons_card__refused_like_one_that_is_not_there(
    sandbox: OutsideWorld, card_type: str
):
    foreign = question(card_type, fields_of(sandbox, card_type), place=PLACE + 1)
    missing = question(card_type, {"card_number": "1" * 16})

    assert ask(foreign) == ask(missing) == Answer(reason="not_found")


def test_bind__bank_token__that_of_the_banks_own_credits(sandbox: OutsideWorld):
    from hashlib import sha256

    issued = ask(question("bank", fields_of(sandbox, "bank"))).issued

    assert issued is not None
    named = f"{city.PEOPLE[PLACE].real_name}|{issued.last4}".encode()
    assert issued.token == f"tok_{sha256(named).hexdigest()[:20]}_{issued.last4}"


def test_bind__same_binding_again__answered_alike_and_not_written_twice(sandbox: OutsideWorld):
    asked = question("bus", fields_of(sandbox, "bus"))
    before = sandbox.read("/issuers/journal")

    first, second = ask(asked), ask(asked)

    after = sandbox.read("/issuers/journal")
    assert first == second
    assert after["questions"] == before["questions"] + 1
    assert after["repeats"] == before["repeats"] + 1


def test_bind__answer_lost__the_repeat_gets_it(sandbox: OutsideWorld):
    asked = question("bus", fields_of(sandbox, "bus"))
    before = sandbox.read("/issuers/journal")["questions"]
    sandbox.breaks("issuers", "lost_reply")
    with pytest.raises(IssuerUnavailable):
        ask(asked)

    assert ask(asked).issued is not None
    assert sandbox.read("/issuers/journal")["questions"] == before + 1


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("reset", {}, UNAVAILABLE),
        ("truncated", {}, UNAVAILABLE),
        ("http_500", {}, UNAVAILABLE),
        ("too_many", {"seconds": 0}, UNAVAILABLE),
        ("delay", {"seconds": 2}, UNAVAILABLE),
        ("nonsense", {"variant": "garbage"}, INVALID),
        ("nonsense", {"variant": "not_object"}, INVALID),
        ("nonsense", {"variant": "repeated_member"}, INVALID),
        ("nonsense", {"variant": "wrong_shape"}, INVALID),
        ("nonsense", {"variant": "extra_member"}, INVALID),
        ("nonsense", {"variant": "wrong_id"}, INVALID),
        ("bad_signature", {"variant": "flipped"}, INVALID),
        ("bad_signature", {"variant": "digest"}, INVALID),
        ("bad_signature", {"variant": "old"}, INVALID),
        ("bad_signature", {"variant": "key_id"}, INVALID),
        ("bad_signature", {"variant": "not_tied"}, INVALID),
        ("bad_signature", {"variant": "two"}, INVALID),
        ("unsigned", {}, INVALID),
        ("replayed", {}, INVALID),
        ("redirect", {}, INVALID),
    ],
    ids=str,
)
def test_bind__issuer_fails__right_error_in_time_and_well_again(
    sandbox: OutsideWorld,
    mode: str,
    options: dict[str, Any],
    expected: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(http_exchange, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(http_exchange, "DEADLINE_S", 1.0)
    told = fields_of(sandbox, "bus")
    right = ask(question("bus", told))
    sandbox.breaks("issuers", mode, **options)
    started = time.monotonic()

    with pytest.raises(DomainError) as caught:
        ask(question("bus", told))

    assert time.monotonic() - started < 1.5
    assert (caught.value.code, caught.value.status) == expected
    assert ask(question("bus", told)) == right


def test_bind__issuer_is_down__unavailable(settings: Any):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    down: CardIssuer = HttpIssuer(Peer(name="issuer", base_url=f"http://127.0.0.1:{port}"))

    with pytest.raises(IssuerUnavailable):
        down.bind(question("bus", {"card_number": "37070000000"}), at=clock.now())


def test_bind__question_that_the_issuer_does_not_take__answer_invalid(sandbox: OutsideWorld):
    with pytest.raises(IssuerAnswerInvalid):
        ask(question("bus", {"card_number": "not a number"}))


def test_issuer__unknown_to_the_settings__unavailable():
    with pytest.raises(IssuerUnavailable):
        card_issuer("nobody")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "yes"},
        {"status": None},
        {"status": "refused"},
        {"card": None},
        {"card": []},
        {"card": {}},
        {"binding_id": "0e6f3a53-9c9b-4a3e-8a0f-6a5b6f0f8b11"},
        {"reason": "not_found"},
    ],
    ids=str,
)
def test_bind__well_signed_but_wrong_in_one_member__answer_invalid(changes: dict[str, Any]):
    with pytest.raises(IssuerAnswerInvalid):
        told_by_a_liar(changes)


@pytest.mark.parametrize(
    ("reason", "read"),
    [("stopped", "stopped"), ("expired", "expired"), ("moon_phase", "refused")],
)
def test_bind__refused__unknown_reasons_are_one(reason: str, read: str):
    refused = {"status": "refused", "reason": reason, "card": ...}

    assert told_by_a_liar(refused) == Answer(reason=read)


@pytest.mark.parametrize("reason", ["", "Not Found", "x" * 41, None, 7])
def test_bind__refused_with_a_malformed_reason__answer_invalid(reason: Any):
    with pytest.raises(IssuerAnswerInvalid):
        told_by_a_liar({"status": "refused", "reason": reason, "card": ...})


def told_by_a_liar(changes: dict[str, Any]) -> Answer:
    """What the adapter makes of a right answer with these changes; an Ellipsis takes one out."""

    class Liar:
        """A peer whose signature is right and whose words are not."""

        def post(self, path: str, body: dict[str, Any], *, read: Any, **_: Any) -> Any:
            answer = {
                "binding_id": body["binding_id"],
                "status": "confirmed",
                "card": dict(CARD_TYPES["bus"].example.card),
            }
            answer |= changes
            return read({name: value for name, value in answer.items() if value is not ...})

    told = dict(CARD_TYPES["bus"].example.fields)
    return HttpIssuer(Liar()).bind(question("bus", told), at=clock.now())


# The whole way, over HTTP on both sides


def test_cards__bound_over_http__and_half_done_never(sandbox: OutsideWorld, transactional_db: None):
    from cards.models import Card

    wallets.open_issuer()
    phone = city.make_phone(PLACE, at=clock.now())
    body = {
        "card_type": "bus",
        "issuer": "weifang-bus",
        "fields": fields_of(sandbox, "bus"),
    }
    key = city.new_key()
    sandbox.breaks("issuers", "lost_reply")

    lost = phone.send("POST", wallets.CARDS, body, key=key)
    assert city.problem(lost) == UNAVAILABLE[::-1]
    assert not Card.objects.exists()
    bound, repeated = (phone.send("POST", wallets.CARDS, body, key=key) for _ in range(2))

    assert bound.status_code == 201
    assert bound.json() == repeated.json()
    assert Card.objects.count() == 1
