"""An appointment from the phone to the counter and back, by keyboard and pixels."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, enrol, fresh_code, overflow
from tests.browser.test_counter import one_time_password
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

# The second time the list is asked for, it comes so many milliseconds later.
LATE_MS = 500
LATE = """ms => { const ask = fetch; let lists = 0; window.fetch = async (url, how) => {
    const answer = await ask(url, how);
    const isList = String(url).endsWith("/bookings") && (how?.method ?? "GET") === "GET";
    if (isList && lists++) await new Promise(done => setTimeout(done, ms));
    return answer; }; }"""


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, people: Iterator[Person]) -> Page:
    """The resident's phone."""
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    enrol(page, stack, next(people))
    return page


@pytest.fixture(scope="module")
def reception(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """The check-in desk, enrolled, with its clerk signed in."""
    page = open_page(viewport={"width": 1280, "height": 800})
    desk = logins["check_in"]
    page.goto(f"{stack.web_url}/counter/")
    page.wait_for_selector("#enrolment-code:visible")
    page.fill("#enrolment-code", desk["desk_enrolment_code"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#username:visible")
    page.fill("#username", desk["staff"]["username"])
    page.fill("#password", desk["staff"]["password"])
    page.fill("#one-time-code", one_time_password(desk["staff"]["totp_secret"]))
    page.keyboard.press("Enter")
    page.wait_for_selector("#arrival-code:visible")
    return page


def picture(page: Page, name: str) -> None:
    """Keeps a screenshot where somebody wants to look at them."""
    if folder := os.environ.get("VPASS_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def check_in(reception: Page, code: str) -> None:
    reception.fill("#arrival-code", code)
    reception.press("#arrival-code", "Enter")


def test_phone__holds_books_and_cancels_by_keyboard(phone: Page):
    phone.click('#tabs a[href="#visits"]')
    phone.wait_for_selector("#services a")
    picture(phone, "visits-empty")
    phone.focus("#services a")
    phone.keyboard.press("Enter")
    phone.wait_for_selector(".slot:enabled")
    picture(phone, "slots")
    assert overflow(phone) <= 0
    phone.focus(".slot:enabled >> nth=0")
    phone.keyboard.press("Enter")
    phone.wait_for_selector("#held[open]")
    picture(phone, "held")
    expect(phone.locator("#held-left")).to_contain_text("4:")
    phone.evaluate(LATE, LATE_MS)
    phone.focus("#held-yes")
    phone.keyboard.press("Enter")

    expect(phone.locator("#bookings .badge")).to_have_text("已预约")
    picture(phone, "booked")
    phone.focus("#bookings .danger")
    phone.keyboard.press("Enter")
    phone.wait_for_timeout(2 * LATE_MS)  # the same list again
    expect(phone.locator("#bookings .danger.solid")).to_be_focused()
    phone.keyboard.press("Enter")
    expect(phone.locator("#bookings .badge")).to_have_text("已取消")
    assert overflow(phone) <= 0


def test_phone_and_counter__booked_checked_in_called_and_served(phone: Page, reception: Page):
    phone.click('#tabs a[href="#visits"]')
    phone.click("#services a")
    phone.click(".slot:enabled >> nth=0")
    phone.click("#held-yes")
    expect(phone.locator("#bookings .badge").first).to_have_text("已预约")
    phone.click('#tabs a[href="#code"]')

    check_in(reception, fresh_code(phone))

    expect(reception.locator("#arrival")).to_have_attribute("data-outcome", "accepted")
    label = reception.inner_text("#arrival .ticket-number")
    picture(reception, "checked-in")
    assert overflow(reception) <= 0
    expect(reception.locator(f'#waiting [data-ticket="{label}"]')).to_be_visible()
    phone.click('#tabs a[href="#visits"]')
    expect(phone.locator("#bookings .ticket strong")).to_have_text(label)

    reception.focus("#call-next")
    reception.keyboard.press("Enter")
    expect(reception.locator("#mine-number")).to_have_text(label)
    picture(reception, "called")
    expect(phone.locator("#bookings .ticket")).to_contain_text("签到台", timeout=12_000)
    picture(phone, "called-phone")
    expect(reception.locator('[data-step="serve"]')).to_be_focused()
    reception.click('[data-step="miss"]')
    expect(reception.locator("#queue-problem")).to_contain_text("ticket.in_grace")
    reception.focus('[data-step="serve"]')
    reception.keyboard.press("Enter")
    expect(reception.locator('[data-step="finish"]')).to_be_focused()
    reception.keyboard.press("Enter")

    expect(reception.locator("#mine")).to_have_attribute("data-state", "free")
    expect(phone.locator("#bookings .badge").first).to_have_text("已办结", timeout=12_000)


def test_counter__without_an_appointment__refused_then_walks_in_in_english(
    phone: Page, reception: Page
):
    reception.click("[data-language]")
    phone.click('#tabs a[href="#code"]')

    check_in(reception, fresh_code(phone))

    expect(reception.locator("#arrival")).to_have_attribute("data-outcome", "refused")
    expect(reception.locator("#arrival .why")).to_have_text("No appointment here now")
    picture(reception, "refused")
    reception.select_option("#walk-in", "residence-permit")
    check_in(reception, fresh_code(phone))
    expect(reception.locator("#arrival")).to_have_attribute("data-outcome", "accepted")
    expect(reception.locator("#arrival .facts")).to_contain_text("Walked in")
    reception.click("#call-next")
    reception.click('[data-step="serve"]')
    reception.click('[data-step="finish"]')
    expect(reception.locator("#mine-text")).to_have_text("This desk is free")
