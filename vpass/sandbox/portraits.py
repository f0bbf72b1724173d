"""Draws the photos of invented people: a face of a few shapes, the same one for a person."""

import hashlib
import io

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 180, 220
_QUALITY = 80


def portrait(census_id: str) -> bytes:
    """A JPEG of a few kilobytes, made of nothing but the person's id in the register."""
    draw_of = hashlib.sha256(f"portrait|{census_id}".encode()).digest()

    def shade(place: int, low: int, high: int) -> int:
        return low + draw_of[place] % (high - low)

    picture = Image.new("RGB", (WIDTH, HEIGHT), (shade(0, 150, 230), shade(1, 180, 235), 235))
    draw = ImageDraw.Draw(picture)
    skin = (shade(2, 210, 250), shade(3, 165, 205), shade(4, 125, 170))
    hair = (shade(5, 10, 70), shade(6, 10, 60), shade(7, 10, 55))
    coat = (shade(8, 20, 200), shade(9, 20, 200), shade(10, 40, 220))
    width = shade(11, 38, 52)
    middle = WIDTH // 2
    draw.ellipse((middle - 80, 165, middle + 80, 300), fill=coat)
    draw.ellipse((middle - width - 6, 34, middle + width + 6, 150), fill=hair)
    draw.ellipse((middle - width, 52, middle + width, 172), fill=skin)
    eyes, apart, size = shade(12, 95, 110), shade(13, 15, 24), shade(14, 3, 6)
    for eye in (middle - apart, middle + apart):
        draw.ellipse((eye - size, eyes - size, eye + size, eyes + size), fill=(30, 24, 20))
    draw.line((middle, eyes + 8, middle - shade(15, 2, 6), eyes + 26), fill=(140, 95, 75), width=2)
    mouth = eyes + shade(16, 38, 46)
    draw.arc((middle - 16, mouth - 8, middle + 16, mouth + 8), 15, 165, fill=(150, 60, 60), width=3)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
