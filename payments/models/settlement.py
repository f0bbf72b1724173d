"""Settlement windows, what each merchant gets of one, and proposals that need a second person."""

from django.db import models
from django.db.models import F, Q

from identity.models import Staff, Takeover
from payments import states
from vpass.common.sealed_fields import SealedText

# The actions of a proposal that change something, and say why.
_CHANGES = [
    "merchant.reinstate",
    "merchant.refund_alone",
    "payment_limit.set",
    "risk_rule.set",
    "shop_door.open",
]


class Window(models.Model):
    """The time between two cut-offs; a transaction belongs to the window it was posted in."""

    business_date = models.DateField()
    state = models.TextField(default=states.WINDOW.initial)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.WINDOW.sql_check("state", "window_state"),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="open"), name="window_one_open"
            ),
        ]


class WindowChange(models.Model):
    """The history of a window. Append-only."""

    window = models.ForeignKey(Window, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()


class SettlementLine(models.Model):
    """A merchant's part of a window: paid, less refunds and fees, and what was carried on."""

    window = models.ForeignKey(Window, models.PROTECT, related_name="lines")
    merchant = models.ForeignKey("payments.Merchant", models.PROTECT)
    gross_fen = models.BigIntegerField()
    refunded_fen = models.BigIntegerField()
    fee_fen = models.BigIntegerField(default=0)
    carried_fen = models.BigIntegerField(default=0)
    net_fen = models.BigIntegerField()
    payout = models.OneToOneField("payments.Payout", models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["window", "merchant"], name="settlement_line_once"),
            models.CheckConstraint(
                condition=Q(
                    net_fen=F("gross_fen") - F("refunded_fen") - F("fee_fen") + F("carried_fen")
                ),
                name="settlement_line_adds_up",
            ),
        ]


class Proposal(models.Model):
    """Something powerful that one person proposes and another approves.

    `subject` is a window's number, the id of a takeover whose balance, `amount_fen`, is opened, or
    what is changed, to `detail` and for `reason`.
    """

    class Action(models.TextChoices):
        CLOSE_WINDOW = "window.close"
        APPROVE_SETTLEMENT = "settlement.approve"
        OPEN_WALLET = "wallet.open"
        OPEN_MERCHANT = "merchant.open"
        REINSTATE_MERCHANT = "merchant.reinstate"
        SET_REFUND_ALONE = "merchant.refund_alone"
        SET_LIMIT = "payment_limit.set"
        SET_RULE = "risk_rule.set"
        OPEN_DOOR = "shop_door.open"

    id = models.UUIDField(primary_key=True)
    action = models.TextField(choices=Action.choices)
    subject = models.TextField()
    takeover = models.ForeignKey(Takeover, models.PROTECT, null=True)
    amount_fen = models.BigIntegerField(null=True)
    detail = models.JSONField(null=True)
    reason = models.TextField(null=True)
    proposed_by = models.ForeignKey(Staff, models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(Staff, models.PROTECT, null=True, related_name="+")
    state = models.TextField(default=states.PROPOSAL.initial)
    proposed_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.PROPOSAL.sql_check("state", "proposal_state"),
            models.UniqueConstraint(
                fields=["action", "subject"],
                condition=Q(state="proposed"),
                name="proposal_open_once",
            ),
            models.CheckConstraint(
                condition=~Q(proposed_by=F("decided_by"), state="approved"),
                name="proposal_four_eyes",
            ),
            models.CheckConstraint(
                condition=Q(action="wallet.open", takeover__isnull=False, amount_fen__gt=0)
                | (~Q(action="wallet.open") & Q(takeover__isnull=True, amount_fen__isnull=True)),
                name="proposal_opening",
            ),
            models.CheckConstraint(
                condition=Q(action__in=_CHANGES, detail__isnull=False, reason__isnull=False)
                | (~Q(action__in=_CHANGES) & Q(detail__isnull=True, reason__isnull=True)),
                name="proposal_change",
            ),
        ]


class SettingChange(models.Model):
    """What an approved proposal has changed; `before` is null for something new. Append-only."""

    id = models.UUIDField(primary_key=True)
    proposal = models.OneToOneField(Proposal, models.PROTECT)
    before = models.JSONField(null=True)
    after = models.JSONField()
    at = models.DateTimeField()


class MerchantApplication(models.Model):
    """The firm that a proposal is about, whose subject is its credit code. Append-only.

    `payout_account` is the token of the account at `bank` to which settlements are to go.
    """

    proposal = models.OneToOneField(Proposal, models.PROTECT, primary_key=True)
    name_zh = models.TextField()
    name_en = models.TextField()
    bank = models.ForeignKey("payments.Bank", models.PROTECT)
    payout_account = SealedText()
    refund_alone_fen = models.BigIntegerField(null=True)
