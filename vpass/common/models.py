"""The rows of the common ground. They are written through the SQL of their topic modules."""

from django.db import models

from vpass.common.states import OUTBOX_DELIVERY


class IdempotencyRecord(models.Model):
    """A request done once: `id` hashes caller and key, `answer` is sealed JSON."""

    id = models.BinaryField(primary_key=True, max_length=32)
    digest = models.BinaryField(max_length=32)
    answer = models.BinaryField(null=True)
    claimed_at = models.DateTimeField()

    class Meta:
        db_table = "common_idempotency"
        indexes = [models.Index(fields=["claimed_at"], name="common_idempotency_age")]


class OutboxDelivery(models.Model):
    """An event on its way to one consumer."""

    event_id = models.UUIDField()
    name = models.TextField()
    consumer = models.TextField()
    payload = models.JSONField()
    published_at = models.DateTimeField()
    state = models.TextField(default=OUTBOX_DELIVERY.initial, db_default=OUTBOX_DELIVERY.initial)
    attempts = models.SmallIntegerField(default=0, db_default=0)
    due_at = models.DateTimeField()
    error = models.TextField(default="", db_default="")
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "common_outbox"
        constraints = [
            OUTBOX_DELIVERY.sql_check("state", "common_outbox_state"),
            models.UniqueConstraint(fields=["event_id", "consumer"], name="common_outbox_once"),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(state="pending", attempts=0),
                name="common_outbox_fresh",
            ),
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(state="pending", attempts__gt=0),
                name="common_outbox_retry",
            ),
            models.Index(
                fields=["id"], condition=models.Q(state="dead"), name="common_outbox_dead"
            ),
            models.Index(
                fields=["done_at"],
                condition=models.Q(state="delivered"),
                name="common_outbox_done",
            ),
        ]


class LimitCounter(models.Model):
    """How much of a limit one subject has used in its present window; `id` hashes both."""

    id = models.BinaryField(primary_key=True, max_length=32)
    used = models.BigIntegerField()
    ends_at = models.DateTimeField()

    class Meta:
        db_table = "common_limit"
        constraints = [
            models.CheckConstraint(condition=models.Q(used__gte=0), name="common_limit_used")
        ]
        indexes = [models.Index(fields=["ends_at"], name="common_limit_age")]


class SeenOnce(models.Model):
    """A value that may not come again before `expires_at`; `id` hashes scope and value."""

    id = models.BinaryField(primary_key=True, max_length=32)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "common_seen"
        indexes = [models.Index(fields=["expires_at"], name="common_seen_age")]


class AuditEvent(models.Model):
    """What a member of staff or an administrator did; append-only."""

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    actor = models.TextField()
    action = models.TextField()
    subject = models.TextField()
    detail = models.JSONField()
    request_id = models.TextField()

    class Meta:
        db_table = "common_audit"
        indexes = [
            models.Index(fields=["subject", "at"], name="common_audit_subject"),
            models.Index(fields=["actor", "at"], name="common_audit_actor"),
        ]
