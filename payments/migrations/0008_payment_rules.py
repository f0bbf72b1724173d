"""The day on which a payment was counted, and default rules of risk, so that a city that was never
seeded is not without."""

from django.db import migrations, models


# What a city has changed stays as it is.
RULES = """
    INSERT INTO payments_riskrule
        (name, kind, threshold, from_fen, outcome, is_active, words_zh, words_en)
    VALUES
        ('burst', 'hour_count', 30, 0, 'confirm', true,
            '一小时内付款超过 30 笔', 'More than 30 payments in an hour'),
        ('flood', 'hour_count', 120, 0, 'freeze', true,
            '一小时内付款超过 120 笔', 'More than 120 payments in an hour'),
        ('large-day', 'day_fen', 2000000, 0, 'pin', true,
            '24 小时内付款超过 2 万元', 'More than ¥20,000 in 24 hours'),
        ('large', 'amount_fen', 1000000, 0, 'review', true,
            '单笔超过 1 万元', 'A payment above ¥10,000'),
        ('new-phone', 'new_device_hours', 24, 50000, 'confirm', true,
            '新手机绑定未满 24 小时', 'A phone bound for less than 24 hours'),
        ('other-county', 'other_county', 5, 20000, 'confirm', true,
            '在从未付过款的县市区付款', 'A county in which the payer never paid before')
    ON CONFLICT (name) DO NOTHING
"""


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0007_shops'),
    ]

    operations = [
        migrations.AddField(
            model_name='order',
            name='counted_on',
            field=models.DateField(null=True),
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
