"""The sandbox as the day's people see it: who lives here, what phones receive, what breaks."""

import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from vpass.common import clock
from vpass.day.transport import NoAnswer, Patience, Reply, Unexpected, read_json, was_sent

TIMEOUT_S = 5.0
MESSAGE_WITHIN_S = 20.0
NOT_ANSWERED = frozenset({0, 503})  # nothing came, or "later"

_ONE_TIME_CODE = re.compile(r"\b[0-9]{6}\b", re.ASCII)


@dataclass(frozen=True)
class Person:
    """An invented person whom the register knows, with a phone number; `place` is theirs there."""

    place: int
    real_name: str
    id_number: str
    phone: str


def _pause() -> None:
    time.sleep(0.1)


class Outside:
    """The sandbox at `url`; `wait` passes the time while a message is on its way."""

    def __init__(
        self,
        url: str,
        *,
        wait: Callable[[], object] = _pause,
        patience: Patience | None = None,
    ) -> None:
        self._url = url
        self._patience = patience or Patience()
        self.wait = wait

    def person(self, place: int) -> Person:
        """The person at this place of the crowd; raises Unexpected when there is none."""
        answer = self._ask("GET", f"/register/demo-people?from={place}&count=1")
        return Person(place=place, **answer["people"][0])

    def family(self, place: int) -> dict[str, Any]:
        """The child and the firm of the person at this place of the crowd."""
        found: dict[str, Any] = self._ask("GET", f"/register/demo-families?of={place}")
        return found

    def visit(self, path: str, *, cookies: Mapping[str, str]) -> requests.Response:
        """A page of one of the sites, as a browser gets it; a redirect is not followed."""
        with requests.Session() as session:
            session.trust_env = False
            return session.get(
                self._url + path, cookies=dict(cookies), timeout=20, allow_redirects=False
            )

    def message_ids(self, phone: str) -> set[str]:
        """The messages that have arrived at a phone."""
        return {item["message_id"] for item in self._inbox(phone)}

    def one_time_code(self, phone: str, *, seen: Collection[str]) -> str:
        """The six digits of the first message which is not among the `seen` ones.

        Raises Unexpected when none arrives in time.
        """
        end = time.monotonic() + MESSAGE_WITHIN_S
        while time.monotonic() < end:
            for item in self._inbox(phone):
                if item["message_id"] in seen:
                    continue
                found = _ONE_TIME_CODE.search(item["text"])
                if found is None:
                    raise Unexpected("a message without a one-time code")
                return found[0]
            self.wait()
        raise Unexpected(f"no message within {MESSAGE_WITHIN_S:g} s")

    @contextmanager
    def register_down(self) -> Iterator[None]:
        """For the length of the block the population register breaks every connection."""
        order = {"site": "register", "mode": "reset", "count": 100}
        self._ask("POST", "/faults", json=order)
        try:
            yield
        finally:
            self._ask("DELETE", "/faults")

    def demo_cards(self, place: int) -> dict[str, list[dict[str, Any]]]:
        """The cards of the person at this place, by type: each with its `fields` and `card`."""
        found: dict[str, list[dict[str, Any]]] = self._ask("GET", f"/issuers/demo-cards/{place}")
        return found

    # The bank

    def pay_in(
        self, top_up_number: str, *, amount_fen: int, payer_name: str, payer_last4: str
    ) -> dict[str, Any]:
        """Sends money from an account at the bank to a wallet; the bank's notice of it.

        An account whose number ends in 0002 gets what is paid out to it at once.
        """
        order = {
            "top_up_number": top_up_number,
            "amount_fen": amount_fen,
            "payer_name": payer_name,
            "payer_last4": payer_last4,
        }
        return self._control("POST", "credits", order)

    def notice(self, notice_id: str) -> dict[str, Any]:
        """How far the bank is with telling V Pass."""
        return self._control("GET", f"notices/{notice_id}")

    def payout(self, payout_id: str) -> dict[str, Any]:
        """How a payout stands in the bank's own books, and how often it was ordered."""
        return self._control("GET", f"payouts/{payout_id}")

    def book_payouts(self, payout_id: str | None = None) -> None:
        """Has the bank book what it has accepted now, all or one."""
        self._control("POST", "bookings", {} if payout_id is None else {"payout_id": payout_id})

    def bank_totals(self) -> dict[str, Any]:
        """What the bank's own books come to."""
        return self._control("GET", "totals")

    @contextmanager
    def bank_answer_lost(self) -> Iterator[None]:
        """The first question to the bank in the block is acted upon, and its answer lost."""
        self._ask("POST", "/faults", json={"site": "bank", "mode": "lost_reply", "count": 1})
        try:
            yield
        finally:
            self._ask("DELETE", "/faults")

    # Who proves people

    def vouch(self, public_key: dict[str, str], *, challenge: str) -> list[str]:
        """The chain by which a phone's maker vouches for a key in its chip, the leaf first."""
        order = {"public_key": public_key, "challenge": challenge}
        chain: list[str] = self._ask("POST", "/phone-maker/v1/attestations", json=order)["chain"]
        return chain

    def look_at_face(self, asked: dict[str, str]) -> str:
        """What the checking service signs of the person before the camera."""
        return str(self._ask("POST", "/liveness/v1/checks", json=asked)["result"])

    def next_face(self, mode: str) -> None:
        """Who or what stands before the camera next."""
        self._ask("POST", "/liveness/control/next", json={"mode": mode})

    def change_name(
        self, id_number: str, *, new_name: str, copies: int = 1
    ) -> list[dict[str, Any]]:
        """Has the register enter a new name and tell it, so often; how it was answered."""
        order = {
            "event_id": str(uuid.uuid4()),
            "sequence": int(clock.now().timestamp()),
            "id_number": id_number,
            "kind": "name_changed",
            "new_name": new_name,
            "copies": copies,
        }
        return self._have_sent("/register/control/changes", order, answers="answers")

    # The IoT platform

    def report(
        self, device_id: str, data: dict[str, Any], *, event_time: datetime, copies: int = 1
    ) -> list[dict[str, Any]]:
        """Has a parking sensor report, so often; how each push was answered."""
        order = {
            "device_id": device_id,
            "service": "ParkingSensor",
            "data": data,
            "event_time": event_time.strftime("%Y%m%dT%H%M%SZ"),
            "copies": copies,
        }
        return self._have_sent("/iot/control/readings", order, answers="pushes")

    # A biller's server

    def upload_bills(
        self, login: dict[str, str], bills: list[dict[str, Any]], *, key: str
    ) -> dict[str, Any]:
        """Has a biller's server send a batch, signed with its key: `status` and `answer`."""
        order = {**login, "idempotency_key": key, "bills": bills}
        return self._have_sent("/biller/control/uploads", order)[0]

    def _have_sent(
        self, path: str, order: dict[str, Any], *, answers: str | None = None
    ) -> list[dict[str, Any]]:
        """Has one of the outside send the program something; how each copy was answered.

        What was not answered is sent again: the `order` names it, so that it is the same thing.
        """

        def send() -> Reply:
            reply = self._send("POST", path, json=order)
            if any(each["status"] in NOT_ANSWERED for each in told(reply)):
                raise NoAnswer(f"the program did not answer what {path} sent", was_sent=True)
            return reply

        def told(reply: Reply) -> list[dict[str, Any]]:
            if reply.status != 200:
                raise Unexpected(f"the sandbox answered {reply.status} to {path}")
            found: list[dict[str, Any]] = reply.body[answers] if answers else [reply.body]
            return found

        return told(self._patience.ask(send, is_repeatable=True))

    def _control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(method, f"/bank/control/{path}", json=body)
        return found

    def _inbox(self, phone: str) -> list[dict[str, str]]:
        items: list[dict[str, str]] = self._ask("GET", f"/sms/v1/inbox/{phone}")["items"]
        return items

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        reply = self._patience.ask(
            lambda: self._send(method, path, **options), is_repeatable=method == "GET"
        )
        if reply.status != 200:
            raise Unexpected(f"the sandbox answered {reply.status} to {method}")
        return reply.body

    def _send(self, method: str, path: str, **options: Any) -> Reply:
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(method, self._url + path, timeout=TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise NoAnswer(
                f"the sandbox does not answer: {type(error).__name__}; without it there is no day",
                was_sent=was_sent(error),
            ) from error
        return Reply(answer.status_code, read_json(answer.content), {})
