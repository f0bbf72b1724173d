"""What anybody may read: the keys by which codes are verified."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import keys
from identity.api import examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes


class PublishedKey(StrictSerializer):
    kty = serializers.CharField()
    crv = serializers.CharField()
    x = serializers.CharField()
    y = serializers.CharField()
    kid = serializers.CharField(help_text="8 hex digits: the 4 bytes in a grant's header.")
    use = serializers.CharField()
    alg = serializers.CharField()


class PublishedKeys(StrictSerializer):
    keys = PublishedKey(many=True)


class KeySet(Endpoint):
    """The city's published signing keys: next, current and previous."""

    audience = Audience.PUBLIC

    @describes(answers={200: PublishedKeys}, examples=examples.KEY_SET)
    def get(self, request: Request) -> Response:
        """Return a JWK Set (RFC 7517); keep it for five minutes at most."""
        seconds = int(keys.KEY_SET_CACHE.total_seconds())
        return Response(
            keys.public_key_set(), headers={"Cache-Control": f"public, max-age={seconds}"}
        )
