"""Today's payments and refunds, and what waits for money, in one statement."""

from datetime import datetime, timedelta

from django.db import connection

from payments import figures
from payments.models import Debit, Order, Payout, Window
from payments.settlement import windows
from tests import city
from tests.banking import make_card
from tests.shop import Shop, resident_of
from tests.statements import statements
from vpass.common.clock import CITY_ZONE
from vpass.common.ids import uuid7


def found_at(at: datetime) -> dict[str, tuple[int, str]]:
    return {each.name: (each.value, each.group) for each in figures.figures(at=at)}


def test_figures__payments_and_a_refund__counted_and_summed(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    first = shop.pay(grant.code(at), at=at)
    shop.pay(grant.code(at), amount_fen=100, at=at)
    shop.pay(grant.code(at), amount_fen=150_000, at=at)
    shop.refund(first.id, 34, at=at)
    windows.close(window_id=Window.objects.get().id, actor="test", at=at)

    with statements() as sent:
        found = {each.name: each for each in figures.figures(at=at)}

    assert len(sent) == 1
    assert (found["payments"].value, found["payments_fen"].value) == (2, 1_334)
    hour = at.astimezone(CITY_ZONE).hour
    assert found["payments"].hours[hour] == 2
    assert found["payments_fen"].hours[hour] == 1_334
    assert (found["refunds"].value, found["refunds_fen"].value) == (1, 34)
    assert found["confirming"].value == 1
    assert found["windows_unsettled"].value == 1
    assert found["payouts_unknown"].value == 0


def test_figures__a_day_later__nothing_of_it(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at)

    found = found_at(at + timedelta(days=1))

    assert found["payments"] == (0, "today")
    assert found["payments_fen"] == (0, "today")


def test_figures__payout_of_which_nothing_is_known__waits(shop: Shop, at: datetime):
    Payout.objects.create(
        id=uuid7(at),
        bank=shop.system.bank,
        purpose="settlement",
        merchant=shop.merchant,
        account_token="tok_0001",
        account_last4="0001",
        amount_fen=1,
        reference="R",
        business_date=at.date(),
        state="unknown",
        next_inquiry_at=at,
        created_at=at,
    )

    assert found_at(at)["payouts_unknown"] == (1, "waits")


def test_figures__debit_of_which_nothing_is_known__waits(
    shop: Shop, payer: city.Phone, at: datetime
):
    resident_id = resident_of(payer)
    Debit.objects.create(
        id=uuid7(at),
        bank=shop.system.bank,
        purpose="top_up",
        resident_id=resident_id,
        card=make_card(shop.system.bank, resident_id, at=at),
        account_token="tok_0001",
        account_last4="0001",
        amount_fen=1,
        reference="R",
        business_date=at.date(),
        state="unknown",
        next_inquiry_at=at,
        created_at=at,
    )

    assert found_at(at)["debits_unknown"] == (1, "waits")
    assert found_at(at)["payouts_unknown"] == (0, "waits")


def test_figures__plan__enters_the_long_tables_by_an_index(db: None, at: datetime):
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            cursor.execute("EXPLAIN " + figures._COUNT, {"zone": "UTC", "first": uuid7(at)})
            plan = "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")

    assert Order._meta.db_table in plan
    for table in ("payments_order", "payments_refund", "payments_payout", "payments_debit"):
        assert f"Seq Scan on {table}" not in plan
