"""Logging in at a site, and signing at a counter: pages, pixels and phone together."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, enrol, overflow
from tests.browser.test_counter import one_time_password
from tests.engines import site_free_environment
from tests.faults.kills import state_dir_of
from vpass.programs import ROOT
from vpass.supervisor import Run

pytestmark = pytest.mark.stack


def code_of_desk(name: str, stack: Run) -> str:
    """A new code: those that were seeded are for others, the day's people among them."""
    asked = [sys.executable, "manage.py", "desk_code", name]
    environment = site_free_environment(state_dir_of(stack))
    done = subprocess.run(
        asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def read_pixels(page: Page, selector: str) -> str:
    """What a phone's camera reads there."""
    picture = Image.open(io.BytesIO(page.locator(selector).screenshot()))
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    return found.text


def picture(page: Page, name: str) -> None:
    """Keeps a screenshot where somebody wants to look at them."""
    if folder := os.environ.get("VPASS_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def person(people: Iterator[Person]) -> Person:
    return next(people)


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, person: Person) -> Page:
    """The resident's phone."""
    page = open_page(viewport={"width": 390, "height": 844}, locale="en-GB")
    enrol(page, stack, person)
    return page


def test_login__page_phone_number_and_back_at_the_site(
    open_page: Callable[..., Page], stack: Run, phone: Page, person: Person
):
    page = open_page(viewport={"width": 390, "height": 844}, locale="en-GB")
    page.goto(f"{stack.sandbox_url}/sites/library/login")
    page.wait_for_selector("#login-qr:visible")
    picture(page, "login-page")
    assert overflow(page) == 0
    link = read_pixels(page, "#login-qr")
    assert link == page.get_attribute("#login-link", "href")

    phone.goto(link)
    phone.wait_for_selector("#login[open]")
    assert phone.inner_text("#login-fields") == "Over 18, Name"
    phone.click("#login-yes")
    expect(phone.locator("#login-number-problem")).to_be_visible()
    phone.fill("#login-number", page.inner_text("#login-number"))
    picture(phone, "login-phone")
    phone.click("#login-yes")

    page.wait_for_url("**/sites/library/me")
    assert person.real_name in page.inner_text("body")
    phone.wait_for_selector("#login:not([open])", state="attached")
    phone.goto(f"{stack.web_url}/phone/#logins")
    phone.click("#logins button")
    expect(phone.locator("#logins .line-foot").first).to_contain_text("Ended by you")
    picture(phone, "login-list")


def test_reverse_scan__the_desk_shows__the_phone_signs__the_desk_sees(
    open_page: Callable[..., Page],
    stack: Run,
    phone: Page,
    person: Person,
    logins: dict[str, Any],
):
    desk = open_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    login = logins["clerk"]
    desk.goto(f"{stack.web_url}/counter/")
    desk.fill("#enrolment-code", code_of_desk("Desk 1", stack))
    desk.press("#enrolment-code", "Enter")
    desk.fill("#username", login["username"])
    desk.fill("#password", login["password"])
    desk.fill("#one-time-code", one_time_password(login["totp_secret"]))
    desk.press("#one-time-code", "Enter")
    desk.wait_for_selector("#scanned:visible")
    desk.select_option("#purpose", "residence-permit")
    desk.fill("#case-number", "WF-88")
    desk.click("#reverse-show")
    desk.wait_for_selector("#reverse-qr:visible")
    picture(desk, "reverse-desk")

    phone.goto("about:blank")
    phone.goto(read_pixels(desk, "#reverse-qr"))
    phone.wait_for_selector("#presence[open]")
    assert phone.inner_text("#presence-case") == "WF-88"
    picture(phone, "reverse-phone")
    phone.click("#presence-yes")

    expect(desk.locator("#result")).to_have_attribute("data-outcome", "accepted")
    expect(desk.locator('[data-field="real_name"] dd')).to_have_text(person.real_name)
    expect(desk.locator('[data-field="assurance"] dd')).to_contain_text("High")
