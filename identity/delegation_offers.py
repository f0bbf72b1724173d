"""Makes delegations: a parent's and a representative's by the register, others by two phones."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from stdnum.cn import uscc

from identity import receipts
from identity.delegation import (
    OFFER_LIFE,
    DelegationExists,
    DelegationOver,
    move,
    tell,
)
from identity.disclosure import age_on
from identity.models import DELEGABLE_SCENES, Delegation, Enterprise, Resident
from identity.register import PopulationRegister, RegisteredPerson
from identity.residents import AccountSuspended
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.sealed_fields import lookup_hash

OFFER_TYPE = "vpass-delegation+jwt"
ACCEPT_TYPE = "vpass-delegation-accept+jwt"
PATH = "/api/resident/v1/delegations"
ACCEPT_PATH = PATH + "/{delegation_id}/acceptance"
LONGEST = timedelta(days=366)
OF_AGE = 18
OFFERS_PER_DAY = limits.Limit("delegation.day", maximum=10, per=timedelta(days=1))


class DelegationInvalid(DomainError):
    """The limits of the delegation are not as they may be."""

    code = "delegation.invalid"
    status = 422
    title_zh = "授权的范围或期限不符合要求"


class RelationNotConfirmed(DomainError):
    """The register does not confirm this relation."""

    code = "delegation.not_confirmed"
    status = 422
    title_zh = "登记系统未确认该关系"


class ChildGrown(DomainError):
    """This child is of age and decides alone."""

    code = "delegation.child_grown"
    status = 422
    title_zh = "该子女已成年，须由本人办理"


@dataclass(frozen=True)
class Terms:
    """Who may do what for whom, as the phone signed it.

    `subject` names the other side: the child's ID number, the delegate's phone number, or the
    enterprise's credit code; `under` is the representative's own delegation when an appointee is
    named by phone number. No purposes means all of them.
    """

    kind: str
    subject: str
    under: uuid.UUID | None
    scenes: list[str]
    purposes: list[str]
    expires_at: datetime


def delegate(
    *,
    caller: Caller,
    register: PopulationRegister,
    word: str,
    child_name: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Make or offer a delegation; returns its id and state.

    `word` is a JWS by the device key, typ `vpass-delegation+jwt`, with `kind`, `subject`, `scenes`,
    `purposes`, `expires_at` (seconds) and, for an appointee, `under`. A child's parent and an
    enterprise's representative are confirmed by the register, asked outside any transaction, and
    are in force at once; a carer and an appointee are offered it for 24 hours. An offer to a number
    nobody has answers like any other. Raises receipts.WordInvalid, DelegationInvalid, NotFound,
    RelationNotConfirmed, ChildGrown, DelegationExists, AccountSuspended, limits.LimitReached and
    the register's errors.
    """
    if (answer := find_answer(idempotency_key)) is not None:
        return answer
    terms = _read_terms(word, caller=caller, at=at)
    limits.spend(OFFERS_PER_DAY, caller.scope, at=at)
    asking = Resident.objects.get(id=required(caller.resident_id))
    if asking.state != "active":
        raise AccountSuspended
    child = enterprise = None
    if terms.kind == "child":
        child = _confirmed_child(register, asking, terms, child_name or "", at=at)
    elif terms.kind == "enterprise" and terms.under is None:
        enterprise = register.enterprise(
            real_name=asking.real_name,
            id_number=asking.id_number,
            credit_code=terms.subject,
            at=at,
        )
        if enterprise is None:
            raise RelationNotConfirmed
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            made = Delegation(
                kind=terms.kind,
                scenes=terms.scenes,
                purposes=terms.purposes,
                created_at=at,
                expires_at=terms.expires_at,
                word=word,
            )
            if child is not None:
                made.principal = _dependent(child, terms, child_name or "", at=at)
                made.delegate = asking
            elif enterprise is not None:
                made.enterprise = Enterprise.objects.update_or_create(
                    credit_code=enterprise.credit_code,
                    defaults={"name": enterprise.name, "confirmed_at": at},
                )[0]
                made.delegate = asking
            else:
                _address(made, terms, asking=asking, at=at)
            if made.delegate_id is not None:
                made.state = "active"
                made.receipt = _receipt(made, word=word, at=at)
            _save(made)
            tell(made, at=at)
            claim.answer = {"id": str(made.id), "state": made.state}
        return claim.answer


def accept(
    *,
    caller: Caller,
    delegation_id: uuid.UUID,
    word: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Take an offer, as the one whose phone number it names.

    `word`: typ `vpass-delegation-accept+jwt`, with `delegation` (its id as text). Raises NotFound,
    DelegationOver, receipts.WordInvalid, DelegationExists.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            offer = _lock_offer(caller, delegation_id, at=at)
            claims = receipts.read_word(
                word,
                caller=caller,
                typ=ACCEPT_TYPE,
                path=ACCEPT_PATH.format(delegation_id=delegation_id),
                required_claims=["delegation"],
                at=at,
            )
            if claims["delegation"] != str(delegation_id):
                raise receipts.WordInvalid
            if offer.principal_id == caller.resident_id:
                raise DelegationInvalid
            offer.delegate_id = required(caller.resident_id)
            offer.acceptance = word
            offer.receipt = _receipt(offer, word=word, at=at)
            _save(offer, "delegate", "acceptance", "receipt")
            move(offer, "active", actor=caller.scope, at=at)
            claim.answer = {"id": str(offer.id), "state": offer.state}
        return claim.answer


def decline(
    *, caller: Caller, delegation_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Turn an offer down. Raises NotFound, DelegationOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            offer = _lock_offer(caller, delegation_id, at=at)
            move(offer, "declined", actor=caller.scope, at=at)
            claim.answer = {"id": str(offer.id), "state": offer.state}
        return claim.answer


def _read_terms(word: str, *, caller: Caller, at: datetime) -> Terms:
    claims = receipts.read_word(
        word,
        caller=caller,
        typ=OFFER_TYPE,
        path=PATH,
        required_claims=["kind", "subject", "scenes", "purposes", "expires_at"],
        at=at,
    )
    seconds, scenes, purposes = claims["expires_at"], claims["scenes"], claims["purposes"]
    if type(seconds) is not int or not _are_names(scenes) or not _are_names(purposes):
        raise DelegationInvalid
    if not at.timestamp() < seconds <= (at + LONGEST).timestamp():
        raise DelegationInvalid
    if claims["kind"] not in Delegation.Kind.values or not isinstance(claims["subject"], str):
        raise DelegationInvalid
    named = claims.get("under")
    try:
        under = None if named is None else uuid.UUID(str(named))
    except ValueError as error:
        raise DelegationInvalid from error
    terms = Terms(
        kind=claims["kind"],
        subject=claims["subject"],
        under=under,
        scenes=sorted(set(scenes)),
        purposes=sorted(set(purposes)),
        expires_at=datetime.fromtimestamp(seconds, tz=at.tzinfo),
    )
    _judge(terms)
    return terms


def _judge(terms: Terms) -> None:
    if not terms.scenes or not set(terms.scenes) <= set(DELEGABLE_SCENES):
        raise DelegationInvalid
    is_appointee = terms.kind == "enterprise" and terms.under is not None
    if terms.under is not None and not is_appointee:
        raise DelegationInvalid
    if terms.kind == "enterprise" and not is_appointee and not uscc.is_valid(terms.subject):
        raise DelegationInvalid


def _are_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 20
        and all(isinstance(each, str) and 1 <= len(each) <= 40 for each in value)
    )


def _confirmed_child(
    register: PopulationRegister, asking: Resident, terms: Terms, child_name: str, *, at: datetime
) -> RegisteredPerson:
    child = register.child(
        real_name=asking.real_name,
        id_number=asking.id_number,
        child_name=child_name,
        child_id_number=terms.subject,
        at=at,
    )
    if child is None:
        raise RelationNotConfirmed
    if age_on(child.birth_date, city_date(at)) >= OF_AGE:
        raise ChildGrown
    if city_date(terms.expires_at) >= _coming_of_age(child.birth_date):
        raise DelegationInvalid
    return child


def _coming_of_age(birth_date: date) -> date:
    try:
        return birth_date.replace(year=birth_date.year + OF_AGE)
    except ValueError:  # born on 29 February
        return date(birth_date.year + OF_AGE, 3, 1)


def _dependent(child: RegisteredPerson, terms: Terms, child_name: str, *, at: datetime) -> Resident:
    """The child's account, or a record of the child, who has no phone."""
    found, _ = Resident.objects.exclude(state="closed").get_or_create(
        census_hash=lookup_hash("census", child.census_id),
        defaults={
            "level": 2,
            "is_dependent": True,
            "real_name": child_name,
            "id_number": terms.subject,
            "id_number_hash": lookup_hash("id_number", terms.subject),
            "created_at": at,
        },
    )
    return found


def _address(made: Delegation, terms: Terms, *, asking: Resident, at: datetime) -> None:
    """Name the principal, and the one to whom it is offered."""
    if terms.under is None:
        made.principal = asking
    else:
        own = Delegation.objects.filter(
            id=terms.under,
            delegate=asking,
            state="active",
            appointed_by=None,
            enterprise__isnull=False,
            expires_at__gt=at,
        ).first()
        if own is None:
            raise NotFound
        made.enterprise_id, made.appointed_by = own.enterprise_id, own
        made.expires_at = min(made.expires_at, own.expires_at)
    phone_hash = lookup_hash("phone", terms.subject)
    if phone_hash == bytes(asking.phone_hash or b""):
        raise DelegationInvalid
    made.delegate_phone, made.delegate_phone_hash = terms.subject, phone_hash


def _lock_offer(caller: Caller, delegation_id: uuid.UUID, *, at: datetime) -> Delegation:
    me = Resident.objects.get(id=required(caller.resident_id))
    offer = (
        Delegation.objects.select_for_update()
        .filter(id=delegation_id, delegate_phone_hash=me.phone_hash)
        .first()
    )
    if offer is None:
        raise NotFound
    if offer.state != "offered" or at >= min(offer.expires_at, offer.created_at + OFFER_LIFE):
        raise DelegationOver
    return offer


def _receipt(delegation: Delegation, *, word: str, at: datetime) -> str:
    claims = {
        "about": "delegation",
        "delegation": str(delegation.id),
        "kind": delegation.kind,
        "scenes": delegation.scenes,
        "purposes": delegation.purposes,
        "expires_at": int(delegation.expires_at.timestamp()),
    }
    return receipts.give_receipt(claims, word=word, at=at)


def _save(delegation: Delegation, *fields: str) -> None:
    try:
        with transaction.atomic():
            delegation.save(update_fields=fields or None)
    except IntegrityError as error:
        raise DelegationExists from error
