"""Merchants' stores, and the tills that stand in them."""

import django.db.models.deletion
import uuid
from django.db import migrations, models

# A till stands in a store of its own merchant's.
OF_ONE_ORGANISATION = """
    ALTER TABLE identity_terminal ADD CONSTRAINT terminal_store_of_organisation
        FOREIGN KEY (store_id, organisation_id) REFERENCES identity_store (id, organisation_id)
"""
# Merchants who have tills already get a first store, to be named and placed by its administrators.
FIRST_STORES = """
    INSERT INTO identity_store (id, organisation_id, code, name_zh, name_en, address, state)
    SELECT gen_random_uuid(), o.id, 'S01', o.name_zh, o.name_en, '', 'active'
    FROM identity_organisation o
    WHERE o.kind = 'merchant' AND EXISTS (
        SELECT FROM identity_terminal t WHERE t.organisation_id = o.id AND t.scene = 'pay');
    UPDATE identity_terminal t SET store_id = s.id FROM identity_store s
    WHERE s.organisation_id = t.organisation_id AND t.scene = 'pay';
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS ALL DEFERRED;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0007_people_rules'),
    ]

    operations = [
        migrations.CreateModel(
            name='Store',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('code', models.TextField()),
                ('name_zh', models.TextField()),
                ('name_en', models.TextField()),
                ('address', models.TextField()),
                ('longitude', models.FloatField(null=True)),
                ('latitude', models.FloatField(null=True)),
                ('state', models.TextField(default='active')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.organisation')),
            ],
        ),
        migrations.AddField(
            model_name='terminal',
            name='store',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.store'),
        ),
        migrations.AddConstraint(
            model_name='store',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['active', 'suspended'])), name='store_state'),
        ),
        migrations.AddConstraint(
            model_name='store',
            constraint=models.UniqueConstraint(fields=('organisation', 'code'), name='store_code'),
        ),
        migrations.AddConstraint(
            model_name='store',
            constraint=models.UniqueConstraint(fields=('organisation', 'name_zh'), name='store_name'),
        ),
        migrations.AddConstraint(
            model_name='store',
            constraint=models.UniqueConstraint(fields=('id', 'organisation'), name='store_of_organisation'),
        ),
        migrations.AddConstraint(
            model_name='store',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('latitude__isnull', True), ('longitude__isnull', True)), models.Q(('latitude__isnull', False), ('latitude__range', (-90, 90)), ('longitude__isnull', False), ('longitude__range', (-180, 180))), _connector='OR'), name='store_point'),
        ),
        migrations.RunSQL(
            OF_ONE_ORGANISATION,
            "ALTER TABLE identity_terminal DROP CONSTRAINT terminal_store_of_organisation",
        ),
        migrations.RunSQL(FIRST_STORES, migrations.RunSQL.noop),
    ]
