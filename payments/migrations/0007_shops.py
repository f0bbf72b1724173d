"""Shops: unmanned ones, refunds by two, and merchants taken on by two."""

import django.db.models.deletion
import vpass.common.sealed_fields
from django.db import migrations, models

from vpass.common.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0005_password_ends_sessions'),
        ('payments', '0006_openings'),
    ]

    operations = [
        migrations.CreateModel(
            name='MerchantApplication',
            fields=[
                ('proposal', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='payments.proposal')),
                ('name_zh', models.TextField()),
                ('name_en', models.TextField()),
                ('payout_account', vpass.common.sealed_fields.SealedText()),
                ('refund_alone_fen', models.BigIntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RefundRequest',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('reference', models.TextField()),
                ('amount_fen', models.BigIntegerField()),
                ('state', models.TextField(default='asked')),
                ('asked_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='ShopDoor',
            fields=[
                ('terminal', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='identity.terminal')),
                ('hold_fen', models.BigIntegerField()),
                ('stay_minutes', models.PositiveSmallIntegerField(default=60)),
            ],
        ),
        migrations.CreateModel(
            name='Visit',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('merchant_reference', models.TextField()),
                ('held_fen', models.BigIntegerField()),
                ('grade', models.TextField()),
                ('state', models.TextField(default='inside')),
                ('entered_at', models.DateTimeField()),
                ('leave_by', models.DateTimeField()),
                ('left_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='VisitChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_state', models.TextField()),
                ('to_state', models.TextField()),
                ('event', models.TextField()),
                ('actor', models.TextField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='merchant',
            name='credit_code',
            field=models.TextField(null=True, unique=True),
        ),
        migrations.AddField(
            model_name='merchant',
            name='refund_alone_fen',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='order',
            name='cashier',
            field=models.TextField(null=True),
        ),
        migrations.AlterField(
            model_name='proposal',
            name='action',
            field=models.TextField(choices=[('window.close', 'Close Window'), ('settlement.approve', 'Approve Settlement'), ('wallet.open', 'Open Wallet'), ('merchant.open', 'Open Merchant')]),
        ),
        migrations.AddConstraint(
            model_name='merchant',
            constraint=models.CheckConstraint(condition=models.Q(('refund_alone_fen__isnull', True), ('refund_alone_fen__gte', 0), _connector='OR'), name='merchant_refund_alone'),
        ),
        migrations.AddField(
            model_name='merchantapplication',
            name='bank',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.bank'),
        ),
        migrations.AddField(
            model_name='refundrequest',
            name='asked_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='identity.terminal'),
        ),
        migrations.AddField(
            model_name='refundrequest',
            name='decided_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='identity.terminal'),
        ),
        migrations.AddField(
            model_name='refundrequest',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refund_requests', to='payments.order'),
        ),
        migrations.AddField(
            model_name='refundrequest',
            name='refund',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to='payments.refund'),
        ),
        migrations.AddConstraint(
            model_name='shopdoor',
            constraint=models.CheckConstraint(condition=models.Q(('hold_fen__gt', 0)), name='shop_door_hold'),
        ),
        migrations.AddConstraint(
            model_name='shopdoor',
            constraint=models.CheckConstraint(condition=models.Q(('stay_minutes__range', (1, 1440))), name='shop_door_stay'),
        ),
        migrations.AddField(
            model_name='visit',
            name='door',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.shopdoor'),
        ),
        migrations.AddField(
            model_name='visit',
            name='merchant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.merchant'),
        ),
        migrations.AddField(
            model_name='visit',
            name='order',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to='payments.order'),
        ),
        migrations.AddField(
            model_name='visit',
            name='payer',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident'),
        ),
        migrations.AddField(
            model_name='visitchange',
            name='visit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='payments.visit'),
        ),
        migrations.AddIndex(
            model_name='refundrequest',
            index=models.Index(condition=models.Q(('state', 'asked')), fields=['asked_at'], name='refund_request_to_end'),
        ),
        migrations.AddConstraint(
            model_name='refundrequest',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['approved', 'asked', 'expired', 'rejected'])), name='refund_request_state'),
        ),
        migrations.AddConstraint(
            model_name='refundrequest',
            constraint=models.UniqueConstraint(fields=('order', 'reference'), name='refund_request_once'),
        ),
        migrations.AddConstraint(
            model_name='refundrequest',
            constraint=models.CheckConstraint(condition=models.Q(('amount_fen__gt', 0)), name='refund_request_amount'),
        ),
        migrations.AddConstraint(
            model_name='refundrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_by__isnull', False), ('refund__isnull', False), ('state', 'approved'), models.Q(('asked_by', models.F('decided_by')), _negated=True)), models.Q(models.Q(('state', 'approved'), _negated=True), ('refund__isnull', True)), _connector='OR'), name='refund_request_four_eyes'),
        ),
        migrations.AddIndex(
            model_name='visit',
            index=models.Index(fields=['payer', '-id'], name='visit_of_payer'),
        ),
        migrations.AddIndex(
            model_name='visit',
            index=models.Index(condition=models.Q(('state', 'inside')), fields=['leave_by'], name='visit_to_end'),
        ),
        migrations.AddConstraint(
            model_name='visit',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['expired', 'inside', 'left', 'paid'])), name='visit_state'),
        ),
        migrations.AddConstraint(
            model_name='visit',
            constraint=models.UniqueConstraint(fields=('merchant', 'merchant_reference'), name='visit_reference_once'),
        ),
        migrations.AddConstraint(
            model_name='visit',
            constraint=models.CheckConstraint(condition=models.Q(('held_fen__gt', 0)), name='visit_held'),
        ),
        migrations.AddConstraint(
            model_name='visit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('left_at__isnull', True), ('state', 'inside')), models.Q(models.Q(('state', 'inside'), _negated=True), ('left_at__isnull', False)), _connector='OR'), name='visit_left'),
        ),
        migrations.AddConstraint(
            model_name='visit',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('order__isnull', False), ('state', 'paid')), models.Q(models.Q(('state', 'paid'), _negated=True), ('order__isnull', True)), _connector='OR'), name='visit_paid'),
        ),
        append_only("payments_visitchange"),
        append_only("payments_merchantapplication"),
    ]
