"""Bills: billers and their heads, bills with lines and versions, payments, receipts."""

import django.db.models.deletion
import django.db.models.expressions
import uuid
from django.db import migrations, models

from vpass.common.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0001_initial'),
        ('payments', '0004_paying'),
    ]

    operations = [
        migrations.CreateModel(
            name='Bill',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('reference', models.TextField()),
                ('notice_code', models.TextField(unique=True)),
                ('payer_kind', models.TextField(choices=[('holder', 'Holder'), ('id_number', 'Id Number'), ('customer', 'Customer')])),
                ('payer_hash', models.BinaryField(max_length=32)),
                ('title', models.TextField()),
                ('period_from', models.DateField()),
                ('period_to', models.DateField()),
                ('due_date', models.DateField()),
                ('version', models.PositiveSmallIntegerField(default=1)),
                ('amount_fen', models.BigIntegerField()),
                ('paid_fen', models.BigIntegerField(default=0)),
                ('reserved_fen', models.BigIntegerField(default=0)),
                ('accrued', models.BigIntegerField(default=0)),
                ('accrued_until', models.DateField()),
                ('payments_opened', models.PositiveIntegerField(default=0)),
                ('state', models.TextField(default='unpaid')),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='BillPayment',
            fields=[
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='payments.order')),
                ('number', models.PositiveIntegerField()),
                ('amount_fen', models.BigIntegerField()),
                ('refunded_fen', models.BigIntegerField(default=0)),
                ('paid_at', models.DateTimeField(null=True)),
                ('released_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='BillChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_state', models.TextField()),
                ('to_state', models.TextField()),
                ('event', models.TextField()),
                ('actor', models.TextField()),
                ('at', models.DateTimeField()),
                ('bill', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='payments.bill')),
            ],
        ),
        migrations.CreateModel(
            name='Biller',
            fields=[
                ('merchant', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='payments.merchant')),
                ('kind', models.TextField(choices=[('utility', 'Utility'), ('tuition', 'Tuition'), ('hospital', 'Hospital'), ('fee', 'Fee'), ('fine', 'Fine')])),
                ('number', models.PositiveSmallIntegerField(unique=True)),
                ('surcharge_ppm', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('number__range', (1, 9999))), name='biller_number'), models.CheckConstraint(condition=models.Q(('surcharge_ppm__lte', 30000)), name='biller_surcharge')],
            },
        ),
        migrations.AddField(
            model_name='bill',
            name='biller',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.biller'),
        ),
        migrations.CreateModel(
            name='BillFollow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('payer_hash', models.BinaryField(max_length=32)),
                ('at', models.DateTimeField()),
                ('resident', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident')),
            ],
        ),
        migrations.CreateModel(
            name='BillHead',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.TextField()),
                ('name_zh', models.TextField()),
                ('name_en', models.TextField()),
                ('priority', models.PositiveSmallIntegerField()),
                ('is_surcharge', models.BooleanField(default=False)),
                ('biller', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='heads', to='payments.biller')),
            ],
        ),
        migrations.CreateModel(
            name='BillLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('period_from', models.DateField()),
                ('amount_fen', models.BigIntegerField()),
                ('paid_fen', models.BigIntegerField(default=0)),
                ('bill', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='payments.bill')),
                ('head', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.billhead')),
            ],
        ),
        migrations.CreateModel(
            name='BillReceipt',
            fields=[
                ('payment', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='payments.billpayment')),
                ('code', models.TextField(unique=True)),
                ('content', models.TextField()),
                ('signature', models.TextField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='billpayment',
            name='bill',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='payments.bill'),
        ),
        migrations.AddField(
            model_name='billpayment',
            name='payer',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.CreateModel(
            name='BillReminder',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('due_soon', 'Due Soon'), ('overdue', 'Overdue')])),
                ('due_date', models.DateField()),
                ('at', models.DateTimeField()),
                ('bill', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reminders', to='payments.bill')),
            ],
        ),
        migrations.CreateModel(
            name='BillShare',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('refund', models.UUIDField(null=True)),
                ('amount_fen', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.billline')),
                ('payment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='shares', to='payments.billpayment')),
            ],
        ),
        migrations.CreateModel(
            name='BillVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveSmallIntegerField()),
                ('title', models.TextField()),
                ('due_date', models.DateField()),
                ('lines', models.JSONField()),
                ('actor', models.TextField()),
                ('at', models.DateTimeField()),
                ('bill', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='payments.bill')),
            ],
        ),
        migrations.AddIndex(
            model_name='bill',
            index=models.Index(fields=['payer_hash', '-id'], name='bill_of_payer'),
        ),
        migrations.AddIndex(
            model_name='bill',
            index=models.Index(fields=['biller', '-id'], name='bill_of_biller'),
        ),
        migrations.AddIndex(
            model_name='bill',
            index=models.Index(condition=models.Q(('state__in', ['unpaid', 'part_paid'])), fields=['due_date'], name='bill_to_remind'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['cancelled', 'paid', 'part_paid', 'unpaid'])), name='bill_state'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.UniqueConstraint(fields=('biller', 'reference'), name='bill_reference_once'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(('period_from__lt', models.F('period_to'))), name='bill_period'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(('amount_fen__gt', 0)), name='bill_amount'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(('accrued__gte', 0)), name='bill_accrued'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(('paid_fen__gte', 0), ('reserved_fen__gte', 0), ('amount_fen__gte', django.db.models.expressions.CombinedExpression(models.F('paid_fen'), '+', models.F('reserved_fen')))), name='bill_not_overpaid'),
        ),
        migrations.AddConstraint(
            model_name='bill',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('paid_fen', 0), ('state', 'unpaid')), models.Q(('paid_fen__gt', 0), ('paid_fen__lt', models.F('amount_fen')), ('state', 'part_paid')), models.Q(('paid_fen', models.F('amount_fen')), ('state', 'paid')), models.Q(('paid_fen', 0), ('reserved_fen', 0), ('state', 'cancelled')), _connector='OR'), name='bill_state_as_paid'),
        ),
        migrations.AddConstraint(
            model_name='billfollow',
            constraint=models.UniqueConstraint(fields=('resident', 'payer_hash'), name='bill_follow_once'),
        ),
        migrations.AddConstraint(
            model_name='billhead',
            constraint=models.UniqueConstraint(fields=('biller', 'code'), name='bill_head_once'),
        ),
        migrations.AddConstraint(
            model_name='billhead',
            constraint=models.UniqueConstraint(fields=('biller', 'priority'), name='bill_head_priority'),
        ),
        migrations.AddConstraint(
            model_name='billhead',
            constraint=models.UniqueConstraint(condition=models.Q(('is_surcharge', True)), fields=('biller',), name='bill_head_surcharge_once'),
        ),
        migrations.AddConstraint(
            model_name='billline',
            constraint=models.UniqueConstraint(fields=('bill', 'head', 'period_from'), name='bill_line_once'),
        ),
        migrations.AddConstraint(
            model_name='billline',
            constraint=models.CheckConstraint(condition=models.Q(('paid_fen__gte', 0), ('paid_fen__lte', models.F('amount_fen'))), name='bill_line_not_overpaid'),
        ),
        migrations.AddIndex(
            model_name='billpayment',
            index=models.Index(fields=['payer', '-order'], name='bill_payment_of_payer'),
        ),
        migrations.AddConstraint(
            model_name='billpayment',
            constraint=models.UniqueConstraint(fields=('bill', 'number'), name='bill_payment_once'),
        ),
        migrations.AddConstraint(
            model_name='billpayment',
            constraint=models.CheckConstraint(condition=models.Q(('amount_fen__gt', 0)), name='bill_payment_amount'),
        ),
        migrations.AddConstraint(
            model_name='billpayment',
            constraint=models.CheckConstraint(condition=models.Q(('paid_at__isnull', True), ('released_at__isnull', True), _connector='OR'), name='bill_payment_one_end'),
        ),
        migrations.AddConstraint(
            model_name='billpayment',
            constraint=models.CheckConstraint(condition=models.Q(('refunded_fen', 0), models.Q(('paid_at__isnull', False), ('refunded_fen__gt', 0), ('refunded_fen__lte', models.F('amount_fen'))), _connector='OR'), name='bill_payment_refunded'),
        ),
        migrations.AddConstraint(
            model_name='billreminder',
            constraint=models.UniqueConstraint(fields=('bill', 'kind', 'due_date'), name='bill_reminder_once'),
        ),
        migrations.AddConstraint(
            model_name='billshare',
            constraint=models.UniqueConstraint(fields=('payment', 'line', 'refund'), name='bill_share_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='billshare',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount_fen__gt', 0), ('refund__isnull', True)), models.Q(('amount_fen__lt', 0), ('refund__isnull', False)), _connector='OR'), name='bill_share_sign'),
        ),
        migrations.AddConstraint(
            model_name='billversion',
            constraint=models.UniqueConstraint(fields=('bill', 'version'), name='bill_version_once'),
        ),
        append_only("payments_billversion"),
        append_only("payments_billchange"),
        append_only("payments_billshare"),
        append_only("payments_billreceipt"),
        append_only("payments_billreminder"),
    ]
