"""Hands text messages to the city's SMS gateway, as docs/sms-protocol.md lays down."""

import uuid
from datetime import datetime
from functools import cache

from django.conf import settings

from vpass.common.errors import DomainError
from vpass.common.outgoing import Peer, PeerAnswerInvalid


class NumberRefused(DomainError):
    """No text message can go to this number."""

    code = "sms.number_refused"
    status = 422
    title_zh = "无法向该号码发送短信"


def send_text(*, message_id: uuid.UUID, to: str, text: str, at: datetime) -> None:
    """Hand over one message of at most 500 characters; a repeat carries the same `message_id`.

    Asked outside any transaction. Raises NumberRefused, outgoing.PeerUnavailable, outgoing.PeerAnswerInvalid.
    """
    message = {"message_id": str(message_id), "to": to, "text": text}
    answer = _gateway().post("/v1/messages", message, expected=202, at=at)
    if answer.status == 422:
        raise NumberRefused
    if answer.body != {"message_id": str(message_id)}:
        raise PeerAnswerInvalid(f"status {answer.status}")


@cache
def _gateway() -> Peer:
    return Peer(base_url=settings.SMS_URL)
