"""What the city's accountants may ask: windows, what each merchant gets, and proposals for two."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity.registration import NameTaken
from payments import ledger, merchants, openings, proposals, rule_changes, shop_doors
from payments.api import bank_examples as examples
from payments.models import Proposal, SettlementLine, Window
from payments.queries import AccountLine
from payments.settlement import netting, windows
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition

FINANCE = frozenset({"finance"})


class WindowStep(StrictSerializer):
    state = serializers.CharField()
    event = serializers.CharField()
    actor = serializers.CharField()
    at = serializers.DateTimeField()


class WindowShown(StrictSerializer):
    id = serializers.IntegerField()
    business_date = serializers.DateField()
    state = serializers.CharField()
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    history = WindowStep(many=True)


class LineMerchant(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class LinePayout(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()
    reason = serializers.CharField(allow_null=True)


class SettlementLineShown(StrictSerializer):
    id = serializers.IntegerField()
    merchant = LineMerchant()
    gross_fen = serializers.IntegerField()
    refunded_fen = serializers.IntegerField()
    fee_fen = serializers.IntegerField()
    carried_fen = serializers.IntegerField(help_text="Brought from earlier windows; may be < 0.")
    net_fen = serializers.IntegerField(help_text="Paid out when above 0, else carried forward.")
    payout = LinePayout(allow_null=True)


class LinePosting(StrictSerializer):
    transaction_id = serializers.IntegerField()
    kind = serializers.CharField()
    order_id = serializers.UUIDField(allow_null=True)
    merchant_reference = serializers.CharField(allow_null=True)
    amount_fen = serializers.IntegerField(help_text="Negative where money left the merchant.")
    at = serializers.DateTimeField()


class ProposalRequest(StrictSerializer):
    action = serializers.ChoiceField(choices=proposals.PROPOSED_BY_SUBJECT)
    subject = serializers.CharField(
        max_length=64,
        help_text="The number of the window; to open a wallet with what stood in the older Cloud "
        "Pay the account's reference there.",
    )
    amount_fen = serializers.IntegerField(
        min_value=1,
        max_value=10**9,
        allow_null=True,
        default=None,
        help_text="To open a wallet, and only then: what stood there.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """An amount goes with opening a wallet, and with nothing else."""
        opens = attrs["action"] == Proposal.Action.OPEN_WALLET
        if opens and attrs["amount_fen"] is None:
            raise serializers.ValidationError({"amount_fen": "required"}, code="required")
        if not opens and attrs["amount_fen"] is not None:
            raise serializers.ValidationError({"amount_fen": "unknown"}, code="unknown")
        return attrs


class ProposalDecided(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class ProposalDecision(StrictSerializer):
    """Nothing has to be said beside the address: {}."""


class ProposalShown(StrictSerializer):
    id = serializers.UUIDField()
    action = serializers.CharField()
    subject = serializers.CharField()
    reference = serializers.CharField(
        allow_null=True, help_text="Of a wallet to be opened: the account in the older system."
    )
    amount_fen = serializers.IntegerField(allow_null=True)
    detail = serializers.DictField(allow_null=True, help_text="What is to stand, of a change.")
    reason = serializers.CharField(allow_null=True, help_text="Why, of a change.")
    state = serializers.CharField()
    proposed_by = serializers.CharField()
    proposed_at = serializers.DateTimeField()
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)


class FinanceEndpoint(Endpoint):
    """For staff with the role finance."""

    audience = Audience.FINANCE
    roles = FINANCE


class Windows(FinanceEndpoint):
    """The settlement windows."""

    @describes(answers={200: page_serializer(WindowShown)}, paged=True, examples=examples.WINDOWS)
    def get(self, request: Request) -> Response:
        """List windows with their history, newest first."""
        return self.page(windows.windows(), render=_window, order=("-id",))


class OneWindow(FinanceEndpoint):
    """One settlement window."""

    @describes(answers={200: WindowShown}, problems=[NotFound], examples=examples.WINDOW)
    def get(self, request: Request, window_id: int) -> Response:
        """Show a window with its history."""
        return Response(_window(windows.window(window_id)))


class WindowLines(FinanceEndpoint):
    """What each merchant gets of a window."""

    @describes(
        answers={200: page_serializer(SettlementLineShown)},
        paged=True,
        problems=[NotFound],
        examples=examples.LINES,
    )
    def get(self, request: Request, window_id: int) -> Response:
        """List the lines of a window that has been netted."""
        return self.page(netting.lines_of(window_id=window_id), render=_line, order=("id",))


class LinePayments(FinanceEndpoint):
    """The single payments and refunds a line is made of."""

    @describes(
        answers={200: page_serializer(LinePosting)},
        paged=True,
        problems=[NotFound],
        examples=examples.POSTINGS,
    )
    def get(self, request: Request, window_id: int, line_id: int) -> Response:
        """List them in the order of posting; their sum is gross less refunds less fees."""
        line = netting.line(window_id=window_id, line_id=line_id)
        return self.page(netting.postings_of(line), render=_posting, order=("id",))


class Proposals(FinanceEndpoint):
    """What one person has proposed and another decides."""

    @describes(
        request=ProposalRequest,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[
            NotFound,
            IllegalTransition,
            windows.WindowNotOpen,
            proposals.ProposalWaiting,
            openings.OpeningBooked,
        ],
        examples=examples.PROPOSE,
    )
    def post(self, request: Request) -> Response:
        """Propose to close a window now, to pay a netted one, or to open a wallet's balance."""
        proposed = proposals.propose(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ProposalRequest),
        )
        return Response(vars(proposed), status=201)

    @describes(
        answers={200: page_serializer(ProposalShown)}, paged=True, examples=examples.PROPOSALS
    )
    def get(self, request: Request) -> Response:
        """List proposals, newest first."""
        return self.page(proposals.proposals(), render=_proposal, order=("-id",))


class ProposalApprovals(FinanceEndpoint):
    """The second person's yes."""

    @describes(
        request=ProposalDecision,
        answers={200: ProposalDecided},
        idempotent=True,
        problems=[
            NotFound,
            proposals.SelfApproval,
            proposals.ProposalOver,
            merchants.MerchantKnown,
            NameTaken,
            windows.WindowNotOpen,
            IllegalTransition,
            ledger.WindowBusy,
            ledger.NoOpenWindow,
            openings.OpeningBooked,
            rule_changes.NothingChanges,
            rule_changes.RuleKindStays,
            shop_doors.DoorNeedsStore,
        ],
        examples=examples.DECIDE,
    )
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """Approve another person's proposal: it is done at once."""
        self.read(ProposalDecision)
        decided = proposals.approve(
            caller=self.caller,
            proposal_id=proposal_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(decided))


class ProposalRejections(FinanceEndpoint):
    """A person's no."""

    @describes(
        request=ProposalDecision,
        answers={200: ProposalDecided},
        idempotent=True,
        problems=[NotFound, proposals.ProposalOver],
        examples=examples.DECIDE,
    )
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """Reject a proposal, or take one's own back."""
        self.read(ProposalDecision)
        decided = proposals.reject(
            caller=self.caller,
            proposal_id=proposal_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(decided))


def _window(window: Window) -> dict[str, Any]:
    return {
        "id": window.id,
        "business_date": window.business_date,
        "state": window.state,
        "opened_at": window.opened_at,
        "closed_at": window.closed_at,
        "history": [
            {"state": step.to_state, "event": step.event, "actor": step.actor, "at": step.at}
            for step in window.changes.all()
        ],
    }


def _line(line: SettlementLine) -> dict[str, Any]:
    organisation = line.merchant.organisation
    return {
        "id": line.id,
        "merchant": {
            "id": line.merchant_id,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
        },
        "gross_fen": line.gross_fen,
        "refunded_fen": line.refunded_fen,
        "fee_fen": line.fee_fen,
        "carried_fen": line.carried_fen,
        "net_fen": line.net_fen,
        "payout": line.payout
        and {"id": line.payout.id, "state": line.payout.state, "reason": line.payout.reason},
    }


def _posting(posting: AccountLine) -> dict[str, Any]:
    return {
        "transaction_id": posting.transaction_id,
        "kind": posting.transaction.kind,
        "order_id": posting.transaction.order_id,
        "merchant_reference": posting.merchant_reference,  # type: ignore[attr-defined]
        "amount_fen": posting.signed_fen,
        "at": posting.transaction.at,
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    decided_by = proposal.decided_by
    return {
        "id": proposal.id,
        "action": proposal.action,
        "subject": proposal.subject,
        "reference": proposal.takeover and str(proposal.takeover.reference),
        "amount_fen": proposal.amount_fen,
        "detail": proposal.detail,
        "reason": proposal.reason,
        "state": proposal.state,
        "proposed_by": proposal.proposed_by.user.get_username(),
        "proposed_at": proposal.proposed_at,
        "decided_by": decided_by and decided_by.user.get_username(),
        "decided_at": proposal.decided_at,
    }
