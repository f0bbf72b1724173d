"""Has residents approve on their phones where they log in, and ends those logins again."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from identity import receipts, states
from identity.access_log import write_line
from identity.history import change_state
from identity.models import (
    Device,
    Login,
    LoginAccessToken,
    LoginCode,
    LoginRefreshToken,
    Resident,
)
from identity.queries import find_rule, purpose_words
from identity.residents import AccountSuspended
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.policy import LevelTooLow

SCENE = "login"
TYPE = "vpass-login+jwt"
PATH = "/api/resident/v1/logins/{login_id}/approval"
# A page waits so long for the phone, and then so long for its browser to fetch the code.
ASK_LIFE = timedelta(minutes=2)
RETURN_WITHIN = timedelta(minutes=2)
# A resident signs in anew after half a day.
LOGIN_LIFE = timedelta(hours=12)
KEEP_FOR = timedelta(days=30)
KEEP_UNANSWERED_FOR = timedelta(days=1)
PURGE_ROWS = 10_000
LOOKS = limits.Limit("login.looks", maximum=30, per=timedelta(hours=1))


class LoginOver(Conflict):
    """This login is decided, used or out of date."""

    code = "login.over"
    title_zh = "该登录请求已处理、已使用或已过期"


class NumberWrong(DomainError):
    """This is not the number that the page shows; the login is refused."""

    code = "login.number_wrong"
    status = 422
    title_zh = "与网页显示的数字不符，本次登录已拒绝"


def look(*, caller: Caller, handle: str, at: datetime) -> Login:
    """Return what a page asks the resident, by the handle in its QR code or link.

    Raises NotFound, LoginOver, limits.LimitReached.
    """
    limits.spend(LOOKS, caller.scope, at=at)
    login = _with_words(Login.objects.filter(handle_hash=secret_hash(handle))).first()
    if login is None:
        raise NotFound
    if state_of(login, at=at) != "asked" or not login.relying_party.is_usable(None):
        raise LoginOver
    return login


def approve(
    *,
    caller: Caller,
    login_id: uuid.UUID,
    word: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Approve a login with the phone's signature over exactly what it showed.

    `word`: a JWS by the device key, typ `vpass-login+jwt`, `aud` the URL of the approval, `iat` at
    most 60 s old, `jti`, `login`, `organisation` (ids as text), `relying_party` (client id),
    `purpose`, `fields` (sorted names), `level` (1 to 3) and `number`, the two digits that the
    resident read on the page. The resident's log gets its line in the same transaction. A wrong
    number or too low a level ends the login. Raises NotFound, LoginOver, receipts.WordInvalid,
    NumberWrong, LevelTooLow, AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            login = _lock_asked(login_id, at=at)
            claims = receipts.read_word(
                word,
                caller=caller,
                typ=TYPE,
                path=PATH.format(login_id=login.id),
                required_claims=[*_shown(login), "number"],
                at=at,
            )
            if any(claims[name] != value for name, value in _shown(login).items()):
                raise receipts.WordInvalid
            resident = Resident.objects.get(id=required(caller.resident_id))
            if resident.state != "active":
                raise AccountSuspended
            login.resident, login.device_id = resident, required(caller.device_id)
            login.decided_at, login.level = at, resident.level
            claim.answer = _decide(login, claims["number"], word=word, caller=caller, at=at)
    match claim.answer.get("refused"):
        case "number":
            raise NumberWrong
        case "level":
            raise LevelTooLow(level_needed=claim.answer["level_needed"])
    return claim.answer


def refuse(
    *, caller: Caller, login_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Refuse a login; the resident's log tells it. Raises NotFound, LoginOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            login = _lock_asked(login_id, at=at)
            login.resident_id, login.device_id = caller.resident_id, caller.device_id
            login.decided_at = at
            _close(login, "refused", reason="login.refused", actor=caller.scope, at=at)
            claim.answer = {"id": str(login.id), "state": login.state}
        return claim.answer


def withdraw(
    *, caller: Caller, login_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """End one of the resident's own logins: its tokens die at once. Raises NotFound, LoginOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            mine = Login.objects.select_for_update(of=("self",)).filter(
                id=login_id, resident_id=required(caller.resident_id)
            )
            login = mine.first()
            if login is None:
                raise NotFound
            if state_of(login, at=at) not in ("approved", "signed_in"):
                raise LoginOver
            end(login, "withdrawn", actor=caller.scope, at=at)
            claim.answer = {"id": str(login.id), "state": login.state}
        return claim.answer


def logins_of(*, caller: Caller) -> QuerySet[Login]:
    """Return where a resident logged in, with the purposes' words; order by `-begun_at, -id`."""
    return _with_words(Login.objects.filter(resident_id=required(caller.resident_id)))


def state_of(login: Login, *, at: datetime) -> str:
    """Return the state as it is at a moment, also when the clearing has not come by yet."""
    if at < login.expires_at:
        return login.state
    return {"asked": "expired", "approved": "lapsed", "signed_in": "lapsed"}.get(
        login.state, login.state
    )


def lock(login_id: uuid.UUID) -> Login:
    """Return a login with its row locked; who changes tokens of it waits for the others."""
    return (
        Login.objects.select_for_update(of=("self",))
        .select_related("resident", "device")
        .get(id=login_id)
    )


def find(login_id: str, *, relying_party_id: uuid.UUID) -> Login | None:
    """Return a relying party's approved login with its row locked; None when there is none."""
    return (
        Login.objects.select_for_update(of=("self",))
        .select_related("resident", "device")
        .filter(id=login_id, relying_party_id=relying_party_id, resident__isnull=False)
        .first()
    )


def holds(login: Login) -> bool:
    """Whether the resident who approved, and the phone, are still what they were."""
    return resident_of(login).state == "active" and device_of(login).state == "active"


def is_signed_in(login: Login, *, at: datetime) -> bool:
    """Whether a login's tokens are good."""
    return state_of(login, at=at) == "signed_in" and holds(login)


def sign_in(login: Login, *, at: datetime) -> None:
    """Let an approved login count, for half a day; the caller holds its lock."""
    login.expires_at = login.ends_at = at + LOGIN_LIFE
    login.save(update_fields=["expires_at", "ends_at"])
    change_state(login, "signed_in", table=states.LOGIN, actor=actor_of(login), at=at)


def end(login: Login, to_state: str, *, actor: str, at: datetime) -> None:
    """End a login that was approved, with all its tokens; the caller holds its lock.

    One that is over already stays as it ended.
    """
    if to_state not in states.LOGIN.edges[login.state]:
        return
    change_state(login, to_state, table=states.LOGIN, actor=actor, at=at)
    LoginRefreshToken.objects.filter(login=login, revoked=None).update(revoked=at)
    LoginAccessToken.objects.filter(login=login).delete()


def forget(*, resident_id: uuid.UUID, at: datetime) -> None:
    """End a person's logins, and forget what was signed, codes and tokens; that they were stays."""
    mine = Login.objects.select_for_update(of=("self",)).filter(resident_id=resident_id)
    for login in mine.order_by("id"):
        end(login, "withdrawn", actor="deletion", at=at)
        login.request = ""
        login.word = None if login.word is None else ""
        login.receipt = None if login.receipt is None else ""
        login.save(update_fields=["request", "word", "receipt"])
    of_person = Q(login__resident_id=resident_id)
    LoginRefreshToken.objects.filter(of_person).delete()
    LoginAccessToken.objects.filter(of_person).delete()
    LoginCode.objects.filter(of_person).delete()


def expire_old(*, at: datetime) -> int:
    """End the logins nobody answered, fetched or ended in time; return how many."""
    with transaction.atomic():
        ending = list(
            Login.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(state__in=["asked", "approved", "signed_in"], expires_at__lte=at)
            .order_by("id")[:1000]
        )
        for login in ending:
            if login.state == "asked":
                change_state(login, "expired", table=states.LOGIN, actor="expiry", at=at)
            else:
                end(login, "lapsed", actor="expiry", at=at)
    return len(ending)


def purge(*, at: datetime) -> int:
    """Drop the hashes of codes and tokens whose logins ended long ago; return how many logins.

    Logins that nobody answered are nobody's: they go a day after their end.
    """
    old = Login.objects.filter(state__in=states.LOGIN.final, expires_at__lte=at - KEEP_FOR)
    with_tokens = old.filter(logincode__isnull=False)
    ids = list(with_tokens.order_by("id").values_list("id", flat=True)[:1000])
    with transaction.atomic():
        LoginRefreshToken.objects.filter(login__in=ids).delete()
        LoginAccessToken.objects.filter(login__in=ids).delete()
        LoginCode.objects.filter(login__in=ids).delete()
    of_nobody = Login.objects.filter(
        state__in=states.LOGIN.final, resident=None, expires_at__lte=at - KEEP_UNANSWERED_FOR
    )
    unanswered = list(of_nobody.order_by("expires_at").values_list("id", flat=True)[:PURGE_ROWS])
    Login.objects.filter(id__in=unanswered)._raw_delete(Login.objects.db)
    return len(ids)


def resident_of(login: Login) -> Resident:
    """Return who approved a login; TypeError before that."""
    if login.resident is None:
        raise TypeError("nobody has approved this login")
    return login.resident


def device_of(login: Login) -> Device:
    """Return the phone that approved a login; TypeError before that."""
    if login.device is None:
        raise TypeError("nobody has approved this login")
    return login.device


def approved_at(login: Login) -> datetime:
    """Return when a login was approved; TypeError before that."""
    if login.decided_at is None:
        raise TypeError("nobody has approved this login")
    return login.decided_at


def actor_of(login: Login) -> str:
    """Return the relying party of a login as the actor of a change."""
    return asker(login).scope


def asker(login: Login) -> Caller:
    """Return the relying party of a login as a caller, for the resident's log."""
    return Caller(
        kind="relying_party",
        id=login.relying_party_id,
        key_id="",
        organisation_id=login.organisation_id,
        scene=SCENE,
    )


def secret_hash(text: str) -> bytes:
    """Return what is stored of a handle or a browser's secret."""
    return hashlib.sha256(text.encode()).digest()


def _decide(
    login: Login, number: Any, *, word: str, caller: Caller, at: datetime
) -> dict[str, Any]:
    if number != login.number:
        _close(login, "refused", reason=NumberWrong.code, actor=caller.scope, at=at)
        return {"refused": "number"}
    if (login.level or 0) < login.level_needed:
        _close(login, "unmet", reason=LevelTooLow.code, actor=caller.scope, at=at)
        return {"refused": "level", "level_needed": login.level_needed}
    login.expires_at = at + RETURN_WITHIN
    login.word, login.receipt = word, _receipt(login, word=word, at=at)
    login.save(
        update_fields=[
            "resident", "device", "decided_at", "level", "expires_at", "word", "receipt",
        ]
    )  # fmt: skip
    change_state(login, "approved", table=states.LOGIN, actor=caller.scope, at=at)
    _write_line(login, at=at)
    return {"id": str(login.id), "state": login.state}


def _close(login: Login, to_state: str, *, reason: str, actor: str, at: datetime) -> None:
    """End a login that came to nothing, with a line in the log of who was asked."""
    login.save(update_fields=["resident", "device", "decided_at", "level"])
    change_state(login, to_state, table=states.LOGIN, actor=actor, at=at)
    _write_line(login, asked=login.fields, reason=reason, at=at)


def _write_line(
    login: Login, *, asked: Sequence[str] = (), reason: str | None = None, at: datetime
) -> None:
    write_line(
        resident_id=required(login.resident_id),
        caller=asker(login),
        purpose=login.purpose,
        asked=asked,
        reason=reason,
        rule=find_rule(login.organisation_id, scene=SCENE, purpose=login.purpose),
        at=at,
    )


def _shown(login: Login) -> dict[str, Any]:
    """What the phone shows of a login, as its word has to name it."""
    return {
        "login": str(login.id),
        "relying_party": login.relying_party.client_id,
        "organisation": str(login.organisation_id),
        "purpose": login.purpose,
        "fields": login.fields,
        "level": login.level_needed,
    }


def _receipt(login: Login, *, word: str, at: datetime) -> str:
    return receipts.give_receipt({"about": "login", **_shown(login)}, word=word, at=at)


def _lock_asked(login_id: uuid.UUID, *, at: datetime) -> Login:
    login = (
        Login.objects.select_for_update(of=("self",))
        .select_related("relying_party__organisation")
        .filter(id=login_id)
        .first()
    )
    if login is None:
        raise NotFound
    if state_of(login, at=at) != "asked" or not login.relying_party.is_usable(None):
        raise LoginOver
    return login


def _with_words(rows: QuerySet[Login]) -> QuerySet[Login]:
    return rows.select_related("relying_party__organisation", "organisation").annotate(
        **purpose_words(SCENE)
    )
