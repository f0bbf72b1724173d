"""Sends requests that were written beforehand over a few kept connections, and times them."""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Measured:
    """One round: how many requests a second, and how many were answered 2xx with `expected`."""

    requests: int
    seconds: float
    good: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def written(url: str, *, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of a POST."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def send(url: str, batches: Sequence[Sequence[bytes]], *, expected: bytes) -> Measured:
    """Sends each batch over a connection of its own, all at once, one request after the other."""
    good: list[int] = []
    failures: list[Exception] = []
    gate = threading.Barrier(len(batches) + 1)

    def work(connection: socket.socket, batch: Sequence[bytes]) -> None:
        gate.wait()
        try:
            good.append(sum(_is_good(answer_to(connection, each), expected) for each in batch))
        except (OSError, ValueError) as error:
            failures.append(error)

    connections = [connect(url) for _ in batches]
    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(connections, batches, strict=True)
    ]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    if failures:
        raise failures[0]
    return Measured(sum(len(batch) for batch in batches), seconds, sum(good))


def connect(url: str) -> socket.socket:
    """A connection to the server of a URL."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answer_to(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Status and body of one exchange; the answer has to say its length."""
    connection.sendall(request)
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _more(connection)
    head, body = received[:end].lower(), received[end + 4 :]
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("an answer without its length")
    length = int(rest.partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return int(head[9:12]), body


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise ConnectionError("the server closed a kept connection")
    return piece


def _is_good(answer: tuple[int, bytes], expected: bytes) -> bool:
    return 200 <= answer[0] < 300 and expected in answer[1]
