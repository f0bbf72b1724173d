"""What the city's operators may ask: what runs, what waits, today's figures, and dead letters."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vpass.common import clock, figures
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound
from vpass.common.models import OutboxDelivery
from vpass.common.states import IllegalTransition
from vpass.operations import engines, examples, letters

OPERATIONS = frozenset({"operations"})


class FigureShown(StrictSerializer):
    name = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()
    value = serializers.IntegerField()
    unit = serializers.ChoiceField(choices=["count", "fen", "seconds"])
    group = serializers.ChoiceField(choices=list(figures.GROUPS))
    hours = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="A figure of today by the hours 0 to 23 of the city's day; else empty.",
    )


class EngineShown(StrictSerializer):
    name = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()
    is_up = serializers.BooleanField()


class OperationsState(StrictSerializer):
    at = serializers.DateTimeField()
    business_date = serializers.DateField()
    engines = EngineShown(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    figures = FigureShown(many=True)


class CityToday(StrictSerializer):
    at = serializers.DateTimeField()
    business_date = serializers.DateField()
    figures = FigureShown(many=True)


class DeadLetter(StrictSerializer):
    id = serializers.IntegerField()
    event = serializers.CharField()
    consumer = serializers.CharField()
    attempts = serializers.IntegerField()
    error = serializers.CharField(help_text="The class of the last error, nothing more.")
    published_at = serializers.DateTimeField()


class RedeliveryRequest(StrictSerializer):
    """Nothing has to be said beside the address: {}."""


class Redelivered(StrictSerializer):
    id = serializers.IntegerField()
    state = serializers.CharField()


class OperationsEndpoint(Endpoint):
    """For staff with the role operations."""

    audience = Audience.OPERATIONS
    roles = OPERATIONS


class State(OperationsEndpoint):
    """The program as it stands."""

    @describes(answers={200: OperationsState}, examples=examples.STATE)
    def get(self, request: Request) -> Response:
        """Show what runs, what waits, and today's figures."""
        found, warnings = engines.engines()
        return Response(
            {
                "at": self.at,
                "business_date": clock.city_date(self.at),
                "engines": [
                    {"name": each.name, "zh": each.label_zh, "en": each.label_en}
                    | {"is_up": each.is_up}
                    for each in found
                ],
                "warnings": warnings,
                "figures": [_figure(each) for each in figures.recent(at=self.at)],
            }
        )


class City(OperationsEndpoint):
    """The city's day in numbers."""

    @describes(answers={200: CityToday}, examples=examples.CITY)
    def get(self, request: Request) -> Response:
        """Show the figures of today, and how they spread over its hours."""
        found = figures.recent(at=self.at)
        return Response(
            {
                "at": self.at,
                "business_date": clock.city_date(self.at),
                "figures": [_figure(each) for each in found if each.group == "today"],
            }
        )


class DeadLetters(OperationsEndpoint):
    """Events which nobody tries to deliver any more."""

    @describes(answers={200: page_serializer(DeadLetter)}, paged=True, examples=examples.LETTERS)
    def get(self, request: Request) -> Response:
        """List dead letters, newest first; what they carry is not shown."""
        return self.page(letters.dead_letters(), render=_letter, order=("-id",))


class Redeliveries(OperationsEndpoint):
    """A dead letter's way back."""

    @describes(
        request=RedeliveryRequest,
        answers={200: Redelivered},
        idempotent=True,
        problems=[NotFound, IllegalTransition],
        examples=examples.REDELIVER,
    )
    def post(self, request: Request, delivery_id: int) -> Response:
        """Have a dead letter delivered again, with ten new attempts."""
        self.read(RedeliveryRequest)
        return Response(
            letters.redeliver(
                caller=self.caller,
                delivery_id=delivery_id,
                idempotency_key=self.idempotency(),
                at=self.at,
            )
        )


def _figure(figure: figures.Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "zh": figure.label_zh,
        "en": figure.label_en,
        "value": figure.value,
        "unit": figure.unit,
        "group": figure.group,
        "hours": figure.hours,
    }


def _letter(letter: OutboxDelivery) -> dict[str, Any]:
    return {
        "id": letter.id,
        "event": letter.name,
        "consumer": letter.consumer,
        "attempts": letter.attempts,
        "error": letter.error,
        "published_at": letter.published_at,
    }
