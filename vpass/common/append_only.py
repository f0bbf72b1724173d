"""Makes a table append-only, in a migration: no UPDATE, DELETE or TRUNCATE by anyone.

The application's role loses the right, and triggers refuse everyone else, the owner included.
"""

import re

from django.db import migrations

APP_ROLE = "vpass_app"  # the role of the running program; a site's log-ins are members of it

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def append_only(table: str) -> migrations.RunSQL:
    """The migration operation which makes `table` append-only, and its reverse.

    It needs migration 0001 of `common`. The row trigger is inherited by partitions. Refusals have
    SQLSTATE 42501 (insufficient_privilege).
    """
    if not _NAME.fullmatch(table):
        raise ValueError(f"not a table name: {table!r}")
    return migrations.RunSQL(
        sql=f"""
            CREATE TRIGGER {table}_keep_rows BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_change_v1();
            CREATE TRIGGER {table}_keep_all BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();
            {_if_role_exists(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APP_ROLE}")}
        """,
        reverse_sql=f"""
            DROP TRIGGER {table}_keep_rows ON {table};
            DROP TRIGGER {table}_keep_all ON {table};
            {_if_role_exists(f"GRANT UPDATE, DELETE ON {table} TO {APP_ROLE}")}
        """,
    )


def _if_role_exists(statement: str) -> str:
    # A scratch database may have been made without the roles.
    return f"""
            DO $$ BEGIN
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
                    {statement};
                END IF;
            END $$;"""
