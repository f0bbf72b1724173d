"""Registers the web services where residents log in, and switches them off and on."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from identity import states
from identity.history import change_state
from identity.models import Organisation, RelyingParty
from identity.oidc.engine import hash_of
from identity.registration import Made
from vpass.common import audit
from vpass.common.callers import Caller
from vpass.common.errors import DomainError

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class RedirectUnsafe(DomainError):
    """An address to come back to is absolute, without fragment, and https (http on loopback)."""

    code = "relying_party.redirect_unsafe"
    status = 422
    title_zh = "回调地址必须是不含片段的 https 绝对地址"


@dataclass(frozen=True)
class Registered:
    """A relying party and its secret, which is told this once."""

    relying_party: RelyingParty
    client_secret: str


def register(
    *,
    organisation: Organisation,
    name: str,
    purpose: str,
    redirect_uris: Sequence[str],
    post_logout_redirect_uris: Sequence[str] = (),
    actor: str,
    at: datetime,
) -> Registered:
    """Register a web service of an organisation for one purpose. Raises RedirectUnsafe.

    What it may know of a resident is the organisation's entitlement for the scene "login".
    """
    for uri in [*redirect_uris, *post_logout_redirect_uris]:
        _judge(uri)
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        party = RelyingParty.objects.create(
            client_id=f"vp-{secrets.token_hex(12)}",
            client_secret=hash_of(secret),
            client_type=RelyingParty.CLIENT_CONFIDENTIAL,
            authorization_grant_type=RelyingParty.GRANT_AUTHORIZATION_CODE,
            name=name,
            organisation=organisation,
            purpose=purpose,
            redirect_uris=" ".join(redirect_uris),
            post_logout_redirect_uris=" ".join(post_logout_redirect_uris),
        )
        audit.record(
            actor=actor,
            action="relying_party.registered",
            subject=f"relying_party:{party.id}",
            detail={"organisation": str(organisation.id), "purpose": purpose},
            at=at,
        )
    return Registered(party, secret)


def register_agreed(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Register a web service as two people have agreed; the code is its secret, told this once.

    Raises RedirectUnsafe.
    """
    made = register(organisation=organisation, actor=caller.scope, at=at, **detail)
    return Made(id=made.relying_party.id, code=made.client_secret)


def set_state(*, relying_party_id: uuid.UUID, state: str, actor: str, at: datetime) -> None:
    """Suspend a relying party ("suspended") or let it in again ("active"): from now on."""
    with transaction.atomic():
        party = RelyingParty.objects.select_for_update().get(id=relying_party_id)
        change_state(party, state, table=states.REGISTRATION, actor=actor, at=at)
        audit.record(
            actor=actor,
            action=f"relying_party.{state}",
            subject=f"relying_party:{party.id}",
            detail={},
            at=at,
        )


def _judge(uri: str) -> None:
    # urlsplit drops line breaks, at which the row would be split into two addresses.
    if not uri.isprintable() or " " in uri:
        raise RedirectUnsafe
    parts = urlsplit(uri)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.hostname or "@" in parts.netloc or "#" in uri:
        raise RedirectUnsafe
