"""Billers send bills by the batch, each line by itself, and amend and cancel them."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from payments import bill_batches, billers, bills, merchants
from payments.models import Bill, BillChange, BillLine, BillVersion, Order
from tests import city
from tests.billing import (
    DUE,
    HEADS,
    Waterworks,
    asked,
    open_order,
    open_waterworks,
    paid_lines,
    pay,
    sums,
)
from tests.shop import MERCHANT, Shop, open_shop
from tests.statements import statements
from vpass.common.clock import city_date

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waterworks(shop: Shop) -> Waterworks:
    return open_waterworks(shop)


@pytest.fixture
def bill(waterworks: Waterworks) -> Bill:
    return waterworks.issue()


def line(head: str = "water", fen: int = 100, **others: Any) -> dict[str, Any]:
    return {"head": head, "amount_fen": fen, **others}


MALFORMED: list[tuple[Any, list[tuple[str, str]]]] = [
    (7, [("", "wrong_type")]),
    ({"reference": "only"}, [
        ("payer", "required"), ("title", "required"), ("period_from", "required"),
        ("period_to", "required"), ("due_date", "required"), ("lines", "required"),
    ]),
    (asked(reference="a b"), [("reference", "invalid")]),
    (asked(title="水费\n"), [("title", "control_character")]),
    (asked(due_date="2026-13-01"), [("due_date", "invalid")]),
    (asked(colour="blue"), [("colour", "unknown")]),
    (asked(payer={"kind": "name", "value": "张伟"}), [("payer.kind", "invalid_choice")]),
    (asked(payer={"kind": "id_number", "value": "37070219900101"}), [("payer", "invalid")]),
    (asked(lines=[]), [("lines", "min_length")]),
    (asked(lines=[line()] * 11), [("lines", "max_length")]),
    (asked(lines=[line(fen=0)]), [("lines.0.amount_fen", "min_value")]),
    (asked(lines=[line(fen=10**9 + 1)]), [("lines.0.amount_fen", "max_value")]),
    (asked(lines=[{**line(), "amount_fen": 1.5}]), [("lines.0.amount_fen", "wrong_type")]),
]  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    (asked(period_to="2026-10-01"), "bill.period_wrong"),
    (asked(lines=[line("gas")]), "bill.lines_refused"),
    (asked(lines=[line("late")]), "bill.lines_refused"),
    (asked(lines=[line(), line()]), "bill.lines_refused"),
    (asked(lines=[line(), line(period_from="2026-10-01")]), "bill.lines_refused"),
]


def test_upload__good_and_bad_lines__each_by_itself_with_its_own_code(waterworks: Waterworks):
    first = asked(reference="W-1")
    batch = [
        first,
        *(sent for sent, _ in MALFORMED),
        *(sent for sent, _ in REFUSED),
        asked(reference="W-1"),
        asked(reference="W-2"),
    ]

    answer = waterworks.upload(*batch)

    assert answer.status_code == 201
    told = answer.json()
    assert (told["accepted"], told["known"], told["refused"]) == (2, 0, len(batch) - 2)
    reports = told["lines"]
    assert [each["line"] for each in reports] == list(range(1, len(batch) + 1))
    for report, (sent, errors) in zip(reports[1:], MALFORMED, strict=False):
        found = [(each["field"], each["code"]) for each in report["errors"]]
        assert (report["outcome"], report["code"], found) == (
            "refused", "request.invalid", errors,
        ), sent  # fmt: skip
    others = reports[1 + len(MALFORMED) :]
    codes = [code for _, code in REFUSED]
    assert [each["code"] for each in others] == [*codes, "bill.reference_twice", None]
    assert [each.reference for each in Bill.objects.order_by("id")] == ["W-1", "W-2"]
    assert (BillLine.objects.count(), BillVersion.objects.count()) == (4, 2)
    assert reports[0]["notice_code"] == Bill.objects.get(reference="W-1").notice_code


def test_upload__again__the_same_report_and_in_another_batch_known(waterworks: Waterworks):
    one, key = asked(reference="W-1"), city.new_key()
    first = waterworks.upload(one, key=key).json()

    again = waterworks.upload(one, key=key).json()
    other = waterworks.upload(one, {**one, "title": "电费", "reference": "W-1"}).json()
    changed = waterworks.upload({**one, "lines": [line()]}).json()

    assert again == first
    assert [each["outcome"] for each in other["lines"]] == ["known", "refused"]
    assert other["lines"][0]["bill_id"] == first["lines"][0]["bill_id"]
    assert changed["lines"][0]["code"] == bill_batches.TAKEN
    assert Bill.objects.count() == 1


def test_upload__hundred_lines__as_many_statements_as_one(waterworks: Waterworks):
    with statements() as of_one:
        waterworks.upload(asked())
    with statements() as of_hundred:
        waterworks.upload(*(asked() for _ in range(100)))

    # caller, nonce, claim, biller, heads, known; bills, lines, versions, history; answer
    assert len(of_one) == len(of_hundred) == 11, "\n".join(of_one)


@pytest.mark.parametrize(
    ("sent", "field", "code"),
    [([], "bills", "min_length"), ([1] * 501, "bills", "max_length"), ("x", "bills", "wrong_type")],
    ids=("none", "501", "text"),
)
def test_upload__too_few_or_too_many__refused_whole(
    waterworks: Waterworks, sent: Any, field: str, code: str
):
    answer = waterworks.shop.till.send(
        "POST", f"{MERCHANT}/bill-batches", {"bills": sent}, key=city.new_key()
    )

    assert city.problem(answer) == (400, "request.invalid")
    assert answer.json()["errors"] == [{"field": field, "code": code}]


def test_upload__by_a_shop_or_a_suspended_biller__refused(waterworks: Waterworks, at: datetime):
    stranger = open_shop(name="书店", key_id="till-9", system=waterworks.shop.system)
    answer = stranger.till.send(
        "POST", f"{MERCHANT}/bill-batches", {"bills": [asked()]}, key=city.new_key()
    )
    merchants.suspend_merchant(merchant_id=waterworks.shop.merchant.id, actor="test", at=at)

    assert city.problem(answer) == (403, "biller.unknown")
    assert city.problem(waterworks.upload(asked())) == (403, "merchant.suspended")
    assert not Bill.objects.exists()


def test_bills__of_another_biller__as_if_there_were_none(
    waterworks: Waterworks, bill: Bill, at: datetime
):
    other = open_waterworks(
        open_shop(name="学校", key_id="school-1", system=waterworks.shop.system), number=2
    )
    send = other.shop.till.send

    assert send("GET", f"{MERCHANT}/bills").json()["items"] == []
    for answer in (
        send("GET", f"{MERCHANT}/bills/{bill.id}"),
        other.amend(bill),
        other.cancel(bill),
    ):
        assert city.problem(answer) == (404, "object.not_found")
    mine = waterworks.shop.till.send("GET", f"{MERCHANT}/bills?reference={bill.reference}").json()
    assert [each["id"] for each in mine["items"]] == [str(bill.id)]
    assert (
        waterworks.shop.till.send("GET", f"{MERCHANT}/bills?reference=none").json()["items"] == []
    )


def test_amend__more_and_less__what_is_paid_stays(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    pay(payer, bill, 6_500, at=at)  # 6,000 of water, 500 of sewage

    bill.refresh_from_db()
    assert city.problem(waterworks.amend(bill, lines=[line("water", 5_999)])) == (
        409, "bill.paid_already",
    )  # fmt: skip
    assert sums(bill) == ("part_paid", 8_500, 6_500, 0)

    key = city.new_key()
    less = [line("water", 6_000), line("sewage", 500)]
    answers = [waterworks.amend(bill, lines=less, title="更正", key=key) for _ in range(2)]

    assert [each.json() for each in answers] == [{"version": 2}] * 2
    assert sums(bill) == ("paid", 6_500, 6_500, 0)
    assert city.problem(waterworks.amend(bill, version=1)) == (409, "bill.version_stale")
    more = [line("water", 6_000), line("sewage", 700), line("water", 90, period_from="2026-09-01")]
    assert waterworks.amend(bill, lines=more).json() == {"version": 3}
    assert sums(bill) == ("part_paid", 6_790, 6_500, 0)
    versions = BillVersion.objects.filter(bill=bill).order_by("version")
    assert [(each.version, len(each.lines), each.title) for each in versions] == [
        (1, 2, "水费 2026年10月"), (2, 2, "更正"), (3, 3, "更正"),
    ]  # fmt: skip
    pay(payer, bill, 290, at=at)
    assert sums(bill) == ("paid", 6_790, 6_790, 0)


def test_amend__below_what_is_under_way__refused_until_that_has_ended(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    order = open_order(payer, bill, 8_000, at=at)
    Order.objects.filter(id=order.id).update(state="capturing")

    assert city.problem(waterworks.amend(bill)) == (409, "bill.under_way")
    assert city.problem(waterworks.cancel(bill)) == (409, "bill.under_way")
    Order.objects.filter(id=order.id).update(state="failed")
    assert waterworks.amend(bill).status_code == 200
    # The head that is asked for no more stays, with nothing on it.
    assert sums(bill) == ("unpaid", 6_000, 0, 0)
    assert paid_lines(bill) == {"water": 0, "sewage": 0}
    shown = waterworks.shop.till.send("GET", f"{MERCHANT}/bills/{bill.id}").json()
    assert [each["head"] for each in shown["lines"]] == ["water"]
    assert [each["state"] for each in shown["payments"]] == ["failed"]


def test_amend_and_cancel__a_payment_that_waits_for_its_word__called_off(
    waterworks: Waterworks, bill: Bill, at: datetime
):
    stranger = city.make_phone(1, at=at)
    orders = [open_order(stranger, bill, 8_000, at=at)]

    assert waterworks.amend(bill).status_code == 200
    bill.refresh_from_db()
    orders.append(open_order(stranger, bill, 6_000, at=at))
    assert waterworks.cancel(bill).status_code < 300

    for order in orders:
        order.refresh_from_db()
        assert order.state == "cancelled"
    assert sums(bill) == ("cancelled", 6_000, 0, 0)


@pytest.mark.parametrize(
    "lines", [[line("gas")], [line("late")], [line(), line()]], ids=("head", "surcharge", "twice")
)
def test_amend__lines_wrong__refused(waterworks: Waterworks, bill: Bill, lines: Any):
    assert city.problem(waterworks.amend(bill, lines=lines)) == (422, "bill.lines_refused")
    assert sums(bill)[1] == 8_500


def test_amend__due_date_put_off__the_unpaid_surcharge_goes(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    late = at + timedelta(days=(DUE - city_date(at)).days + 20)
    pay(payer, bill, 1, at=late)
    assert sums(bill) == ("part_paid", 8_585, 1, 0)

    billers.amend_bill(
        caller=waterworks.caller,
        bill_id=bill.id,
        version=1,
        title=bill.title,
        due_date=DUE + timedelta(days=30),
        lines=[billers.AskedLine(head="water", amount_fen=8_000)],
        idempotency_key=city.idempotency(waterworks.caller.scope),
        at=late,
    )

    assert sums(bill) == ("part_paid", 8_000, 1, 0)
    found = bills.shown_bills().get(id=bill.id)
    assert bills.standing(found, at=late + timedelta(days=10)).surcharge_fen == 0
    assert bills.standing(found, at=late + timedelta(days=11)).surcharge_fen == 4  # 3.9995


def test_cancel__unpaid_only__and_then_neither_shown_nor_paid(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    order = pay(payer, bill, 100, at=at)
    assert city.problem(waterworks.cancel(bill)) == (409, "bill.paid_already")
    waterworks.refund(order.id, 100, at=at)

    assert waterworks.cancel(bill).json() == {"state": "cancelled"}

    assert sums(bill) == ("cancelled", 8_500, 0, 0)
    history = BillChange.objects.filter(bill=bill).order_by("id").values_list("event", flat=True)
    assert list(history) == ["issue", "pay_part", "give_back", "cancel"]
    assert city.problem(waterworks.cancel(bill)) == (409, "state.illegal_transition")
    bill.refresh_from_db()
    assert city.problem(waterworks.amend(bill)) == (409, "state.illegal_transition")
    body = {"notice_code": bill.notice_code}
    answer = payer.send("POST", f"{city.RESIDENT}/bill-look-ups", body)
    assert city.problem(answer) == (404, "object.not_found")


def test_open_biller__surcharge_without_a_head__refused(shop: Shop):
    for heads, ppm in ((HEADS[:2], 500), (HEADS, 0)):
        with pytest.raises(ValueError, match="surcharge"):
            billers.open_biller(
                merchant=shop.merchant, kind="utility", number=1, heads=heads, surcharge_ppm=ppm
            )


@pytest.mark.parametrize(
    "change",
    [{"paid_fen": 1}, {"paid_fen": 8_501, "state": "paid"}, {"reserved_fen": 8_501},
     {"reserved_fen": -1}, {"state": "paid"}, {"state": "lost"}, {"amount_fen": 0},
     {"period_to": date(2026, 10, 1)}],
    ids=range(8),
)  # fmt: skip
def test_bill__what_must_never_be__refused_by_the_database(bill: Bill, change: dict[str, Any]):
    with pytest.raises(IntegrityError), transaction.atomic():
        Bill.objects.filter(id=bill.id).update(**change)
