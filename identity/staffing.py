"""Invites people to work at an organisation, gives and takes their roles, and moves them."""

import base64
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.contrib.auth import password_validation
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django_otp import match_token
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import registration, staff, states, subtree
from identity.history import change_state
from identity.models import Invitation, Staff
from identity.organisations import is_open, new_code
from identity.registration import Made
from vpass.common import audit, key_proofs, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed
from vpass.common.idempotency import IdempotencyKey, once

ADMINISTRATOR, APPROVER = registration.KEEPERS
FINANCE = "finance"
# What an organisation's own administrators give; all other roles reach beyond it, so the city's do.
LOCAL_ROLES = frozenset({ADMINISTRATOR, APPROVER, "privacy"})
CITY_ROLES = frozenset(
    {
        "registrar",
        "register-review",
        "hotline",
        "police",
        "risk",
        "operator",
        FINANCE,
        "operations",
    }
)
INVITATION_LIFE = timedelta(days=7)
# At one desk, so that codes and one-time codes can't be tried out.
INVITATION_TRIES = limits.Limit("invitation.desk", maximum=20, per=timedelta(minutes=15))
PASSWORD_CHANGES = limits.Limit("staff.password", maximum=10, per=timedelta(hours=1))


class UsernameTaken(Conflict):
    """Somebody has this user name already."""

    code = "staff.username_taken"
    title_zh = "该用户名已被使用"


class RoleOfCity(NotAllowed):
    """Only the city itself gives this role."""

    code = "staff.role_of_city"
    title_zh = "该岗位仅由市级授予"


class NotJoined(Conflict):
    """The invitation waits: who holds its code would come in with the role."""

    code = "staff.not_joined"
    title_zh = "该人员尚未完成邀请，暂不能授予市级岗位"


class InvitationRefused(DomainError):
    """The invitation code is unknown, used, out of date, or for another organisation's desks."""

    code = "invitation.refused"
    status = 422
    title_zh = "邀请码无效、已使用、已过期或不适用于本窗口"


class PasswordRefused(DomainError):
    """The password is not good enough; the member `reasons` says why."""

    code = "staff.password_refused"
    status = 422
    title_zh = "密码不符合要求"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """The second factor of somebody new: for the authenticator, shown once."""

    totp_secret: str
    totp_url: str


def invite(
    *,
    caller: Caller,
    organisation_id: uuid.UUID,
    username: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, str]:
    """Invite somebody to an organisation of the caller's subtree, without any role yet.

    Returns the ids and a code of 16 letters and digits, good for 7 days at the organisation's
    desks. Raises NotFound, UsernameTaken.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            where = subtree.find(subtree.organisations_of(caller), organisation_id)
            try:
                with transaction.atomic():
                    user = User.objects.create_user(username=username, is_active=False)
            except IntegrityError as error:
                raise UsernameTaken from error
            made = Staff.objects.create(user=user, organisation=where)
            code = _invite(made, actor=caller.scope, at=at)
            claim.answer = {"staff": str(made.id), "code": code}
        return claim.answer


def choose_password(
    *, invitation_code: str, password: str, desk_thumbprint: str, at: datetime
) -> Factor:
    """Take the first step of an invitation at a desk of its organisation; again replaces it.

    Raises staff.DeskUnknown, limits.LimitReached, InvitationRefused, PasswordRefused.
    """
    desk = staff.desk_with_key(desk_thumbprint)
    limits.spend(INVITATION_TRIES, str(desk.id), at=at)
    with transaction.atomic():
        found = _open(invitation_code, organisation_id=desk.organisation_id, at=at)
        user = found.staff.user
        _set_password(user, password)
        TOTPDevice.objects.filter(user=user).delete()
        factor = TOTPDevice.objects.create(
            user=user, name="authenticator", key=secrets.token_hex(20), confirmed=False
        )
        if found.state == "open":
            actor = f"staff:{found.staff_id}"
            change_state(found, "prepared", table=states.INVITATION, actor=actor, at=at)
    secret = base64.b32encode(bytes.fromhex(factor.key)).decode()
    label = quote(f"V Pass:{user.get_username()}")
    return Factor(
        totp_secret=secret, totp_url=f"otpauth://totp/{label}?secret={secret}&issuer=V%20Pass"
    )


def accept(
    *, invitation_code: str, one_time_code: str, desk_thumbprint: str, at: datetime
) -> Staff:
    """Finish an invitation with a one-time code of the new second factor; then they may sign in.

    Raises staff.DeskUnknown, limits.LimitReached, and InvitationRefused, also for a wrong code.
    """
    desk = staff.desk_with_key(desk_thumbprint)
    limits.spend(INVITATION_TRIES, str(desk.id), at=at)
    with transaction.atomic():
        found = _open(invitation_code, organisation_id=desk.organisation_id, at=at)
        user = found.staff.user
        factor = TOTPDevice.objects.select_for_update().filter(user=user).first()
        is_proven = (
            found.state == "prepared" and factor is not None and factor.verify_token(one_time_code)
        )
        if is_proven and factor is not None:
            factor.confirmed = True
            factor.save(update_fields=["confirmed"])
            user.is_active = True
            user.save(update_fields=["is_active"])
            actor = f"staff:{found.staff_id}"
            change_state(found, "accepted", table=states.INVITATION, actor=actor, at=at)
            _audit("staff.accepted", found.staff, actor=actor, at=at)
            staff.forget_failures(user.get_username())
    if not is_proven:
        raise InvitationRefused
    return found.staff


def change_password(
    *, caller: Caller, password: str, new_password: str, one_time_code: str, at: datetime
) -> None:
    """Change the caller's password, proven with both factors; every session ends, this one too.

    Raises limits.LimitReached, staff.SignInRefused, PasswordRefused.
    """
    limits.spend(PASSWORD_CHANGES, caller.scope, at=at)
    with transaction.atomic():
        person = Staff.objects.select_related("user").get(id=required(caller.staff_id))
        user = User.objects.select_for_update().get(id=person.user_id)
        is_right = match_token(user, one_time_code) is not None and user.check_password(password)
        if is_right:
            _set_password(user, new_password)
            staff.end_sessions(person.id, at=at)
            _audit("staff.password_changed", person, actor=caller.scope, at=at)
    if not is_right:
        raise staff.SignInRefused


def in_office(staff_id: uuid.UUID, *, roles: Iterable[str]) -> Staff | None:
    """Return a member of staff who may still act in one of these roles, else None."""
    return Staff.objects.filter(
        is_open("organisation"),
        id=staff_id,
        state="active",
        user__is_active=True,
        roles__overlap=list(roles),
    ).first()


def remove_roles(
    *, caller: Caller, staff_id: uuid.UUID, roles: Sequence[str], reason: str, at: datetime
) -> Staff:
    """Take roles away from somebody in the caller's subtree; their sessions end at once.

    Roles they don't have are passed over. Raises NotFound, registration.LastOfRoot.
    """
    with transaction.atomic():
        subtree.lock_tree()
        found = subtree.find(subtree.staff_of(caller), staff_id)
        person = _lock(found)
        registration.refuse_last_of_root(person, losing=roles)
        person.roles = [each for each in person.roles if each not in roles]
        person.save(update_fields=["roles"])
        staff.end_sessions(person.id, at=at)
        _audit("staff.roles_removed", person, actor=caller.scope, at=at, roles=list(roles),
               reason=reason)  # fmt: skip
    return person


def grant_roles(person: Staff, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Give somebody roles in addition to those they have. Raises RoleOfCity, NotJoined."""
    _refuse_roles_of_city(detail["roles"], caller=caller)
    person = _lock(person)
    if not person.user.is_active and not LOCAL_ROLES.issuperset(detail["roles"]):
        raise NotJoined
    person.roles = sorted({*person.roles, *detail["roles"]})
    person.save(update_fields=["roles"])
    _audit("staff.roles_granted", person, actor=caller.scope, at=at, roles=detail["roles"])
    return Made(id=person.id)


def move(person: Staff, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Move somebody to another organisation of the subtree; roles and sessions stay behind.

    Raises NotFound, registration.LastOfRoot.
    """
    where = subtree.find(subtree.organisations_of(caller), uuid.UUID(str(detail["organisation"])))
    person = _lock(person)
    registration.refuse_last_of_root(person, losing=person.roles)
    person.organisation, person.roles = where, []
    person.save(update_fields=["organisation", "roles"])
    staff.end_sessions(person.id, at=at)
    _audit("staff.moved", person, actor=caller.scope, at=at, to=str(where.id))
    return Made(id=person.id)


def reset(person: Staff, _detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Invite somebody anew whose password or second factor is lost; both end at once.

    Who holds the new code comes in with the roles that are there, so somebody with roles of the
    city's is invited anew by the city alone. Raises RoleOfCity.
    """
    person = _lock(person)
    _refuse_roles_of_city(person.roles, caller=caller)
    user = person.user
    user.is_active = False
    user.set_unusable_password()
    user.save(update_fields=["is_active", "password"])
    TOTPDevice.objects.filter(user=user).delete()
    staff.end_sessions(person.id, at=at)
    return Made(id=person.id, code=_invite(person, actor=caller.scope, at=at))


def lift(person: Staff, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Let somebody in again, with the roles that are there.

    Raises RoleOfCity, and states.IllegalTransition when they are not suspended.
    """
    _refuse_roles_of_city(_lock(person).roles, caller=caller)
    return registration.lift(person, detail, caller=caller, at=at)


def _refuse_roles_of_city(roles: Iterable[str], *, caller: Caller) -> None:
    beyond = sorted(set(roles) - LOCAL_ROLES)
    if beyond and not subtree.is_root(required(caller.organisation_id)):
        raise RoleOfCity(roles=beyond)


def _invite(person: Staff, *, actor: str, at: datetime) -> str:
    for former in Invitation.objects.select_for_update().filter(
        staff=person, state__in=["open", "prepared"]
    ):
        change_state(former, "replaced", table=states.INVITATION, actor=actor, at=at)
    code = new_code()
    Invitation.objects.create(
        code_hash=key_proofs.token_hash(code), staff=person, expires_at=at + INVITATION_LIFE
    )
    _audit("staff.invited", person, actor=actor, at=at)
    return code


def _open(code: str, *, organisation_id: uuid.UUID, at: datetime) -> Invitation:
    found = (
        Invitation.objects.select_related("staff__user")
        .select_for_update(of=("self",))
        .filter(
            code_hash=key_proofs.token_hash(code),
            state__in=["open", "prepared"],
            expires_at__gt=at,
            staff__state="active",
            staff__organisation_id=organisation_id,
        )
        .first()
    )
    if found is None:
        raise InvitationRefused
    return found


def _set_password(user: User, password: str) -> None:
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise PasswordRefused(
            reasons=sorted(str(each.code) for each in error.error_list)
        ) from error
    user.set_password(password)
    user.save(update_fields=["password"])


def _lock(person: Staff) -> Staff:
    return Staff.objects.select_related("user").select_for_update(of=("self",)).get(id=person.id)


def _audit(action: str, person: Staff, *, actor: str, at: datetime, **detail: Any) -> None:
    audit.record(actor=actor, action=action, subject=f"staff:{person.id}", detail=detail, at=at)
