"""A biller for tests, the bills its server sends, and how phones pay them."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from identity.disclosure import pseudonym
from payments import bill_payments, billers
from payments.billers import Head
from payments.models import Bill, Biller, BillLine, BillPayment, BillShare, Order
from tests import city
from tests.shop import MERCHANT, RESIDENT, Shop, confirm, open_shop, resident_of
from vpass.common import outbox

HEADS = [
    Head(code="water", zh="水费", en="Water", priority=1),
    Head(code="sewage", zh="污水处理费", en="Sewage", priority=2),
    Head(code="late", zh="违约金", en="Late charge", priority=3, is_surcharge=True),
]
PPM = 500  # 0.05 % a day
DUE = date(2035, 11, 20)  # long after these tests are run


@dataclass
class Waterworks:
    """A biller with the key its server signs by."""

    shop: Shop
    biller: Biller

    @property
    def caller(self) -> Any:
        return self.shop.till.caller

    def upload(self, *asked: Any, key: str | None = None) -> Any:
        """Send a batch over HTTP."""
        return self.shop.till.send(
            "POST", f"{MERCHANT}/bill-batches", {"bills": list(asked)}, key=key or city.new_key()
        )

    def issue(self, **changes: Any) -> Bill:
        """One bill, sent over HTTP."""
        line = self.upload(asked(**changes)).json()["lines"][0]
        assert line["outcome"] == "accepted", line
        return Bill.objects.get(id=line["bill_id"])

    def issue_to(self, phone: city.Phone, **changes: Any) -> Bill:
        """One bill for the holder of a phone."""
        holder = pseudonym(
            resident_id=resident_of(phone),
            organisation_id=self.shop.merchant.organisation_id,
        )
        return self.issue(**{"payer": {"kind": "holder", "value": holder}} | changes)

    def amend(self, bill: Bill, *, key: str | None = None, **changes: Any) -> Any:
        body = {
            "version": bill.version,
            "title": bill.title,
            "due_date": bill.due_date.isoformat(),
            "lines": [{"head": "water", "amount_fen": 6_000}],
        } | changes
        path = f"{MERCHANT}/bills/{bill.id}/amendment"
        return self.shop.till.send("POST", path, body, key=key or city.new_key())

    def cancel(self, bill: Bill) -> Any:
        path = f"{MERCHANT}/bills/{bill.id}/cancellation"
        return self.shop.till.send("POST", path, {}, key=city.new_key())

    def refund(self, payment_id: Any, fen: int, *, at: datetime) -> None:
        """Give money of a bill's payment back, and let the bill hear of it."""
        self.shop.refund(payment_id, fen, at=at)
        outbox.deliver_due(at=at)


def open_waterworks(
    shop: Shop | None = None, *, number: int = 1, surcharge_ppm: int = PPM
) -> Waterworks:
    """A biller of two heads and a surcharge."""
    shop = shop or open_shop(name="潍坊市自来水公司", key_id="waterworks-1")
    biller = billers.open_biller(
        merchant=shop.merchant,
        kind="utility",
        number=number,
        heads=HEADS,
        surcharge_ppm=surcharge_ppm,
    )
    return Waterworks(shop, biller)


def asked(**changes: Any) -> dict[str, Any]:
    """A bill of ¥85.00 for October, due on DUE, as a biller's server sends it."""
    return {
        "reference": uuid.uuid4().hex,
        "payer": {"kind": "customer", "value": "0370017"},
        "title": "水费 2026年10月",
        "period_from": "2026-10-01",
        "period_to": "2026-11-01",
        "due_date": DUE.isoformat(),
        "lines": [
            {"head": "water", "amount_fen": 6_000},
            {"head": "sewage", "amount_fen": 2_500},
        ],
    } | changes


def open_payment(phone: city.Phone, bill: Bill, fen: int, *, key: str | None = None) -> Any:
    """Open a payment of a bill over HTTP."""
    body = {"notice_code": bill.notice_code, "amount_fen": fen}
    return phone.send("POST", f"{RESIDENT}/bill-payments", body, key=key or city.new_key())


def pay(phone: city.Phone, bill: Bill, fen: int, *, at: datetime) -> Order:
    """Pay of a bill beside the edge, and let the bill hear of it."""
    order = open_order(phone, bill, fen, at=at)
    assert confirm(phone, order, at=at).state == "captured"
    outbox.deliver_due(at=at)
    return order


def open_order(phone: city.Phone, bill: Bill, fen: int, *, at: datetime) -> Order:
    opened = bill_payments.pay_bill(
        caller=phone.caller,
        code=bill.notice_code,
        amount_fen=fen,
        idempotency_key=city.idempotency(phone.caller.scope),
        at=at,
    )
    return Order.objects.get(id=opened.payment_id)


def sums(bill: Bill) -> tuple[str, int, int, int]:
    """State, asked, paid and reserved of a bill, as they are written."""
    bill.refresh_from_db()
    return bill.state, bill.amount_fen, bill.paid_fen, bill.reserved_fen


def is_sound(bill: Bill) -> bool:
    """Whether the bill's sums are those of its lines, of its payments, and of what these gave."""
    bill.refresh_from_db()
    lines = list(BillLine.objects.filter(bill=bill))
    payments = list(BillPayment.objects.filter(bill=bill))
    paid_fen = sum(each.amount_fen - each.refunded_fen for each in payments if each.paid_at)
    open_fen = sum(
        each.amount_fen for each in payments if not each.paid_at and not each.released_at
    )
    given = BillShare.objects.filter(line__bill=bill)
    given_to = {line.id: 0 for line in lines}
    for line_id, fen in given.values_list("line_id", "amount_fen"):
        given_to[line_id] += fen
    return (
        bill.amount_fen == sum(line.amount_fen for line in lines)
        and bill.paid_fen == sum(line.paid_fen for line in lines) == paid_fen
        and bill.reserved_fen == open_fen
        and all(line.paid_fen == given_to[line.id] for line in lines)
    )


def paid_lines(bill: Bill) -> dict[str, int]:
    """What is paid of a bill's lines, by head."""
    lines = BillLine.objects.filter(bill=bill)
    return dict(lines.order_by("id").values_list("head__code", "paid_fen"))
