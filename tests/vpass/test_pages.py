"""The pages as they are served, and the colours they are painted in."""

import json
import re

import pytest
from django.test import RequestFactory

from vpass import pages

LOOK = (pages.STATIC / "vpass.css").read_text("utf-8")


def served(view: type[pages.Page]) -> tuple[str, dict[str, str]]:
    response = view.as_view()(RequestFactory().get("/"))
    return response.render().content.decode(), dict(response.items())


PAGES = [
    pages.PhonePage,
    pages.CounterPage,
    pages.TillPage,
    pages.OperationsPage,
    pages.CityPage,
    pages.LoginPage,
]


@pytest.mark.parametrize("view", PAGES)
def test_page__markup__nothing_inline_and_nothing_from_elsewhere(view: type[pages.Page]) -> None:
    markup, headers = served(view)

    assert headers["Content-Type"].startswith("text/html")
    assert headers["Cache-Control"] == "no-cache"
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!127)", markup)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", markup))


def test_service_worker__shell__every_module_of_the_phone_and_none_of_the_counter() -> None:
    script, headers = served(pages.PhoneServiceWorker)

    assert headers["Service-Worker-Allowed"] == "/phone/"
    assert headers["Content-Type"].startswith("text/javascript")
    for name in ("js/phone/main.js", "js/common/code.js", "vendor/qr/index.js", "vpass.css"):
        assert f'"/static/{name}"' in script
    assert "counter" not in script
    assert "decode.js" not in script
    assert f"vpass-phone-{pages.shell_version()}" in script


def test_manifest__icons__are_there() -> None:
    text, headers = served(pages.PhoneManifest)

    manifest = json.loads(text)

    assert headers["Content-Type"].startswith("application/manifest+json")
    assert manifest["scope"] == "/phone/"
    for icon in manifest["icons"]:
        assert (pages.STATIC / icon["src"].removeprefix("/static/")).is_file()


def luminance(colour: str) -> float:
    """The relative luminance of a colour such as #fff or #0f5a5c (WCAG 2.2)."""
    digits = colour.lstrip("#")
    wide = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    parts = [int(wide[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """From 1 to 21; AA asks 4.5 of text and 3 of the edges of fields (WCAG 2.2, 1.4.3, 1.4.11)."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block))
        for block in re.findall(r":root {([^}]+)}", LOOK)
    )
    return [light, light | dark]


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_colours__text_and_edges__contrast_of_level_aa(palette: dict[str, str]) -> None:
    text = [
        ("ink", "ground"), ("ink", "card"), ("ink", "tint"), ("ink", "bad-tint"),
        ("soft", "ground"), ("soft", "card"), ("soft", "bad-tint"),
        ("accent", "ground"), ("accent", "card"), ("accent", "tint"), ("on-accent", "accent"),
        ("on-accent", "accent-deep"), ("good", "good-tint"), ("bad", "bad-tint"), ("bad", "card"),
        ("card", "bad"),
    ]  # fmt: skip
    edges = [("edge", "card"), ("edge", "ground"), ("focus", "card"), ("focus", "ground")]

    for front, back in text:
        assert contrast(palette[front], palette[back]) >= 4.5, (front, back)
    for front, back in edges:
        assert contrast(palette[front], palette[back]) >= 3, (front, back)


@pytest.mark.parametrize("outcome", ["accepted", "waiting", "refused"])
def test_colours__white_on_the_result__contrast_of_level_aa(outcome: str) -> None:
    (colour,) = re.findall(rf'outcome="{outcome}"\] {{\s+background: (#[0-9a-f]+);', LOOK)

    assert contrast("#fff", colour) >= 4.5
