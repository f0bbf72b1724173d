"""Lets a resident be forgotten: asked for with a signature, thought over, then done for good.

Ledger, access log and audit stay, under the id of the account, which from then on is nobody's. The
floors above say what is still open (OBLIGATIONS) and forget what they keep (FORGET).
"""

import hashlib
import uuid
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from identity import (
    delegation,
    enrolment,
    level_checks,
    logins,
    lost_phones,
    receipts,
    register_changes,
    reverse_scans,
    states,
    takeovers,
)
from identity.history import change_state
from identity.models import (
    CaseShare,
    Consent,
    Correction,
    Delegation,
    Deletion,
    Device,
    Dispute,
    Resident,
    Suspension,
)
from identity.residents import DeviceNotActive
from vpass.common import audit, clock, contributions, ids, outbox, sms
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.encodings import b64url_encode
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.observability import log

# Asked with `resident_id`; an answer is a list of problem codes, such as ["payments.balance"].
OBLIGATIONS = "identity.open_obligations"
# Asked with `resident_id` and `at` in the transaction that deletes; nothing is answered.
FORGET = "identity.forget"

TYPE = "vpass-deletion+jwt"
PATH = "/api/resident/v1/deletions"
COOLING_OFF = timedelta(days=7)
DELETED = "identity.account_deleted"
# {"deletion": id}: the person is told by text message, whoever holds the phone that asked.
DELETION_ASKED = "identity.deletion_asked"
SUSPENDED = "identity.suspended"

TERMS_ZH = (
    "注销 V Pass 账户：七日后，您的姓名、身份证号、手机号、手机密钥、卡片和代办授权将被删除，"
    "且无法恢复。"
    "支付账目、查阅记录和审计记录依法以代号保留。七日内可以撤回。"
)
TERMS_EN = (
    "Delete my V Pass account: after seven days my name, ID number, phone number, phone keys, cards"
    " and delegations are deleted for good. Payments, access log and audit are kept by law under a"
    " pseudonym. I can call it off within the seven days."
)


class DeletionObliged(Conflict):
    """Something is still open; the member `obligations` names it."""

    code = "deletion.obliged"
    title_zh = "尚有未了结的事项，暂不能注销"


class DeletionWaiting(Conflict):
    """The account is to be deleted already."""

    code = "deletion.waiting"
    title_zh = "账户已在等待注销"


class DeletionOver(Conflict):
    """Nothing waits that could be called off."""

    code = "deletion.over"
    title_zh = "没有可撤回的注销申请"


def terms_digest() -> str:
    """Return what the phone signs of the terms: base64url SHA-256 of the two, a line each."""
    return b64url_encode(hashlib.sha256(f"{TERMS_ZH}\n{TERMS_EN}".encode()).digest())


def request_deletion(
    *, caller: Caller, word: str, idempotency_key: IdempotencyKey, at: datetime
) -> Deletion:
    """Ask for one's account to be deleted in COOLING_OFF.

    `word` is a JWS by the device key, typ `vpass-deletion+jwt`, `aud` the URL of this, `account`
    the resident's id and `terms` the digest of what was shown. The person gets a text message, and
    the wish ends with the phone that signed: when it is frozen, replaced or ended before the time
    has come. Raises receipts.WordInvalid, DeletionObliged, DeletionWaiting, DeviceNotActive.
    """
    resident_id = required(caller.resident_id)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            _judge(word, caller=caller, at=at)
            if found := open_obligations(resident_id=resident_id):
                raise DeletionObliged(obligations=found)
            # Who freezes a phone holds the person's row: no wish comes from one frozen meanwhile.
            Resident.objects.select_for_update(no_key=True).get(id=resident_id)
            if not Device.objects.filter(id=required(caller.device_id), state="active").exists():
                raise DeviceNotActive
            made = Deletion(
                id=ids.uuid7(at),
                resident_id=resident_id,
                device_id=caller.device_id,
                word=word,
                asked_at=at,
                due_at=at + COOLING_OFF,
            )
            try:
                with transaction.atomic():
                    made.save(force_insert=True)
            except IntegrityError as error:
                raise DeletionWaiting from error
            outbox.publish(DELETION_ASKED, {"deletion": str(made.id)}, at=at)
            claim.answer = {"id": str(made.id)}
        return Deletion.objects.get(id=claim.answer["id"])


def _judge(word: str, *, caller: Caller, at: datetime) -> None:
    claims = receipts.read_word(
        word, caller=caller, typ=TYPE, path=PATH, required_claims=["account", "terms"], at=at
    )
    if (claims["account"], claims["terms"]) != (str(caller.resident_id), terms_digest()):
        raise receipts.WordInvalid("other terms or account")


def call_off(
    *, caller: Caller, deletion_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Deletion:
    """Keep the account after all. Raises NotFound, DeletionOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = deletions_of(caller=caller).select_for_update().filter(id=deletion_id).first()
            if found is None:
                raise NotFound
            if found.state != "waiting":
                raise DeletionOver
            _end(found, "cancelled", actor=caller.scope, at=at)
            claim.answer = {"id": str(found.id)}
        return Deletion.objects.get(id=claim.answer["id"])


def deletions_of(*, caller: Caller) -> QuerySet[Deletion]:
    """Return what a resident has asked for; order by falling id."""
    return Deletion.objects.filter(resident_id=required(caller.resident_id))


def open_obligations(*, resident_id: uuid.UUID) -> list[str]:
    """Return the codes of what keeps an account from being deleted, in order, each once."""
    others = Suspension.objects.filter(resident_id=resident_id, state="in_force").exclude(
        source="holder"
    )
    found = {SUSPENDED} if others.exists() else set()
    for _, codes in contributions.ask(OBLIGATIONS, resident_id=resident_id):
        found.update(codes)
    return sorted(found)


def tell_of_request(event: outbox.Event) -> None:
    """Tell a person by text message that the account is to go: an outbox consumer that calls out.

    A wish that has ended meanwhile needs no message.
    """
    found = Deletion.objects.select_related("resident").get(id=event.payload["deletion"])
    if found.state != "waiting" or found.resident.phone is None:
        return
    day = city_date(found.due_at)
    sms.send_text(
        message_id=event.id,
        to=found.resident.phone,
        text=f"【V Pass】您的账户已申请注销，将于 {day} 删除。"
        "如非本人操作，请在手机上撤回，或致电热线冻结手机。"
        f"Your account is to be deleted on {day}. If it was not you who asked, call it off on your"
        " phone, or have the phone frozen by the hotline.",
        at=clock.now(),
    )


def delete_due(*, at: datetime, limit: int = 50) -> int:
    """Delete the accounts whose time has come, each by itself; return how many were deleted.

    One with something open stays, and its holder reads why; so does one whose phone has ended; one
    that fails waits for the next time. No more than `limit` are deleted.
    """
    due = Deletion.objects.filter(state="waiting", due_at__lte=at).order_by("due_at", "id")
    deleted = 0
    for each in list(due.values_list("id", flat=True)):
        if deleted == limit:
            break
        deleted += _try_to_delete(each, at=at)
    return deleted


def _try_to_delete(deletion_id: uuid.UUID, *, at: datetime) -> bool:
    try:
        return _delete(deletion_id, at=at)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go on
        log.error("deletion_failed", reason=type(error).__name__)
        return False


def close_empty(person: Resident, *, actor: str, at: datetime) -> None:
    """Close an account with nothing open, in the caller's transaction which locked it for this."""
    _close(person, at=at)
    contributions.ask(FORGET, resident_id=person.id, at=at)
    audit.record(
        actor=actor, action="account.deleted", subject=f"resident:{person.id}", detail={}, at=at
    )
    outbox.publish(DELETED, {"resident": str(person.id)}, at=at)


def _delete(deletion_id: uuid.UUID, *, at: datetime) -> bool:
    whose = Deletion.objects.values_list("resident_id", flat=True).get(id=deletion_id)
    with transaction.atomic():
        # Exclusive: whoever writes a row about this person waits, and finds it closed.
        person = Resident.objects.select_for_update().get(id=whose)
        found = (
            Deletion.objects.select_for_update(of=("self",))
            .select_related("device")
            .filter(id=deletion_id, state="waiting")
            .first()
        )
        if found is None:
            return False
        if found.device is None or found.device.state != "active":
            _end(found, "cancelled", actor="deletion", at=at)
            return False
        found.obligations = open_obligations(resident_id=person.id)
        _end(found, "refused" if found.obligations else "done", actor="deletion", at=at)
        if found.obligations:
            return False
        _close(person, at=at)
        contributions.ask(FORGET, resident_id=person.id, at=at)
        audit.record(
            actor="deletion", action="account.deleted", subject=f"resident:{person.id}",
            detail={}, at=at,
        )  # fmt: skip
        outbox.publish(DELETED, {"resident": str(person.id)}, at=at)
    return True


def _close(person: Resident, *, at: datetime) -> None:
    """End whatever the person could still do, then take out whatever names them."""
    _end_delegations(person, at=at)
    thumbprints = list(Device.objects.filter(resident=person).values_list("thumbprint", flat=True))
    lost_phones.end_all(resident_id=person.id, actor="deletion", at=at)
    _end_disclosures(person, at=at)
    logins.forget(resident_id=person.id, at=at)
    reverse_scans.forget(resident_id=person.id, at=at)
    level_checks.forget(resident_id=person.id)
    takeovers.forget(resident_id=person.id)
    enrolment.forget(thumbprints=thumbprints, phone_hash=person.phone_hash)
    register_changes.forget(resident_id=person.id, census_hash=person.census_hash)
    change_state(person, "closed", table=states.RESIDENT, actor="deletion", at=at)
    person.level, person.census_hash = 1, None
    person.real_name = person.id_number = person.phone = None
    person.phone_hash = person.id_number_hash = None
    person.save()
    for device in Device.objects.filter(resident=person):
        device.point, device.thumbprint = b"", f"deleted:{device.id}"
        device.save(update_fields=["point", "thumbprint"])


def _end_delegations(person: Resident, *, at: datetime) -> None:
    mine = Delegation.objects.filter(
        Q(principal=person)
        | Q(delegate=person)
        | Q(appointed_by__delegate=person)
        | Q(delegate_phone_hash__isnull=False, delegate_phone_hash=person.phone_hash)
    )
    ending = list(mine.select_for_update(of=("self",)).order_by("id"))
    live = [each for each in ending if each.state in ("offered", "active")]
    for each in live:
        delegation.move(each, "revoked", actor="deletion", at=at)
    delegation.end_grants(live, at=at)
    Delegation.objects.filter(id__in=[each.id for each in ending]).update(
        delegate_phone=None, delegate_phone_hash=None, word=None, acceptance=None
    )


def _end_disclosures(person: Resident, *, at: datetime) -> None:
    for share in CaseShare.objects.select_for_update().filter(resident=person).order_by("id"):
        if share.state == "offered":
            change_state(share, "withdrawn", table=states.CASE_SHARE, actor="deletion", at=at)
        share.matter, share.word = "", ""
        share.official = share.decision_note = None
        share.save(update_fields=["matter", "word", "official", "decision_note"])
    for asked in Consent.objects.select_for_update().filter(
        resident=person, state__in=["asked", "approved"]
    ):
        to_state = "refused" if asked.state == "asked" else "withdrawn"
        change_state(asked, to_state, table=states.CONSENT, actor="deletion", at=at)
    for dispute in Dispute.objects.select_for_update().filter(resident=person):
        if dispute.state == "open":
            change_state(dispute, "withdrawn", table=states.DISPUTE, actor="deletion", at=at)
        dispute.note = None
        dispute.answer = None if dispute.answered_at is None else ""
        dispute.save(update_fields=["note", "answer"])
    for request in Correction.objects.select_for_update().filter(resident=person):
        if request.state == "open":
            change_state(request, "withdrawn", table=states.CORRECTION, actor="deletion", at=at)
        request.note = request.answer = None
        request.save(update_fields=["note", "answer"])


def _end(found: Deletion, to_state: str, *, actor: str, at: datetime) -> None:
    found.ended_at = at
    with_it = ("ended_at", "obligations")
    change_state(found, to_state, table=states.DELETION, actor=actor, at=at, also=with_it)
