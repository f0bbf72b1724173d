"""The counter page and the phone together, with the whole program behind them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import STATIC, Person, enrol, fresh_code, overflow
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

REASONS = [
    "unreadable", "key_unknown", "signature_invalid", "other_city", "expired", "clock_wrong",
    "already_used", "revoked", "suspended", "scene_not_allowed",
]  # fmt: skip


_last_steps: dict[str, int] = {}


def one_time_password(secret: str) -> str:
    """The six digits of an authenticator (RFC 6238: SHA-1, 30 s); `secret` in base32.

    Each is good once. Whoever logs in again within its 30 s gets the next, which is good already.
    """
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    step = _last_steps[secret] = max(int(time.time() // 30), _last_steps.get(secret, 0) + 1)
    digest = hmac.digest(key, step.to_bytes(8), hashlib.sha1)
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF) % 10**6:06d}"


@pytest.fixture(scope="module")
def person(people: Iterator[Person]) -> Person:
    """The resident at the counter."""
    return next(people)


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, person: Person) -> Page:
    """The resident's phone."""
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    enrol(page, stack, person)
    return page


@pytest.fixture(scope="module")
def counter(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """A desk that was enrolled and whose clerk has signed in, by keyboard alone."""
    page = open_page(viewport={"width": 1280, "height": 800})
    clerk = logins["clerk"]
    page.goto(f"{stack.web_url}/counter/")
    page.wait_for_selector("#enrolment-code:visible")
    page.focus("#enrolment-code")
    page.keyboard.type(logins["desk_enrolment_code"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#username:visible")
    page.keyboard.type(clerk["username"])
    page.keyboard.press("Tab")
    page.keyboard.type(clerk["password"])
    page.keyboard.press("Tab")
    page.keyboard.type(one_time_password(clerk["totp_secret"]))
    page.keyboard.press("Enter")
    page.wait_for_selector("#scanned:visible")
    page.select_option("#purpose", "residence-permit")
    return page


@pytest.fixture(autouse=True)
def afresh(request: pytest.FixtureRequest) -> Iterator[None]:
    """One test that fails does not take the next ones with it."""
    yield
    request.getfixturevalue("counter").unroute_all()
    if "phone" in request.fixturenames:
        request.getfixturevalue("phone").click('#tabs a[href="#code"]')


def scan(counter: Page, text: str, *, case_number: str = "WF-2026-0042") -> None:
    """Types a code as a hand scanner does; the cursor is where the last scan left it."""
    counter.fill("#case-number", case_number)
    counter.focus("#scanned")
    counter.keyboard.type(text)
    counter.keyboard.press("Enter")


def result_facts(counter: Page) -> dict[str, str]:
    """The fields which the panel shows."""
    rows = counter.locator("#result [data-field]").all()
    return {row.get_attribute("data-field") or "": row.locator("dd").inner_text() for row in rows}


def background(counter: Page) -> str:
    """The panel's colour."""
    return counter.evaluate("getComputedStyle(document.querySelector('#result')).backgroundColor")


def test_scan__typed_by_a_hand_scanner__green_then_red(
    counter: Page, phone: Page, person: Person
) -> None:
    text = fresh_code(phone)

    scan(counter, text)
    counter.wait_for_selector('#result[data-outcome="accepted"]')
    assert background(counter) == "rgb(11, 107, 58)"
    facts = result_facts(counter)
    assert facts["real_name"] == person.real_name
    assert len(facts.keys() - {"level", "redeemed_at"}) == 3
    assert person.id_number not in counter.inner_text("body")
    assert counter.evaluate("document.activeElement.id") == "scanned"

    scan(counter, text)
    counter.wait_for_selector('#result[data-outcome="refused"]')
    assert background(counter) == "rgb(164, 22, 26)"
    assert "此码已使用过" in counter.inner_text("#result")
    assert "立即换码" in counter.inner_text("#result")
    assert "code.already_used" in counter.inner_text("#result")
    assert result_facts(counter) == {}


def test_scan__seen_by_its_holder__in_words_and_in_the_log(counter: Page, phone: Page) -> None:
    scan(counter, fresh_code(phone), case_number="WF-2026-0077")
    counter.wait_for_selector('#result[data-outcome="accepted"]')

    expect(phone.locator("#code-status")).to_contain_text("刚刚使用", timeout=15_000)
    phone.click('#tabs a[href="#log"]')
    phone.click("#lines a >> nth=0")
    detail = phone.wait_for_selector("#line dl").inner_text()

    assert "WF-2026-0077" in detail
    assert "已通过" in detail
    assert "姓名" in detail


def test_scan__picture_of_the_code__read_in_the_browser(
    counter: Page, phone: Page, tmp_path: Path
) -> None:
    fresh_code(phone)
    picture = tmp_path / "code.png"
    picture.write_bytes(phone.locator("#plate").screenshot())
    counter.fill("#case-number", "WF-2026-0078")

    counter.set_input_files("#picture", picture)
    counter.wait_for_selector('#result[data-outcome="accepted"]')

    counter.set_input_files("#picture", STATIC / "icons" / "icon-192.png")
    counter.wait_for_selector('#result[data-outcome="refused"]')
    assert "图片中没有找到二维码" in counter.inner_text("#result")


def test_scan__answer_lost_twice__same_key_and_green(counter: Page, phone: Page) -> None:
    keys = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 3:
            route.continue_()
            return
        route.fetch()  # the server does its part
        route.abort()

    counter.route("**/scans", lose)
    scan(counter, fresh_code(phone))
    counter.wait_for_selector('#result[data-outcome="accepted"]')
    counter.unroute("**/scans")

    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_scan__no_answer__neither_accepted_nor_forgotten(counter: Page, phone: Page) -> None:
    counter.route("**/scans", lambda route: route.abort())
    scan(counter, fresh_code(phone))
    counter.wait_for_selector('#result[data-outcome="uncertain"]')
    assert "在变绿之前请不要办理" in counter.inner_text("#result")
    counter.unroute("**/scans")

    counter.click("#result-retry")

    counter.wait_for_selector('#result[data-outcome="accepted"]')


def test_scan__no_code_at_all__red_and_ready_again(counter: Page) -> None:
    scan(counter, "https://example.org/menu")

    counter.wait_for_selector('#result[data-outcome="refused"]')
    assert "这不是 V Pass 码" in counter.inner_text("#result")
    assert counter.input_value("#scanned") == ""
    assert counter.evaluate("document.activeElement.id") == "scanned"


@pytest.mark.parametrize("reason", REASONS)
def test_result__each_reason__says_why_and_what_next_in_both_languages(
    counter: Page, reason: str
) -> None:
    problem = {"code": f"code.{reason}", "title": "x", "title_zh": "x", "status": 403}
    counter.route(
        "**/scans",
        lambda route: route.fulfill(
            status=403, body=json.dumps(problem), content_type="application/problem+json"
        ),
    )
    scan(counter, "VP1:X")
    counter.wait_for_selector('#result[data-outcome="refused"]')
    counter.unroute("**/scans")

    words = []
    for _ in range(2):
        words.append((counter.inner_text("#result .why"), counter.inner_text("#result .next")))
        counter.click("[data-language]")
    counter.click("#result-clear")

    assert counter.get_attribute("html", "lang") == "zh-Hans"
    assert len({text for pair in words for text in pair}) == 4
    assert "x" not in {text for pair in words for text in pair}


def test_scan__before_the_case_number__waits_for_it(counter: Page, phone: Page) -> None:
    counter.fill("#case-number", "")
    counter.focus("#case-number")
    counter.keyboard.type(fresh_code(phone))
    counter.keyboard.press("Enter")
    assert counter.inner_text("#case-number-problem") == "请填写业务编号，再按回车。"
    assert counter.get_attribute("#result", "data-outcome") == "ready"
    assert counter.evaluate("document.activeElement.id") == "case-number"

    counter.keyboard.type("WF-2026-0099")
    counter.keyboard.press("Enter")

    counter.wait_for_selector('#result[data-outcome="accepted"]')
    assert counter.locator("#case-number-problem").is_hidden()


def test_camera__opened__picture_shown_and_closed_again(counter: Page) -> None:
    counter.click("#camera")
    counter.wait_for_selector("#video:visible")
    assert counter.inner_text("#camera") == "关闭摄像头"

    counter.click("#camera")

    assert counter.locator("#video").is_hidden()


def test_small_screen__scanning__nothing_sticks_out(counter: Page) -> None:
    counter.set_viewport_size({"width": 320, "height": 640})
    counter.click("[data-language]")
    english = overflow(counter)
    counter.click("[data-language]")

    assert (english, overflow(counter)) == (0, 0)
    counter.set_viewport_size({"width": 1280, "height": 800})


def test_identity_check__photo_compared__level_three(counter: Page, phone: Page) -> None:
    counter.select_option("#purpose", "identity-check")
    try:
        scan(counter, fresh_code(phone), case_number="WF-2026-0088")
        counter.wait_for_selector('#result[data-outcome="accepted"]')
        counter.wait_for_selector("#result img.photo")
        assert counter.evaluate("document.querySelector('#result img.photo').naturalWidth") == 180

        counter.select_option("#raise-document", "passport")
        counter.click("#raise-go")

        expect(counter.locator("#result-words .next")).to_contain_text("已提升到 3 级")
        expect(counter.locator("#raise")).to_be_hidden()
        assert overflow(counter) == 0
    finally:
        counter.select_option("#purpose", "residence-permit")


def test_session__reloaded_then_ended__stays_then_asks_again(counter: Page) -> None:
    counter.reload()
    counter.wait_for_selector("#scanned:visible")

    counter.click("#end")
    counter.wait_for_selector("#username:visible")
    counter.reload()

    counter.wait_for_selector("#username:visible")
    assert counter.locator("#result").is_hidden()
