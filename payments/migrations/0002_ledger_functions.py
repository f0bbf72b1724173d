"""The only way to write the ledger: functions of the owner, called by the application's role."""

from pathlib import Path

from django.db import migrations

from vpass.common.append_only import APP_ROLE
from vpass.common.sql_files import sql_functions

SQL = Path(__file__).resolve().parent.parent / "sql"

TABLES = ", ".join(
    f"payments_{name}" for name in ("account", "balance", "transaction", "posting", "hold")
)
OPEN_WINDOW = "open_window_v1(timestamptz, date)"
CLOSE_WINDOW = "close_window_v1(timestamptz, date)"
GUARD_WINDOW = "guard_window_v1()"
ACCOUNT = "account_v1(text, text, bigint)"
RANK = "ledger_rank_v1(text)"
REFUSE_EMPTY = "refuse_empty_transaction_v1()"

CALLED = (OPEN_WINDOW, CLOSE_WINDOW, ACCOUNT)


def for_app_role(*statements):
    """The statements, for a database that has the application's role; a scratch one may not."""
    return f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
                {"".join(f"{statement}; " for statement in statements)}
            END IF;
        END $$;"""


RIGHTS = for_app_role(
    f"REVOKE ALL ON {TABLES} FROM {APP_ROLE}",
    f"GRANT SELECT ON {TABLES} TO {APP_ROLE}",
    *(f"GRANT EXECUTE ON FUNCTION {called} TO {APP_ROLE}" for called in CALLED),
)
FORMER_RIGHTS = for_app_role(
    f"GRANT SELECT, INSERT ON {TABLES} TO {APP_ROLE}",
    f"GRANT UPDATE, DELETE ON payments_account, payments_balance, payments_hold TO {APP_ROLE}",
)
GUARDS = """
    CREATE CONSTRAINT TRIGGER payments_transaction_not_empty AFTER INSERT ON payments_transaction
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_empty_transaction_v1();
    CREATE TRIGGER payments_window_opens BEFORE INSERT ON payments_window
        FOR EACH ROW WHEN (NEW.state = 'open') EXECUTE FUNCTION guard_window_v1();
    CREATE TRIGGER payments_window_turns BEFORE UPDATE ON payments_window
        FOR EACH ROW WHEN ((OLD.state = 'open') <> (NEW.state = 'open'))
        EXECUTE FUNCTION guard_window_v1();
    CREATE TRIGGER payments_window_goes BEFORE DELETE ON payments_window
        FOR EACH ROW WHEN (OLD.state = 'open') EXECUTE FUNCTION guard_window_v1();
"""
NO_GUARDS = """
    DROP TRIGGER payments_window_goes ON payments_window;
    DROP TRIGGER payments_window_turns ON payments_window;
    DROP TRIGGER payments_window_opens ON payments_window;
    DROP TRIGGER payments_transaction_not_empty ON payments_transaction;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0001_initial'),
    ]

    operations = [
        sql_functions(SQL / "window_v1.sql", OPEN_WINDOW, CLOSE_WINDOW, GUARD_WINDOW),
        sql_functions(SQL / "account_v1.sql", ACCOUNT),
        sql_functions(SQL / "ledger_v1.sql", RANK, REFUSE_EMPTY),
        migrations.RunSQL(GUARDS, NO_GUARDS),
        migrations.RunSQL(
            [f"REVOKE ALL ON FUNCTION {called} FROM PUBLIC" for called in CALLED] + [RIGHTS],
            FORMER_RIGHTS,
        ),
        # Half of each page stays free, so that a balance changes within its page (HOT).
        migrations.RunSQL(
            "ALTER TABLE payments_balance SET (fillfactor = 50)",
            "ALTER TABLE payments_balance RESET (fillfactor)",
        ),
        migrations.RunSQL(
            "CREATE INDEX hold_to_expire ON payments_hold (expires_at) WHERE state = 'open'",
            "DROP INDEX hold_to_expire",
        ),
    ]
