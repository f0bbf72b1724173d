"""The IoT city's jobs: thin, and safe to run twice."""

import time

from celery import shared_task

from services.iot import drain as draining
from services.iot import partitions
from services.iot.applications.parking import sessions
from vpass.common import clock

# Short, for the worker's processes are everybody's: what is left waits for the next bell.
RUN_FOR_S = 2.0


@shared_task
def drain(*, shard: int) -> None:
    """Empty a shard of the inbox, batch by batch."""
    end = time.monotonic() + RUN_FOR_S
    while draining.drain(shard=shard, at=clock.now()) and time.monotonic() < end:
        pass


@shared_task
def settle_parking() -> None:
    """Charge the stays that are over, and let go what nobody claimed."""
    sessions.settle_due(at=clock.now())


@shared_task
def keep_days() -> None:
    """Make the coming days of events and drop those that are over."""
    at = clock.now()
    partitions.ensure(at=at)
    partitions.drop_old(at=at)
