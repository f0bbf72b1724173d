"""Identity's jobs: thin, and safe to run twice."""

from celery import shared_task

from identity import keys
from vpass.common import clock


@shared_task
def rotate_signing_keys() -> None:
    """Take the steps that are due in the signing keys' lives."""
    keys.rotate(at=clock.now())
