"""Raises residents to level 3 by their face, which only the checking service sees.

We give a challenge, the service looks and signs what it found, and we believe its signature alone
(docs/liveness-protocol.md). No picture and nothing measured of a face ever reaches us.
"""

import hmac
import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from django.conf import settings

from identity import access_log, level_checks
from identity.level_checks import LevelCheckOver
from identity.models import LevelCheck, Resident
from identity.real_names import reach_level
from vpass.common import idempotency, limits
from vpass.common.callers import Caller, required
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.signing import (
    BadKey,
    BadToken,
    P256Public,
    decode_jws,
    jws_header,
    load_public,
)

RESULT_TYPE = "vpass-liveness+jwt"
PATH = "/api/resident/v1/face-checks"
PURPOSE = "face-check"
RESULT_LIFE_S = 600
LEEWAY_S = 30
PASS_SCORE = 80
CHECKS_PER_DAY = limits.Limit("face_check.day", maximum=5, per=timedelta(days=1))

_CLAIMS = {"iss", "aud", "sub", "challenge", "outcome", "score", "iat", "exp", "jti"}
_OUTCOMES = ("match", "no_match", "not_live")


class CheckingServiceMissing(DomainError):
    """This city has no face checking service; come to a counter."""

    code = "liveness.not_offered"
    status = 503
    title_zh = "本市暂未开通人脸核验，请到窗口办理"


class ResultRefused(DomainError):
    """The result of a face check is refused; each reason is a class of its own."""

    code = "liveness.refused"
    status = 422
    title_zh = "人脸核验结果被拒绝"


class ResultInvalid(ResultRefused):
    """This is not a result that the checking service signed for this city."""

    code = "liveness.result_invalid"
    title_zh = "人脸核验结果的签名或格式无效"


class ResultExpired(ResultRefused):
    """The result of the face check has expired."""

    code = "liveness.result_expired"
    title_zh = "人脸核验结果已过期"


class ResultOfOtherChallenge(ResultRefused):
    """The result answers another challenge."""

    code = "liveness.other_challenge"
    title_zh = "人脸核验结果与本次核验不符"


class ResultOfOtherPerson(ResultRefused):
    """The result is about another person."""

    code = "liveness.other_person"
    title_zh = "人脸核验结果并非本人"


class FaceNotMatched(ResultRefused):
    """The checking service did not find the person of the register, alive, before the camera."""

    code = "liveness.not_matched"
    title_zh = "人脸核验未通过"


REFUSALS: dict[str, type[DomainError]] = {
    LevelCheckOver.code: LevelCheckOver,
    **{refusal.code: refusal for refusal in ResultRefused.__subclasses__()},
}


@dataclass(frozen=True)
class FaceCheckBegun:
    """What the phone hands to the checking service at `service`: challenge, subject, audience.

    The challenge is good for this check alone; `subject` names the person to the service and to
    nobody else; `audience` is who may believe the result.
    """

    id: str
    challenge: str
    subject: str
    audience: str
    service: str
    expires_at: str


def begin(*, caller: Caller, idempotency_key: IdempotencyKey, at: datetime) -> FaceCheckBegun:
    """Begin a face check, bound to the caller's person and phone, good for ten minutes and once.

    Raises CheckingServiceMissing, limits.LimitReached (five a day), level_checks.LevelReached,
    AccountSuspended, DeviceNotActive.
    """
    if (answer := idempotency.find_answer(idempotency_key)) is not None:
        return FaceCheckBegun(**answer)
    agreed = (
        settings.LIVENESS_URL,
        settings.LIVENESS_PUBLIC_KEY_PEM,
        settings.LIVENESS_SUBJECT_KEY,
    )
    if not all(agreed):
        raise CheckingServiceMissing
    limits.spend(CHECKS_PER_DAY, caller.scope, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            challenge = secrets.token_urlsafe(32)
            check = level_checks.begin(
                caller=caller, kind=LevelCheck.Kind.FACE, secret=challenge, at=at
            )
            begun = FaceCheckBegun(
                id=str(check.id),
                challenge=challenge,
                subject=subject_of(check.resident),
                audience=settings.PUBLIC_URL + PATH,
                service=settings.LIVENESS_URL,
                expires_at=check.expires_at.isoformat(),
            )
            claim.answer = asdict(begun)
        return FaceCheckBegun(**claim.answer)


def finish(
    *,
    caller: Caller,
    check_id: uuid.UUID,
    result: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> int:
    """Take the signed result of a face check; return the level reached.

    Each refusal counts as a try, whatever it was; the fifth ends the check. A result that says no
    ends it at once. Raises NotFound for the check of another person or phone, LevelCheckOver,
    a ResultRefused (with `tries_left`), AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            claim.answer = _finish(caller, check_id, result, at=at)
    if code := claim.answer.get("refused"):
        raise REFUSALS[code](**claim.answer["members"])
    return int(claim.answer["level"])


def subject_of(resident: Resident) -> str:
    """Return the name of a person towards the checking service: 43 base64url characters.

    An HMAC-SHA256 of the ID number under the key which both sides hold, so the service finds the
    register's photo, and nobody between learns whom it is about.
    """
    key = settings.LIVENESS_SUBJECT_KEY.encode()
    return b64url_encode(hmac.digest(key, str(resident.id_number).encode(), sha256))


def _finish(caller: Caller, check_id: uuid.UUID, result: str, *, at: datetime) -> dict[str, Any]:
    resident = level_checks.lock_resident(required(caller.resident_id))
    check = (
        LevelCheck.objects.select_for_update()
        .filter(
            id=check_id,
            resident=resident,
            device_id=required(caller.device_id),
            kind=LevelCheck.Kind.FACE,
        )
        .first()
    )
    if check is None:
        raise NotFound
    if not level_checks.is_open(check, at=at):
        return {"refused": LevelCheckOver.code, "members": {}}
    tries_left = level_checks.count_try(check)
    try:
        _judge(result, check=check, subject=subject_of(resident), at=at)
    except ResultRefused as error:
        is_final = isinstance(error, FaceNotMatched) or tries_left <= 0
        if is_final:
            level_checks.end(check, "failed", actor=caller.scope, at=at)
        members = {"tries_left": 0 if is_final else tries_left}
        return {"refused": error.code, "members": members}
    level_checks.end(check, "passed", actor=caller.scope, at=at)
    if resident.level < 3:
        reach_level(resident, 3, at=at)
        access_log.write_line(resident_id=resident.id, caller=caller, purpose=PURPOSE, at=at)
    return {"level": 3}


def _judge(result: str, *, check: LevelCheck, subject: str, at: datetime) -> None:
    """Return for a result that proves the person of this check; raises a ResultRefused."""
    claims = _read(result, at=at)
    if claims["iat"] < check.created_at.timestamp() - LEEWAY_S:
        raise ResultExpired
    if not level_checks.knows(check, claims["challenge"]):
        raise ResultOfOtherChallenge
    if not hmac.compare_digest(claims["sub"].encode(), subject.encode()):
        raise ResultOfOtherPerson
    if claims["outcome"] != "match" or claims["score"] < PASS_SCORE:
        raise FaceNotMatched


def _read(result: str, *, at: datetime) -> dict[str, Any]:
    """The claims of a result, all of them there and of their forms; raises a ResultRefused."""
    try:
        header = jws_header(result)
        if header.keys() != {"alg", "typ", "kid"} or header["kid"] != settings.LIVENESS_KEY_ID:
            raise ResultInvalid
        claims = decode_jws(
            result,
            _service_key(settings.LIVENESS_PUBLIC_KEY_PEM),
            typ=RESULT_TYPE,
            audience=settings.PUBLIC_URL + PATH,
            at=at,
            leeway_s=LEEWAY_S,
            required=sorted(_CLAIMS),
        )
    except BadToken as error:
        raise (ResultExpired if error.reason == "expired" else ResultInvalid) from error
    texts = [claims[name] for name in ("iss", "aud", "sub", "challenge", "outcome", "jti")]
    is_formed = (
        claims.keys() == _CLAIMS
        and all(type(text) is str and 0 < len(text) <= 200 for text in texts)
        and claims["iss"] == settings.LIVENESS_KEY_ID
        and claims["outcome"] in _OUTCOMES
        and type(claims["score"]) is int
        and 0 <= claims["score"] <= 100
        and 0 < claims["exp"] - claims["iat"] <= RESULT_LIFE_S
    )
    if not is_formed:
        raise ResultInvalid
    return claims


@cache
def _service_key(pem: str) -> P256Public:
    public = load_public(pem)
    if not isinstance(public, P256Public):
        raise BadKey("wrong_kind")
    return public
