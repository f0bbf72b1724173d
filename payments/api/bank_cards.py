"""What a resident's app may ask about its bank cards in Cloud Pay: top up, and choose what pays."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import paying
from identity import residents
from payments import accounts, sources, top_ups
from payments.api import bank_examples as examples
from payments.models import Debit
from payments.top_ups import MAX_TOP_UP_FEN
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound


class TopUpRequest(StrictSerializer):
    card_id = serializers.UUIDField(help_text="A bank card in the resident's wallet.")
    amount_fen = serializers.IntegerField(min_value=1, max_value=MAX_TOP_UP_FEN)


class TopUpStarted(StrictSerializer):
    id = serializers.UUIDField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField()
    created_at = serializers.DateTimeField()


class TopUpBank(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class TopUpStep(StrictSerializer):
    state = serializers.CharField()
    at = serializers.DateTimeField()


class TopUpShown(StrictSerializer):
    id = serializers.UUIDField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField(
        help_text="prepared, accepted, unknown (the bank is being asked), booked (the money is in "
        "the wallet), rejected or never_arrived (nothing was taken)."
    )
    reason = serializers.CharField(allow_null=True, help_text="Why the bank has rejected it.")
    bank = TopUpBank()
    card_id = serializers.UUIDField()
    card_last4 = serializers.CharField()
    reference = serializers.CharField(help_text="What stands on the bank account's statement.")
    created_at = serializers.DateTimeField()
    history = TopUpStep(many=True)


class PaymentSourceChoice(StrictSerializer):
    card_id = serializers.UUIDField(
        allow_null=True, help_text="The bank card that pays at tills; null: the balance."
    )
    version = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, help_text="The version this choice replaces."
    )
    order = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(sources.SOURCES)),
        required=False,
        max_length=len(sources.SOURCES),
        help_text='What pays first, and then the rest: ["balance", "bank_card"].',
    )


class PaymentSourceShown(StrictSerializer):
    card_id = serializers.UUIDField(allow_null=True, help_text="Null: the balance pays.")
    last4 = serializers.CharField(allow_null=True)
    version = serializers.IntegerField(help_text="Counts the choices, from 0.")
    order = serializers.ListField(
        child=serializers.CharField(), help_text="What pays first, and then the rest."
    )


class TopUps(Endpoint):
    """The resident's top-ups by bank card."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=TopUpRequest,
        answers={201: TopUpStarted},
        idempotent=True,
        problems=[
            residents.AccountSuspended,
            accounts.PayingSuspended,
            NotFound,
            paying.CardNotUsable,
        ],
        examples=examples.TOP_UP,
    )
    def post(self, request: Request) -> Response:
        """Take money from a bound bank card; it is in the wallet when the bank has booked it."""
        begun = top_ups.top_up(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(TopUpRequest),
        )
        return Response(vars(begun), status=201)

    @describes(answers={200: page_serializer(TopUpShown)}, paged=True, examples=examples.TOP_UPS)
    def get(self, request: Request) -> Response:
        """List them, newest first."""
        rows = top_ups.top_ups_of(resident_id=required(self.caller.resident_id))
        return self.page(rows, render=_top_up, order=("-id",))


class OneTopUp(Endpoint):
    """One top-up: where is my money?"""

    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: TopUpShown}, problems=[NotFound], examples=examples.TOP_UP_SHOWN)
    def get(self, request: Request, top_up_id: UUID) -> Response:
        """Show how it stands, with every step until the bank's word."""
        found = top_ups.top_up_of(
            resident_id=required(self.caller.resident_id), top_up_id=top_up_id
        )
        return Response(_top_up(found))


class PaymentSources(Endpoint):
    """What pays when the resident shows the code at a till."""

    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: PaymentSourceShown}, examples=examples.PAYMENT_SOURCE)
    def get(self, request: Request) -> Response:
        """Show what pays: a bank card, or the balance."""
        return Response(vars(sources.source_of(resident_id=required(self.caller.resident_id))))

    @describes(
        request=PaymentSourceChoice,
        answers={200: PaymentSourceShown},
        problems=[
            residents.AccountSuspended,
            accounts.PayingSuspended,
            NotFound,
            paying.CardNotUsable,
            sources.SourceChanged,
            sources.SourceOrderInvalid,
        ],
        examples=examples.CHOOSE_SOURCE,
    )
    def put(self, request: Request) -> Response:
        """Choose what pays from now on, in place of the choice of this version.

        Repeating it is safe: the same again is answered alike, and a late repeat never undoes a
        newer choice. What a merchant gives back goes to the card up to what the card has paid, and
        then into the balance.
        """
        chosen = sources.choose_source(
            resident_id=required(self.caller.resident_id),
            at=self.at,
            **self.read(PaymentSourceChoice),
        )
        return Response(vars(chosen))


def _top_up(debit: Debit) -> dict[str, Any]:
    organisation = debit.bank.organisation
    return {
        "id": debit.id,
        "amount_fen": debit.amount_fen,
        "state": debit.state,
        "reason": debit.reason,
        "bank": {"zh": organisation.name_zh, "en": organisation.name_en},
        "card_id": debit.card_id,
        "card_last4": debit.account_last4,
        "reference": debit.reference,
        "created_at": debit.created_at,
        "history": [{"state": step.to_state, "at": step.at} for step in debit.changes.all()],
    }
