"""Text messages reach the gateway once, or the caller is told."""

import uuid

import pytest

from tests.outside import OutsideWorld
from vpass.common import clock, http_exchange, sms
from vpass.common.outgoing import PeerAnswerInvalid, PeerRefused, PeerUnavailable
from vpass.sandbox.sms import REFUSED_NUMBER

NUMBER = "13922220001"


def send(message_id: uuid.UUID, *, to: str = NUMBER, text: str = "验证码 123456") -> None:
    sms.send_text(message_id=message_id, to=to, text=text, at=clock.now())


def inbox(sandbox: OutsideWorld, message_id: uuid.UUID) -> list[str]:
    items = sandbox.read(f"/sms/v1/inbox/{NUMBER}")["items"]
    return [item["text"] for item in items if item["message_id"] == str(message_id)]


def test_send_text__good_number__in_the_inbox(sandbox: OutsideWorld):
    message_id = uuid.uuid4()

    send(message_id)

    assert inbox(sandbox, message_id) == ["验证码 123456"]


def test_send_text__lost_reply_and_again__sent_once(sandbox: OutsideWorld):
    message_id = uuid.uuid4()
    sandbox.breaks("sms", "lost_reply")

    with pytest.raises(PeerUnavailable) as caught:
        send(message_id)
    send(message_id)

    assert caught.value.was_sent is True
    assert inbox(sandbox, message_id) == ["验证码 123456"]


def test_send_text__doubled_on_the_way__sent_once(sandbox: OutsideWorld):
    message_id = uuid.uuid4()
    sandbox.breaks("sms", "duplicate")

    send(message_id)

    assert inbox(sandbox, message_id) == ["验证码 123456"]


def test_send_text__number_nobody_has__refused(sandbox: OutsideWorld):
    with pytest.raises(sms.NumberRefused) as caught:
        send(uuid.uuid4(), to=REFUSED_NUMBER)

    assert (caught.value.code, caught.value.status) == ("sms.number_refused", 422)


def test_send_text__same_id_for_another_text__refused(sandbox: OutsideWorld):
    message_id = uuid.uuid4()
    send(message_id)

    with pytest.raises(PeerRefused) as caught:
        send(message_id, text="另一条")

    assert caught.value.answered == 409
    assert inbox(sandbox, message_id) == ["验证码 123456"]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("reset", {}),
        ("http_500", {}),
        ("too_many", {}),
        ("truncated", {}),
        ("delay", {"seconds": 2}),
        ("trickle", {"seconds": 0.05}),
    ],
)
def test_send_text__no_answer__unavailable(
    sandbox: OutsideWorld, mode: str, options: dict[str, float], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http_exchange, "READ_TIMEOUT_S", 0.4)
    monkeypatch.setattr(http_exchange, "DEADLINE_S", 0.8)
    sandbox.breaks("sms", mode, **options)

    with pytest.raises(PeerUnavailable):
        send(uuid.uuid4())


@pytest.mark.parametrize(
    ("mode", "variant"),
    [
        ("nonsense", "garbage"),
        ("nonsense", "wrong_shape"),
        ("redirect", None),
        ("huge", "length"),
        ("huge", "chunked"),
    ],
)
def test_send_text__answer_of_another_protocol__invalid(
    sandbox: OutsideWorld, mode: str, variant: str | None
):
    sandbox.breaks("sms", mode, variant=variant)

    with pytest.raises(PeerAnswerInvalid):
        send(uuid.uuid4())
