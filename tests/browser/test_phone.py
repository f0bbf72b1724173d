"""The phone page with the whole program behind it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from identity import code_format
from tests.browser.conftest import (
    Person,
    enrol,
    fresh_code,
    last_one_time_code,
    overflow,
    read_json,
    shown_code,
)
from vpass.common import signing
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, people: Iterator[Person]) -> Page:
    """An enrolled phone."""
    page = open_page(**PHONE)
    enrol(page, stack, next(people))
    return page


@pytest.fixture(autouse=True)
def on_the_code(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test of the enrolled phone finds it in Chinese, online, on the code."""
    if "phone" in request.fixturenames:
        page = request.getfixturevalue("phone")
        page.set_viewport_size(PHONE["viewport"])
        if page.get_attribute("html", "lang") != "zh-Hans":
            page.click("[data-language]")
        page.click('#tabs a[href="#code"]')
        page.wait_for_selector("#qr:visible")
    yield


WORKER_IN_CHARGE = """
new Promise((resolve) => {
  const worker = navigator.serviceWorker;
  if (worker.controller) resolve(true);
  else worker.addEventListener("controllerchange", () => resolve(true));
})
"""


def check(text: str, stack: Run, *, at: int) -> code_format.Code:
    """Reads and checks a code as a scanner does, with nothing but the published keys."""
    code = code_format.read_code(text)
    keys = read_json(f"{stack.web_url}/.well-known/vpass-keys.json")["keys"]
    jwk = next(key for key in keys if bytes.fromhex(key["kid"]) == code.kid)
    public = signing.public_from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    code_format.check_code(code, key=public, at=at, issuer=code.grant.issuer)
    return code


def test_enrolment__keyboard_alone__genuine_code_for_every_scene(phone: Page, stack: Run) -> None:
    code = check(fresh_code(phone), stack, at=int(time.time()))

    assert code.presentation.scenes == code_format.ALL_SCENES
    assert phone.inner_text("#pass-level") == "2 级 · 实名已核实"
    expect(phone.locator("#pass-name")).to_contain_text("*")


def test_enrolment__wrong_entries__said_beside_the_field(
    open_page: Callable[..., Page], stack: Run, people: Iterator[Person]
) -> None:
    page, person = open_page(**PHONE, locale="en-GB"), next(people)
    page.goto(f"{stack.web_url}/phone/")
    page.fill("#phone", "12345")
    page.press("#phone", "Enter")
    assert page.inner_text("#phone-problem") == "Please enter a mobile number of 11 digits."
    assert page.evaluate("document.activeElement.id") == "phone"
    assert overflow(page) == 0

    page.fill("#phone", person.phone)
    page.press("#phone", "Enter")
    page.wait_for_selector("#otp:visible")
    sent = last_one_time_code(stack, person.phone)
    page.reload()  # the person comes back later and is still at the same step
    page.wait_for_selector("#otp:visible")
    page.fill("#otp", "000000" if sent != "000000" else "111111")
    page.press("#otp", "Enter")

    problem = page.wait_for_selector("#otp-form .problem:visible").inner_text()
    assert "The one-time code is wrong" in problem
    assert "enrolment.code_wrong" in problem

    page.fill("#otp", sent)
    page.press("#otp", "Enter")
    page.wait_for_selector("#real-name:visible")
    page.fill("#real-name", person.real_name)
    wrong = person.id_number[:-2] + str((int(person.id_number[-2]) + 1) % 10) + person.id_number[-1]
    page.fill("#id-number", wrong)
    page.press("#id-number", "Enter")
    assert "wrong digit" in page.inner_text("#id-number-problem")


def test_wallet__countdown_at_its_end__another_code(phone: Page, stack: Run) -> None:
    page = phone.context.new_page()
    page.clock.install()
    page.goto(f"{stack.web_url}/phone/")
    before = shown_code(page)
    page.route("**/api/**", lambda route: route.abort())  # or the city's clock sets ours back
    seconds = int(page.text_content("#ring-seconds") or "")

    page.clock.run_for(31_000)
    page.wait_for_timeout(500)

    assert 0 < seconds <= 30
    assert shown_code(page) != before
    page.close()


def test_wallet__clock_two_hours_ahead__code_dated_by_the_city(
    open_page: Callable[..., Page], stack: Run, people: Iterator[Person]
) -> None:
    page = open_page(**PHONE)
    page.clock.install(time=time.time() + 7200)

    enrol(page, stack, next(people))

    check(shown_code(page), stack, at=int(time.time()))


def test_wallet__scenes_narrowed__signed_into_the_code(phone: Page, stack: Run) -> None:
    for name, allowed, refused in (("no_pay", "bus", "pay"), ("id", "id", "bus")):
        before = shown_code(phone)
        phone.check(f'input[name="scenes"][value="{name}"]', force=True)
        phone.wait_for_timeout(300)

        text = shown_code(phone)
        presentation = check(text, stack, at=int(time.time())).presentation
        assert text != before
        assert presentation.allows(allowed)
        assert not presentation.allows(refused)
    phone.check('input[name="scenes"][value="all"]', force=True)


def test_wallet__reloaded_without_network__codes_go_on(phone: Page, stack: Run) -> None:
    before = shown_code(phone)
    phone.evaluate(WORKER_IN_CHARGE)

    phone.context.set_offline(True)
    try:
        phone.reload()
        offline = shown_code(phone)
        expect(phone.locator("#offline-until")).to_contain_text("离线可用至")
    finally:
        phone.context.set_offline(False)

    assert offline != before
    check(offline, stack, at=int(time.time()))


def test_wallet__page_installed__manifest_and_icons_fit(phone: Page) -> None:
    session = phone.context.new_cdp_session(phone)

    manifest = session.send("Page.getAppManifest")
    faults = session.send("Page.getInstallabilityErrors")["installabilityErrors"]

    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["start_url"] == "/phone/"
    # Test profiles are private windows, which install nothing.
    assert [fault["errorId"] for fault in faults if fault["errorId"] != "in-incognito"] == []


def test_page__served__with_a_strict_policy_and_no_more_rights(phone: Page, stack: Run) -> None:
    headers = phone.request.get(f"{stack.web_url}/phone/").headers

    assert "script-src 'self';" in headers["content-security-policy"] + ";"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["permissions-policy"].startswith("camera=(self), microphone=()")
    assert headers["cache-control"] == "no-cache"


def test_language__switched__page_and_its_language_follow(phone: Page) -> None:
    assert phone.inner_text("#renew") == "立即换码"

    phone.click("[data-language]")

    assert phone.get_attribute("html", "lang") == "en"
    assert phone.inner_text("#renew") == "New code"
    assert phone.title() == "V Pass · My electronic ID"
    phone.reload()
    phone.wait_for_selector("#qr:visible")
    assert phone.inner_text("#renew") == "New code"


FITS = "document.querySelector('#qr').offsetHeight <= document.querySelector('#plate').clientHeight"


@pytest.mark.parametrize("language", ["zh-Hans", "en"])
def test_small_screen__every_view__nothing_sticks_out(phone: Page, language: str) -> None:
    phone.set_viewport_size({"width": 320, "height": 568})
    if phone.get_attribute("html", "lang") != language:
        phone.click("[data-language]")

    for view in ("me", "log", "scan", "pin", "code"):
        phone.evaluate("view => { location.hash = view }", view)
        phone.wait_for_selector(f'[data-view="{view}"]:visible')
        assert overflow(phone) == 0, view
    phone.wait_for_function(FITS)
    shown_code(phone)


SMALL_TARGETS = """
[...document.querySelectorAll("button, a[href]:not(.skip), input, select, .segments span")]
  .filter((element) => element.checkVisibility({ opacityProperty: true }))
  .filter((element) => element.getBoundingClientRect().height < 44)
  .map((element) => element.outerHTML)
"""
NAMELESS = """
[...document.querySelectorAll("input, select")].filter((input) => !input.labels.length)
  .map((element) => element.outerHTML)
"""


def test_touch__every_target__large_enough_and_named(phone: Page) -> None:
    found: list[Any] = [phone.evaluate(NAMELESS)]
    for view in ("code", "log", "me", "scan", "pin", "withdraw"):
        phone.evaluate("view => { location.hash = view }", view)
        phone.wait_for_selector(f'[data-view="{view}"]:visible')
        found.append(phone.evaluate(SMALL_TARGETS))

    assert found == [[]] * 7


FOCUSED = """
(() => {
  const { activeElement: focused } = document;
  const seen = focused.name === "scenes" ? focused.nextSibling : focused;
  return [focused.id || focused.hash || focused.name, getComputedStyle(seen).outlineStyle];
})()
"""


def test_keyboard__tabs_and_buttons__reached_and_seen(phone: Page) -> None:
    reached = []
    phone.focus("[data-language]")
    for _ in range(9):
        phone.keyboard.press("Tab")
        name, outline = phone.evaluate(FOCUSED)
        reached.append(name)
        assert outline == "solid", name

    assert reached[:4] == ["renew", "#scan", "bars-open", "scenes"]
    assert reached[4:] == ["#code", "#money", "#visits", "#log", "#me"]
    phone.focus('#tabs a[href="#log"]')
    phone.keyboard.press("Enter")
    phone.wait_for_selector('[data-view="log"]:visible')
    assert phone.evaluate("document.activeElement.tagName") == "H1"


def test_me__number_for_a_counter__eight_digits_and_honest_about_the_level(phone: Page) -> None:
    phone.click('#tabs a[href="#me"]')

    phone.click("#raise .raise-number")

    said = phone.locator("#raise .raise-said")
    expect(said).to_have_text(re.compile(r"^核验码 \d{4} \d{4}，\d\d:\d\d 前有效$"))
    phone.click("#raise .raise-done")
    expect(said).to_have_text("等级尚未提升")
    assert overflow(phone) == 0
