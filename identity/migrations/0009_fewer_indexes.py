"""No index where another begins with the same column, or where nobody looks by it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0008_stores'),
    ]

    operations = [
        migrations.AlterField(
            model_name='accessline',
            name='delegation',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.delegation'),
        ),
        migrations.AlterField(
            model_name='accessline',
            name='desk',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.desk'),
        ),
        migrations.AlterField(
            model_name='accessline',
            name='organisation',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.organisation'),
        ),
        migrations.AlterField(
            model_name='accessline',
            name='resident',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AlterField(
            model_name='accessline',
            name='staff',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.staff'),
        ),
        migrations.AlterField(
            model_name='accessline',
            name='terminal',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.terminal'),
        ),
    ]
