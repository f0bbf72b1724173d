"""The rows of logging in with V Pass: relying parties, logins, their codes and tokens.

The abstract models are those of django-oauth-toolkit; every table is ours, so that its engine knows
residents instead of staff's accounts and keeps no code or token, only hashes.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractGrant,
    AbstractRefreshToken,
)

from identity import states
from identity.models.organisations import SHAREABLE, Organisation
from identity.models.people import Device, Resident

_SHA256 = r"^[0-9a-f]{64}$"


class RelyingParty(AbstractApplication):
    """A web service of an organisation where residents log in, for one purpose.

    `client_secret` is the SHA-256 of the secret (hexadecimal); the secret has 256 random bits.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    objects = models.Manager["RelyingParty"]()
    user = None
    client_secret = models.CharField(max_length=64)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    purpose = models.TextField()
    state = models.TextField(default=states.REGISTRATION.initial)

    class Meta:
        constraints = [
            states.REGISTRATION.sql_check("state", "relying_party_state"),
            models.CheckConstraint(
                condition=Q(authorization_grant_type="authorization-code"),
                name="relying_party_by_code_only",
            ),
            models.CheckConstraint(
                condition=Q(client_type="confidential"), name="relying_party_confidential"
            ),
            models.CheckConstraint(
                condition=Q(client_secret__regex=_SHA256),
                name="relying_party_hash",
            ),
        ]

    def is_usable(self, request: object) -> bool:
        """Whether it may ask at all now: it, its organisation and all above are active."""
        return self.state == "active" and self.organisation.is_open()

    def redirect_uri_allowed(self, uri: str) -> bool:
        """Whether this very text is registered; the toolkit would let loopback ports differ."""
        return uri in self.redirect_uris.split()


class Login(models.Model):
    """One login of one resident at one relying party, from its page to its end.

    `request` is what is needed of the authorization request's query to answer it. The browser that
    began it holds a secret, and so does the QR code; only their hashes are kept. `word` is what the
    phone signed, `receipt` what the city signed over it (JWS both).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    relying_party = models.ForeignKey(RelyingParty, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    purpose = models.TextField()
    request = models.TextField()
    fields = ArrayField(models.TextField())
    level_needed = models.PositiveSmallIntegerField()
    number = models.CharField(max_length=2)
    handle_hash = models.BinaryField(max_length=32, unique=True)
    browser_hash = models.BinaryField(max_length=32)
    state = models.TextField(default=states.LOGIN.initial)
    begun_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    resident = models.ForeignKey(Resident, models.PROTECT, null=True)
    device = models.ForeignKey(Device, models.PROTECT, null=True)
    level = models.PositiveSmallIntegerField(null=True)
    decided_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    word = models.TextField(null=True)
    receipt = models.TextField(null=True)

    class Meta:
        constraints = [
            states.LOGIN.sql_check("state", "login_state"),
            models.CheckConstraint(condition=Q(level_needed__range=(1, 3)), name="login_level"),
            models.CheckConstraint(condition=Q(fields__contained_by=SHAREABLE), name="login_known"),
            # Nobody is logged in without the word of their phone and the city's receipt.
            models.CheckConstraint(
                condition=Q(state="asked")
                | Q(state="refused")
                | Q(state="unmet")
                | Q(state="expired")
                | Q(
                    resident__isnull=False,
                    device__isnull=False,
                    level__gte=F("level_needed"),
                    decided_at__isnull=False,
                    word__isnull=False,
                    receipt__isnull=False,
                ),
                name="login_approved_in_writing",
            ),
        ]
        indexes = [
            models.Index(fields=["resident", "-begun_at", "-id"], name="login_of_resident"),
            models.Index(
                fields=["expires_at"],
                condition=Q(state__in=["asked", "approved", "signed_in"]),
                name="login_due",
            ),
            models.Index(fields=["expires_at"], condition=Q(resident=None), name="login_of_nobody"),
        ]


class LoginCode(AbstractGrant):
    """An authorization code, good once; `code` is its SHA-256 (hexadecimal)."""

    objects = models.Manager["LoginCode"]()
    user = None
    login = models.OneToOneField(Login, models.CASCADE)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(code__regex=_SHA256), name="login_code_hash"),
            models.CheckConstraint(
                condition=Q(code_challenge_method="S256") & ~Q(code_challenge=""),
                name="login_code_s256",
            ),
        ]


class LoginAccessToken(AbstractAccessToken):
    """An access token of a relying party, by its hash (`token_checksum`); `token` stays empty."""

    objects = models.Manager["LoginAccessToken"]()
    user = None
    id_token = None
    login = models.ForeignKey(Login, models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(token=""), name="login_access_token_by_hash")
        ]


class LoginRefreshToken(AbstractRefreshToken):
    """A refresh token of a relying party, by its hash; one that was used stays, to be known."""

    objects = models.Manager["LoginRefreshToken"]()
    user = None
    login = models.ForeignKey(Login, models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(token=""), name="login_refresh_token_by_hash"),
            models.UniqueConstraint(fields=["token_checksum"], name="login_refresh_token_once"),
        ]
        indexes = [models.Index(fields=["token_family"], name="login_refresh_token_family")]
