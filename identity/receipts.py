"""Takes what residents sign with their phones' keys, and gives the city's signed receipts."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from identity import keys
from identity.models import Device, SigningKey
from vpass.common.callers import Caller, required
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError
from vpass.common.signing import (
    BadToken,
    decode_jws,
    encode_jws,
    jws_header,
    public_from_point,
)

WORD_LIFE_S = 60
RECEIPT_TYPE = "vpass-receipt+jwt"


class WordInvalid(DomainError):
    """This is not signed by the phone over what was shown."""

    code = "word.invalid"
    status = 422
    title_zh = "签名与所示内容不符"


def read_word(
    word: str, *, caller: Caller, typ: str, path: str, required_claims: Sequence[str], at: datetime
) -> dict[str, Any]:
    """Return the claims of a JWS by the device key of the caller's phone.

    `aud` must be the URL of `path`, `iat` at most 60 s old; `jti` is there, and the named claims.
    One statement. Raises WordInvalid.
    """
    device = Device.objects.get(id=required(caller.device_id))
    try:
        claims = decode_jws(
            word,
            public_from_point(bytes(device.point)),
            typ=typ,
            audience=settings.PUBLIC_URL + path,
            at=at,
            required=("iat", "jti", *required_claims),
        )
    except BadToken as error:
        raise WordInvalid(error.reason) from error
    if at.timestamp() - claims["iat"] > WORD_LIFE_S:
        raise WordInvalid("stale")
    return claims


def give_receipt(claims: Mapping[str, Any], *, word: str, at: datetime) -> str:
    """Return the city's JWS over `claims` and the hash of the resident's word.

    Header: typ `vpass-receipt+jwt`, `kid` the 8 hex digits of the city's key. Added claims: `iss`,
    `iat`, `jti`, and `word` (base64url SHA-256 of the resident's JWS).
    """
    signer = keys.current_signer(at=at)
    whole = {
        "iss": settings.CITY,
        "iat": int(at.timestamp()),
        "jti": secrets.token_urlsafe(18),
        "word": b64url_encode(hashlib.sha256(word.encode()).digest()),
        **claims,
    }
    return encode_jws(whole, signer.private, typ=RECEIPT_TYPE, kid=signer.key_id.hex())


def read_receipt(receipt: str, *, at: datetime) -> dict[str, Any]:
    """Return the claims of a receipt of this city, also of one by a key long retired.

    Raises WordInvalid.
    """
    try:
        key_id = bytes.fromhex(str(jws_header(receipt).get("kid")))
        key = SigningKey.objects.get(id=key_id)
        return decode_jws(receipt, public_from_point(bytes(key.point)), typ=RECEIPT_TYPE, at=at)
    except (BadToken, ValueError, SigningKey.DoesNotExist) as error:
        raise WordInvalid from error
