"""Identity's jobs: thin, and safe to run twice."""

from celery import shared_task

from identity import keys, status_list
from vpass.common import clock


@shared_task
def rotate_signing_keys() -> None:
    """Take the steps that are due in the signing keys' lives."""
    keys.rotate(at=clock.now())


@shared_task
def sign_status_lists() -> None:
    """Sign the status lists that are due, and drop those of past days."""
    status_list.sign_due(at=clock.now())
