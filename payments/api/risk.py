"""What the city's accountants may ask about risk: the queue, its rules, and the payment limits."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import grades, risk
from payments.api import paying_examples as examples
from payments.api.finance import FinanceEndpoint
from payments.models import PaymentLimit, RiskCase, RiskRule
from vpass.common.api import PageQuery, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class RiskCaseQuery(PageQuery):
    state = serializers.ChoiceField(choices=["open", "cleared", "upheld"], required=False)


class RiskMerchant(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class RiskPayment(StrictSerializer):
    id = serializers.UUIDField()
    merchant = RiskMerchant()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField()
    way = serializers.CharField(help_text="code, digits, qr_static, qr_dynamic, app.")


class RiskCaseShown(StrictSerializer):
    id = serializers.UUIDField()
    outcome = serializers.CharField(
        help_text="review: it went through; confirm, pin: the payer had to; freeze: it was refused "
        "and paying is stopped."
    )
    reasons = serializers.ListField(child=serializers.CharField(), help_text="The rules' names.")
    payment = RiskPayment()
    state = serializers.CharField()
    opened_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField(allow_null=True)


class RiskDecisionRequest(StrictSerializer):
    is_fraud = serializers.BooleanField(
        help_text="True: paying is stopped, or stays so. False: a stop by risk is lifted."
    )


class RiskCaseDecidedShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class RiskRuleShown(StrictSerializer):
    name = serializers.CharField()
    kind = serializers.CharField()
    threshold = serializers.IntegerField()
    from_fen = serializers.IntegerField(help_text="Smaller payments are not looked at.")
    outcome = serializers.CharField()
    is_active = serializers.BooleanField()
    words_zh = serializers.CharField()
    words_en = serializers.CharField()


class PaymentLimitShown(StrictSerializer):
    means = serializers.CharField(help_text="static, code, signature, pin.")
    device = serializers.CharField()
    level = serializers.IntegerField()
    grade = serializers.CharField(help_text="A to D of 银发〔2017〕296号.")
    single_fen = serializers.IntegerField()
    daily_fen = serializers.IntegerField(allow_null=True, help_text="Null: by agreement.")


class RiskCases(FinanceEndpoint):
    """Payments that a rule has met."""

    @describes(
        answers={200: page_serializer(RiskCaseShown)},
        query=RiskCaseQuery,
        examples=examples.RISK_CASES,
    )
    def get(self, request: Request) -> Response:
        """List cases, newest first; those that are open wait for a decision."""
        asked = self.read_query(RiskCaseQuery)
        found = risk.cases(state=asked.get("state"))
        return self.page(found, render=_case, order=("-id",), query=RiskCaseQuery)


class RiskDecisions(FinanceEndpoint):
    """A member of staff decides."""

    @describes(
        request=RiskDecisionRequest,
        answers={200: RiskCaseDecidedShown},
        idempotent=True,
        problems=[NotFound, risk.RiskCaseDecided],
        examples=examples.RISK_DECISION,
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        """Decide a case; it is written to the audit log."""
        decided = risk.decide(
            caller=self.caller,
            case_id=case_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(RiskDecisionRequest),
        )
        return Response(vars(decided))


class RiskRules(FinanceEndpoint):
    """The rules of risk."""

    @describes(
        answers={200: page_serializer(RiskRuleShown)}, paged=True, examples=examples.RISK_RULES
    )
    def get(self, request: Request) -> Response:
        """List the rules by name."""
        return self.page(risk.rules(), render=_rule, order=("name",))


class PaymentLimits(FinanceEndpoint):
    """The central bank's limits as they are configured."""

    @describes(
        answers={200: page_serializer(PaymentLimitShown)},
        paged=True,
        examples=examples.PAYMENT_LIMITS,
    )
    def get(self, request: Request) -> Response:
        """List them."""
        return self.page(grades.limits(), render=_limit, order=("id",))


def _case(case: RiskCase) -> dict[str, Any]:
    order, organisation = case.order, case.order.merchant.organisation
    return {
        "id": case.id,
        "outcome": case.outcome,
        "reasons": case.reasons,
        "payment": {
            "id": order.id,
            "merchant": {
                "id": order.merchant_id,
                "zh": organisation.name_zh,
                "en": organisation.name_en,
            },
            "amount_fen": order.amount_fen,
            "state": order.state,
            "way": order.way,
        },
        "state": case.state,
        "opened_at": case.opened_at,
        "decided_at": case.decided_at,
        "decided_by": case.decided_by and case.decided_by.user.get_username(),
    }


def _rule(rule: RiskRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "threshold": rule.threshold,
        "from_fen": rule.from_fen,
        "outcome": rule.outcome,
        "is_active": rule.is_active,
        "words_zh": rule.words_zh,
        "words_en": rule.words_en,
    }


def _limit(limit: PaymentLimit) -> dict[str, Any]:
    return {
        "means": limit.means,
        "device": limit.device,
        "level": limit.level,
        "grade": limit.grade,
        "single_fen": limit.single_fen,
        "daily_fen": limit.daily_fen,
    }
