"""Hands text messages to the city's SMS gateway, as docs/sms-protocol.md lays down."""

import uuid
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings

from vpass.common.errors import DomainError
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerRefused


class NumberRefused(DomainError):
    """No text message can go to this number."""

    code = "sms.number_refused"
    status = 422
    title_zh = "无法向该号码发送短信"


def send_text(*, message_id: uuid.UUID, to: str, text: str, at: datetime) -> None:
    """Hands over one message of at most 500 characters; a repeat carries the same `message_id`.

    `to` is a mobile number of 11 digits. Asked outside any transaction. Returning means that the
    gateway has the message, not that the phone has it. Raises NumberRefused,
    outgoing.PeerUnavailable, outgoing.PeerAnswerInvalid and outgoing.PeerRefused.
    """
    message = {"message_id": str(message_id), "to": to, "text": text}

    def read(answer: dict[str, Any]) -> None:
        if answer != {"message_id": str(message_id)}:
            raise PeerAnswerInvalid("shape")

    try:
        _gateway().post("/v1/messages", message, expected=202, read=read, at=at)
    except PeerRefused as error:
        if error.answered == 422:
            raise NumberRefused from error
        raise


@cache
def _gateway() -> Peer:
    """The gateway that the settings name; one circuit for the whole process."""
    return Peer(name="sms", base_url=settings.SMS_URL)
