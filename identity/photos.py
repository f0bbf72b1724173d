"""Lets a clerk compare a face with the register's photo, which is fetched and never kept."""

import io
import uuid
from datetime import datetime, timedelta

from PIL import Image, UnidentifiedImageError

from identity.models import AccessLine
from identity.register import PopulationRegister, RegisterAnswerInvalid
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.errors import NotFound

FIELD = "photo"
SEEN_WITHIN = timedelta(minutes=5)
MAX_BYTES = 24 * 1024
MAX_SIDE = 640
# What Pillow says of bytes that are no small picture.
_NO_PICTURE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
LOOKS = limits.Limit("photo.scan", maximum=3, per=timedelta(hours=1))


def photo_of_scan(
    *, caller: Caller, scan_id: uuid.UUID, register: PopulationRegister, at: datetime
) -> bytes:
    """Return the register's photo of the person of a scan: a JPEG of at most 24 KiB.

    The scan was this clerk's, at this desk, in the last five minutes, and its entitlement names the
    photo; so the look stands in the holder's log since then. Raises NotFound (also when the
    register has no photo), limits.LimitReached (three times a scan), and the register's errors.
    """
    line = (
        AccessLine.objects.select_related("resident")
        .filter(
            id=scan_id,
            organisation_id=required(caller.organisation_id),
            desk_id=required(caller.desk_id),
            staff_id=required(caller.staff_id),
            outcome=AccessLine.Outcome.ACCEPTED,
            fields__contains=[FIELD],
            resident__state="active",
            at__gt=at - SEEN_WITHIN,
        )
        .first()
    )
    if line is None or line.resident.id_number is None:
        raise NotFound
    limits.spend(LOOKS, str(scan_id), at=at)
    photo = register.photo(
        real_name=line.resident.real_name, id_number=line.resident.id_number, at=at
    )
    if photo is None:
        raise NotFound
    _judge(photo)
    return photo


def _judge(photo: bytes) -> None:
    """Return for a small JPEG that a browser can show. Raises RegisterAnswerInvalid."""
    if len(photo) > MAX_BYTES:
        raise RegisterAnswerInvalid
    try:
        with Image.open(io.BytesIO(photo), formats=["JPEG"]) as image:
            is_small = max(image.size) <= MAX_SIDE
            if is_small:
                image.load()
    except _NO_PICTURE as error:
        raise RegisterAnswerInvalid from error
    if not is_small:
        raise RegisterAnswerInvalid
