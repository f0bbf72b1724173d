"""Carries an actor's requests to the program, and brings back what it answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests

TIMEOUT_S = (3.0, 20.0)


class Unexpected(Exception):
    """The program answered otherwise than it must; the message says how."""


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


class Transport(Protocol):
    """A way to the program, whose own name for itself is `public_url`: signatures cover that."""

    public_url: str

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """Sends one request; a refusal is an answer too."""


class HttpTransport:
    """Over the network, to the address where the program answers."""

    def __init__(self, url: str, *, public_url: str) -> None:
        self.public_url = public_url
        self._url = url

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """See Transport; raises Unexpected when no answer comes."""
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
            raise Unexpected(f"no answer to {method} {path}: {type(error).__name__}") from error
        cookies = {str(cookie.name): str(cookie.value or "") for cookie in answer.cookies}
        return Reply(answer.status_code, read_json(answer.content), cookies, answer.content)


def read_json(content: bytes) -> Any:
    """What stands in an answer's body; None when it is empty or no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None
