"""Carries one HTTP request out and its answer in, within bounds of time and size.

Each exchange has a connection of its own: a reused one that breaks could not tell whether the
request was read. Proxies, redirects, cookies and compression do not exist here.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 3.0
DEADLINE_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024


class NoAnswer(Exception):
    """No whole answer came; `was_sent` is False when the request surely never left."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent


class NotAnAnswer(Exception):
    """What came is too large or not HTTP as we asked for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Received:
    """An answer: its headers have lower-case names, repeated ones joined with a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(url: str, *, headers: Mapping[str, str], body: bytes) -> Received:
    """Posts `body` and returns the answer, whatever its status; raises NoAnswer and NotAnAnswer.

    At most 1 s to connect, 3 s without a byte and 5 s in all, 64 KiB of answer. Looking a host name
    up takes as long as the system's resolver lets it.
    """
    alarm = _Alarm()
    was_sent = False
    try:
        with _connect(url, alarm=alarm) as connection:
            was_sent = True
            received = _converse(connection, url, headers, body)
    except (OSError, http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
        reason = "deadline" if alarm.has_rung else type(error).__name__
        raise NoAnswer(reason, was_sent=was_sent) from error
    except (http.client.HTTPException, NotAnAnswer) as error:
        if alarm.has_rung:
            raise NoAnswer("deadline", was_sent=True) from error
        raise NotAnAnswer(getattr(error, "reason", type(error).__name__)) from error
    finally:
        alarm.stop()
    if alarm.has_rung:  # cut off, an answer may still look whole
        raise NoAnswer("deadline", was_sent=True)
    return received


class _Alarm:
    """Breaks the connection at the deadline; time-outs alone let a slow peer go on for ever."""

    def __init__(self) -> None:
        self.has_rung = False
        self._watched: socket.socket | None = None
        self._timer = threading.Timer(DEADLINE_S, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connection: socket.socket) -> None:
        self._watched = connection
        if self.has_rung:
            self._break()

    def stop(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.has_rung = True
        self._break()

    def _break(self) -> None:
        if self._watched is None:
            return
        try:
            # Not SSLSocket's own, which changes state under a thread that is reading.
            socket.socket.shutdown(self._watched, socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already


def _connect(url: str, *, alarm: _Alarm) -> socket.socket:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = _open(parts.hostname or "", port)
    try:
        connection.settimeout(READ_TIMEOUT_S)
        if parts.scheme == "https":
            connection = _tls().wrap_socket(
                connection, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
        alarm.watch(connection)
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
    except OSError:
        connection.close()
        raise
    return connection


def _open(host: str, port: int) -> socket.socket:
    # socket.create_connection would give each of the host's addresses the whole time.
    until = time.monotonic() + CONNECT_TIMEOUT_S
    failure = OSError("no address")
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _name, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _converse(
    connection: socket.socket, url: str, headers: Mapping[str, str], body: bytes
) -> Received:
    parts = urlsplit(url)
    client = http.client.HTTPConnection(parts.hostname or "")
    client.sock = connection
    sent = {**headers, "Host": parts.netloc, "Accept-Encoding": "identity", "Connection": "close"}
    client.request("POST", parts.path, body=body, headers=sent)
    with client.getresponse() as response:
        return _receive(response)


def _receive(response: http.client.HTTPResponse) -> Received:
    received = {
        name.lower(): ", ".join(value.strip(" \t") for value in response.headers.get_all(name, []))
        for name in response.headers
    }
    if "content-encoding" in received:
        raise NotAnAnswer("compressed")
    announced = response.length  # None when the answer comes in chunks
    content = b""
    while len(content) <= MAX_ANSWER_BYTES and (announced or 0) <= MAX_ANSWER_BYTES:
        piece = response.read(MAX_ANSWER_BYTES + 1 - len(content))
        if not piece:
            break
        content += piece
    else:
        raise NotAnAnswer("too_large")
    if announced is not None and len(content) != announced:
        raise http.client.IncompleteRead(content)
    return Received(response.status, received, content)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
