import json
import random
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageFilter

from identity.code_format import read_code
from identity.qr_picture import (
    MAX_BYTES,
    PictureTooLarge,
    PictureUnreadable,
    draw_code,
    read_picture,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "codes.json").read_text("utf-8"))
TEXT, LONGEST = VECTORS["good"][0]["text"], VECTORS["good"][7]["text"]


def picture_of(text: str, *, module_pixels: int = 8) -> Image.Image:
    return Image.open(BytesIO(draw_code(text, module_pixels=module_pixels)))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    target = BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def png_of_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes which claims a size; its pixels unpack to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def webp_of_header(width: int, height: int) -> bytes:
    """A WebP of one small frame on a canvas which claims a size."""
    frame = saved(Image.new("RGB", (16, 16)), "WEBP")[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = bytes(6) + (15).to_bytes(3, "little") * 2 + bytes(4)
    body = b"WEBP"
    for kind, data in (
        (b"VP8X", b"\x02\x00\x00\x00" + canvas),
        (b"ANIM", bytes(6)),
        (b"ANMF", place + frame),
    ):
        body += kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


# Drawing


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_draw_code__any_good_code__read_back_from_the_pixels(vector):
    assert read_picture(draw_code(vector["text"])) == [vector["text"]]
    assert read_code(vector["text"]).jti.hex() == vector["jti"]


@pytest.mark.parametrize(("text", "modules"), [(TEXT, 65), (LONGEST, 69)], ids=["v12", "v13"])
def test_draw_code__size__qr_version_12_or_13_with_quiet_zone(text, modules):
    picture = picture_of(text, module_pixels=3)

    assert picture.size == ((modules + 8) * 3, (modules + 8) * 3)
    assert picture.mode == "1"


def test_draw_code__error_level__is_m():
    picture = picture_of(TEXT).convert("L")
    found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)

    assert [code.ec_level for code in found] == ["M"]


@pytest.mark.parametrize("text", ["", "vp1:abc", "VP1:Ä", "VP1:A\n", "A" * 601])
def test_draw_code__not_a_text_for_a_code__refused(text):
    with pytest.raises(ValueError, match=r"text is empty or too long|can not be represented"):
        draw_code(text)


@pytest.mark.parametrize("module_pixels", [0, -1, 41])
def test_draw_code__module_size_out_of_range__refused(module_pixels):
    with pytest.raises(ValueError, match="1 to 40 pixels"):
        draw_code(TEXT, module_pixels=module_pixels)


# Reading


@pytest.mark.parametrize("angle", [90, 180, 270, 7, 31, -45])
def test_read_picture__rotated__read(angle):
    turned = picture_of(TEXT).convert("L").rotate(angle, expand=True, fillcolor=255)

    assert read_picture(saved(turned, "PNG")) == [TEXT]


@pytest.mark.parametrize(("kind", "quality"), [("JPEG", 40), ("WEBP", 40)])
def test_read_picture__turned_blurred_and_noisy_photo__read(kind, quality):
    turned = picture_of(LONGEST).convert("L").rotate(11, expand=True, fillcolor=255)
    chance = random.Random(5)
    noise = Image.frombytes("L", turned.size, chance.randbytes(turned.width * turned.height))
    photo = Image.blend(turned.filter(ImageFilter.GaussianBlur(1.5)), noise, 0.25).convert("RGB")

    assert read_picture(saved(photo, kind, quality=quality)) == [LONGEST]


def test_read_picture__upside_down_in_colour_on_dark_paper__read():
    paper = Image.new("RGB", (900, 1_200), (40, 60, 90))
    paper.paste(picture_of(TEXT).convert("RGB").rotate(180), (150, 300))

    assert read_picture(saved(paper, "JPEG")) == [TEXT]


def test_read_picture__transparent_paper__read():
    clear = Image.new("RGBA", picture_of(TEXT).size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=picture_of(TEXT).convert("L").point(lambda grey: 255 - grey))

    assert read_picture(saved(clear, "PNG")) == [TEXT]


def test_read_picture__two_codes__both_told():
    sheet = Image.new("L", (1_300, 650), 255)
    sheet.paste(picture_of(TEXT), (0, 0))
    sheet.paste(picture_of(LONGEST), (650, 0))

    assert sorted(read_picture(saved(sheet, "PNG"))) == sorted([TEXT, LONGEST])


def test_read_picture__no_code_in_it__empty():
    assert read_picture(saved(Image.new("RGB", (400, 300), "white"), "PNG")) == []


def test_read_picture__moving_picture__first_frame_only():
    frames = [picture_of(TEXT).convert("L"), picture_of(TEXT[:-3] + "000").convert("L")]
    moving = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])

    assert read_picture(moving) == [TEXT]


# Refusing


@pytest.mark.parametrize(
    ("width", "height"),
    [(20_001, 1_000), (10_000, 9_000), (20_000, 10_000), (2**31 - 1, 2**31 - 1)],
)
def test_read_picture__png_decompression_bomb__refused(width, height):
    bomb = png_of_header(width, height)

    with pytest.raises(PictureTooLarge):
        read_picture(bomb)

    assert len(bomb) < 200


@pytest.mark.parametrize(("width", "height"), [(16_383, 16_383), (2**16, 2**15), (5_000, 4_001)])
def test_read_picture__webp_decompression_bomb__refused(width, height):
    with pytest.raises(PictureTooLarge):
        read_picture(webp_of_header(width, height))


def test_read_picture__just_20_megapixels__looked_at():
    assert read_picture(saved(Image.new("1", (5_000, 4_000), 1), "PNG")) == []


def test_read_picture__past_8_mib__refused_before_it_is_opened():
    with pytest.raises(PictureTooLarge):
        read_picture(draw_code(TEXT) + bytes(MAX_BYTES))


def test_read_picture__jpeg_of_200_000_scans__refused_at_once():
    picture = saved(Image.new("L", (4_400, 4_400), 128), "JPEG", progressive=True)
    last_scan = picture[picture.rindex(b"\xff\xda") : -2]
    endless = picture[:-2] + last_scan * 200_000 + picture[-2:]
    assert len(endless) <= MAX_BYTES
    started = time.monotonic()

    with pytest.raises(PictureUnreadable):
        read_picture(endless)

    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_read_picture__other_kind_of_picture__refused(kind):
    with pytest.raises(PictureUnreadable):
        read_picture(saved(picture_of(TEXT), kind))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG", b"\xff\xd8\xff", b"RIFF....WEBP", b"<svg/>", b"%!PS-Adobe", bytes(5_000)],
    ids=["empty", "png", "jpeg", "webp", "svg", "postscript", "zeros"],
)
def test_read_picture__no_picture__refused(data):
    with pytest.raises(PictureUnreadable):
        read_picture(data)


def test_read_picture__pixels_missing__refused():
    with pytest.raises(PictureUnreadable):
        read_picture(png_of_header(4_000, 4_000))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_read_picture__200_damaged_files__refused_or_read_and_nothing_else(kind):
    chance = random.Random(11)
    whole = saved(picture_of(TEXT, module_pixels=3).convert("RGB"), kind)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(min(len(damaged), 400))] = chance.randrange(256)
        if chance.random() < 0.3:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            texts = read_picture(bytes(damaged))
        except (PictureUnreadable, PictureTooLarge):
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert texts in ([], [TEXT])

    assert sum(outcomes.values()) == 200
