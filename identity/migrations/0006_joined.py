"""Finds enrolments by their number, and knows the scenes of logins and of the register."""

from django.db import migrations, models
from django.db.models import Q

_SCENES = [
    "id",
    "pay",
    "bus",
    "door",
    "library",
    "check_in",
    "remote",
    "department",
    "issuer",
    "operations",
    "register",
    "login",
]


class Migration(migrations.Migration):
    dependencies = [("identity", "0005_password_ends_sessions")]

    operations = [
        migrations.AddField(
            model_name="enrolment",
            name="phone_hash",
            # Rows of before go within 30 days.
            field=models.BinaryField(max_length=32, default=b""),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="enrolment",
            index=models.Index(fields=["phone_hash"], name="enrolment_of_phone"),
        ),
        migrations.RemoveConstraint(
            model_name="organisation", name="organisation_scenes_known"
        ),
        migrations.AddConstraint(
            model_name="organisation",
            constraint=models.CheckConstraint(
                condition=Q(scenes__isnull=True) | Q(scenes__contained_by=_SCENES),
                name="organisation_scenes_known",
            ),
        ),
    ]
