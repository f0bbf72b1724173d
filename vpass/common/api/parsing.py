"""Reads request bodies: one JSON object with one meaning, of bounded size, or a named refusal."""

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from vpass.common.encodings import read_json_object
from vpass.common.errors import BadRequest, DomainError

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 32

_MEDIA_TYPE = re.compile(r'application/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?', re.IGNORECASE)
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_LENGTH = re.compile(r"\d{1,12}", re.ASCII)
# Controls but for tab and line ends, and the marks which turn the direction of what people read.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


class TooLarge(DomainError):
    """The request body is too large."""

    code = "request.too_large"
    status = 413
    title_zh = "请求内容过大"


class LengthMissing(DomainError):
    """A request with a body has to say its length."""

    code = "request.length_required"
    status = 411
    title_zh = "请求缺少 Content-Length"


class MediaTypeRefused(DomainError):
    """The body has to be application/json in UTF-8, not encoded otherwise."""

    code = "request.media_type"
    status = 415
    title_zh = "请求内容须为 UTF-8 编码的 application/json"


class StrictJSONParser(BaseParser):
    """One JSON object in UTF-8: no member twice, no NaN, 32 levels, no control characters."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object; raises MediaTypeRefused or BadRequest."""
        if not _MEDIA_TYPE.fullmatch((media_type or "").strip()):
            raise MediaTypeRefused()
        return read_object(stream.read())


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; raises BadRequest with the reason in `errors`."""
    if _is_too_deep(body):
        raise refused("", "too_deep")
    try:
        value = read_json_object(body)
    except ValueError as error:
        raise refused("", "not_json") from error
    for path, text in _texts(value, ""):
        if _REFUSED.search(text):
            raise refused(path, "control_character")
    return value


def refused(field: str, code: str) -> BadRequest:
    """A BadRequest that blames one field ("a.b", or "" for the whole)."""
    return BadRequest(errors=[{"field": field, "code": code}])


def is_clean(text: str) -> bool:
    """Whether a text from outside has no control character, direction mark or lone surrogate."""
    return not _REFUSED.search(text) and not any("\ud800" <= letter <= "\udfff" for letter in text)


def judge_body(request: HttpRequest, *, max_bytes: int = MAX_BODY_BYTES) -> None:
    """Refuse a body that is too large, of unknown length or compressed, before reading any of it.

    Raises TooLarge, LengthMissing, MediaTypeRefused or BadRequest.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not _LENGTH.fullmatch(length):
        raise refused("Content-Length", "invalid")
    if int(length) > max_bytes:
        raise TooLarge(max_bytes=max_bytes)
    if "CONTENT_LENGTH" not in request.META and request.headers.get("Transfer-Encoding"):
        raise LengthMissing()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MediaTypeRefused()


def _is_too_deep(body: bytes) -> bool:
    depth = 0
    for match in _TOKENS.finditer(body):
        mark = match[0][:1]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in b"]}":
            depth -= 1
    return False


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield path, name
            yield from _texts(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}.{number}" if path else str(number))
