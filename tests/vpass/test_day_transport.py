"""Those of the day ask again when nobody is there: signed anew, for as long as patience lasts."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from vpass.common import clock, signing
from vpass.day import transport
from vpass.day.outside import Outside
from vpass.day.payment_actors import Till
from vpass.day.transport import HttpTransport, NoAnswer, Patience, Reply

BUSY = Reply(503, {"code": "service.unavailable"}, {})
GOOD = Reply(200, {"id": "1"}, {})


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE_S", 0.001)


def asking(*outcomes: Reply | NoAnswer) -> tuple[list[int], Callable[[], Reply]]:
    tries: list[int] = []

    def send() -> Reply:
        tries.append(1)
        outcome = outcomes[len(tries) - 1]
        if isinstance(outcome, NoAnswer):
            raise outcome
        return outcome

    return tries, send


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_ask__nobody_there_then_busy__asked_until_there_is_an_answer(is_repeatable: bool):
    tries, send = asking(NoAnswer("", was_sent=False), BUSY, GOOD)
    patience = Patience(10.0)

    assert patience.ask(send, is_repeatable=is_repeatable) == GOOD

    assert (len(tries), patience.repeated) == (3, 2)
    assert 0 < patience.left_s < 10.0


def test_ask__answer_lost__only_what_may_be_repeated_is_sent_again():
    tries, send = asking(NoAnswer("", was_sent=True), GOOD)

    assert Patience(10.0).ask(send, is_repeatable=True) == GOOD
    assert len(tries) == 2

    tries, send = asking(NoAnswer("", was_sent=True), GOOD)
    with pytest.raises(NoAnswer):
        Patience(10.0).ask(send, is_repeatable=False)
    assert len(tries) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, {"code": "register.unavailable"}, {}),
        Reply(409, {"code": "code.already_used"}, {}),
        Reply(500, {"code": "server.error"}, {}),
    ],
)
def test_ask__a_refusal_or_a_fault__taken_as_it_is(reply: Reply):
    tries, send = asking(reply)

    assert Patience(10.0).ask(send, is_repeatable=True) == reply
    assert len(tries) == 1


def test_ask__no_patience__the_first_answer_counts():
    assert Patience().ask(asking(BUSY)[1], is_repeatable=True) == BUSY
    with pytest.raises(NoAnswer):
        Patience().ask(asking(NoAnswer("", was_sent=False))[1], is_repeatable=True)


def whole_request(link: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += link.recv(65536)
    length = int(header_lines(raw).get("content-length", 0))
    while len(raw.partition(b"\r\n\r\n")[2]) < length:
        raw += link.recv(65536)
    return raw


@contextmanager
def server_saying(*answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each request with the next of these bodies; hangs up at None."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for body in answers:
                link, _ = server.accept()
                with link:
                    heard.append(whole_request(link))
                    if body is not None:
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                        link.sendall(head.encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        thread.join(10)


def test_till__hung_up_on__signed_anew_under_the_same_key():
    with server_saying(None, b"{}") as (url, heard):
        till = Till(
            HttpTransport(url, public_url=url, patience=Patience(10.0)), signing.generate_p256()
        )
        reply = till.refund("1", amount_fen=1, reference="r", key="the-same-key")

    assert reply.status == 200
    first, second = [header_lines(each) for each in heard]
    assert first["idempotency-key"] == second["idempotency-key"] == "the-same-key"
    assert first["signature-input"] != second["signature-input"]


@pytest.mark.parametrize("away", [b'{"pushes":[{"status":0}]}', b'{"pushes":[{"status":503}]}'])
def test_outside__what_the_platform_pushed_was_not_answered__has_it_pushed_again(away: bytes):
    stored = b'{"pushes":[{"status":200}]}'
    with server_saying(away, away, stored) as (url, heard):
        outside = Outside(url, patience=Patience(10.0))
        pushes = outside.report("bay", {"occupied": 1}, event_time=clock.now())

    assert pushes == [{"status": 200}]
    assert len({each.partition(b"\r\n\r\n")[2] for each in heard}) == 1  # the same word

    with server_saying(away) as (url, _), pytest.raises(NoAnswer) as lost:
        Outside(url).report("bay", {"occupied": 1}, event_time=clock.now())
    assert lost.value.was_sent


def header_lines(raw: bytes) -> dict[str, str]:
    lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def test_send__nobody_listens__was_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(NoAnswer) as refused:
        HttpTransport(f"http://127.0.0.1:{port}", public_url="").send("GET", "/", headers={})

    assert not refused.value.was_sent
