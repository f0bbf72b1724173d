"""The posting functions: balances over several rows, holds of an order together, batches; and histories
of any length, and seals."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

from vpass.common.append_only import APP_ROLE, append_only
from vpass.common.sql_files import sql_functions

SQL = Path(__file__).resolve().parent.parent / "sql"

LEGS = "bigint[], bigint[], bigint[]"
GIVING = "giving_shard_v1(bigint, integer, bigint, bigint)"
POST = f"post_v1(text, text, text, uuid, bigint, date, timestamptz, timestamptz, {LEGS})"
REVERSE = "reverse_v1(bigint, text, text, text, date, timestamptz, timestamptz)"
SPREAD = "spread_account_v1(bigint, integer)"
HOLD = "hold_v1(uuid, bigint, bigint, text, uuid, timestamptz, timestamptz)"
CAPTURED = f"text, text, text, uuid, date, timestamptz, timestamptz, {LEGS}"
CAPTURE_THESE = f"capture_these_v1(uuid[], {CAPTURED})"
CAPTURE = f"capture_v1(uuid, {CAPTURED})"
CAPTURE_ALL = f"capture_all_v1(uuid, {CAPTURED})"
VOID_ALL = "void_all_v1(uuid, timestamptz)"
VOID = "void_v1(uuid, timestamptz)"
EXPIRE = "expire_holds_v1(timestamptz, integer)"
BATCH = (
    "post_batch_v1(text[], text[], text[], uuid[], timestamptz[], date, timestamptz,"
    f" integer[], {LEGS})"
)

CALLED = (POST, REVERSE, SPREAD, HOLD, CAPTURE, CAPTURE_ALL, VOID_ALL, VOID, EXPIRE, BATCH)
WITHIN = (GIVING, CAPTURE_THESE)

RIGHTS = f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
            {"".join(f"GRANT EXECUTE ON FUNCTION {called} TO {APP_ROLE}; " for called in CALLED)}
            REVOKE ALL ON payments_accountline FROM {APP_ROLE};
            GRANT SELECT ON payments_accountline TO {APP_ROLE};
        END IF;
    END $$;"""

# Both halves are read backwards by the indexes on (account, id) and merged.
LINES = """
    CREATE VIEW payments_accountline AS
    SELECT p.id, p.transaction_id, p.credit_id AS account_id, p.amount_fen,
        p.amount_fen AS signed_fen FROM payments_posting p
    UNION ALL
    SELECT p.id, p.transaction_id, p.debit_id, p.amount_fen, -p.amount_fen FROM payments_posting p
"""


def account(name):
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=name,
        to='payments.account',
    )


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0002_ledger_functions'),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='shards',
            field=models.PositiveSmallIntegerField(db_default=1),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(
                condition=models.Q(('shards__gte', 1), ('shards__lte', 64)), name='account_shards'
            ),
        ),
        # The new indexes first: what reads by the old ones finds something at every moment.
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(fields=['debit', 'id'], name='posting_of_debit'),
        ),
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(fields=['credit', 'id'], name='posting_of_credit'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(fields=['window', 'id'], name='transaction_of_window'),
        ),
        migrations.AlterField(model_name='posting', name='credit', field=account('credits')),
        migrations.AlterField(model_name='posting', name='debit', field=account('debits')),
        migrations.AlterField(
            model_name='transaction',
            name='window',
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to='payments.window',
            ),
        ),
        migrations.RunSQL(LINES, "DROP VIEW payments_accountline"),
        migrations.CreateModel(
            name='AccountLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('amount_fen', models.BigIntegerField()),
                ('signed_fen', models.BigIntegerField()),
            ],
            options={'db_table': 'payments_accountline', 'managed': False},
        ),
        migrations.CreateModel(
            name='LedgerSeal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(unique=True)),
                ('after_id', models.BigIntegerField()),
                ('upto_id', models.BigIntegerField()),
                ('is_last', models.BooleanField()),
                ('transactions', models.PositiveIntegerField()),
                ('postings', models.PositiveIntegerField()),
                ('marks', models.BinaryField()),
                ('content', models.BinaryField(max_length=32)),
                ('digest', models.BinaryField(max_length=32)),
                ('sealed_at', models.DateTimeField()),
                ('window', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.window')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('is_last', True)), fields=('window',), name='ledger_seal_last_once'),
                    models.CheckConstraint(condition=models.Q(('upto_id__gte', models.F('after_id'))), name='ledger_seal_goes_forward'),
                ],
            },
        ),
        append_only("payments_ledgerseal"),
        sql_functions(SQL / "post_v1.sql", GIVING, POST, REVERSE),
        sql_functions(SQL / "spread_v1.sql", SPREAD),
        sql_functions(SQL / "hold_v1.sql", HOLD, CAPTURE_THESE, CAPTURE, CAPTURE_ALL, VOID_ALL),
        sql_functions(SQL / "post_batch_v1.sql", BATCH),
        migrations.RunSQL(
            [f"REVOKE ALL ON FUNCTION {each} FROM PUBLIC" for each in (*CALLED, *WITHIN)]
            + [RIGHTS],
            migrations.RunSQL.noop,
        ),
    ]
