"""The doorbell wakes the relay through the broker, and costs nothing when the broker is away."""

import socket
import time

import pytest
from celery import current_app
from kombu import Connection

from vpass.common import outbox


@pytest.fixture(autouse=True)
def _closed_circuit(monkeypatch):
    monkeypatch.setattr(outbox._Circuit, "silent_until", 0.0)


@pytest.fixture
def broker(monkeypatch):
    """Points the program at another broker."""

    def set_broker(url):
        monkeypatch.setattr(
            current_app._get_current_object(),
            "connection_for_write",
            lambda **options: Connection(url, **options),
        )

    return set_broker


def ring_timed():
    started = time.monotonic()
    outbox.ring()
    return time.monotonic() - started


@pytest.mark.django_db
def test_ring__broker_there__one_message():
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue("events")
        queue.clear()

        outbox.ring()

        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.headers["task"] == outbox.TASK
    assert message.payload == [
        [],
        {},
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ]
    assert outbox._Circuit.silent_until == 0.0


def test_ring__nobody_listens__quick_and_then_silent(broker):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        broker(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")

        assert ring_timed() < 0.5

        assert outbox._Circuit.silent_until > time.monotonic() + 4
        assert ring_timed() < 0.01


def test_ring__listener_never_answers__quick_and_then_silent(broker):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        broker(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")

        assert ring_timed() < 1.0

        assert ring_timed() < 0.01


def test_ring__programming_error__not_swallowed(monkeypatch):
    def fail(*args, **options):
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(current_app._get_current_object(), "send_task", fail)

    with pytest.raises(TypeError):
        outbox.ring()
