"""Carries an actor's requests to the program, and brings back what it answered."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

TIMEOUT_S = (3.0, 20.0)
PAUSE_S = 0.2
# Answers that say nothing about the work: somebody is away, or it is in hand.
LATER = frozenset({"service.unavailable", "service.busy", "idempotency.running"})


class Unexpected(Exception):
    """The program answered otherwise than it must; the message says how."""


class NoAnswer(Unexpected):
    """Nothing came back; `was_sent` says whether the request may have arrived."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


@dataclass(frozen=True)
class Reply:
    """An answer: its status, the JSON in it (None when there is none), its cookies, its bytes."""

    status: int
    body: Any
    cookies: Mapping[str, str]
    raw: bytes = b""

    def expect(self, status: int) -> Any:
        """The body of an answer with this status; raises Unexpected for any other."""
        if self.status != status:
            raise Unexpected(f"expected {status}, was answered {self}")
        return self.body

    def expect_raw(self, status: int) -> bytes:
        """The bytes of an answer with this status; raises Unexpected for any other."""
        self.expect(status)
        return self.raw

    def expect_refusal(self, status: int, code: str) -> None:
        """Returns when this is a problem with this status and code; raises Unexpected otherwise."""
        if (self.status, self.code) != (status, code):
            raise Unexpected(f"expected {status} {code}, was answered {self}")

    @property
    def code(self) -> str:
        """The stable code of a problem (RFC 9457), or "" for anything else."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    def __str__(self) -> str:
        """Status and code: never the body, in which a person may stand."""
        return f"{self.status} {self.code}".rstrip()


@dataclass
class Patience:
    """For how long altogether those of a day ask again when nobody answers, and how often they did.

    A phone in a tunnel does the same: the request is signed anew, and its idempotency key is the
    one it had.
    """

    left_s: float = 0.0
    repeated: int = 0

    def ask(self, send: Callable[[], "Reply"], *, is_repeatable: bool) -> "Reply":
        """What `send` is answered; asked again while nobody is there, or "later" is the answer.

        What may have arrived is only sent again when it `is_repeatable`: a question, or work under
        an idempotency key. Raises NoAnswer when patience is at an end.
        """
        while True:
            begun = time.monotonic()
            try:
                reply = send()
                if reply.code not in LATER or self.left_s <= 0:
                    return reply
            except NoAnswer as error:
                if self.left_s <= 0 or (error.was_sent and not is_repeatable):
                    raise
            time.sleep(PAUSE_S)
            self.repeated += 1
            self.left_s -= time.monotonic() - begun


class Transport(Protocol):
    """A way to the program, whose own name for itself is `public_url`: signatures cover that."""

    public_url: str
    patience: Patience

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """Sends one request; a refusal is an answer too."""


class HttpTransport:
    """Over the network, to the address where the program answers."""

    def __init__(self, url: str, *, public_url: str, patience: Patience | None = None) -> None:
        """Without `patience`, every request is sent once."""
        self.public_url = public_url
        self.patience = patience or Patience()
        self._url = url

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """See Transport; raises NoAnswer when none comes."""
        try:
            # A session each time: the actors carry their own cookies, as separate people do.
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(
                    method,
                    self._url + path,
                    headers=dict(headers),
                    data=body,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                )
        except requests.RequestException as error:
            raise NoAnswer(
                f"no answer to {method} {path}: {type(error).__name__}", was_sent=was_sent(error)
            ) from error
        cookies = {str(cookie.name): str(cookie.value or "") for cookie in answer.cookies}
        return Reply(answer.status_code, read_json(answer.content), cookies, answer.content)


def was_sent(error: requests.RequestException) -> bool:
    """Whether the request may have arrived: not when there was no connection to send it over."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return not isinstance(reason, NewConnectionError | ConnectTimeoutError)


def read_json(content: bytes) -> Any:
    """What stands in an answer's body; None when it is empty or no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
