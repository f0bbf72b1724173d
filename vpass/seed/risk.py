"""The demo city's rules of risk: rows, which its accountants read and its administrators change."""

from payments.models import RiskRule

Kind, Outcome = RiskRule.Kind, RiskRule.Outcome

RULES = [
    ("burst", Kind.HOUR_COUNT, 30, 0, Outcome.CONFIRM,
     "一小时内付款超过 30 笔", "More than 30 payments in an hour"),
    ("flood", Kind.HOUR_COUNT, 120, 0, Outcome.FREEZE,
     "一小时内付款超过 120 笔", "More than 120 payments in an hour"),
    ("large-day", Kind.DAY_FEN, 2_000_000, 0, Outcome.PIN,
     "24 小时内付款超过 2 万元", "More than ¥20,000 in 24 hours"),
    ("large", Kind.AMOUNT_FEN, 1_000_000, 0, Outcome.REVIEW,
     "单笔超过 1 万元", "A payment above ¥10,000"),
    ("new-phone", Kind.NEW_DEVICE_HOURS, 24, 50_000, Outcome.CONFIRM,
     "新手机绑定未满 24 小时", "A phone bound for less than 24 hours"),
    ("other-county", Kind.OTHER_COUNTY, 5, 20_000, Outcome.CONFIRM,
     "在从未付过款的县市区付款", "A county in which the payer never paid before"),
]  # fmt: skip


def lay_down_rules() -> None:
    """Write the rules that are not there yet; a migrated database has them."""
    rows = [
        RiskRule(
            name=name,
            kind=kind,
            threshold=threshold,
            from_fen=from_fen,
            outcome=outcome,
            words_zh=words_zh,
            words_en=words_en,
        )
        for name, kind, threshold, from_fen, outcome, words_zh, words_en in RULES
    ]
    RiskRule.objects.bulk_create(rows, ignore_conflicts=True)
