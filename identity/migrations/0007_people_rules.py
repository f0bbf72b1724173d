"""A wish to be forgotten ends with its phone; logins that nobody answered are found to purge."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0006_joined")]

    operations = [
        migrations.AddField(
            model_name="deletion",
            name="device",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, to="identity.device"
            ),
        ),
        migrations.AddIndex(
            model_name="login",
            index=models.Index(
                condition=models.Q(("resident", None)),
                fields=["expires_at"],
                name="login_of_nobody",
            ),
        ),
    ]
