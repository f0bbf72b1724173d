"""What anybody may read: the keys by which codes are verified, and the lists of withdrawn ones."""

from datetime import datetime
from hashlib import sha256

from django.http import HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import attestation, keys, status_format, status_list
from identity.api import examples, level_examples
from identity.models import StatusShard
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound


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


class Challenge(StrictSerializer):
    challenge = serializers.CharField(
        help_text="Base64url; the chip takes the bytes when it makes the phone's key."
    )


class AttestationChallenges(Endpoint):
    """A challenge for which a phone's chip makes its key, before anybody knows the phone."""

    audience = Audience.PUBLIC

    @describes(answers={200: Challenge}, examples=level_examples.CHALLENGE)
    def get(self, request: Request) -> Response:
        """Return a fresh challenge, good for ten minutes and for one key."""
        return Response(
            {"challenge": attestation.new_challenge(at=self.at)},
            headers={"Cache-Control": "no-store"},
        )


class StatusLists(Endpoint):
    """The status lists: which grants are withdrawn, suspended or blocked for a scene."""

    audience = Audience.PUBLIC

    @describes(
        answers={(200, status_format.CONTENT_TYPE): OpenApiTypes.BINARY}, problems=[NotFound]
    )
    def get(self, request: Request, number: int) -> HttpResponseBase:
        """Return a signed list (CWT; docs/status-list.md); with If-None-Match, 304 for the same."""
        found = status_list.find_list(number=number, at=self.at)
        token = bytes(found.token)
        headers = {
            "Cache-Control": f"public, max-age={_seconds_left(found, at=self.at)}",
            "ETag": f'"{sha256(token).hexdigest()[:32]}"',
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(token, content_type=status_format.CONTENT_TYPE, headers=headers)


def _seconds_left(found: StatusShard, *, at: datetime) -> int:
    """How long a cache may keep the list: until the next one is signed."""
    age = int((at - found.issued_at).total_seconds())
    return max(int(status_list.SIGN_EVERY.total_seconds()) - age, 0)
