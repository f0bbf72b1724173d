"""Carries the bank's own messages to V Pass, and believes no answer that is not signed for them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vpass.sandbox import faults
from vpass.sandbox.faults import Fault, Switch
from vpass.sandbox.signatures import Question, SignatureRefused, Signatures
from vpass.sandbox.sites import read_object

CONNECT_WITHIN_S = 1.0
ANSWER_WITHIN_S = 10.0
MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_S = 60

_JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """What came back: the HTTP status, or 0; the members only of a signed 200."""

    status: int = 0
    members: Mapping[str, Any] | None = None
    retry_after_s: int = 0


class Courier:
    """Signs and sends, or spoils what the switch says of the site "bank_notices"."""

    def __init__(self, *, signatures: Signatures, switch: Switch) -> None:
        self._signatures = signatures
        self._switch = switch

    async def send(self, url: str, *, idempotency_key: str, body: bytes) -> Reply:
        """Posts `body`; a Reply of status 0 when no whole answer came."""
        fault = self._switch.take("bank_notices")
        mode = fault.mode if fault is not None else ""

        def signed() -> tuple[Question, bytes]:
            return self._signed(url, idempotency_key, body, fault=fault)

        message = signed()
        if mode == "delay" and fault is not None:
            await asyncio.sleep(fault.seconds)
        if mode == "reset":
            return await _or_nothing(lambda: _break_off(*message))
        if mode == "duplicate":
            replies = await asyncio.gather(self._post(*message), self._post(*signed()))
            return next((reply for reply in replies if reply.members is not None), replies[0])
        reply = await self._post(*message)
        if mode == "replayed":
            await self._post(*message)
        return Reply() if mode == "lost_reply" else reply

    def _signed(
        self, url: str, idempotency_key: str, body: bytes, *, fault: Fault | None
    ) -> tuple[Question, bytes]:
        variant = fault.variant if fault is not None and fault.mode == "bad_signature" else None
        ways: dict[str | None, dict[str, Any]] = {
            "old": {"created_ago_s": 600},
            "early": {"created_ago_s": -600},
            "key_id": {"key_id": "stranger-1"},
        }
        headers = {"Content-Type": _JSON, "Idempotency-Key": idempotency_key}
        question = self._signatures.sign_question(
            url=url, headers=headers, body=body, **ways.get(variant, {})
        )
        if variant == "digest":
            return question, body + b" "
        if variant is not None and variant not in ways:
            start, _, end = question.headers["Signature"].partition("=:")
            broken = dict(question.headers)
            broken["Signature"] = f"{start}=:{'B' if end[0] == 'A' else 'A'}{end[1:]}"
            return Question("POST", url, CIMultiDict(broken)), body
        return question, body

    async def _post(self, question: Question, body: bytes) -> Reply:
        return await _or_nothing(lambda: self._exchange(question, body))

    async def _exchange(self, question: Question, body: bytes) -> Reply:
        limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=limits,
            ) as session,
            session.post(
                URL(question.url, encoded=True),
                data=body,
                headers={**question.headers, "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as answer,
        ):
            content = b""
            async for piece in answer.content.iter_any():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    return Reply(answer.status)
            if answer.status != 200:
                seconds = answer.headers.get("Retry-After", "")
                wait_s = min(int(seconds), MAX_RETRY_AFTER_S) if seconds.isdecimal() else 0
                return Reply(answer.status, retry_after_s=wait_s)
            return Reply(200, self._believed(question, answer, content))

    def _believed(
        self, question: Question, answer: aiohttp.ClientResponse, content: bytes
    ) -> dict[str, Any] | None:
        try:
            self._signatures.check_answer(
                question, status=answer.status, headers=answer.headers, body=content
            )
            if answer.headers["Content-Type"] != _JSON:
                return None
            return read_object(content)
        except (SignatureRefused, ValueError, RecursionError):
            return None


async def _or_nothing(exchange: Callable[[], Awaitable[Reply]]) -> Reply:
    try:
        return await exchange()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Reply()


async def _break_off(question: Question, body: bytes) -> Reply:
    """Sends half a message and then a TCP reset."""
    parts = urlsplit(question.url)
    is_https = parts.scheme == "https"
    _, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if is_https else 80), ssl=is_https or None
    )
    head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
    head += [f"{name}: {value}" for name, value in question.headers.items()]
    head += [f"Content-Length: {len(body)}", "", ""]
    writer.write("\r\n".join(head).encode("latin-1") + body[: len(body) // 2])
    await writer.drain()
    faults.reset_transport(writer.transport)
    return Reply()
