"""Lets counter staff in: password and one-time code, at a desk that proves its key."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import F
from django_otp import match_token

from identity.models import Desk, Entitlement, StaffSession
from identity.organisations import is_open
from vpass.common import audit, key_proofs, limits
from vpass.common.callers import Caller, KnownCaller, required
from vpass.common.errors import DomainError, NotAuthenticated
from vpass.common.signing import VerificationKey

SIGN_INS = limits.Limit("staff.sign_in", maximum=10, per=timedelta(minutes=15))
# By everybody together at one desk, so that nobody tries one password on all names there.
SIGN_INS_AT_DESK = limits.Limit("staff.sign_in.desk", maximum=60, per=timedelta(minutes=15))
# Between two good ones; then the account needs a new invitation (NIST SP 800-63B-4 allows 100).
SIGN_INS_FAILED = limits.Limit("staff.sign_in.failed", maximum=100, per=timedelta(days=365))


class SignInRefused(NotAuthenticated):
    """User name, password and one-time code do not fit together."""

    code = "staff.sign_in_refused"
    title_zh = "用户名、密码或动态口令不正确"


class DeskUnknown(DomainError):
    """This browser is not enrolled at a desk."""

    code = "desk.unknown"
    status = 403
    title_zh = "该浏览器尚未登记为窗口"


@dataclass(frozen=True)
class SignedIn:
    """A session of staff: its token goes into the cookie and is stored nowhere."""

    token: str
    session: StaffSession


def sign_in(
    *, username: str, password: str, one_time_code: str, desk_thumbprint: str, at: datetime
) -> SignedIn:
    """Open a session of 30 minutes at the desk which proved the request.

    Tries are counted before they are judged: in a quarter of an hour ten for each user name and 60
    at a desk, and a hundred without success. Every wrong part gives the same SignInRefused; a
    browser that is no desk gives DeskUnknown.
    """
    desk = desk_with_key(desk_thumbprint)
    # Behind the desk's own key, so that nobody outside can lock a clerk out.
    limits.spend(SIGN_INS_AT_DESK, str(desk.id), at=at)
    limits.spend(SIGN_INS, username, at=at)
    limits.spend(SIGN_INS_FAILED, username, at=at)
    user = authenticate(username=username, password=password)
    staff = getattr(user, "staff", None)
    with transaction.atomic():
        # Outside the condition, so that a right one-time code is used up and a wrong one counted.
        is_second_factor_right = user is not None and match_token(user, one_time_code) is not None
        if (
            staff is None
            or not is_second_factor_right
            or staff.state != "active"
            or staff.organisation_id != desk.organisation_id
        ):
            is_refused = True
        else:
            is_refused = False
            token = secrets.token_urlsafe(32)
            session = StaffSession.objects.create(
                token_hash=key_proofs.token_hash(token),
                staff=staff,
                desk=desk,
                created_at=at,
                expires_at=at + settings.STAFF_SESSION_LIFE,
            )
            audit.record(
                actor=f"staff:{staff.id}",
                action="staff.signed_in",
                subject=f"desk:{desk.id}",
                detail={},
                at=at,
            )
    if is_refused:
        raise SignInRefused
    forget_failures(username)
    return SignedIn(token, session)


def desk_with_key(thumbprint: str) -> Desk:
    """Return the desk whose browser holds this key; raises DeskUnknown unless it is in service."""
    desk = (
        Desk.objects.select_related("organisation")
        .filter(is_open("organisation"), key_thumbprint=thumbprint, state="active")
        .first()
    )
    if desk is None:
        raise DeskUnknown
    return desk


def forget_failures(username: str) -> None:
    """Let a name sign in again that was locked, as after a success."""
    limits.clear(SIGN_INS, username)
    limits.clear(SIGN_INS_FAILED, username)


def end_sessions(staff_id: UUID, *, at: datetime) -> None:
    """End whatever a member of staff is signed in with, everywhere."""
    StaffSession.objects.filter(staff_id=staff_id, ended_at=None).update(ended_at=at)


def sign_out(*, caller: Caller, token: str, at: datetime) -> None:
    """End the caller's session; what was signed in with it is refused from now on."""
    with transaction.atomic():
        StaffSession.objects.filter(
            token_hash=key_proofs.token_hash(token),
            staff_id=required(caller.staff_id),
            ended_at=None,
        ).update(ended_at=at)
        audit.record(
            actor=f"staff:{caller.staff_id}",
            action="staff.signed_out",
            subject=f"desk:{caller.desk_id}",
            detail={},
            at=at,
        )


def current_session(*, token: str) -> StaffSession:
    """Return the session of a token that was just authenticated, with its desk."""
    return StaffSession.objects.select_related("staff__user", "desk__organisation").get(
        token_hash=key_proofs.token_hash(token)
    )


def purposes_at(desk: Desk) -> list[Entitlement]:
    """Return the purposes for which this desk may look at records, with the attributes of each."""
    return list(
        Entitlement.objects.filter(
            organisation_id=desk.organisation_id, scene=desk.scene, ended_at=None
        ).order_by("purpose")
    )


def find_staff_caller(session_hash: bytes, at: datetime) -> KnownCaller | None:
    """Return who is signed in where, in one statement; None if anything is suspended or over."""
    session = (
        StaffSession.objects.select_related("staff", "desk")
        .filter(
            is_open("desk__organisation"),
            token_hash=session_hash,
            expires_at__gt=at,
            ended_at=None,
            staff__state="active",
            staff__user__is_active=True,
            desk__state="active",
            desk__key_point__isnull=False,
            desk__organisation=F("staff__organisation"),
        )
        .first()
    )
    if session is None:
        return None
    staff, desk = session.staff, session.desk
    return KnownCaller(
        caller=Caller(
            kind="staff",
            id=staff.id,
            key_id=str(desk.key_thumbprint),
            organisation_id=desk.organisation_id,
            desk_id=desk.id,
            scene=desk.scene,
            staff_id=staff.id,
            roles=frozenset(staff.roles),
        ),
        key=VerificationKey.from_bytes("ES256", bytes(desk.key_point or b"")),
    )
