"""What an issuer's system may tell of the cards it gave out; see docs/issuer-protocol.md."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import freezes, issuing, wallet
from cards.api import examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotAllowed, NotFound
from vpass.common.states import IllegalTransition


class IssuedCardRequest(StrictSerializer):
    card_type = serializers.SlugField(max_length=20)
    card = serializers.CharField(
        max_length=64, help_text="The card's number, for a bank card the account's token."
    )


class CardFreezeRequest(IssuedCardRequest):
    reason = serializers.RegexField(r"^[a-z_]{1,40}\Z", max_length=40)


class CardReplacementRequest(IssuedCardRequest):
    new_card = serializers.CharField(max_length=64)
    facts = serializers.DictField(child=serializers.CharField(max_length=64))
    valid_until = serializers.DateField(
        allow_null=True, format="%Y-%m-%d", input_formats=["%Y-%m-%d"]
    )


class IssuedCardStanding(StrictSerializer):
    card_type = serializers.CharField()
    state = serializers.CharField(help_text="active, lost or expired; of the new card, if any.")
    is_frozen = serializers.BooleanField(help_text="Whether the issuer's own stop stands.")


class IssuedCardFreezes(Endpoint):
    """An issuer stops one of its cards."""

    audience = Audience.ISSUER
    max_bytes = 4096

    @describes(
        request=CardFreezeRequest,
        answers={200: IssuedCardStanding},
        idempotent=True,
        problems=[NotAllowed, NotFound, freezes.CardFrozenAlready, IllegalTransition],
        examples=examples.ISSUER_FREEZE,
    )
    def post(self, request: Request) -> Response:
        """Freeze a card until the issuer itself lifts that."""
        standing = issuing.freeze_card(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CardFreezeRequest),
        )
        return Response(vars(standing))


class IssuedCardLifts(Endpoint):
    """An issuer ends its own stop."""

    audience = Audience.ISSUER
    max_bytes = 4096

    @describes(
        request=IssuedCardRequest,
        answers={200: IssuedCardStanding},
        idempotent=True,
        problems=[NotAllowed, NotFound, freezes.CardNotFrozen],
        examples=examples.ISSUER_CHANGE,
    )
    def post(self, request: Request) -> Response:
        """Lift the issuer's freeze; those of holder, police and risk stay."""
        standing = issuing.lift_card(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(IssuedCardRequest),
        )
        return Response(vars(standing))


class IssuedCardReplacements(Endpoint):
    """An issuer gives a new card for an old one."""

    audience = Audience.ISSUER
    max_bytes = 4096

    @describes(
        request=CardReplacementRequest,
        answers={200: IssuedCardStanding},
        idempotent=True,
        problems=[NotAllowed, NotFound, IllegalTransition, wallet.CardAlreadyBound],
        examples=examples.ISSUER_REPLACEMENT,
    )
    def post(self, request: Request) -> Response:
        """Replace a card: debts and stops go over to the new one."""
        standing = issuing.replace_card(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CardReplacementRequest),
        )
        return Response(vars(standing))


class IssuedCardExpiries(Endpoint):
    """An issuer ends a card."""

    audience = Audience.ISSUER
    max_bytes = 4096

    @describes(
        request=IssuedCardRequest,
        answers={200: IssuedCardStanding},
        idempotent=True,
        problems=[NotAllowed, NotFound, IllegalTransition],
        examples=examples.ISSUER_EXPIRY,
    )
    def post(self, request: Request) -> Response:
        """Say that a card has come to its end."""
        standing = issuing.expire_card(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(IssuedCardRequest),
        )
        return Response(vars(standing))
