"""The short way in for pushes that are as they should be. WSGI, in front of the whole program."""

import io
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.db import DatabaseError, InterfaceError
from prometheus_client import Counter

from services.iot import intake, sources
from vpass.common import clock
from vpass.common.observability import count_request, fit_request_id

PUSH = "/api/platform/v1/push/"
ROUTE = f"{PUSH.removeprefix('/')}<slug:source>/<slug:secret>"

# What devices say is far smaller; whatever is larger can take the usual way.
MOST_BYTES = 64 * 1024

_ANSWER = b'{"stored":true}'
_HEADERS = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(_ANSWER))),
    ("Cache-Control", "no-store"),
]
_PUSHES = Counter("vpass_iot_pushes", "Pushes taken in by the short way, by source.", ["source"])


class PushDoor:
    """Answers plain pushes itself and hands everything else on to `application`.

    A platform pushes a thousand times a second, and gives us up when we are slow. So a push with
    the right secret and a body of known, small length is stored and answered here, as the endpoint
    would, without another look at it and a line in the log. Whatever is odd takes the usual way,
    and is refused there.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        started = time.perf_counter()
        path = environ["PATH_INFO"]
        if not path.startswith(PUSH) or (length := _plain_length(environ)) is None:
            return self._application(environ, start_response)
        source, _, secret = path.removeprefix(PUSH).partition("/")
        if not sources.is_genuine(source, secret):
            return self._application(environ, start_response)
        try:
            body = environ["wsgi.input"].read(length)
        except OSError:  # the sender went away; the usual way meets the same, and has words for it
            return self._application(environ, start_response)
        if len(body) != length or not _is_stored(source, body):
            environ["wsgi.input"] = io.BytesIO(body)
            return self._application(environ, start_response)
        _PUSHES.labels(source=source).inc()
        identifier = fit_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        seconds = time.perf_counter() - started
        count_request(route=ROUTE, method="POST", status=200, seconds=seconds)
        start_response("200 OK", [*_HEADERS, ("X-Request-ID", identifier)])
        return [_ANSWER]


def _plain_length(environ: WSGIEnvironment) -> int | None:
    """How long the body of a push is that may go the short way; None for all others."""
    length = environ.get("CONTENT_LENGTH") or ""
    if (
        environ["REQUEST_METHOD"] != "POST"
        or not (length.isdecimal() and len(length) < 6)
        or "HTTP_CONTENT_ENCODING" in environ
        or "HTTP_TRANSFER_ENCODING" in environ
    ):
        return None
    return int(length) if int(length) <= MOST_BYTES else None


def _is_stored(source: str, body: bytes) -> bool:
    try:
        intake.store(source=source, body=body, at=clock.now())
    except (DatabaseError, InterfaceError):
        return False
    return True
