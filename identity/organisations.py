"""Knows the organisations' desks and terminals by the keys they hold."""

import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import BooleanField, F, Func, QuerySet

from identity import queries, states
from identity.history import change_state
from identity.models import IS_OPEN, Desk, DeskEnrolment, MachineKey, Terminal, TerminalEnrolment
from vpass.common import audit, key_proofs
from vpass.common.callers import Caller, KnownCaller
from vpass.common.errors import DomainError
from vpass.common.key_proofs import KeyProof
from vpass.common.signing import VerificationKey

CODE_LIFE = timedelta(days=7)
# Without 0, 1, I and O, which a clerk would mistype.
_CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

# What the machines of these organisations may call; all others are terminals. A bank or a bus
# company that issues cards calls as their issuer with a machine of this scene.
_MACHINE_KINDS = {"merchant": "merchant", "bank": "bank"}
ISSUER_SCENE = "issuer"
# The systems of offices, as against their terminals, are registered for this scene.
DEPARTMENT = "department"
# The population register's own system, of the office that keeps it.
REGISTER = "register"
_OFFICES = {"city", "county", "hall", "department"}


class DeskCodeRefused(DomainError):
    """The desk enrolment code is unknown, used or out of date."""

    code = "desk.code_refused"
    status = 422
    title_zh = "窗口登记码无效、已使用或已过期"


class DeskKeyTaken(DomainError):
    """This browser is enrolled at a desk already."""

    code = "desk.key_taken"
    status = 409
    title_zh = "该浏览器已登记为其他窗口"


class TerminalCodeRefused(DomainError):
    """The enrolment code of this machine is unknown, used or out of date."""

    code = "terminal.code_refused"
    status = 422
    title_zh = "终端登记码无效、已使用或已过期"


class TerminalKeyTaken(DomainError):
    """This key belongs to a machine already."""

    code = "terminal.key_taken"
    status = 409
    title_zh = "该密钥已登记为其他终端"


def issue_desk_code(*, desk: Desk, actor: str, at: datetime) -> str:
    """Return 16 letters and digits by which one browser may become this desk, within 7 days.

    Codes given before are good no more.
    """
    text = new_code()
    with transaction.atomic():
        end_desk_codes(Desk.objects.filter(id=desk.id), at=at)
        DeskEnrolment.objects.create(
            code_hash=key_proofs.token_hash(text), desk=desk, expires_at=at + CODE_LIFE
        )
        audit.record(
            actor=actor, action="desk.code_issued", subject=f"desk:{desk.id}", detail={}, at=at
        )
    return text


def enrol_desk(*, enrolment_code: str, proof: KeyProof, at: datetime) -> Desk:
    """Give a desk the key that its browser has proven; a key it had before ends with that.

    Raises DeskCodeRefused, DeskKeyTaken.
    """
    with transaction.atomic():
        is_spent = DeskEnrolment.objects.filter(
            code_hash=key_proofs.token_hash(enrolment_code), expires_at__gt=at, used_at=None
        ).update(used_at=at)
        if not is_spent:
            raise DeskCodeRefused
        enrolment = DeskEnrolment.objects.get(code_hash=key_proofs.token_hash(enrolment_code))
        desk = Desk.objects.select_for_update(of=("self",)).get(id=enrolment.desk_id)
        desk.key_point, desk.key_thumbprint = proof.point, proof.thumbprint
        try:
            with transaction.atomic():
                desk.save(update_fields=["key_point", "key_thumbprint"])
        except IntegrityError as error:
            raise DeskKeyTaken from error
        audit.record(
            actor=f"key:{proof.thumbprint}",
            action="desk.key_enrolled",
            subject=f"desk:{desk.id}",
            detail={},
            at=at,
        )
    return Desk.objects.select_related("organisation").get(id=desk.id)


def end_desk_codes(desks: QuerySet[Desk], *, at: datetime) -> None:
    """Let no code that these desks were given before be used any more.

    Before any lock on a desk's row, since `enrol_desk` takes the two in this order.
    """
    DeskEnrolment.objects.filter(desk__in=desks, used_at=None).update(used_at=at)


def issue_terminal_code(*, terminal: Terminal, actor: str, at: datetime) -> str:
    """Return 16 letters and digits by which a machine may enrol its key, within 7 days.

    Codes given before are good no more.
    """
    text = new_code()
    with transaction.atomic():
        end_terminal_codes(Terminal.objects.filter(id=terminal.id), at=at)
        TerminalEnrolment.objects.create(
            code_hash=key_proofs.token_hash(text), terminal=terminal, expires_at=at + CODE_LIFE
        )
        audit.record(
            actor=actor,
            action="terminal.code_issued",
            subject=f"terminal:{terminal.id}",
            detail={},
            at=at,
        )
    return text


def end_terminal_codes(terminals: QuerySet[Terminal], *, at: datetime) -> None:
    """Let no code that these machines were given before be used any more.

    Before any lock on a machine's row, since `enrol_terminal` takes the two in this order.
    """
    TerminalEnrolment.objects.filter(terminal__in=terminals, used_at=None).update(used_at=at)


def enrol_terminal(*, enrolment_code: str, kind: str, proof: KeyProof, at: datetime) -> Terminal:
    """Give a terminal the P-256 key that its machine has proven; the keys it had are retired.

    The key's id is its thumbprint. `kind` is that of the callers who may enrol this way: what the
    machine will call as. Raises TerminalCodeRefused, TerminalKeyTaken.
    """
    with transaction.atomic():
        is_spent = TerminalEnrolment.objects.filter(
            code_hash=key_proofs.token_hash(enrolment_code), expires_at__gt=at, used_at=None
        ).update(used_at=at)
        if not is_spent:
            raise TerminalCodeRefused
        enrolment = TerminalEnrolment.objects.get(code_hash=key_proofs.token_hash(enrolment_code))
        terminal = (
            Terminal.objects.select_related("organisation")
            .select_for_update(of=("self",))
            .get(id=enrolment.terminal_id)
        )
        works_as = machine_kind(scene=terminal.scene, organisation_kind=terminal.organisation.kind)
        if works_as != kind:
            raise TerminalCodeRefused
        actor = f"key:{proof.thumbprint}"
        for former in MachineKey.objects.select_for_update().filter(
            terminal=terminal, state="active"
        ):
            change_state(former, "retired", table=states.MACHINE_KEY, actor=actor, at=at)
        try:
            with transaction.atomic():
                MachineKey.objects.create(
                    id=proof.thumbprint,
                    terminal=terminal,
                    algorithm="ES256",
                    public_key=proof.point,
                )
        except IntegrityError as error:
            raise TerminalKeyTaken from error
        audit.record(
            actor=actor,
            action="terminal.key_enrolled",
            subject=f"terminal:{terminal.id}",
            detail={},
            at=at,
        )
    return terminal


def find_machine_caller(key_id: str, at: datetime) -> KnownCaller | None:
    """Return the machine of a key, in one statement; None when any part is suspended."""
    found = queries.find_machine(key_id, at=at)
    if found is None:
        return None
    return KnownCaller(
        caller=Caller(
            kind=machine_kind(scene=found.scene, organisation_kind=found.organisation_kind),
            id=found.terminal_id,
            key_id=key_id,
            organisation_id=found.organisation_id,
            store_id=found.store_id,
            is_closed=found.is_closed,
            scene=found.scene,
        ),
        key=VerificationKey.from_bytes(found.algorithm, found.public_key),
    )


def is_open(organisation: str) -> Func:
    """The condition that an organisation (a path of fields to it) and all above it are active."""
    return Func(F(f"{organisation}_id"), function=IS_OPEN, output_field=BooleanField())


def machine_kind(*, scene: str, organisation_kind: str) -> str:
    """Return the kind of caller a machine is: terminal, merchant, bank, issuer or department."""
    if scene == ISSUER_SCENE:
        return "issuer"
    if scene in (DEPARTMENT, REGISTER) and organisation_kind in _OFFICES:
        return scene
    return _MACHINE_KINDS.get(organisation_kind, "terminal")


def new_code() -> str:
    """Return 16 letters and digits that nobody mistypes or guesses."""
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(16))
