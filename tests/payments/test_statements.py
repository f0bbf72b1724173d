"""Statements, to the fen, from the postings."""

from datetime import datetime, timedelta

import pytest

from payments import ledger, statements
from payments.batches import Entry, post_batch
from payments.ledger import Leg
from payments.models import Posting
from tests import city
from tests.ledger import AT, account, bank, open_window, owner
from tests.shop import RESIDENT, Shop, balance_fen, open_shop, resident_of
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def busy(shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime) -> Shop:
    """A shop with two payments, one of them refunded in part; a second shop with one."""
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    shop.pay(grant.code(at), at=at, amount_fen=1_000, merchant_reference="A-1", title="灯笼")
    other.pay(grant.code(at), at=at, amount_fen=77)
    second = shop.pay(grant.code(at), at=at, amount_fen=2_000, merchant_reference="A-2")
    shop.refund(second.id, 500, at=at)
    return shop


def test_wallet__nothing_put_in_yet__zero_and_a_number(shop: Shop, phone: city.Phone):
    wallet = statements.wallet_of(resident_id=resident_of(phone))

    assert (wallet.balance_fen, wallet.available_fen, len(wallet.top_up_number)) == (0, 0, 12)
    assert statements.wallet_of(resident_id=resident_of(phone)) == wallet


def test_wallet__part_of_it_held__available_is_less(busy: Shop, payer: city.Phone, at: datetime):
    account = ledger.open_account(kind="resident", owner=str(resident_of(payer)))
    ledger.hold(
        hold_id=city.uuid.uuid4(),
        account=account,
        amount_fen=1_000,
        purpose="payout",
        reference=city.uuid.uuid4(),
        expires_at=None,
        at=at,
    )

    wallet = statements.wallet_of(resident_id=resident_of(payer))

    assert wallet.balance_fen == 1_000_000 - 1_000 - 77 - 2_000 + 500
    assert wallet.available_fen == wallet.balance_fen - 1_000


def test_resident_statement__every_posting_with_its_sign__sums_to_the_balance(
    busy: Shop, payer: city.Phone
):
    answer = payer.send("GET", f"{RESIDENT}/statement").json()

    assert [(each["kind"], each["amount_fen"]) for each in answer["items"]] == [
        ("refund", 500), ("payment", -2_000), ("payment", -77), ("payment", -1_000),
        ("top_up", 1_000_000),
    ]  # fmt: skip
    assert sum(each["amount_fen"] for each in answer["items"]) == balance_fen(payer)
    assert answer["items"][3]["title"] == "灯笼"
    assert answer["items"][2]["payee"] == {"zh": "白浪河书店", "en": "Books"}
    assert answer["items"][4]["payee"] is answer["items"][4]["payment_id"] is None


def test_resident_statement__stranger__empty(busy: Shop, at: datetime):
    stranger = city.make_phone(1, at=at)

    assert stranger.send("GET", f"{RESIDENT}/statement").json() == {"items": [], "next": None}


def test_merchant_statement__a_business_date__its_own_lines_alone(busy: Shop, at: datetime):
    today = clock.city_date(at)

    answer = busy.till.send("GET", f"/api/merchant/v1/statement?date={today}").json()

    assert [(each["kind"], each["amount_fen"]) for each in answer["items"]] == [
        ("refund", -500), ("payment", 2_000), ("payment", 1_000),
    ]  # fmt: skip
    assert sum(each["amount_fen"] for each in answer["items"]) == busy.balance_fen
    references = [each["merchant_reference"] for each in answer["items"]]
    assert references == ["A-2", "A-2", "A-1"]
    yesterday = today - timedelta(days=1)
    empty = busy.till.send("GET", f"/api/merchant/v1/statement?date={yesterday}").json()
    assert empty == {"items": [], "next": None}


def test_merchant_statement__without_a_date__todays_in_pages(busy: Shop):
    found = []
    path = "/api/merchant/v1/statement?limit=2"
    answer = busy.till.send("GET", path).json()
    found += answer["items"]
    assert answer["next"]
    answer = busy.till.send("GET", f"{path}&cursor={answer['next']}").json()
    found += answer["items"]

    assert answer["next"] is None
    assert [each["amount_fen"] for each in found] == [-500, 2_000, 1_000]


@pytest.mark.parametrize(
    "query", ["date=2026-02-30", "date=x", "date=20260301", "day=2026-03-01", "date=", "limit=0"]
)
def test_merchant_statement__query_not_as_it_must_be__400(shop: Shop, query: str):
    answer = shop.till.send("GET", f"/api/merchant/v1/statement?{query}")

    assert city.problem(answer) == (400, "request.invalid")


def test_resident_statement__long_history__read_by_both_indexes_and_not_sorted(
    transactional_db: None,
):
    open_window()
    wallet, merchant, clearing = account("resident"), account("merchant"), bank()
    sides = [(clearing, wallet, 9), (wallet, merchant, 1)] * 1_500
    legs = [Leg(*side) for side in sides] + [Leg(clearing, merchant, 1) for _ in range(6_000)]
    post_batch(
        [
            Entry(kind="x", caller="x", key=str(n), legs=[leg], event_at=AT)
            for n, leg in enumerate(legs)
        ],
        at=AT,
    )
    with owner() as cursor:
        cursor.execute("ANALYZE payments_posting")
        cursor.execute("ANALYZE payments_transaction")

    plan = statements.queries.postings_of(wallet).order_by("-id")[:21].explain()

    assert "Merge Append" in plan
    assert "posting_of_debit" in plan and "posting_of_credit" in plan
    assert "Sort  " not in plan


def test_postings_of__no_account__none():
    assert list(statements.queries.postings_of(None)) == []
    assert Posting.objects.count() == 0
