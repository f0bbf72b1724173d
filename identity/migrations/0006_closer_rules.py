"""Bounds may name the scenes of logging in and of the population register too."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("identity", "0005_password_ends_sessions")]

    operations = [
        migrations.RemoveConstraint("organisation", "organisation_scenes_known"),
        migrations.AddConstraint(
            "organisation",
            models.CheckConstraint(
                condition=Q(scenes__isnull=True)
                | Q(
                    scenes__contained_by=[
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
                        "login",
                        "register",
                    ]
                ),
                name="organisation_scenes_known",
            ),
        ),
    ]
