"""The tables and SQL functions of the common ground."""

from pathlib import Path

from django.db import migrations, models

from vpass.common.append_only import append_only
from vpass.common.sql_files import sql_functions

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('actor', models.TextField()),
                ('action', models.TextField()),
                ('subject', models.TextField()),
                ('detail', models.JSONField()),
                ('request_id', models.TextField()),
            ],
            options={
                'db_table': 'common_audit',
                'indexes': [models.Index(fields=['subject', 'at'], name='common_audit_subject'), models.Index(fields=['actor', 'at'], name='common_audit_actor')],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('id', models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ('digest', models.BinaryField(max_length=32)),
                ('answer', models.BinaryField(null=True)),
                ('claimed_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'common_idempotency',
                'indexes': [models.Index(fields=['claimed_at'], name='common_idempotency_age')],
            },
        ),
        migrations.CreateModel(
            name='LimitCounter',
            fields=[
                ('id', models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ('used', models.BigIntegerField()),
                ('ends_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'common_limit',
                'indexes': [models.Index(fields=['ends_at'], name='common_limit_age')],
                'constraints': [models.CheckConstraint(condition=models.Q(('used__gte', 0)), name='common_limit_used')],
            },
        ),
        migrations.CreateModel(
            name='OutboxDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField()),
                ('name', models.TextField()),
                ('consumer', models.TextField()),
                ('payload', models.JSONField()),
                ('published_at', models.DateTimeField()),
                ('state', models.TextField(db_default='pending', default='pending')),
                ('attempts', models.SmallIntegerField(db_default=0, default=0)),
                ('due_at', models.DateTimeField()),
                ('error', models.TextField(db_default='', default='')),
                ('done_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'common_outbox',
                'indexes': [models.Index(condition=models.Q(('attempts', 0), ('state', 'pending')), fields=['due_at', 'id'], name='common_outbox_fresh'), models.Index(condition=models.Q(('attempts__gt', 0), ('state', 'pending')), fields=['due_at', 'id'], name='common_outbox_retry'), models.Index(condition=models.Q(('state', 'dead')), fields=['id'], name='common_outbox_dead'), models.Index(condition=models.Q(('state', 'delivered')), fields=['done_at'], name='common_outbox_done')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['dead', 'delivered', 'pending'])), name='common_outbox_state'), models.UniqueConstraint(fields=('event_id', 'consumer'), name='common_outbox_once')],
            },
        ),
        migrations.CreateModel(
            name='SeenOnce',
            fields=[
                ('id', models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'common_seen',
                'indexes': [models.Index(fields=['expires_at'], name='common_seen_age')],
            },
        ),
        sql_functions(SQL / "refuse_change_v1.sql", "refuse_change_v1()"),
        sql_functions(SQL / "idempotency_v1.sql", "idempotency_claim_v1(bytea, bytea, timestamptz)"),
        sql_functions(
            SQL / "outbox_v1.sql",
            "outbox_publish_v1(uuid, text, jsonb, text[], timestamptz)",
            "outbox_take_v1(boolean, integer, integer, timestamptz, timestamptz)",
        ),
        append_only("common_audit"),
    ]
