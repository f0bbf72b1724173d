"""Lets counter staff in: password and one-time code, at a desk that proves its key."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django_otp import match_token

from identity.models import Desk, Entitlement, StaffSession
from vpass.common import audit, key_proofs, limits
from vpass.common.callers import Caller, KnownCaller, required
from vpass.common.errors import DomainError, NotAuthenticated
from vpass.common.signing import VerificationKey

SIGN_INS = limits.Limit("staff.sign_in", maximum=10, per=timedelta(minutes=15))
# However slowly somebody guesses (NIST SP 800-63B-4 section 3.2.2).
SIGN_INS_WITHOUT_SUCCESS = limits.Limit("staff.sign_in.failed", maximum=100, per=timedelta(days=30))
# However many names somebody tries.
SIGN_INS_AT_A_DESK = limits.Limit("staff.sign_in.desk", maximum=50, per=timedelta(minutes=15))


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

    Tries are counted before they are judged: ten in a quarter of an hour for each user name, a
    hundred in a month with no success between them, and fifty in a quarter of an hour at a desk.
    Every wrong part gives the same SignInRefused; a browser that is no desk gives DeskUnknown.
    """
    desk = (
        Desk.objects.select_related("organisation")
        .filter(key_thumbprint=desk_thumbprint, state="active", organisation__state="active")
        .first()
    )
    if desk is None:
        raise DeskUnknown
    # Behind the desk's own key, so that nobody outside can lock a clerk out.
    limits.spend(SIGN_INS_AT_A_DESK, str(desk.id), at=at)
    limits.spend(SIGN_INS, username, at=at)
    limits.spend(SIGN_INS_WITHOUT_SUCCESS, username, at=at)
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
    limits.clear(SIGN_INS, username)
    limits.clear(SIGN_INS_WITHOUT_SUCCESS, username)
    return SignedIn(token, session)


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
        Entitlement.objects.filter(organisation_id=desk.organisation_id, scene=desk.scene).order_by(
            "purpose"
        )
    )


def find_staff_caller(session_hash: bytes, at: datetime) -> KnownCaller | None:
    """Return who is signed in where, in one statement; None if anything is suspended or over."""
    session = (
        StaffSession.objects.select_related("staff", "desk")
        .filter(
            token_hash=session_hash,
            expires_at__gt=at,
            ended_at=None,
            staff__state="active",
            staff__user__is_active=True,
            desk__state="active",
            desk__key_point__isnull=False,
            desk__organisation__state="active",
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
