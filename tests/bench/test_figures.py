"""The lines and files that `make bench` leaves."""

import dataclasses
import socket
import threading

import pytest

from tests.bench import load
from tests.bench.figures import Figure

FIGURE = Figure(
    name="redeem",
    value=330.6,
    unit="requests/s",
    ratio=0.496,
    against="a trivial view",
    goal=0.35,
    details={"connections": 8},
)


def test_line__figure__as_the_design_lays_down() -> None:
    expected = "bench redeem: 331 requests/s · ratio 0.50 of a trivial view · goal 0.35"
    assert FIGURE.line() == expected


@pytest.mark.parametrize(("ratio", "is_reached"), [(0.36, True), (0.35, True), (0.349, False)])
def test_as_json__ratio_and_goal__says_whether_it_is_reached(
    ratio: float, is_reached: bool
) -> None:
    told = dataclasses.replace(FIGURE, ratio=ratio).as_json()

    assert told["is_reached"] is is_reached
    assert (told["name"], told["ratio"], told["goal"]) == ("redeem", ratio, 0.35)


def test_send__answers_in_pieces_and_a_refusal__counts_the_good_ones() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    request = load.written("http://127.0.0.1/x", headers={"A": "b"}, body=b"{}")

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            for status, pieces in ((b"200", [b"acc", b"epted"]), (b"401", [b"accepted"])):
                received = b""
                while len(received) < len(request):
                    received += connection.recv(4096)
                assert received == request
                connection.sendall(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 8\r\n\r\n")
                for piece in pieces:
                    connection.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
    measured = load.send(url, [[request, request]], expected=b"accepted")
    thread.join(10)
    server.close()

    assert (measured.requests, measured.good) == (2, 1)
    assert measured.rate == pytest.approx(2 / measured.seconds)
