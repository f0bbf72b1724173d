"""One exchange is bounded in time and size, whatever the other end does."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vpass.common import http_exchange
from vpass.common.http_exchange import NoAnswer, NotAnAnswer, send

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Talk = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_exchange, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_exchange, "DEADLINE_S", 0.8)


@contextmanager
def server(talk: Talk, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server for one connection, which `talk` is given once the request is read."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        try:
            plain, _ = listener.accept()
            plain.settimeout(5)
            with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                while b"asked" not in connection.recv(65_536):
                    pass
                talk(connection)
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/ask"
    finally:
        listener.close()
        thread.join(10)


def says(*pieces: bytes, every_s: float = 0.0) -> Talk:
    def talk(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(every_s)

    return talk


def ask(url: str) -> http_exchange.Received:
    return send(url, headers={"content-type": "text/plain"}, body=b"asked")


def test_send__good_answer__status_headers_and_body():
    answer = GOOD.replace(b"\r\n\r\n", b"\r\nX-Twice:  a \r\nx-twice: b\r\n\r\n", 1)

    with server(says(answer)) as url:
        received = ask(url)

    assert received.status == 200
    assert received.headers["content-type"] == "application/json"
    assert received.headers["x-twice"] == "a, b"
    assert received.body == b"{}"


def test_send__chunks__put_together():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    with server(says(head, b"2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n")) as url:
        assert ask(url).body == b"abc"


def test_send__what_is_sent__one_plain_request(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(65_536))
            while not heard[-1].endswith(b"asked"):
                heard.append(connection.recv(65_536))
            connection.sendall(GOOD)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    ask(f"http://127.0.0.1:{port}/a/b")
    thread.join(5)
    listener.close()

    head, _, body = b"".join(heard).decode().partition("\r\n\r\n")
    assert sorted(head.split("\r\n")) == sorted(
        [
            "POST /a/b HTTP/1.1",
            "content-type: text/plain",
            f"Host: 127.0.0.1:{port}",
            "Accept-Encoding: identity",
            "Connection: close",
            "Content-Length: 5",
        ]
    )
    assert body == "asked"


def test_send__redirect__only_reported():
    with server(says(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")) as url:
        assert ask(url).status == 302


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n",
    ],
    ids=["nothing", "short", "short chunk", "broken chunk"],
)
def test_send__answer_breaks_off__no_answer(answer: bytes):
    with server(says(answer)) as url, pytest.raises(NoAnswer) as caught:
        ask(url)

    assert caught.value.was_sent is True


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n" * 3,
        b"HTTP/1.1 xx OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\x00" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65_537,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 65_537,
    ],
    ids=lambda value: repr(value[:40]),
)
def test_send__rubbish_or_too_large__not_an_answer(answer: bytes):
    with server(says(answer)) as url, pytest.raises(NotAnAnswer):
        ask(url)


def test_send__exactly_the_largest__taken():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n"

    with server(says(head + b"x" * 65_536)) as url:
        assert len(ask(url).body) == 65_536


def test_send__nobody_listens__surely_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NoAnswer) as caught:
        ask(f"http://127.0.0.1:{port}/ask")

    assert caught.value.was_sent is False
    assert caught.value.reason == "ConnectionRefusedError"


def test_send__full_backlog__gives_up_connecting_in_time():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    waiting = []
    for _ in range(4):  # more than the queue holds: the next connection is not answered
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        waiting.append(one)
    started = time.monotonic()

    with pytest.raises(NoAnswer) as caught:
        ask(f"http://127.0.0.1:{address[1]}/ask")

    took = time.monotonic() - started
    for one in [*waiting, listener]:
        one.close()
    assert caught.value.was_sent is False
    assert 0.25 < took < 0.7


def test_send__silence__given_up_after_the_read_time_out():
    started = time.monotonic()

    with server(says(b"", every_s=0.6)) as url, pytest.raises(NoAnswer) as caught:
        ask(url)
        assert 0.25 < time.monotonic() - started < 0.55

    assert caught.value.was_sent is True


LONG = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50 + b"Content-Length: 100\r\n\r\n" + b"x" * 100
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100


@pytest.mark.parametrize(
    "answer",
    [
        LONG,
        TO_THE_END,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50,
    ],
    ids=["in the head", "in an open-ended body", "for ever continue", "in chunks"],
)
def test_send__a_trickle__cut_off_at_the_deadline(answer: bytes):
    drops = [answer[place : place + 1] for place in range(len(answer))]
    if answer is TO_THE_END:  # the head at once, so that what was cut off looks whole
        drops = [answer[:19], *drops[19:]]
    started = time.monotonic()

    with server(says(*drops, every_s=0.05)) as url:
        with pytest.raises(NoAnswer) as caught:
            ask(url)
        took = time.monotonic() - started

    assert caught.value.reason == "deadline"
    assert caught.value.was_sent is True
    assert 0.7 < took < 1.2


def test_send__afterwards__no_thread_and_no_connection_left():
    before = threading.active_count()

    for _ in range(3):
        with server(says(GOOD)) as url:
            ask(url)
    time.sleep(0.05)

    assert threading.active_count() == before


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "register")])
    moment = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "register.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(http_exchange, "_tls", lambda: context)


def test_send__tls_with_a_trusted_certificate__answered(tls: ssl.SSLContext, trusted: None):
    with server(says(GOOD), tls=tls) as url:
        received = ask(url.replace("127.0.0.1", "localhost"))

    assert (received.status, received.body) == (200, b"{}")


def test_send__tls_for_another_name__surely_not_sent(tls: ssl.SSLContext, trusted: None):
    with server(says(GOOD), tls=tls) as url, pytest.raises(NoAnswer) as caught:
        ask(url)

    assert caught.value.was_sent is False
    assert caught.value.reason == "SSLCertVerificationError"


def test_send__tls_nobody_vouches_for__surely_not_sent(tls: ssl.SSLContext):
    with server(says(GOOD), tls=tls) as url, pytest.raises(NoAnswer) as caught:
        ask(url.replace("127.0.0.1", "localhost"))

    assert caught.value.was_sent is False
    assert caught.value.reason == "SSLCertVerificationError"


def test_send__tls_trickle__cut_off_at_the_deadline(tls: ssl.SSLContext, trusted: None):
    drops = [LONG[place : place + 1] for place in range(len(LONG))]
    started = time.monotonic()

    with server(says(*drops, every_s=0.05), tls=tls) as url:
        with pytest.raises(NoAnswer) as caught:
            ask(url.replace("127.0.0.1", "localhost"))
        took = time.monotonic() - started

    assert caught.value.reason == "deadline"
    assert took < 1.2
