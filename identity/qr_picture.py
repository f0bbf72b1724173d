"""Draws a code as a QR picture, and reads the QR texts out of an uploaded or captured picture."""

import struct
from io import BytesIO
from typing import Final

import qrcode
import zxingcpp
from PIL import Image
from qrcode.constants import ERROR_CORRECT_M
from qrcode.util import MODE_ALPHA_NUM, QRData

from vpass.common.errors import DomainError

MAX_TEXT_LENGTH: Final = 600
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_PIXELS: Final = 20_000_000

_QUIET_ZONE_MODULES: Final = 4
_KINDS: Final = ("PNG", "JPEG", "WEBP")
_QR: Final = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
# A few bytes of progressive JPEG make the decoder walk over all pixels once more; cameras use ten.
_MAX_JPEG_SCANS: Final = 100
_START_OF_SCAN: Final = b"\xff\xda"
# What Pillow raises on broken files, by kind and place of the damage.
_BROKEN: Final = (OSError, EOFError, SyntaxError, ValueError, RuntimeError, struct.error)


class PictureTooLarge(DomainError):
    """The picture is larger than 8 MiB or 20 megapixels."""

    code = "picture.too_large"
    status = 413
    title_zh = "图片超过 8 MiB 或 2000 万像素"


class PictureUnreadable(DomainError):
    """The file is no readable PNG, JPEG or WebP picture."""

    code = "picture.unreadable"
    status = 422
    title_zh = "文件不是可读取的 PNG、JPEG 或 WebP 图片"


def draw_code(text: str, *, module_pixels: int = 8) -> bytes:
    """A black and white PNG of `text` as a QR code, for kiosks and print; phones draw their own.

    Error level M, one alphanumeric segment and a quiet zone of four modules, as in
    docs/code-format.md. `module_pixels` is the side of a module, 1 to 40 pixels. Raises
    ValueError for a text outside QR's alphanumeric alphabet or past 600 characters.
    """
    if not 1 <= module_pixels <= 40:
        raise ValueError("a module has 1 to 40 pixels a side")
    if not 1 <= len(text) <= MAX_TEXT_LENGTH:
        raise ValueError("the text is empty or too long for a code")
    code = qrcode.QRCode(
        error_correction=ERROR_CORRECT_M, box_size=module_pixels, border=_QUIET_ZONE_MODULES
    )
    code.add_data(QRData(text, mode=MODE_ALPHA_NUM), optimize=0)
    code.make(fit=True)
    picture = BytesIO()
    code.make_image().save(picture, format="PNG")
    return picture.getvalue()


def read_picture(data: bytes) -> list[str]:
    """The texts of all QR codes found in a PNG, JPEG or WebP file; empty when there are none.

    Turned, tilted and somewhat noisy pictures are read too. Of a moving picture only the first
    frame is looked at. Sizes are checked before any pixel is unpacked.
    Raises PictureTooLarge or PictureUnreadable.
    """
    if len(data) > MAX_BYTES:
        raise PictureTooLarge()
    if data.startswith(b"\xff\xd8") and data.count(_START_OF_SCAN) > _MAX_JPEG_SCANS:
        raise PictureUnreadable()
    try:
        with Image.open(BytesIO(data), formats=_KINDS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureTooLarge()
            grey = _on_white(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge() from error
    except _BROKEN as error:
        raise PictureUnreadable() from error
    found = zxingcpp.read_barcodes(grey, formats=_QR, text_mode=zxingcpp.TextMode.Plain)
    return [code.text for code in found if code.content_type == zxingcpp.ContentType.Text]


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture in shades of grey, what is transparent shown as white paper."""
    if not picture.has_transparency_data:
        return picture.convert("L")
    shown = picture.convert("LA")
    paper = Image.new("L", shown.size, 255)
    paper.paste(shown.getchannel("L"), mask=shown.getchannel("A"))
    return paper
