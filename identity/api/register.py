"""What the population register tells us by itself, as docs/register-protocol.md section 7 says."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import register_changes
from identity.api import level_examples as examples
from identity.register_changes import Change
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes


class ChangeTold(StrictSerializer):
    event_id = serializers.UUIDField()
    kind = serializers.RegexField(
        rf"^({'|'.join(register_changes.TRACKS)})\Z",
        help_text='"name_changed", "number_corrected", "died" or "death_withdrawn".',
    )
    census_id = serializers.CharField(max_length=32)
    sequence = serializers.IntegerField(
        min_value=1, max_value=2**53 - 1, help_text="Rises with each event of a person."
    )
    real_name = serializers.CharField(
        max_length=50, allow_null=True, default=None, help_text='With "name_changed": the new one.'
    )
    id_number = serializers.CharField(
        max_length=18,
        allow_null=True,
        default=None,
        help_text='With "number_corrected": the new one.',
    )


class ChangeTaken(StrictSerializer):
    event_id = serializers.UUIDField()
    state = serializers.CharField(
        help_text='"applied", "superseded", "unknown", "review" or "dismissed".'
    )


class RegisterChanges(Endpoint):
    """Somebody's entry in the register has changed."""

    audience = Audience.REGISTER

    @describes(
        request=ChangeTold,
        answers={200: ChangeTaken},
        problems=[register_changes.ChangeInvalid, register_changes.ChangeIdReused],
        examples=examples.CHANGE,
    )
    def post(self, request: Request) -> Response:
        """Take an event once, by its id; a repeat is answered as it stands now."""
        change = Change(**self.read(ChangeTold))
        state = register_changes.receive(caller=self.caller, change=change, at=self.at)
        return Response({"event_id": change.event_id, "state": state})
