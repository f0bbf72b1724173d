"""The background tasks call their topic and pass the moment."""

from datetime import UTC, datetime

import pytest

from vpass.common import clock, contributions, idempotency, limits, outbox, tasks

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fixed_moment(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: AT)


def test_task_names__as_the_queues_know_them():
    assert tasks.deliver_outbox.name == outbox.TASK == "vpass.common.tasks.deliver_outbox"
    assert tasks.purge_expired.name == "vpass.common.tasks.purge_expired"


@pytest.mark.parametrize(("delivered", "rings"), [(0, 0), (499, 0), (500, 1)])
def test_deliver_outbox__full_run__rings_again(monkeypatch, delivered, rings):
    calls, rung = [], []

    def deliver_due(*, at, limit):
        calls.append((at, limit))
        return delivered

    monkeypatch.setattr(outbox, "deliver_due", deliver_due)
    monkeypatch.setattr(outbox, "ring", lambda: rung.append(1))

    tasks.deliver_outbox()

    assert calls == [(AT, 500)]
    assert len(rung) == rings


def test_purge_expired__every_topic_and_contributor(monkeypatch):
    asked = []
    monkeypatch.setattr(contributions, "_contributors", {})
    for module in (idempotency, limits, outbox):
        monkeypatch.setattr(
            module, "purge", lambda *, at, name=module.__name__: asked.append((name, at))
        )
    contributions.register("purge_expired", "cards", lambda *, at: asked.append(("cards", at)))

    tasks.purge_expired()

    assert asked == [
        ("vpass.common.idempotency", AT),
        ("vpass.common.limits", AT),
        ("vpass.common.outbox", AT),
        ("cards", AT),
    ]
