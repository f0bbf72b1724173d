"""The sandbox's SMS gateway keeps to docs/sms-protocol.md."""

import pytest

from tests.outside import OutsideWorld
from tests.sandbox.asking import ask, message
from vpass.sandbox import sms


@pytest.fixture
def url(sandbox: OutsideWorld) -> str:
    return f"{sandbox.url}/sms/v1/messages"


def test_messages__good_message__202_and_in_the_inbox(sandbox: OutsideWorld, url: str):
    sent = message(to="13911110001", text="验证码 123456\n勿告诉他人")

    assert ask(url, sent) == (202, {"message_id": sent["message_id"]})

    (item,) = sandbox.read("/sms/v1/inbox/13911110001")["items"]
    assert item.keys() == {"message_id", "text", "received_at"}
    assert item["message_id"] == sent["message_id"]
    assert item["text"] == "验证码 123456\n勿告诉他人"
    assert item["received_at"].endswith("+00:00")


def test_messages__same_message_again__sent_once(sandbox: OutsideWorld, url: str):
    sent = message(to="13911110002")

    assert ask(url, sent) == ask(url, sent) == (202, {"message_id": sent["message_id"]})

    assert len(sandbox.read("/sms/v1/inbox/13911110002")["items"]) == 1


def test_messages__same_id_for_another_message__409(sandbox: OutsideWorld, url: str):
    sent = message(to="13911110003")
    ask(url, sent)

    assert ask(url, {**sent, "text": "另一条"}) == (409, {"error": "message_id_reused"})
    assert len(sandbox.read("/sms/v1/inbox/13911110003")["items"]) == 1


def test_messages__number_nobody_has__422(url: str):
    assert ask(url, message(to=sms.REFUSED_NUMBER)) == (422, {"error": "number_refused"})


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "12911112222"},
        {"to": "+8613911112222"},
        {"text": ""},
        {"text": "x" * 501},
        {"text": "a\u0007"},
        {"message_id": "1"},
        {"more": 1},
        {"to": 13911112222},
    ],
    ids=lambda value: str(value)[:40],
)
def test_messages__malformed__400(url: str, changes: dict[str, object]):
    assert ask(url, message(**changes)) == (400, {"error": "malformed"})


def test_messages__unknown_key__401(url: str):
    assert ask(url, message(), key_id="stranger") == (401, {"error": "key_unknown"})


def test_inbox__more_than_it_holds__keeps_the_newest():
    site = sms.Sms()

    for number in range(25):
        sent = message(text=f"第 {number} 条")
        assert site.answer(route="/v1/messages", members=sent).status == 202

    kept = [item["text"] for item in site.inbox("13911112222")]
    assert kept == [f"第 {number} 条" for number in range(24, 4, -1)]


def test_inbox__more_numbers_than_it_holds__forgets_the_oldest():
    site = sms.Sms()

    for number in range(sms.MAX_NUMBERS + 1):
        site.answer(route="/v1/messages", members=message(to=f"1391111{number:04d}"))

    assert site.inbox("13911110000") == []
    assert len(site.inbox("13911110001")) == 1
    assert len(site.inbox("13911111000")) == 1
