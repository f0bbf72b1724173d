"""The till page and the phone's wallet together, with the whole program and the bank behind."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Person, enrol, fresh_code, overflow, read_json
from vpass.supervisor import Run

pytestmark = pytest.mark.stack

GREEN, AMBER, RED = "rgb(11, 107, 58)", "rgb(138, 82, 0)", "rgb(164, 22, 26)"


def top_up(stack: Run, number: str, fen: int) -> None:
    """A transfer to a wallet at the bank."""
    body = {"top_up_number": number, "amount_fen": fen, "payer_name": "测试"}
    asked = Request(
        f"{stack.sandbox_url}/bank/control/credits",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(asked, timeout=10) as answer:
        assert answer.status < 300


def fill_wallet(page: Page, stack: Run, fen: int, shown: str) -> None:
    """Tops an empty wallet up and waits until the money is there."""
    number = page.inner_text("#top-up-number").replace(" ", "")
    top_up(stack, number, fen)
    for _ in range(60):
        page.click('#tabs a[href="#code"]')
        page.click('#tabs a[href="#money"]')
        page.wait_for_timeout(250)
        if page.inner_text("#balance") == shown:
            break
    expect(page.locator("#balance")).to_have_text(shown)


@pytest.fixture(scope="module")
def holder(people: Iterator[Person]) -> Person:
    return next(people)


@pytest.fixture(scope="module")
def phone(open_page: Callable[..., Page], stack: Run, holder: Person) -> Page:
    """A resident's phone with ¥5,000 in its wallet."""
    page = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    enrol(page, stack, holder)
    page.click('#tabs a[href="#money"]')
    expect(page.locator("#balance")).to_have_text("¥0.00")
    fill_wallet(page, stack, 500_000, "¥5,000.00")
    page.click('#tabs a[href="#code"]')
    return page


@pytest.fixture(scope="module")
def till(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """A till enrolled by keyboard alone."""
    page = open_page(viewport={"width": 1024, "height": 768})
    page.goto(f"{stack.web_url}/till/")
    page.wait_for_selector("#enrolment-code:visible")
    page.focus("#enrolment-code")
    page.keyboard.type(logins["till_enrolment_code"].lower())
    page.keyboard.press("Enter")
    page.wait_for_selector("#amount:visible")
    return page


@pytest.fixture(autouse=True)
def afresh(till: Page, phone: Page) -> Iterator[None]:
    """One test that fails does not take the next ones with it."""
    yield
    till.unroute_all()
    for leave in ("#result-cancel", "#result-clear"):
        if till.locator(leave).is_visible():
            till.click(leave)
    till.fill("#amount", "")
    till.fill("#scanned", "")
    if phone.locator("#confirm").is_visible():
        phone.click("#confirm-no")
    phone.click('#tabs a[href="#code"]')


def charge(till: Page, amount: str, code: str) -> None:
    """Types an amount and scans, as a hand scanner does."""
    till.fill("#amount", amount)
    till.focus("#scanned")
    till.keyboard.insert_text(code)
    till.keyboard.press("Enter")


def colour(till: Page) -> str:
    return till.evaluate("getComputedStyle(document.querySelector('#result')).backgroundColor")


def balance(phone: Page) -> str:
    phone.click('#tabs a[href="#code"]')
    with phone.expect_response("**/wallet"), phone.expect_response("**/resident/v1/payments"):
        phone.click('#tabs a[href="#money"]')
    phone.wait_for_timeout(100)
    return phone.inner_text("#balance")


def test_charge__small_amount_on_the_keypad__green_and_in_both_lists(
    till: Page, phone: Page
) -> None:
    code = fresh_code(phone)
    for press in "35.80":
        till.click(f'#keypad [data-press="{press}"]')
    till.focus("#scanned")
    till.keyboard.insert_text(code)
    till.keyboard.press("Enter")

    till.wait_for_selector('#result[data-outcome="accepted"]')
    assert colour(till) == GREEN
    assert "¥35.80" in till.inner_text("#result")
    expect(till.locator("#payments li").first).to_contain_text("已支付")
    assert till.input_value("#amount") == ""
    assert balance(phone) == "¥4,964.20"
    assert "惠民超市" in phone.inner_text("#paid li >> nth=0")


def test_charge__same_code_again__red_with_the_reason(till: Page, phone: Page) -> None:
    code = fresh_code(phone)
    charge(till, "1", code)
    till.wait_for_selector('#result[data-outcome="accepted"]')

    charge(till, "1", code)

    till.wait_for_selector('#result[data-outcome="refused"]')
    assert colour(till) == RED
    assert "code.already_used" in till.inner_text("#result")


def test_charge__large_amount__amber_until_the_phone_confirms_then_refunded(
    till: Page, phone: Page
) -> None:
    charge(till, "1234.50", fresh_code(phone))
    till.wait_for_selector('#result[data-outcome="waiting"]')
    assert colour(till) == AMBER

    phone.wait_for_selector("#confirm-yes:visible")
    assert phone.inner_text("#confirm-sum") == "¥1,234.50"
    assert phone.inner_text("#confirm-payee") == "惠民超市"
    phone.click("#confirm-yes")

    till.wait_for_selector('#result[data-outcome="accepted"]')
    expect(phone.locator("#confirm")).to_be_hidden()
    before = balance(phone)
    row = till.locator("#payments li").first
    row.locator("button").click()
    till.fill("#refund-amount", "1234.51")
    till.click(".refund .danger")
    expect(till.locator("#refund-amount-problem")).to_contain_text("¥1,234.50")
    till.fill("#refund-amount", "234.50")
    till.click(".refund .danger")
    expect(till.locator("#refund-status")).to_contain_text("¥234.50")
    expect(till.locator("#payments li").first).to_contain_text("部分退款")
    after = balance(phone)
    fen = [round(float(each.replace("¥", "").replace(",", "")) * 100) for each in (before, after)]
    assert fen[1] - fen[0] == 23_450


def test_charge__large_amount_refused_on_the_phone__red(till: Page, phone: Page) -> None:
    charge(till, "2000", fresh_code(phone))
    phone.wait_for_selector("#confirm-no:visible")
    phone.keyboard.press("Escape")
    assert phone.locator("#confirm").is_visible()

    phone.click("#confirm-no")

    till.wait_for_selector('#result[data-outcome="refused"]')
    assert "顾客在手机上拒绝了付款" in till.inner_text("#result")


def test_charge__called_off_by_the_till__the_phone_says_that_it_has_ended(
    till: Page, phone: Page
) -> None:
    charge(till, "2000", fresh_code(phone))
    phone.wait_for_selector("#confirm-yes:visible")

    till.click("#result-cancel")
    expect(till.locator("#result")).to_contain_text("收款已撤销")
    phone.click("#confirm-yes")

    expect(phone.locator("#confirm")).to_be_hidden()
    expect(phone.locator("#code-status")).to_have_text("该笔付款已结束。")


def test_charge__more_than_there_is__red_and_says_so(
    till: Page, open_page: Callable[..., Page], stack: Run, people: Iterator[Person]
) -> None:
    penniless = open_page(viewport={"width": 390, "height": 844})
    enrol(penniless, stack, next(people))

    charge(till, "10", fresh_code(penniless))
    till.wait_for_selector("#result-clear:visible")

    assert "余额不足" in till.inner_text("#result")
    assert "ledger.insufficient_funds" in till.inner_text("#result")
    expect(till.locator("#payments li").first).to_contain_text("未支付")


def test_charge__answer_lost_twice__same_key_new_signature_and_one_payment(
    till: Page, phone: Page
) -> None:
    keys, signatures = [], []

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        signatures.append(route.request.headers["signature"])
        if len(keys) == 3:
            route.continue_()
            return
        route.fetch()  # the server does its part
        route.abort()

    till.route("**/payments", lose)
    charge(till, "0.01", fresh_code(phone))
    till.wait_for_selector('#result[data-outcome="accepted"]')

    assert (len(keys), len(set(keys)), len(set(signatures))) == (3, 1, 3)


def test_charge__no_answer__neither_paid_nor_forgotten(till: Page, phone: Page) -> None:
    till.route("**/payments", lambda route: route.abort())
    charge(till, "0.01", fresh_code(phone))
    till.wait_for_selector('#result[data-outcome="uncertain"]')
    till.unroute("**/payments")

    till.click("#result-retry")

    till.wait_for_selector('#result[data-outcome="accepted"]')


@pytest.mark.parametrize("amount", ["", "0", "50000.01", "1.234", "x", "-1"])
def test_amount__not_good__said_beside_it_and_nothing_sent(
    till: Page, phone: Page, amount: str
) -> None:
    sent: list[str] = []
    till.on("request", lambda request: sent.append(request.method))

    charge(till, amount, "VP1:X")

    expect(till.locator("#amount-problem")).to_be_visible()
    assert "POST" not in sent


def test_small_screens__till_and_wallet__nothing_sticks_out(till: Page, phone: Page) -> None:
    found = []
    for width in (320, 390):
        till.set_viewport_size({"width": width, "height": 844})
        for _ in range(2):
            found.append(overflow(till))
            till.click("[data-language]")
    till.set_viewport_size({"width": 1024, "height": 768})
    phone.click('#tabs a[href="#money"]')
    phone.set_viewport_size({"width": 320, "height": 640})
    found.append(overflow(phone))
    phone.set_viewport_size({"width": 390, "height": 844})

    assert found == [0] * 5


def test_till__reloaded__still_enrolled(till: Page) -> None:
    till.reload()

    till.wait_for_selector("#amount:visible")
    expect(till.locator("#till-name")).to_contain_text("惠民超市")


BIND = """
async (fields) => {
  const { openStore } = await import("/static/js/common/store.js");
  const { openSession } = await import("/static/js/phone/session.js");
  const store = await openStore("vpass-phone");
  const publicUrl = document.querySelector('meta[name="vpass-public-url"]').content;
  const session = await openSession({ store, publicUrl, onLost() {} });
  const body = { card_type: "bank", issuer: "weifang-bank", fields };
  const options = { body, idempotencyKey: crypto.randomUUID() };
  return (await session.call("POST", "/cards", options)).last4;
}
"""


@pytest.fixture(scope="module")
def card(phone: Page, stack: Run, holder: Person) -> str:
    """The last four digits of a bank card that the phone has bound."""
    shown = read_json(f"{stack.sandbox_url}/register/demo-people")["people"]
    place = [one["id_number"] for one in shown].index(holder.id_number)
    demo = read_json(f"{stack.sandbox_url}/issuers/demo-cards/{place}")["bank"][0]
    last4: str = phone.evaluate(BIND, {"card_number": demo["fields"]["card_number"]})
    return last4


def test_bank_card__tops_up_then_pays_at_the_till(till: Page, phone: Page, card: str) -> None:
    before = balance(phone)
    phone.wait_for_selector("#top-up-form:visible")
    assert phone.inner_text("#source-list label >> nth=1") == f"银行卡 ···{card}"
    assert phone.is_checked("#source-list input >> nth=0")
    phone.fill("#top-up-amount", "100")
    phone.keyboard.press("Enter")
    expect(phone.locator("#top-up-status")).to_have_text("¥100.00 已到账。")
    phone.check("#source-list input >> nth=1")
    phone.set_viewport_size({"width": 320, "height": 640})
    assert overflow(phone) == 0
    phone.set_viewport_size({"width": 390, "height": 844})
    after = balance(phone)
    assert after != before
    assert phone.is_checked("#source-list input >> nth=1")
    for is_split in (True, False):
        phone.set_checked("#source-split", is_split)
        balance(phone)  # what was chosen stands there after another look
        assert phone.is_checked("#source-split") is is_split

    phone.click('#tabs a[href="#code"]')
    charge(till, "12.80", fresh_code(phone))

    till.wait_for_selector('#result[data-outcome="accepted"]')
    assert balance(phone) == after
    expect(phone.locator("#paid li >> nth=0")).to_contain_text(f"银行卡 ···{card}")


def test_bank_card__answer_lost__amber_without_a_way_to_call_it_off_then_green(
    till: Page, phone: Page, card: str, stack: Run
) -> None:
    asked = Request(
        f"{stack.sandbox_url}/faults",
        data=json.dumps({"site": "bank", "mode": "lost_reply", "count": 1}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urlopen(asked, timeout=10).close()

    charge(till, "3.20", fresh_code(phone))

    till.wait_for_selector('#result[data-outcome="waiting"]')
    expect(till.locator("#result")).to_contain_text("银行正在扣款")
    assert not till.is_visible("#result-cancel")
    till.wait_for_selector('#result[data-outcome="accepted"]', timeout=30_000)


def test_bank_card__choice_taken_back__the_balance_pays(till: Page, phone: Page, card: str) -> None:
    before = balance(phone)
    phone.check("#source-list input >> nth=0")
    phone.wait_for_timeout(500)
    phone.click('#tabs a[href="#code"]')

    charge(till, "1", fresh_code(phone))

    till.wait_for_selector('#result[data-outcome="accepted"]')
    assert balance(phone) != before
