"""What a resident's app may ask about its cards: the types there are, bind, show, stop, let go."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import freezes, issuers, obligations, wallet
from cards.api import examples
from cards.card_type import CardType
from cards.issuers import http
from cards.models import Card
from cards.types import CARD_TYPES
from identity import residents
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition

VERIFIED = 2


class CardWords(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class CardFieldShown(StrictSerializer):
    name = serializers.CharField(help_text="The member of `fields` when binding.")
    words = CardWords()
    form = serializers.CharField(help_text="A regular expression for the whole text.")


class CardIssuerShown(StrictSerializer):
    code = serializers.CharField()
    name = CardWords()


class CardTypeShown(StrictSerializer):
    code = serializers.CharField()
    name = CardWords()
    max_per_person = serializers.IntegerField()
    fields = serializers.ListField(child=CardFieldShown())  # type: ignore[assignment]
    issuers = serializers.ListField(child=CardIssuerShown())


class CardTypesShown(StrictSerializer):
    items = serializers.ListField(child=CardTypeShown())


class BindingRequest(StrictSerializer):
    card_type = serializers.SlugField(max_length=20)
    issuer = serializers.SlugField(max_length=40)
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.CharField(max_length=64), help_text="What the type asks, by name."
    )


class CardStop(StrictSerializer):
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="holder, issuer, police or risk."
    )
    reason = serializers.CharField()
    since = serializers.DateTimeField()


class CardInWallet(StrictSerializer):
    id = serializers.UUIDField()
    card_type = serializers.CharField()
    name = CardWords()
    issuer = CardIssuerShown()
    last4 = serializers.CharField(
        help_text="The end of the card's number; empty for an ID card, whose number is personal."
    )
    facts = serializers.DictField(
        child=serializers.CharField(), help_text="What the type shows beside: brand, concession …"
    )
    state = serializers.CharField(help_text="active, lost or expired.")
    fault = serializers.CharField(
        allow_null=True, help_text="The code for which the card is not good now, or null."
    )
    stops = serializers.ListField(child=CardStop(), help_text="Each lifted by its source alone.")
    valid_until = serializers.DateField(allow_null=True)
    bound_at = serializers.DateTimeField()


class CardChangeRequest(StrictSerializer):
    """Nothing: the address says it all."""


class CardUnbound(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class CardTypesOf(Endpoint):
    """The types of card there are."""

    audience = Audience.RESIDENT

    @describes(answers={200: CardTypesShown}, examples=examples.CARD_TYPES_LISTED)
    def get(self, request: Request) -> Response:
        """List the types, what binding asks for, and who issues them."""
        return Response({"items": [_type(kind) for kind in CARD_TYPES.values()]})


class Cards(Endpoint):
    """The resident's cards."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: page_serializer(CardInWallet)}, paged=True, examples=examples.CARDS)
    def get(self, request: Request) -> Response:
        """List the cards of the wallet, newest first."""
        return self.page(wallet.cards_of(caller=self.caller), render=self._row, order=("-id",))

    @describes(
        request=BindingRequest,
        answers={201: CardInWallet},
        idempotent=True,
        problems=[
            wallet.CardTypeUnknown,
            wallet.CardNotConfirmed,
            wallet.CardAlreadyBound,
            wallet.TooManyCards,
            residents.AccountSuspended,
            limits.LimitReached,
            issuers.IssuerUnavailable,
            issuers.IssuerAnswerInvalid,
        ],
        examples=examples.BINDING,
    )
    def post(self, request: Request) -> Response:
        """Bind a card which its issuer confirms to be the resident's."""
        bound = wallet.bind_card(
            caller=self.caller,
            find_issuer=http.card_issuer,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(BindingRequest),
        )
        return Response(_card(bound), status=201)

    def _row(self, card: Card) -> dict[str, Any]:
        return _card(wallet.show(card, at=self.at))


class OneCard(Endpoint):
    """One card of the resident."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: CardInWallet}, problems=[NotFound], examples=examples.CARD)
    def get(self, request: Request, card_id: UUID) -> Response:
        """Show how it stands."""
        return Response(_card(wallet.card_of(caller=self.caller, card_id=card_id, at=self.at)))


class CardFreezes(Endpoint):
    """The holder's own stop of a card."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=CardChangeRequest,
        answers={200: CardInWallet},
        idempotent=True,
        problems=[NotFound, freezes.CardFrozenAlready, IllegalTransition],
        examples=examples.FREEZE,
    )
    def post(self, request: Request, card_id: UUID) -> Response:
        """Freeze one card; the ID and the other cards stay good."""
        self.read(CardChangeRequest)
        shown = wallet.freeze_card(
            caller=self.caller, card_id=card_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(_card(shown))


class CardLifts(Endpoint):
    """The end of the holder's own stop."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=CardChangeRequest,
        answers={200: CardInWallet},
        idempotent=True,
        problems=[NotFound, freezes.CardNotFrozen],
        examples=examples.CHANGE,
    )
    def post(self, request: Request, card_id: UUID) -> Response:
        """Lift the holder's own freeze; those of issuer, police and risk stay."""
        self.read(CardChangeRequest)
        shown = wallet.lift_card(
            caller=self.caller, card_id=card_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(_card(shown))


class CardLosses(Endpoint):
    """The holder has lost a card."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=CardChangeRequest,
        answers={200: CardInWallet},
        idempotent=True,
        problems=[NotFound, IllegalTransition],
        examples=examples.LOSS,
    )
    def post(self, request: Request, card_id: UUID) -> Response:
        """Report a card lost; it is not good until its issuer has replaced it."""
        self.read(CardChangeRequest)
        shown = wallet.report_lost(
            caller=self.caller, card_id=card_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(_card(shown))


class CardUnbindings(Endpoint):
    """The holder takes a card out of the wallet."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=CardChangeRequest,
        answers={200: CardUnbound},
        idempotent=True,
        problems=[NotFound, obligations.CardObliged, IllegalTransition],
        examples=examples.UNBINDING,
    )
    def post(self, request: Request, card_id: UUID) -> Response:
        """Unbind a card on which nothing is open."""
        self.read(CardChangeRequest)
        state = wallet.unbind_card(
            caller=self.caller, card_id=card_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response({"id": card_id, "state": state})


def _type(kind: CardType) -> dict[str, Any]:
    return {
        "code": kind.code,
        "name": {"zh": kind.zh, "en": kind.en},
        "max_per_person": kind.max_per_person,
        "fields": [
            {"name": one.name, "words": {"zh": one.zh, "en": one.en}, "form": one.form}
            for one in kind.fields
        ],
        "issuers": [
            {
                "code": issuer.code,
                "name": {"zh": issuer.organisation.name_zh, "en": issuer.organisation.name_en},
            }
            for issuer in wallet.issuers_of(card_type=kind.code).order_by("code")
        ],
    }


def _card(shown: wallet.CardShown) -> dict[str, Any]:
    card = dict(vars(shown))
    return {
        "id": card["id"],
        "card_type": card["card_type"],
        "name": {"zh": card["name_zh"], "en": card["name_en"]},
        "issuer": {
            "code": card["issuer"],
            "name": {"zh": card["issuer_zh"], "en": card["issuer_en"]},
        },
        **{
            name: card[name]
            for name in ("last4", "facts", "state", "fault", "stops", "valid_until", "bound_at")
        },
    }
