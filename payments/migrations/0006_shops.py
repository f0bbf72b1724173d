"""Shops: unmanned ones with their doors and visits."""

import django.db.models.deletion
from django.db import migrations, models

from vpass.common.append_only import append_only


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0005_password_ends_sessions'),
        ('payments', '0005_bills'),
    ]

    operations = [
        migrations.CreateModel(
            name='ShopDoor',
            fields=[
                ('terminal', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='identity.terminal')),
                ('hold_fen', models.BigIntegerField()),
                ('stay_minutes', models.PositiveSmallIntegerField(default=60)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('hold_fen__gt', 0)), name='shop_door_hold'), models.CheckConstraint(condition=models.Q(('stay_minutes__range', (1, 1440))), name='shop_door_stay')],
            },
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
                ('door', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.shopdoor')),
                ('merchant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='payments.merchant')),
                ('order', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, to='payments.order')),
                ('payer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='identity.resident')),
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
                ('visit', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='payments.visit')),
            ],
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
    ]
