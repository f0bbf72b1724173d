"""The demo city's billers, a waterworks, a school and the traffic police, and a first bill each."""

from datetime import date, datetime, timedelta
from typing import Any

from identity.models import MachineKey, Organisation, Terminal
from payments import bill_batches, billers, merchants
from payments.bill_batches import AskedBill
from payments.billers import AskedLine, Head
from payments.models import Bank, Biller
from vpass.common.clock import city_date
from vpass.common.signing import ed25519_public_bytes, generate_ed25519, private_pem
from vpass.seed.people import open_organisation

LATE = Head(code="late", zh="滞纳金", en="Late charge", priority=9, is_surcharge=True)
BILLERS: tuple[tuple[str, str, str, int, int, tuple[Head, ...]], ...] = (
    (
        "utility", "潍坊市自来水公司", "Weifang Water", 1, 500,
        (
            Head(code="water", zh="水费", en="Water", priority=1),
            Head(code="sewage", zh="污水处理费", en="Sewage", priority=2),
            LATE,
        ),
    ),
    (
        "tuition", "潍坊第一中学", "Weifang No. 1 Middle School", 2, 0,
        (
            Head(code="tuition", zh="学费", en="Tuition", priority=1),
            Head(code="boarding", zh="住宿费", en="Boarding", priority=2),
        ),
    ),
    (
        "fine", "潍坊市公安局交通警察支队", "Weifang Traffic Police", 3, 30_000,
        (Head(code="fine", zh="罚款", en="Fine", priority=1), LATE),
    ),
)  # fmt: skip


def open_billers(city: Organisation, *, bank: Bank, at: datetime) -> dict[str, Any]:
    """Open them, each with a key for its server.

    Returns the log-ins: `billers` by kind, and `notice_codes` of a bill each, which anybody may
    look at and pay.
    """
    keys, codes = {}, {}
    for kind, name_zh, name_en, number, surcharge_ppm, heads in BILLERS:
        organisation = open_organisation(city, "merchant", name_zh, name_en, scene="pay")
        merchant = merchants.open_merchant(
            organisation=organisation,
            bank=bank,
            payout_account=f"tok_weifang_{kind}_{8100 + number}",
        )
        biller = billers.open_biller(
            merchant=merchant, kind=kind, number=number, heads=heads, surcharge_ppm=surcharge_ppm
        )
        keys[kind] = _server_of(organisation, key_id=f"biller-{kind}")
        codes[kind] = _first_bill(biller, at=at)
    return {"billers": keys, "notice_codes": codes}


def _first_bill(biller: Biller, *, at: datetime) -> str:
    today = city_date(at)
    first = today.replace(day=1)
    asked: dict[str, tuple[str, date, tuple[AskedLine, ...]]] = {
        "utility": (
            "水费 Water",
            today + timedelta(days=2),
            (
                AskedLine(head="water", amount_fen=6_240),
                AskedLine(head="sewage", amount_fen=1_980),
            ),
        ),
        "tuition": (
            "学费 School fees",
            today + timedelta(days=20),
            (
                AskedLine(head="tuition", amount_fen=80_000),
                AskedLine(head="boarding", amount_fen=40_000),
            ),
        ),
        "fine": (
            "违法停车罚款 Parking fine",
            today + timedelta(days=15),
            (AskedLine(head="fine", amount_fen=10_000),),
        ),
    }
    title, due_date, lines = asked[biller.kind]
    bill = AskedBill(
        reference="DEMO-1",
        payer_kind="customer",
        payer="DEMO-1",
        title=title,
        period_from=(first - timedelta(days=1)).replace(day=1),
        period_to=first,
        due_date=due_date,
        lines=lines,
    )
    (report,) = bill_batches.issue_bills(biller=biller, asked=[bill], actor="seed", at=at)
    return str(report.notice_code)


def _server_of(organisation: Organisation, *, key_id: str) -> dict[str, str]:
    server = Terminal.objects.create(
        organisation=organisation, scene="pay", name_zh="账单系统", name_en="Billing server"
    )
    private = generate_ed25519()
    MachineKey.objects.create(
        id=key_id,
        terminal=server,
        algorithm="Ed25519",
        public_key=ed25519_public_bytes(private),
    )
    return {"key_id": key_id, "private_key_pem": private_pem(private)}
