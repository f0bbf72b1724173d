"""What a counter's desk may ask of the queue: check people in, call them, and be done with them."""

from collections.abc import Callable
from dataclasses import asdict
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from services import counter, queueing
from services.api import examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition


class CheckInRequest(StrictSerializer):
    code = serializers.CharField(max_length=2048, help_text="The text of the QR code.")
    walk_in_service = serializers.SlugField(
        max_length=40,
        allow_null=True,
        default=None,
        help_text="The code of a service here, for somebody without an appointment.",
    )


class ServiceWords(StrictSerializer):
    code = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()


class DeskWords(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class TicketAtCounter(StrictSerializer):
    id = serializers.UUIDField()
    label = serializers.CharField(  # type: ignore[assignment]
        help_text="What is called, such as A012."
    )
    state = serializers.CharField(help_text="waiting, called, serving, served, missed or closed.")
    service = ServiceWords()
    booked_at = serializers.DateTimeField(
        allow_null=True, help_text="The time of the appointment; null for who walked in."
    )
    due_at = serializers.DateTimeField(help_text="Tickets are called in the order of this.")
    issued_at = serializers.DateTimeField()
    desk = DeskWords(allow_null=True)
    called_at = serializers.DateTimeField(allow_null=True)
    calls = serializers.IntegerField()


class ArrivalOf(StrictSerializer):
    id = serializers.UUIDField()
    service = ServiceWords()
    starts_at = serializers.DateTimeField()


class CheckInResult(StrictSerializer):
    holder = serializers.CharField(
        allow_null=True,
        help_text="The name this organisation alone knows them by; null without the right to it.",
    )
    level = serializers.IntegerField()
    fields = serializers.DictField(  # type: ignore[assignment]
        help_text="The entitled attributes by name: text, true, false, or null where not known."
    )
    booking = ArrivalOf(allow_null=True, help_text="Null for who walked in.")
    ticket = TicketAtCounter()
    checked_in_at = serializers.DateTimeField()


class QueueShown(StrictSerializer):
    waiting_count = serializers.IntegerField()
    waiting = TicketAtCounter(many=True, help_text="Those who wait, the next first; 50 at most.")
    at_desks = TicketAtCounter(many=True, help_text="Those who were called or are being served.")
    mine = TicketAtCounter(allow_null=True, help_text="The ticket at this desk.")
    services = ServiceWords(many=True)


class CallRequest(StrictSerializer):
    """Nothing: the address says it all."""


class CallResult(StrictSerializer):
    ticket = TicketAtCounter(allow_null=True, help_text="Null when nobody waits.")


class CheckIns(Endpoint):
    """A resident arrives and shows the code."""

    audience = Audience.COUNTER

    @describes(
        request=CheckInRequest,
        answers={200: CheckInResult},
        idempotent=True,
        problems=[
            *counter.REFUSALS.values(),
            counter.DeskNotForCheckIn,
            counter.WalkInServiceUnknown,
            NotFound,
        ],
        examples=examples.CHECK_IN,
    )
    def post(self, request: Request) -> Response:
        """Check the holder in for their appointment, or as a walk-in, and give them a ticket."""
        checked_in = counter.check_in(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CheckInRequest),
        )
        return Response(vars(checked_in))


class QueueOf(Endpoint):
    """The queue of the desk's organisation."""

    audience = Audience.COUNTER

    @describes(answers={200: QueueShown}, examples=examples.QUEUE)
    def get(self, request: Request) -> Response:
        """Show who waits, who is at which desk, and who is at this one."""
        return Response(asdict(queueing.queue_of(caller=self.caller)))


class NextCalls(Endpoint):
    """The next of the queue is called."""

    audience = Audience.COUNTER

    @describes(
        request=CallRequest,
        answers={200: CallResult},
        idempotent=True,
        problems=[queueing.DeskBusy],
        examples=examples.CALL_NEXT,
    )
    def post(self, request: Request) -> Response:
        """Call the next to this desk."""
        self.read(CallRequest)
        ticket = queueing.call_next(
            caller=self.caller, idempotency_key=self.idempotency(), at=self.at
        )
        return Response({"ticket": None if ticket is None else vars(ticket)})


class _TicketStep(Endpoint):
    """What the steps of a ticket share: the desk, the key, and how it is answered."""

    audience = Audience.COUNTER

    def take(self, step: Callable[..., queueing.TicketShown], ticket_id: UUID) -> Response:
        """Take the step and show the ticket after it."""
        self.read(CallRequest)
        ticket = step(
            caller=self.caller,
            ticket_id=ticket_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(ticket))


_PROBLEMS = [NotFound, IllegalTransition, queueing.TicketAtOtherDesk]


class Recalls(_TicketStep):
    """The person is called again."""

    @describes(
        request=CallRequest,
        answers={200: TicketAtCounter},
        idempotent=True,
        problems=_PROBLEMS,
        examples=examples.RECALL,
    )
    def post(self, request: Request, ticket_id: UUID) -> Response:
        """Call this desk's ticket once more."""
        return self.take(queueing.recall, ticket_id)


class Servings(_TicketStep):
    """The person has come to the desk."""

    @describes(
        request=CallRequest,
        answers={200: TicketAtCounter},
        idempotent=True,
        problems=_PROBLEMS,
        examples=examples.SERVE,
    )
    def post(self, request: Request, ticket_id: UUID) -> Response:
        """Begin with the person who was called."""
        return self.take(queueing.serve, ticket_id)


class Finishings(_TicketStep):
    """The person has been served."""

    @describes(
        request=CallRequest,
        answers={200: TicketAtCounter},
        idempotent=True,
        problems=_PROBLEMS,
        examples=examples.FINISH,
    )
    def post(self, request: Request, ticket_id: UUID) -> Response:
        """Be done with the person; the appointment is served with that."""
        return self.take(queueing.finish, ticket_id)


class Misses(_TicketStep):
    """The person has not come."""

    @describes(
        request=CallRequest,
        answers={200: TicketAtCounter},
        idempotent=True,
        problems=[*_PROBLEMS, queueing.TicketInGrace],
        examples=examples.MISS,
    )
    def post(self, request: Request, ticket_id: UUID) -> Response:
        """Go on without them, three minutes after call and appointment at the earliest."""
        return self.take(queueing.miss, ticket_id)
