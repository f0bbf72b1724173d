"""Whoever's password changes is signed out everywhere, however it was changed."""

from django.conf import settings
from django.db import migrations

_FORWARDS = """
CREATE FUNCTION identity_end_sessions_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE identity_staffsession s SET ended_at = s.created_at FROM identity_staff p
        WHERE p.user_id = NEW.id AND s.staff_id = p.id AND s.ended_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER identity_end_sessions AFTER UPDATE OF password ON auth_user FOR EACH ROW
    WHEN (OLD.password IS DISTINCT FROM NEW.password) EXECUTE FUNCTION identity_end_sessions_v1();
"""
_BACKWARDS = """
DROP TRIGGER identity_end_sessions ON auth_user;
DROP FUNCTION identity_end_sessions_v1();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0004_registration"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunSQL(_FORWARDS, _BACKWARDS)]
