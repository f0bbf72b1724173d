"""Runs a versioned .sql file of functions in a migration."""

from pathlib import Path

from django.db import migrations


def sql_functions(path: Path, *signatures: str) -> migrations.RunSQL:
    """The migration operation which creates the functions in the file at `path`.

    `signatures` name them for the way back, such as "post_v1(bigint, text)". A function is never
    replaced in place: a new version has a new name, so that the old program still runs.
    """
    return migrations.RunSQL(
        sql=path.read_text(encoding="utf-8"),
        reverse_sql=[f"DROP FUNCTION {signature}" for signature in reversed(signatures)],
    )
