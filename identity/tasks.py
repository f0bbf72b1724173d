"""Identity's jobs: thin, and safe to run twice."""

from celery import shared_task

from identity import (
    access_chain,
    case_shares,
    consent,
    delegation,
    deletion,
    keys,
    logins,
    reverse_scans,
    status_list,
)
from vpass.common import clock


@shared_task
def rotate_signing_keys() -> None:
    """Take the steps that are due in the signing keys' lives."""
    keys.rotate(at=clock.now())


@shared_task
def sign_status_lists() -> None:
    """Sign the status lists that are due, and drop those of past days."""
    status_list.sign_due(at=clock.now())


@shared_task
def seal_access_log() -> None:
    """Seal the lines of the access log that have settled."""
    access_chain.seal_lines(at=clock.now())


@shared_task
def expire_disclosures() -> None:
    """End consents, case shares, delegations, logins and nonces that are out of date."""
    at = clock.now()
    consent.expire_old(at=at)
    case_shares.expire_old(at=at)
    delegation.expire_old(at=at)
    logins.expire_old(at=at)
    reverse_scans.expire_old(at=at)


@shared_task
def delete_accounts() -> None:
    """Delete the accounts whose holders asked for it and have had time to think."""
    deletion.delete_due(at=clock.now())
