"""Jobs: the one table of queues and the one schedule.

PostgreSQL holds every truth and the broker is only a doorbell, so each scheduled task looks in the
database for what is due and may run twice without harm.
"""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging, worker_init, worker_process_init
from django.conf import settings

from vpass.common import database, doorbell, observability

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpass.settings")

QUEUES = {
    "vpass.common.tasks.deliver_outbox": "events",
    "vpass.common.tasks.purge_expired": "housekeeping",
    "identity.tasks.rotate_signing_keys": "housekeeping",
    "identity.tasks.sign_status_lists": "housekeeping",
    "identity.tasks.seal_access_log": "housekeeping",
    "identity.tasks.expire_disclosures": "housekeeping",
    "identity.tasks.delete_accounts": "housekeeping",
    "payments.tasks.pursue_payouts": "events",
    "payments.tasks.pursue_debits": "events",
    "payments.tasks.settle_windows": "events",
    "payments.tasks.expire_proposals": "housekeeping",
    "payments.tasks.expire_due_orders": "events",
    "payments.tasks.expire_visits": "events",
    "payments.tasks.collect_charges": "events",
    "payments.tasks.expire_holds": "housekeeping",
    "payments.tasks.seal_ledger": "housekeeping",
    "payments.tasks.purge_pay_codes": "housekeeping",
    "payments.tasks.release_ended_bill_payments": "housekeeping",
    "payments.tasks.remind_of_bills": "housekeeping",
    "payments.tasks.prove_ledger": "housekeeping",
    "services.iot.tasks.drain": "iot",
    "services.iot.tasks.settle_parking": "events",
    "services.iot.tasks.keep_days": "housekeeping",
    "services.tasks.end_bookings": "events",
    "services.tasks.close_tickets": "housekeeping",
    "services.tasks.make_slots": "housekeeping",
}

SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep-outbox": {"task": "vpass.common.tasks.deliver_outbox", "schedule": 5.0},
    "purge-expired": {"task": "vpass.common.tasks.purge_expired", "schedule": 600.0},
    "rotate-signing-keys": {"task": "identity.tasks.rotate_signing_keys", "schedule": 3600.0},
    "sign-status-lists": {"task": "identity.tasks.sign_status_lists", "schedule": 30.0},
    "seal-access-log": {"task": "identity.tasks.seal_access_log", "schedule": 60.0},
    "expire-disclosures": {"task": "identity.tasks.expire_disclosures", "schedule": 60.0},
    "delete-accounts": {"task": "identity.tasks.delete_accounts", "schedule": 600.0},
    "pursue-payouts": {"task": "payments.tasks.pursue_payouts", "schedule": 5.0},
    "pursue-debits": {"task": "payments.tasks.pursue_debits", "schedule": 5.0},
    "settle-windows": {"task": "payments.tasks.settle_windows", "schedule": 5.0},
    "expire-proposals": {"task": "payments.tasks.expire_proposals", "schedule": 600.0},
    "expire-due-orders": {"task": "payments.tasks.expire_due_orders", "schedule": 10.0},
    "expire-visits": {"task": "payments.tasks.expire_visits", "schedule": 10.0},
    "collect-charges": {"task": "payments.tasks.collect_charges", "schedule": 60.0},
    "expire-holds": {"task": "payments.tasks.expire_holds", "schedule": 60.0},
    "seal-ledger": {"task": "payments.tasks.seal_ledger", "schedule": 60.0},
    "purge-pay-codes": {"task": "payments.tasks.purge_pay_codes", "schedule": 600.0},
    "release-ended-bill-payments": {
        "task": "payments.tasks.release_ended_bill_payments",
        "schedule": 30.0,
    },
    "remind-of-bills": {"task": "payments.tasks.remind_of_bills", "schedule": 600.0},
    "end-bookings": {"task": "services.tasks.end_bookings", "schedule": 30.0},
    "close-tickets": {"task": "services.tasks.close_tickets", "schedule": 600.0},
    "make-slots": {"task": "services.tasks.make_slots", "schedule": 3600.0},
    # Three in the morning in the city.
    "prove-ledger": {
        "task": "payments.tasks.prove_ledger",
        "schedule": crontab(minute="0", hour="19"),
    },
    **{
        f"drain-iot-{shard}": {
            "task": "services.iot.tasks.drain",
            "schedule": 2.0,
            "kwargs": {"shard": shard},
        }
        for shard in range(settings.IOT_SHARDS)
    },
    "settle-parking": {"task": "services.iot.tasks.settle_parking", "schedule": 10.0},
    "keep-days-of-events": {"task": "services.iot.tasks.keep_days", "schedule": 3600.0},
}


def _expires_s(schedule: float | crontab) -> float:
    """A bell that nobody heard until the next one rings is worth nothing; a daily one, an hour."""
    return 3600.0 if isinstance(schedule, crontab) else schedule


app = Celery("vpass")
app.conf.update(
    broker_url=settings.BROKER_URL,
    task_routes={task: {"queue": queue} for task, queue in QUEUES.items()},
    task_default_queue="events",
    beat_schedule={
        name: {**entry, "options": {"expires": _expires_s(entry["schedule"])}}
        for name, entry in SCHEDULE.items()
    },
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_time_limit=60,
    task_soft_time_limit=45,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=30,
    worker_enable_soft_shutdown_on_idle=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 0.3,
        "socket_keepalive": True,
        "health_check_interval": 15,
    },
)
app.autodiscover_tasks(["vpass.common", "identity", "payments", "services", "services.iot"])


@setup_logging.connect
def _log_structured(**_: Any) -> None:
    observability.configure_logging()


@worker_init.connect
def _refuse_unsafe_database(**_: Any) -> None:
    database.refuse_unsafe_database()


@worker_process_init.connect
def _ring_in_background(**_: Any) -> None:
    doorbell.ring_in_background()
