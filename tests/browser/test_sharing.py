"""Disputes, consent, case shares and acting for a child, on the pages, with the program behind."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, enrol, fresh_code, overflow, read_json
from tests.browser.test_counter import one_time_password
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

SHOTS = os.environ.get("VPASS_SHOTS")  # a folder for pictures of what was seen


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def person(people: Iterator[Person]) -> Person:
    return next(people)


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, person: Person) -> Page:
    """The resident's phone."""
    page = open_page(viewport={"width": 390, "height": 844}, locale="en-GB")
    enrol(page, stack, person)
    return page


@pytest.fixture(scope="module")
def officer(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """The privacy officer at a desk of the hall."""
    page = open_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    login = logins["privacy"]["login"]
    page.goto(f"{stack.web_url}/counter/")
    page.fill("#enrolment-code", logins["privacy"]["desk_enrolment_code"])
    page.press("#enrolment-code", "Enter")
    page.fill("#username", login["username"])
    page.fill("#password", login["password"])
    page.fill("#one-time-code", one_time_password(login["totp_secret"]))
    page.press("#one-time-code", "Enter")
    page.wait_for_selector("#scanned:visible")
    return page


def scan(officer: Page, code: str) -> None:
    officer.select_option("#purpose", "residence-permit")
    officer.fill("#case-number", "WF-77")
    officer.fill("#scanned", code)
    officer.press("#scanned", "Enter")
    expect(officer.locator("#result")).to_have_attribute("data-outcome", "accepted")


def test_consent__asked_at_the_counter_signed_on_the_phone__shown_with_the_result(
    phone: Page, officer: Page, person: Person
) -> None:
    scan(officer, fresh_code(phone))
    officer.click("#result-ask")
    phone.wait_for_selector("#ask[open]")
    assert phone.inner_text("#ask-fields") == "Resident ID number, Phone number"
    assert phone.inner_text("#ask-case") == "WF-77"
    shoot(phone, "phone-ask")

    phone.click("#ask-yes")

    # The line of the look itself may take its place a moment later.
    expect(phone.locator("#code-status")).to_contain_text(re.compile("Agreed: shown to|Just used"))
    expect(officer.locator('[data-field="id_number"] dd')).to_have_text(person.id_number)
    expect(officer.locator('[data-field="phone"] dd')).to_have_text(person.phone)
    shoot(officer, "counter-consented")


def test_consent__refused_on_the_phone__the_counter_says_so(phone: Page, officer: Page) -> None:
    scan(officer, fresh_code(phone))
    officer.click("#result-ask")
    phone.wait_for_selector("#ask[open]")

    phone.click("#ask-no")

    expect(officer.locator("#result-words")).to_contain_text("Not agreed")
    assert officer.locator('[data-field="id_number"]').count() == 0


def test_dispute__one_tap__the_officer_has_it_in_the_list(phone: Page, officer: Page) -> None:
    phone.click('#tabs a[href="#log"]')
    phone.click("#lines li:first-child a")
    phone.click(".dispute button")
    expect(phone.locator(".dispute h2")).to_have_text("Disputed, waiting for an answer")
    shoot(phone, "phone-dispute")
    assert overflow(phone) == 0

    officer.reload()

    expect(officer.locator("#disputes-list li")).to_have_count(1)
    shoot(officer, "counter-disputes")
    phone.click(".dispute button")
    expect(phone.locator(".dispute h2")).to_have_text("The dispute was withdrawn")


def test_share__chosen_signed_and_listed__then_withdrawn(phone: Page) -> None:
    phone.click('#tabs a[href="#me"]')
    shoot(phone, "phone-me")
    phone.click('a[href="#sharing"]')
    phone.wait_for_selector("#share-fields input")
    phone.click('#share-form button[type="submit"]')
    assert phone.inner_text("#share-fields-problem") == "Choose at least one"
    phone.fill("#share-matter", "Pension 2026")
    phone.check('#share-fields input[value="real_name"]')
    phone.click('#share-form button[type="submit"]')

    expect(phone.locator("#share-handle")).to_contain_text("VPS1.")
    expect(phone.locator("#shares li")).to_have_count(1)
    shoot(phone, "phone-sharing")
    assert overflow(phone) == 0
    phone.click("#shares li button")
    expect(phone.locator("#shares .line-foot")).to_contain_text("Withdrawn")


def test_acting__for_a_child__the_counter_sees_who_acts(
    phone: Page, officer: Page, person: Person, stack: Run
) -> None:
    shown = read_json(f"{stack.sandbox_url}/register/demo-people")["people"]
    place = [each["id_number"] for each in shown].index(person.id_number)
    child = read_json(f"{stack.sandbox_url}/register/demo-families?of={place}")["child"]
    phone.click('#tabs a[href="#me"]')
    phone.click('a[href="#acting"]')
    phone.fill("#child-name", child["real_name"])
    phone.fill("#child-number", child["id_number"])
    phone.click('#child-form button[type="submit"]')
    expect(phone.locator("#acting li")).to_have_count(1)
    shoot(phone, "phone-acting")
    assert overflow(phone) == 0

    phone.click("#acting li button.main")
    phone.wait_for_selector("#acting-now:visible")
    phone.wait_for_selector("#qr:visible")
    scan(officer, fresh_code(phone))

    expect(officer.locator('[data-field="real_name"] dd')).to_have_text(child["real_name"])
    expect(officer.locator('[data-field="delegate_name"] dd')).to_have_text(person.real_name)
    expect(officer.locator("#result-ask")).to_be_hidden()
    shoot(officer, "counter-acting")
    shoot(phone, "phone-acting-code")
    phone.click("#acting-stop")
    expect(phone.locator("#acting-now")).to_be_hidden()
