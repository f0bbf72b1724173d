"""The doorbell wakes the relay through the broker, and costs nothing when the broker is away."""

import socket
import threading
import time

import pytest
from celery import current_app
from celery.signals import worker_process_init
from kombu import Connection

from vpass import processes
from vpass.common import doorbell, observability, outbox


@pytest.fixture(autouse=True)
def _closed_circuit(monkeypatch):
    monkeypatch.setattr(doorbell._Circuit, "silent_until", 0.0)


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
    assert doorbell._Circuit.silent_until == 0.0


def test_ring__nobody_listens__quick_and_then_silent(broker):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        broker(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")

        assert ring_timed() < 0.5

        assert doorbell._Circuit.silent_until > time.monotonic() + 4
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


# In the background


@pytest.fixture
def rung(monkeypatch):
    """What this process rings for, from a thread; the first ring takes until it is let."""
    seen, begun, let = [], threading.Event(), threading.Event()

    def ring(bell):
        seen.append((bell, observability.request_id()))
        begun.set()
        assert let.wait(10)
        if bell[0] == "broken":
            raise TypeError("a mistake of ours")

    monkeypatch.setattr(doorbell, "_ring", ring)
    monkeypatch.setattr(doorbell._Program, "ringer", doorbell.Ringer())
    return seen, begun, let


def test_ring__in_the_background__nobody_waits_and_the_last_wish_is_rung_for(rung):
    seen, begun, let = rung

    with observability.as_request("first-request"):
        doorbell.ring("task", shard=1)
    assert begun.wait(10)
    for number in range(100):
        with observability.as_request(f"request-{number}"):
            doorbell.ring("task", shard=1)
            doorbell.ring("task", shard=2)
    assert len(seen) == 1
    let.set()

    processes.wait_until(lambda: len(seen) == 3, within_s=10.0)
    time.sleep(3 * doorbell.PAUSE_S)
    assert seen == [
        (("task", (("shard", 1),)), "first-request"),
        (("task", (("shard", 1),)), "request-0"),
        (("task", (("shard", 2),)), "request-0"),
    ]


def test_ring__one_bell_is_broken__the_others_ring_and_the_thread_goes_on(rung):
    seen, _, let = rung
    let.set()

    for name in ("broken", "task"):
        doorbell.ring(name)
        processes.wait_until(lambda name=name: seen and seen[-1][0][0] == name, within_s=10.0)

    assert [bell[0] for bell, _ in seen] == ["broken", "task"]


def test_ring__wanted_while_another_is_rung__guard_off__never_rung(rung):
    """The twin: who forgets the wishes only after ringing forgets those that came meanwhile."""
    seen, begun, let = rung
    ringer = doorbell._Program.ringer

    def ring_wanted():
        ringer._wanted.clear()
        for bell in list(ringer._bells):
            doorbell._ring(bell)
        ringer._bells.clear()

    ringer.ring_wanted = ring_wanted
    doorbell.ring("task")
    assert begun.wait(10)
    doorbell.ring("task")
    let.set()
    time.sleep(5 * doorbell.PAUSE_S)

    assert len(seen) == 1


def test_ring_in_background__a_workers_child_process__rings_so(monkeypatch):
    monkeypatch.setattr(doorbell._Program, "ringer", None)

    worker_process_init.send(sender=None)

    first = doorbell._Program.ringer
    doorbell.ring_in_background()
    assert isinstance(first, doorbell.Ringer)
    assert doorbell._Program.ringer is first
