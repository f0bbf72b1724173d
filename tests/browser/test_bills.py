"""Bills on the phone: found by a notice code, paid in part, a receipt in hand."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, enrol, overflow
from tests.browser.test_till import top_up
from vpass.supervisor import Run

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, people: Iterator[Person]) -> Page:
    """A resident's phone with ¥5,000 in its wallet."""
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    enrol(page, stack, next(people))
    page.click('#tabs a[href="#money"]')
    expect(page.locator("#balance")).to_have_text("¥0.00")
    top_up(stack, page.inner_text("#top-up-number").replace(" ", ""), 500_000)
    return page


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        page.wait_for_timeout(300)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_bill__by_notice_code__part_paid_then_kept_and_owed(
    phone: Page, logins: dict[str, Any]
) -> None:
    phone.click('[data-view="money"] a[href="#bills"]')
    expect(phone.locator("#bills-sum")).to_be_visible()
    shot(phone, "empty")
    code = logins["notice_codes"]["utility"]
    phone.fill("#bill-code", code[:19] + str((int(code[19]) + 1) % 10))
    phone.press("#bill-code", "Enter")
    expect(phone.locator("#bill-code-form .problem code")).to_have_text("bill.notice_code_invalid")
    phone.fill("#bill-code", f"{code[:4]} {code[4:]}")
    phone.press("#bill-code", "Enter")
    expect(phone.locator("#bill-sum")).to_have_text("¥82.20")
    shot(phone, "found")
    assert overflow(phone) <= 0

    phone.fill("#bill-amount", "70")
    phone.click("[data-language]")  # whatever draws the bill again leaves what was typed
    phone.click("[data-language]")
    expect(phone.locator("#bill-amount")).to_have_value("70")
    phone.press("#bill-amount", "Enter")
    expect(phone.locator("#confirm-sum")).to_have_text("¥70.00")
    shot(phone, "confirm")
    phone.click("#confirm-yes")
    expect(phone.locator("#bill-sum")).to_have_text("¥12.20", timeout=15_000)
    with phone.expect_download() as download:
        phone.locator("#bill-payments button").click(timeout=15_000)
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    shot(phone, "paid")

    phone.click("#bill-follow")
    expect(phone.locator("#bill-follow-card")).to_be_hidden()
    phone.click('[data-view="bill"] a.back')
    expect(phone.locator("#bills-owed a strong").last).to_have_text("¥12.20")
    expect(phone.locator("#bills-list a")).to_have_count(1)
    shot(phone, "list")
    assert overflow(phone) <= 0

    phone.click('#tabs a[href="#code"]')
    expect(phone.locator("#bills-reminder")).to_contain_text("1")
