"""Where payments were made, doors that close, and settings that two people change."""

import django.db.models.deletion
from django.db import migrations, models

from vpass.common.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0008_stores'),
        ('payments', '0008_payment_rules'),
    ]

    operations = [
        migrations.CreateModel(
            name='SettingChange',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='order',
            name='store',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, to='identity.store'),
        ),
        migrations.AddField(
            model_name='proposal',
            name='detail',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='proposal',
            name='reason',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='shopdoor',
            name='state',
            field=models.TextField(db_default='open', default='open'),
        ),
        migrations.AlterField(
            model_name='proposal',
            name='action',
            field=models.TextField(choices=[('window.close', 'Close Window'), ('settlement.approve', 'Approve Settlement'), ('wallet.open', 'Open Wallet'), ('merchant.open', 'Open Merchant'), ('merchant.reinstate', 'Reinstate Merchant'), ('merchant.refund_alone', 'Set Refund Alone'), ('payment_limit.set', 'Set Limit'), ('risk_rule.set', 'Set Rule'), ('shop_door.open', 'Open Door')]),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('store__isnull', False)), fields=['store', '-id'], name='order_of_store'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('action__in', ['merchant.reinstate', 'merchant.refund_alone', 'payment_limit.set', 'risk_rule.set', 'shop_door.open']), ('detail__isnull', False), ('reason__isnull', False)), models.Q(models.Q(('action__in', ['merchant.reinstate', 'merchant.refund_alone', 'payment_limit.set', 'risk_rule.set', 'shop_door.open']), _negated=True), ('detail__isnull', True), ('reason__isnull', True)), _connector='OR'), name='proposal_change'),
        ),
        migrations.AddConstraint(
            model_name='shopdoor',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['closed', 'open'])), name='shop_door_state'),
        ),
        migrations.AddField(
            model_name='settingchange',
            name='proposal',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to='payments.proposal'),
        ),
        migrations.AddConstraint(
            model_name='paymentlimit',
            constraint=models.CheckConstraint(condition=models.Q(('daily_fen__isnull', True), ('grade', 'A'), models.Q(('daily_fen__lte', 500000), ('grade', 'B')), models.Q(('daily_fen__lte', 100000), ('grade', 'C')), models.Q(('daily_fen__lte', 50000), ('grade', 'D')), _connector='OR'), name='payment_limit_cap'),
        ),
        append_only("payments_settingchange"),
    ]
