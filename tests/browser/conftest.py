"""A real Chromium for the pages: one browser for the run, a fresh profile for each test."""

import io
import json
import mimetypes
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from vpass.supervisor import Run

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "templates" / "static"
# The pages' modules alone, without any server: an address which only this browser knows.
MODULES = "https://pages.test"
FIELDS = ("real_name", "id_number", "phone")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium, or a loud skip where there is none.

    Its event loop ends with the module: Django's database refuses to work beside a running one.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("NO BROWSER TESTS: chromium is not installed on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each with a profile of its own; a complaint of any fails the module's end."""
    contexts = []
    complaints: list[str] = []

    def open_one(**options: Any) -> Page:
        context = chromium.new_context(**{"locale": "zh-CN", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda message: complaints.extend(complaint_in(message)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def complaint_in(message: Any) -> list[str]:
    """What the console says that a good page would not.

    That a request was refused, or that there is no network, is no fault of the page.
    """
    if message.type not in {"error", "warning"}:
        return []
    if message.text.startswith("Failed to load resource: "):
        return []
    return [f"{message.type}: {message.text}"]


@pytest.fixture(scope="module")
def modules(open_page: Callable[..., Page]) -> Page:
    """An empty page that may import the modules from /static/, in a secure context."""
    page = open_page()

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(MODULES + "/static/")
        file = STATIC / name
        if name != route.request.url and file.is_file():
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")

    page.route(f"{MODULES}/**", answer)
    page.goto(f"{MODULES}/")
    return page


# The running city


@dataclass(frozen=True)
class Person:
    """Somebody the population register knows, with a phone whose messages the sandbox shows."""

    real_name: str
    id_number: str
    phone: str


@pytest.fixture(scope="session")
def people(stack: Run) -> Iterator[Person]:
    """Demo people, each given out once: a person enrols once."""
    shown = read_json(f"{stack.sandbox_url}/register/demo-people")["people"]
    # From the end: the first of them play other parts.
    return iter([Person(**{name: one[name] for name in FIELDS}) for one in reversed(shown)])


@pytest.fixture(scope="session")
def logins(stack: Run) -> dict[str, Any]:
    """The demo log-ins which the seeding of this stack wrote down."""
    variables = Path(f"/proc/{stack.pid}/environ").read_bytes().split(b"\0")
    settings = dict(line.partition(b"=")[::2] for line in variables)
    folder = Path(settings[b"VPASS_STATE_DIR"].decode())
    return json.loads((folder / "demo.json").read_text("utf-8"))


def read_json(url: str) -> Any:
    """What an address of this machine answers."""
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def last_one_time_code(stack: Run, phone: str) -> str:
    """The newest code sent to a phone; messages take a moment."""
    for _ in range(100):
        items = read_json(f"{stack.sandbox_url}/sms/v1/inbox/{phone}")["items"]
        if items and (found := re.search(r"\b[0-9]{6}\b", items[0]["text"])):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("no one-time code arrived")


def enrol(page: Page, stack: Run, person: Person) -> None:
    """Goes through the three steps by keyboard alone, until the code is shown."""
    page.goto(f"{stack.web_url}/phone/")
    page.wait_for_selector("#phone:visible")
    page.focus("#phone")
    page.keyboard.type(person.phone)
    page.keyboard.press("Enter")
    page.wait_for_selector("#otp:visible")
    page.keyboard.type(last_one_time_code(stack, person.phone))
    page.keyboard.press("Enter")
    page.wait_for_selector("#real-name:visible")
    page.keyboard.press("Tab")
    page.keyboard.type(person.real_name)
    page.keyboard.press("Tab")
    page.keyboard.type(person.id_number)
    page.keyboard.press("Enter")
    page.wait_for_selector("#qr:visible")


def shown_code(page: Page) -> str:
    """The code as a scanner reads it: from the pixels of the screen."""
    page.wait_for_selector("#qr:visible")
    picture = Image.open(io.BytesIO(page.locator("#plate").screenshot()))
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    return found.text


def fresh_code(page: Page) -> str:
    """A code that was not shown before."""
    before = shown_code(page)
    page.click("#renew")
    for _ in range(50):
        if (text := shown_code(page)) != before:
            return text
        page.wait_for_timeout(50)
    raise AssertionError("the code did not change")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
