import django.db.models.deletion
import uuid
import vpass.common.sealed_fields
from django.db import migrations, models

from vpass.common.append_only import append_only
from vpass.common.sealed_fields import lookup_hash


def hash_numbers(apps, schema_editor):
    """Give the ID numbers that are known already the hash by which they are found."""
    residents = apps.get_model('identity', 'Resident').objects
    for resident in residents.filter(id_number__isnull=False).only('id', 'id_number').iterator():
        residents.filter(id=resident.id).update(
            id_number_hash=lookup_hash('id_number', resident.id_number)
        )


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='InPersonCheck',
            fields=[
                ('line', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='identity.accessline')),
                ('document_kind', models.TextField(choices=[('id_card', 'Id Card'), ('temporary_id_card', 'Temporary Id Card'), ('household_register', 'Household Register'), ('passport', 'Passport')])),
                ('case_number', models.TextField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='LevelCheck',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('face', 'Face'), ('counter', 'Counter')])),
                ('secret_hash', models.BinaryField(max_length=32)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('state', models.TextField(default='asked')),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='RegisterChange',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField()),
                ('track', models.TextField()),
                ('sequence', models.PositiveBigIntegerField()),
                ('census_hash', models.BinaryField(max_length=32)),
                ('digest', models.BinaryField(max_length=32)),
                ('body', vpass.common.sealed_fields.SealedText(null=True)),
                ('state', models.TextField(default='received')),
                ('received_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Takeover',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reference', vpass.common.sealed_fields.SealedText()),
                ('reference_hash', models.BinaryField(max_length=32, unique=True)),
                ('imported_at', models.DateTimeField()),
                ('claimed_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='enrolment',
            name='enrolment_state',
        ),
        migrations.RemoveConstraint(
            model_name='entitlement',
            name='entitlement_known',
        ),
        migrations.RemoveConstraint(
            model_name='suspension',
            name='suspension_known',
        ),
        migrations.AddField(
            model_name='device',
            name='attestation_challenge',
            field=models.BinaryField(max_length=32, null=True, unique=True),
        ),
        migrations.AddField(
            model_name='device',
            name='attested_root',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='resident',
            name='id_number_hash',
            field=models.BinaryField(max_length=32, null=True),
        ),
        migrations.RunPython(hash_numbers, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('attestation_challenge', None), ('attested_root', None), ('grade', 'software')), models.Q(('attestation_challenge__isnull', False), ('attested_root__isnull', False), ('grade', 'hardware')), _connector='OR'), name='device_grade_attested'),
        ),
        migrations.AddConstraint(
            model_name='enrolment',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['expired', 'failed', 'phone_given', 'phone_proven'])), name='enrolment_state'),
        ),
        migrations.AddConstraint(
            model_name='entitlement',
            constraint=models.CheckConstraint(condition=models.Q(('attributes__contained_by', ['real_name', 'id_number', 'id_last4', 'birth_date', 'sex', 'over_18', 'over_65', 'phone', 'photo'])), name='entitlement_known'),
        ),
        migrations.AddConstraint(
            model_name='resident',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'closed'), _negated=True), fields=('id_number_hash',), name='resident_number_once'),
        ),
        migrations.AddConstraint(
            model_name='suspension',
            constraint=models.CheckConstraint(condition=models.Q(('source__in', ['holder', 'police', 'risk', 'operator', 'register']), ('scope__in', ['all', 'pay', 'bus', 'door'])), name='suspension_known'),
        ),
        migrations.AddField(
            model_name='inpersoncheck',
            name='desk',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.desk'),
        ),
        migrations.AddField(
            model_name='inpersoncheck',
            name='organisation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.organisation'),
        ),
        migrations.AddField(
            model_name='inpersoncheck',
            name='resident',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AddField(
            model_name='inpersoncheck',
            name='staff',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.staff'),
        ),
        migrations.AddField(
            model_name='levelcheck',
            name='device',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='identity.device'),
        ),
        migrations.AddField(
            model_name='levelcheck',
            name='resident',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='identity.resident'),
        ),
        migrations.AddField(
            model_name='registerchange',
            name='organisation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.organisation'),
        ),
        migrations.AddField(
            model_name='registerchange',
            name='resident',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AddField(
            model_name='takeover',
            name='resident',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AddConstraint(
            model_name='inpersoncheck',
            constraint=models.CheckConstraint(condition=models.Q(('document_kind__in', ['id_card', 'temporary_id_card', 'household_register', 'passport'])), name='in_person_document_known'),
        ),
        migrations.AddConstraint(
            model_name='inpersoncheck',
            constraint=models.CheckConstraint(condition=models.Q(('case_number', ''), _negated=True), name='in_person_case_said'),
        ),
        migrations.AddConstraint(
            model_name='levelcheck',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['asked', 'expired', 'failed', 'passed'])), name='level_check_state'),
        ),
        migrations.AddConstraint(
            model_name='levelcheck',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['face', 'counter'])), name='level_check_kind'),
        ),
        migrations.AddConstraint(
            model_name='levelcheck',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'asked')), fields=('resident', 'kind'), name='level_check_one_asked'),
        ),
        migrations.AddIndex(
            model_name='registerchange',
            index=models.Index(condition=models.Q(('state', 'review')), fields=['received_at'], name='register_change_waiting'),
        ),
        migrations.AddIndex(
            model_name='registerchange',
            index=models.Index(fields=['census_hash'], name='register_change_of_person'),
        ),
        migrations.AddConstraint(
            model_name='registerchange',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['applied', 'dismissed', 'received', 'review', 'superseded', 'unknown'])), name='register_change_state'),
        ),
        migrations.AddConstraint(
            model_name='registerchange',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['name_changed', 'number_corrected', 'died', 'death_withdrawn']), ('track__in', ['name', 'number', 'life'])), name='register_change_known'),
        ),
        migrations.AddConstraint(
            model_name='registerchange',
            constraint=models.CheckConstraint(condition=models.Q(('state', 'review'), ('body__isnull', True), _connector='OR'), name='register_change_body_gone'),
        ),
        migrations.AddConstraint(
            model_name='registerchange',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'applied')), fields=('resident', 'track', 'sequence'), name='register_change_applied_once'),
        ),
        append_only("identity_inpersoncheck"),
    ]
