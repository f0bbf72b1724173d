"""How the city's accountants change limits and rules, two of them for each, and what changed."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import proposals, rule_changes
from payments.api import store_examples as examples
from payments.api.finance import FinanceEndpoint, ProposalDecided
from payments.models import CAPS, PaymentLimit, Proposal, RiskRule, SettingChange
from payments.orders import MAX_PAYMENT_FEN
from vpass.common.api import StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound

_FEN_MAX = 10**9


class ChangeReason(StrictSerializer):
    reason = serializers.CharField(
        min_length=5, max_length=200, help_text="For the second person; nothing personal."
    )


class LimitChangeRequest(ChangeReason):
    means = serializers.ChoiceField(choices=PaymentLimit.Means.choices)
    device = serializers.ChoiceField(choices=["hardware", "software"])
    level = serializers.IntegerField(min_value=1, max_value=3)
    single_fen = serializers.IntegerField(
        min_value=0, max_value=MAX_PAYMENT_FEN, help_text="Above it more is needed."
    )
    daily_fen = serializers.IntegerField(
        min_value=0,
        max_value=_FEN_MAX,
        allow_null=True,
        help_text="At least single_fen, and at most what the central bank allows of the grade: "
        + ", ".join(f"{grade} {cap}" for grade, cap in CAPS.items() if cap is not None)
        + "; null, by agreement, for A alone.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A day has room for one payment."""
        if attrs["daily_fen"] is not None and attrs["daily_fen"] < attrs["single_fen"]:
            raise serializers.ValidationError({"daily_fen": "min_value"}, code="min_value")
        return attrs


class RuleChangeRequest(ChangeReason):
    name = serializers.SlugField(max_length=40, help_text="Of a rule that stands, or a new one.")
    kind = serializers.ChoiceField(choices=RiskRule.Kind.choices)
    threshold = serializers.IntegerField(
        min_value=0,
        max_value=max(rule_changes.REACH.values()),
        help_text="At most "
        + ", ".join(f"{kind} {most}" for kind, most in rule_changes.REACH.items())
        + ".",
    )
    from_fen = serializers.IntegerField(
        min_value=0, max_value=MAX_PAYMENT_FEN, help_text="Smaller payments are not looked at."
    )
    outcome = serializers.ChoiceField(choices=RiskRule.Outcome.choices)
    is_active = serializers.BooleanField()
    words_zh = serializers.CharField(max_length=100)
    words_en = serializers.CharField(max_length=100)


class SettingChangeShown(StrictSerializer):
    id = serializers.UUIDField()
    action = serializers.CharField()
    subject = serializers.CharField(
        help_text="A limit as \"means:device:level\", a rule's name, a merchant's or a door's id."
    )
    before = serializers.DictField(allow_null=True, help_text="Null for something new.")
    after = serializers.DictField()
    reason = serializers.CharField()
    proposed_by = serializers.CharField()
    approved_by = serializers.CharField()
    at = serializers.DateTimeField()


class LimitChanges(FinanceEndpoint):
    """A limit is to change."""

    @describes(
        request=LimitChangeRequest,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[
            NotFound,
            rule_changes.LimitBeyondCap,
            rule_changes.NothingChanges,
            proposals.ProposalWaiting,
        ],
        examples=examples.CHANGE_LIMIT,
    )
    def post(self, request: Request) -> Response:
        """Propose it; once another accountant has approved, the next payment is bounded so."""
        asked = self.read(LimitChangeRequest)
        named = {name: asked[name] for name in ("means", "device", "level")}
        proposed = proposals.propose_change(
            caller=self.caller,
            action=Proposal.Action.SET_LIMIT,
            subject=rule_changes.limit_subject(**named),
            detail={name: asked[name] for name in ("single_fen", "daily_fen")},
            reason=asked["reason"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(proposed), status=201)


class RuleChanges(FinanceEndpoint):
    """A rule of risk is to change, or a new one to come."""

    @describes(
        request=RuleChangeRequest,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[
            rule_changes.RuleOutOfReach,
            rule_changes.RuleKindStays,
            rule_changes.NothingChanges,
            proposals.ProposalWaiting,
        ],
        examples=examples.CHANGE_RULE,
    )
    def post(self, request: Request) -> Response:
        """Propose it; once another accountant has approved, the next payment is judged so."""
        asked = dict(self.read(RuleChangeRequest))
        proposed = proposals.propose_change(
            caller=self.caller,
            action=Proposal.Action.SET_RULE,
            subject=asked.pop("name"),
            reason=asked.pop("reason"),
            detail=asked,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(proposed), status=201)


class SettingChanges(FinanceEndpoint):
    """What two people have changed."""

    @describes(
        answers={200: page_serializer(SettingChangeShown)},
        paged=True,
        examples=examples.SETTING_CHANGES,
    )
    def get(self, request: Request) -> Response:
        """List changes, newest first, with what stood before."""
        return self.page(proposals.setting_changes(), render=_change, order=("-id",))


def _change(change: SettingChange) -> dict[str, Any]:
    proposal = change.proposal
    decided_by = proposal.decided_by
    return {
        "id": change.id,
        "action": proposal.action,
        "subject": proposal.subject,
        "before": change.before,
        "after": change.after,
        "reason": proposal.reason,
        "proposed_by": proposal.proposed_by.user.get_username(),
        "approved_by": decided_by and decided_by.user.get_username(),
        "at": change.at,
    }
