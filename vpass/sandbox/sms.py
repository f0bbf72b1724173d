"""The SMS gateway of docs/sms-protocol.md. It sends nothing and shows what it was given."""

import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vpass.sandbox.signatures import time_now
from vpass.sandbox.sites import Answer, Journal, Site, refusal

MAX_NUMBERS = 1_000
MAX_MESSAGES_EACH = 20

# Numbers nobody has; the gateway says so, as a real one would.
REFUSED_NUMBER = "13900000000"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"1[3-9][0-9]{9}", re.ASCII)


class Sms(Site):
    """Takes messages and keeps the last of them for reading."""

    name = "sms"
    routes = ("/v1/messages",)
    signs_answers = False

    def __init__(self) -> None:
        self._inboxes: OrderedDict[str, deque[dict[str, str]]] = OrderedDict()
        self._journal = Journal()

    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        if not _is_message(members):
            return refusal(400, "malformed")
        if members["to"] == REFUSED_NUMBER:
            return refusal(422, "number_refused")
        message_id = members["message_id"]
        is_known, earlier = self._journal.recall(message_id, members)
        if is_known:
            return earlier or refusal(409, "message_id_reused")
        self._deliver(members)
        answer = Answer(202, {"message_id": message_id})
        self._journal.write(message_id, members, answer)
        return answer

    def inbox(self, number: str) -> list[dict[str, str]]:
        """The messages kept for a number, the newest first."""
        return list(self._inboxes.get(number, ()))

    def _deliver(self, members: Mapping[str, Any]) -> None:
        inbox = self._inboxes.setdefault(members["to"], deque(maxlen=MAX_MESSAGES_EACH))
        self._inboxes.move_to_end(members["to"])
        if len(self._inboxes) > MAX_NUMBERS:
            self._inboxes.popitem(last=False)
        inbox.appendleft(
            {
                "message_id": members["message_id"],
                "text": members["text"],
                "received_at": datetime.fromtimestamp(time_now(), tz=UTC).isoformat(),
            }
        )


def _is_message(members: Mapping[str, Any]) -> bool:
    if members.keys() != {"message_id", "to", "text"}:
        return False
    if not all(isinstance(value, str) for value in members.values()):
        return False
    text = members["text"]
    return (
        _UUID.fullmatch(members["message_id"]) is not None
        and _NUMBER.fullmatch(members["to"]) is not None
        and 1 <= len(text) <= 500
        and all(character == "\n" or character.isprintable() for character in text)
    )
