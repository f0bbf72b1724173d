"""Devices, their inbox, events and twins, and parking."""

import uuid
from datetime import timedelta
from pathlib import Path

import django.db.models.constraints
import django.db.models.deletion
from django.db import migrations, models

from vpass.common import clock
from vpass.common.append_only import APP_ROLE, append_only
from vpass.common.sql_files import sql_functions

SQL = Path(__file__).resolve().parent.parent / "sql"

DAYS = ("iot_make_days_v1(date, date)", "iot_drop_days_v1(date)")
RIGHTS = f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
            {"".join(f"GRANT EXECUTE ON FUNCTION {called} TO {APP_ROLE}; " for called in DAYS)}
        END IF;
    END $$;"""


def make_days(apps, schema_editor):
    """The days on which events of this moment may fall; the program makes the later ones."""
    today = clock.now().date()
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT iot_make_days_v1(%s, %s)", [today - timedelta(days=31), today + timedelta(days=3)]
        )


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('identity', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Device',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('info', models.JSONField(default=dict)),
                ('heard_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ParkingBay',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('code', models.TextField(unique=True)),
                ('location_zh', models.TextField()),
                ('location_en', models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name='ParkingClaim',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('moment', models.DateTimeField()),
                ('claimed_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ParkingSession',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('state', models.TextField(default='open')),
                ('fee_fen', models.BigIntegerField(null=True)),
                ('charge_id', models.UUIDField(null=True)),
                ('late_change_fen', models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='ParkingTariff',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.TextField(unique=True)),
                ('free_minutes', models.IntegerField()),
                ('half_hour_fen', models.BigIntegerField()),
                ('day_cap_fen', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='Quarantined',
            fields=[
                ('key', models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('device', models.TextField()),
                ('service', models.TextField()),
                ('event_time', models.DateTimeField()),
                ('props', models.JSONField()),
                ('received_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('received_at', models.DateTimeField()),
                ('body', models.BinaryField()),
                ('reason', models.TextField()),
            ],
            options={
                'indexes': [models.Index(fields=['received_at'], name='iot_dead_letter_age')],
            },
        ),
        migrations.CreateModel(
            name='Twin',
            fields=[
                ('device', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='iot.device')),
                ('reported', models.JSONField(default=dict)),
                ('version', models.BigIntegerField(default=0)),
            ],
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.UniqueConstraint(fields=('source', 'external_id'), name='iot_device_once'),
        ),
        migrations.AddField(
            model_name='parkingbay',
            name='device',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to='iot.device'),
        ),
        migrations.AddField(
            model_name='parkingbay',
            name='operator',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.organisation'),
        ),
        migrations.AddField(
            model_name='parkingclaim',
            name='bay',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='iot.parkingbay'),
        ),
        migrations.AddField(
            model_name='parkingclaim',
            name='resident',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AddField(
            model_name='parkingsession',
            name='bay',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='iot.parkingbay'),
        ),
        migrations.AddField(
            model_name='parkingsession',
            name='claim',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to='iot.parkingclaim'),
        ),
        migrations.AddConstraint(
            model_name='parkingtariff',
            constraint=models.CheckConstraint(condition=models.Q(('day_cap_fen__gte', 0), ('free_minutes__gte', 0), ('half_hour_fen__gte', 0)), name='iot_parking_tariff_sound'),
        ),
        migrations.AddField(
            model_name='parkingbay',
            name='tariff',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='iot.parkingtariff'),
        ),
        migrations.AddIndex(
            model_name='quarantined',
            index=models.Index(fields=['received_at'], name='iot_quarantined_age'),
        ),
        migrations.AddIndex(
            model_name='parkingclaim',
            index=models.Index(fields=['bay', 'moment'], name='iot_parking_claim_of_bay'),
        ),
        migrations.AddIndex(
            model_name='parkingsession',
            index=models.Index(condition=models.Q(('state__in', ['ended', 'unclaimed'])), fields=['ended_at'], name='iot_parking_to_settle'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['due', 'ended', 'lapsed', 'no_fee', 'open', 'paid', 'unclaimed', 'waived'])), name='iot_parking_session_state'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.CheckConstraint(condition=models.Q(('ended_at__isnull', True), ('ended_at__gte', models.F('started_at')), _connector='OR'), name='iot_parking_session_times'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='iot_parking_session_end'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(models.Q(('state', 'open'), ('state', 'ended'), _connector='OR'), ('fee_fen__isnull', True)), models.Q(models.Q(('state', 'open'), _negated=True), models.Q(('state', 'ended'), _negated=True), ('fee_fen__gte', 0)), _connector='OR'), name='iot_parking_session_fee'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(models.Q(('state', 'due'), _negated=True), models.Q(('state', 'paid'), _negated=True), models.Q(('state', 'waived'), _negated=True)), models.Q(('charge_id__isnull', False), ('claim__isnull', False)), _connector='OR'), name='iot_parking_session_charged'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('bay',), name='iot_parking_one_open'),
        ),
        migrations.AddConstraint(
            model_name='parkingsession',
            constraint=models.UniqueConstraint(deferrable=django.db.models.constraints.Deferrable['DEFERRED'], fields=('bay', 'started_at'), name='iot_parking_start_once'),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    (SQL / "tables_v1.sql").read_text("utf-8"), "DROP TABLE iot_event, iot_inbox"
                ),
            ],
            state_operations=[
                migrations.CreateModel(
                    name='InboxMessage',
                    fields=[
                        ('id', models.BigAutoField(primary_key=True, serialize=False)),
                        ('shard', models.SmallIntegerField()),
                        ('source', models.TextField()),
                        ('received_at', models.DateTimeField()),
                        ('body', models.BinaryField()),
                    ],
                    options={
                        'db_table': 'iot_inbox',
                    },
                ),
                migrations.CreateModel(
                    name='Event',
                    fields=[
                        ('pk', models.CompositePrimaryKey('event_time', 'key', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('event_time', models.DateTimeField()),
                        ('key', models.BinaryField(max_length=32)),
                        ('service', models.TextField()),
                        ('props', models.JSONField()),
                        ('received_at', models.DateTimeField()),
                    ],
                    options={
                        'db_table': 'iot_event',
                    },
                ),
                migrations.AddField(
                    model_name='event',
                    name='device',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='iot.device'),
                ),
                migrations.AddIndex(
                    model_name='event',
                    index=models.Index(fields=['device', '-event_time'], name='iot_event_of_device'),
                ),
            ],
        ),
        sql_functions(SQL / "days_v1.sql", *DAYS),
        migrations.RunSQL(
            [f"REVOKE ALL ON FUNCTION {called} FROM PUBLIC" for called in DAYS] + [RIGHTS],
            migrations.RunSQL.noop,
        ),
        append_only("iot_event"),
        migrations.RunPython(make_days, migrations.RunPython.noop),
        # Room in each page, so that a twin changes within its page (HOT).
        migrations.RunSQL(
            "ALTER TABLE iot_twin SET (fillfactor = 60)",
            "ALTER TABLE iot_twin RESET (fillfactor)",
        ),
    ]
