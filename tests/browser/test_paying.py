"""Every way to pay on the phone: bar code, merchant's QR, link, app, and the payment PIN."""

import io
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Error, Page, expect

from identity.qr_picture import draw_code
from tests.browser.conftest import Person, enrol, fresh_code, overflow
from tests.browser.test_till import fill_wallet
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

PIN, OTHER_PIN = "482915", "739164"

# What a merchant's server would ask, with the key of a till's page.
ASK = """
async ([method, path, body]) => {
  const { openStore } = await import("/static/js/common/store.js");
  const { openTill } = await import("/static/js/till/till.js");
  const store = await openStore("vpass-till");
  const publicUrl = document.querySelector('meta[name="vpass-public-url"]').content;
  const till = await openTill({ store, publicUrl });
  const others = body ? { body, idempotencyKey: crypto.randomUUID() } : {};
  return till.call(method, path, others);
}
"""
# Whom the newest payment was for.
PAYEE = """
async () => {
  const { openStore } = await import("/static/js/common/store.js");
  const { openSession } = await import("/static/js/phone/session.js");
  const store = await openStore("vpass-phone");
  const publicUrl = document.querySelector('meta[name="vpass-public-url"]').content;
  const session = await openSession({ store, publicUrl, onLost() {} });
  return (await session.call("GET", "/payments?limit=1")).items[0].payee.id;
}
"""


@pytest.fixture(scope="module")
def holder(people: Iterator[Person]) -> Person:
    return next(people)


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, holder: Person) -> Page:
    """A resident's phone with ¥30,000 in its wallet."""
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    enrol(page, stack, holder)
    page.click('#tabs a[href="#money"]')
    expect(page.locator("#balance")).to_have_text("¥0.00")
    fill_wallet(page, stack, 3_000_000, "¥30,000.00")
    return page


@pytest.fixture(scope="module")
def shop(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """An unmanned shop's door, which is a till as well."""
    page = open_page()
    page.goto(f"{stack.web_url}/till/")
    page.fill("#enrolment-code", logins["door_enrolment_code"])
    page.press("#enrolment-code", "Enter")
    page.wait_for_selector("#amount:visible")
    return page


def shot(page: Page, name: str) -> None:
    """A picture for the eye, in both languages, where SHOTS names a folder."""
    if folder := os.environ.get("SHOTS"):
        for language in ("zh", "en"):
            page.wait_for_timeout(300)
            page.screenshot(path=f"{folder}/{name}-{language}.png")
            # Behind a sheet nothing can be clicked.
            page.evaluate("document.querySelector('[data-language]').click()")


def ask(shop: Page, method: str, path: str, body: Any = None) -> Any:
    return shop.evaluate(ASK, [method, path, body])


def press(phone: Page, place: str, pin: str) -> None:
    for digit in pin:
        phone.click(f'{place} [data-press="{digit}"]')


def go(phone: Page, view: str) -> None:
    phone.evaluate("view => { location.hash = view }", view)
    phone.wait_for_selector(f'[data-view="{view}"]:visible')


def read_bars(phone: Page) -> str:
    """The digits as an old till reads them: from the pixels of the screen."""
    phone.wait_for_selector("#bars:visible")
    picture = Image.open(io.BytesIO(phone.locator("#bars").screenshot()))
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.Code128)
    return found.text


def scan_picture(phone: Page, text: str) -> None:
    file = {"name": "qr.png", "mimeType": "image/png", "buffer": draw_code(text)}
    phone.set_input_files("#scan-picture", files=[file])


def test_bar_code__read_from_the_pixels__paid_then_another_and_the_door_opens(
    phone: Page, shop: Page
) -> None:
    go(phone, "code")
    assert phone.locator("#bars").is_hidden()
    phone.click("#bars-open")
    first = read_bars(phone)
    shot(phone, "bars")
    assert phone.inner_text("#bars-digits").replace(" ", "") == first
    assert first.startswith("86")

    shop.fill("#amount", "9.90")
    shop.focus("#scanned")
    shop.keyboard.insert_text(first)  # by a scanner that knows no Enter
    shop.wait_for_selector('#result[data-outcome="accepted"]')
    phone.click("#renew")  # looks at once
    expect(phone.locator("#code-status")).to_contain_text("刚刚使用")
    expect(phone.locator("#bars-digits")).not_to_have_text(first)
    second = read_bars(phone)
    assert second != first

    inside = ask(shop, "POST", "/visits", {"code": second, "merchant_reference": "V-1"})
    go(phone, "money")
    expect(phone.locator("#inside-lines")).to_contain_text("前离店")
    shot(phone, "inside")
    body = {"amount_fen": 1_250, "title": "牛奶"}
    assert ask(shop, "POST", f"/visits/{inside['id']}/leaving", body)["state"] == "paid"
    go(phone, "code")
    go(phone, "money")
    expect(phone.locator("#inside")).to_be_hidden()
    expect(phone.locator("#balance")).to_have_text("¥29,977.60")
    go(phone, "code")
    phone.click("#bars-open")
    expect(phone.locator("#bars-digits")).to_have_text("")


def test_scan__printed_and_for_an_amount_and_a_link__payee_and_amount_then_paid(
    phone: Page, shop: Page, stack: Run
) -> None:
    printed = ask(shop, "POST", "/qr-codes", {"form": "static", "title": "早点"})["text"]
    go(phone, "scan")
    shot(phone, "scan")
    phone.click("#scan-camera")
    expect(phone.locator("#scan-video")).to_be_visible()
    go(phone, "code")  # who leaves is not looked at any more
    go(phone, "scan")
    expect(phone.locator("#scan-video")).to_be_hidden()
    scan_picture(phone, printed)
    expect(phone.locator("#scan-payee")).not_to_be_empty()
    phone.fill("#scan-amount", "501")
    shot(phone, "scan-amount")
    phone.press("#scan-amount", "Enter")
    phone.click("#confirm-yes")
    expect(phone.locator("#confirm-problem code")).to_have_text("payment.limit_exceeded")
    expect(phone.locator("#confirm-problem")).to_contain_text("这种方式每天最多 ¥500.00。")
    shot(phone, "limit")
    phone.click("#confirm-no")
    expect(phone.locator("#scan-status")).to_have_text("已拒绝付款。")
    scan_picture(phone, printed)
    phone.fill("#scan-amount", "4.50")
    phone.press("#scan-amount", "Enter")
    expect(phone.locator("#confirm-sum")).to_have_text("¥4.50")
    phone.click("#confirm-yes")
    expect(phone.locator("#scan-status")).to_contain_text("已支付 ¥4.50")

    body = {"form": "dynamic", "title": "水果", "amount_fen": 4_560, "merchant_reference": "Q-1"}
    made = ask(shop, "POST", "/qr-codes", body)
    phone.fill("#scan-text", made["text"][:-1] + "?")
    phone.press("#scan-text", "Enter")
    expect(phone.locator("#scan-form .problem code")).to_have_text("merchant_qr.unreadable")
    phone.fill("#scan-text", made["text"])
    phone.press("#scan-text", "Enter")
    expect(phone.locator("#confirm-sum")).to_have_text("¥45.60")
    shot(phone, "confirm")
    phone.click("#confirm-yes")
    expect(phone.locator("#scan-status")).to_contain_text("已支付 ¥45.60")
    assert ask(shop, "GET", f"/qr-codes/{made['id']}")["payment"]["state"] == "captured"

    link = {"form": "link", "title": "网店", "amount_fen": 700, "merchant_reference": "L-1"}
    phone.goto(ask(shop, "POST", "/qr-codes", link)["text"])
    expect(phone.locator("#confirm-title")).to_have_text("网店")
    phone.click("#confirm-yes")
    expect(phone.locator("#scan-status")).to_contain_text("已支付 ¥7.00")
    assert phone.evaluate("location.hash") == "#scan"


def test_pin__due_for_a_large_order_of_an_app__set_then_wrong_then_paid(
    phone: Page, shop: Page, stack: Run
) -> None:
    said: list[str] = []
    phone.on("console", lambda message: said.append(message.text))
    order = {"amount_fen": 2_500_000, "title": "电视机", "merchant_reference": "A-1"}
    phone.goto(f"{stack.web_url}/phone/#leave={phone.evaluate(PAYEE)}")
    expect(phone.locator("#leave-who")).to_have_text("鸢都无人店")
    phone.click("#leave-yes")
    expect(phone.locator("#leave-handle")).not_to_be_empty()
    shot(phone, "leave")
    asked = ask(shop, "POST", "/app-orders", order | {"payer": phone.inner_text("#leave-handle")})
    phone.click("#leave-no")
    phone.goto(f"{stack.web_url}/phone/#order={asked['id']}")
    expect(phone.locator("#confirm-sum")).to_have_text("¥25,000.00")
    phone.click("#confirm-yes")
    press(phone, "#confirm-pad", PIN[:4])
    expect(phone.locator("#confirm-pad .full")).to_have_count(4)
    phone.click('#confirm-pad [data-press="back"]')
    shot(phone, "pad")
    assert overflow(phone) == 0
    press(phone, "#confirm-pad", PIN[3:])
    expect(phone.locator("#confirm-problem code")).to_have_text("payment_pin.not_set")
    expect(phone.locator("#confirm-pad")).to_be_hidden()
    shot(phone, "no-pin")

    phone.click("#confirm-set-pin")
    phone.click("#pin-begin")
    for pin, words in (("123456", "太简单"), (PIN, "再输入一次"), (OTHER_PIN, "两次不一致")):
        press(phone, "#pin-pad", pin)
        expect(phone.locator("#pin-pad .pin-words")).to_contain_text(words)
    shot(phone, "pin-new")
    press(phone, "#pin-pad", PIN)
    press(phone, "#pin-pad", PIN)

    phone.click("#confirm-yes")  # the payment has waited
    press(phone, "#confirm-pad", OTHER_PIN)
    expect(phone.locator("#confirm-problem")).to_contain_text("还可以试 9 次")
    shot(phone, "pin-wrong")
    press(phone, "#confirm-pad", PIN)
    expect(phone.locator("#code-status")).to_contain_text("已支付 ¥25,000.00")

    # So much was paid today that a till's payment asks for it too, at once; a door cannot ask.
    body = {
        "code": fresh_code(phone),
        "amount_fen": 100,
        "title": "糖",
        "merchant_reference": "T-1",
    }
    assert ask(shop, "POST", "/payments", body)["state"] == "confirming"
    phone.evaluate("document.querySelector('#renew').click()")
    phone.click("#confirm-yes")
    expect(phone.locator("#confirm-pad")).to_be_visible()
    phone.keyboard.type(PIN)
    expect(phone.locator("#code-status")).to_contain_text("已支付 ¥1.00")
    with pytest.raises(Error, match=r"payment\.limit_exceeded"):
        ask(shop, "POST", "/visits", {"code": fresh_code(phone), "merchant_reference": "V-2"})
    assert PIN not in phone.content() + "".join(said)
    go(phone, "money")
    phone.click("#leaves-lines button")
    expect(phone.locator("#leaves")).to_be_hidden()


def test_money__where_it_is_and_back_to_the_bank__told_to_the_banks_word(phone: Page) -> None:
    go(phone, "money")
    phone.click("#paid li >> nth=0 >> summary")
    expect(phone.locator('#paid .way [data-state="done"]')).to_have_count(2)
    phone.locator("#paid .way").first.scroll_into_view_if_needed()
    shot(phone, "way")

    go(phone, "withdraw")
    phone.fill("#withdraw-amount", "30000")
    phone.press("#withdraw-amount", "Enter")
    expect(phone.locator("#withdraw-amount-problem")).to_contain_text("4,919.50")
    phone.fill("#withdraw-amount", "19.50")
    phone.press("#withdraw-amount", "Enter")
    expect(phone.locator("#withdrawals .badge")).to_have_text("已到账")
    shot(phone, "withdraw")
    expect(phone.locator("#withdraw-available")).to_have_text("可用 ¥4,900.00")
    assert overflow(phone) == 0


def test_pin__changed_and_forgotten__proven_by_what_stands_or_who_one_is(
    phone: Page, holder: Person
) -> None:
    go(phone, "pin")
    expect(phone.locator("#pin-state")).to_have_text("支付密码已设置。")
    shot(phone, "pin-set")
    phone.click("#pin-begin")
    for pin in ("102938", OTHER_PIN, OTHER_PIN):
        press(phone, "#pin-pad", pin)
    expect(phone.locator("#pin-problem")).to_contain_text("还可以试 9 次")
    press(phone, "#pin-pad", PIN)
    expect(phone.locator("#pin-status")).to_have_text("新的支付密码已生效。")

    # A number gets one code a minute: the enrolment is made up, what proves the holder is not.
    made_up = {"enrolment_id": str(uuid.uuid4()), "expires_at": "2030-01-01T00:00:00Z"}
    phone.route("**/enrolments", lambda route: route.fulfill(status=201, json=made_up))
    phone.click("#pin-forgotten")
    phone.fill("#pin-reset-phone", holder.phone)
    phone.click("#pin-reset-send")
    expect(phone.locator("#pin-reset-sent")).not_to_be_empty()
    phone.unroute("**/enrolments")
    phone.fill("#pin-reset-code", "123456")
    phone.fill("#pin-reset-number", holder.id_number)
    for name, refused in (
        (f"{holder.real_name}某", "payment_pin.proof_needed"),
        (holder.real_name, "object.not_found"),
    ):
        phone.fill("#pin-reset-name", name)
        shot(phone, "pin-reset")
        phone.press("#pin-reset-name", "Enter")
        for _ in range(2):
            press(phone, "#pin-pad", PIN)
        expect(phone.locator("#pin-problem code")).to_have_text(refused)
    assert overflow(phone) == 0
    phone.click("#pin-cancel")
    assert phone.input_value("#pin-reset-number") == ""
