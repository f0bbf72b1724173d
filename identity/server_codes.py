"""Issues codes of 60 seconds, signed by the city, for phones that can hold no key of their own.

A code is a compact JWS (RFC 7515) and nothing more: ES256 with low s, `typ` `vpass-code+jwt`, `kid`
the city's key id in 8 hexadecimal digits. Its claims, all required and no others:

    iss   the city, as in a grant
    aud   "vpass-scanner"
    iat   seconds; not ahead of the city's clock
    exp   iat + 60
    jti   base64url of 16 random bytes, new in every code: no two codes have anything in common
    scn   the scenes' bits, a part of SERVER_SCENES

No phone has signed it, so it is good online only and opens less: it moves no money, takes no bus
and opens no door.
"""

import re
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from django.conf import settings

from identity import grants, keys, queries
from identity.code_format import (
    SCENES,
    ClockWrong,
    Expired,
    KeyUnknown,
    SignatureInvalid,
    Unreadable,
)
from identity.models import Grant
from identity.residents import AccountSuspended, DeviceNotActive
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.encodings import b64url_decode, b64url_encode
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.signing import BadToken, decode_jws, encode_jws, jws_header

CODE_TYPE: Final = "vpass-code+jwt"
AUDIENCE: Final = "vpass-scanner"
LIFE = timedelta(seconds=60)
ROTATE_EVERY_S: Final = 30
SERVER_SCENES: Final = SCENES["id"] | SCENES["library"] | SCENES["check_in"]
PER_MINUTE = limits.Limit("server_code.minute", maximum=6, per=timedelta(minutes=1))

_KID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_CLAIMS = {"iss", "aud", "iat", "exp", "jti", "scn"}


@dataclass(frozen=True)
class CodeIssued:
    """A code, as the text to draw; times are RFC 3339 in UTC."""

    code: str
    expires_at: str
    server_time: str
    rotate_every_s: int = ROTATE_EVERY_S


@dataclass(frozen=True)
class ServerCode:
    """A code of this form as read: its grant's handle, its single-use name and its scenes' bits."""

    handle: bytes
    jti: bytes
    scenes: int


def issue_code(
    *, caller: Caller, scenes: list[str], idempotency_key: IdempotencyKey, at: datetime
) -> CodeIssued:
    """Sign a code for the caller's account, for `scenes` out of those that this form may open.

    Raises AccountSuspended, DeviceNotActive, limits.LimitReached (six a minute).
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is not None:
            return CodeIssued(**claim.answer)
        issued = sign_code(device_id=required(caller.device_id), scenes=scenes, at=at)
        claim.answer = asdict(issued)
        return issued


def sign_code(*, device_id: uuid.UUID, scenes: list[str], at: datetime) -> CodeIssued:
    """Sign a code for a phone's holder inside the caller's transaction; it ends with the phone.

    Raises AccountSuspended, DeviceNotActive, limits.LimitReached.
    """
    signer = keys.current_signer(at=at)
    holder = queries.lock_holder(device_id)
    if holder.state != "active":
        raise AccountSuspended
    issued_at = at.replace(microsecond=0)
    grant = Grant(
        handle=queries.next_handle(),
        resident_id=holder.resident_id,
        device_id=device_id,
        key_id=signer.key_id,
        issued_at=at,
        expires_at=issued_at + LIFE,
    )
    if not queries.insert_grant(grant, limit=PER_MINUTE):
        grants.explain_refusal(grant, limit=PER_MINUTE)
        raise DeviceNotActive
    text = encode_jws(
        {
            "iss": settings.CITY,
            "aud": AUDIENCE,
            "iat": int(issued_at.timestamp()),
            "exp": int(grant.expires_at.timestamp()),
            "jti": b64url_encode(bytes(grant.handle)),
            "scn": sum(SCENES[scene] for scene in set(scenes)) & SERVER_SCENES,
        },
        signer.private,
        typ=CODE_TYPE,
        kid=signer.key_id.hex(),
    )
    return CodeIssued(
        code=text, expires_at=grant.expires_at.isoformat(), server_time=at.isoformat()
    )


def read_code(text: str, *, at: datetime) -> ServerCode:
    """The code in a scanned text, when the city signed it and it is good at `at`.

    Costs one signature check. Raises code_format's Unreadable, KeyUnknown, SignatureInvalid,
    Expired or ClockWrong.
    """
    try:
        kid = jws_header(text).get("kid", "")
        if not _KID.fullmatch(kid):
            raise Unreadable("no key id")
        key = keys.verification_key(bytes.fromhex(kid), at=at)
        if key is None:
            raise KeyUnknown("the key id is not known")
        claims = decode_jws(
            text,
            key,
            typ=CODE_TYPE,
            audience=AUDIENCE,
            at=at,
            leeway_s=0,
            required=("iss", "iat", "exp", "jti", "scn"),
        )
        handle, scenes = b64url_decode(claims["jti"]), claims["scn"]
    except BadToken as error:
        raise _REASONS.get(error.reason, Unreadable)(error.reason) from error
    except ValueError as error:
        raise Unreadable("malformed jti") from error
    is_spelt = claims.keys() == _CLAIMS and claims["aud"] == AUDIENCE
    is_spelt = is_spelt and claims["iss"] == settings.CITY and type(scenes) is int
    lives = claims["exp"] - claims["iat"]
    if not is_spelt or len(handle) != 16 or lives != LIFE.total_seconds():
        raise Unreadable("not the claims of this form")
    return ServerCode(
        handle=handle,
        jti=sha256(CODE_TYPE.encode() + handle).digest(),
        scenes=scenes & SERVER_SCENES,
    )


_REASONS: Final = {
    "expired": Expired,
    "not_yet_valid": ClockWrong,
    "signature_invalid": SignatureInvalid,
}
