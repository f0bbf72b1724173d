"""Rules of risk: what they weigh, what then, and the queue that staff decide."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from identity import codes, suspensions
from identity.models import Device, Organisation, Staff
from payments import accounts, charges, risk, sources
from payments.grades import PinNeeded
from payments.models import Order, RiskCase, RiskRule, Transaction
from tests import city
from tests.banking import withdraw
from tests.paying import PIN, confirm_with, digits, lay_down_rules, make_qr, rule, scan, set_pin
from tests.shop import Shop, balance_fen, confirm, open_shop, resident_of
from vpass.common import outbox
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

FINANCE = "/api/finance/v1"


@pytest.fixture
def accountant(hall: Organisation, at: datetime) -> city.DeskBrowser:
    desk = city.make_desk(hall, name="财务室")
    found = city.sign_in_clerk(desk, username="accountant", at=at)
    Staff.objects.update(roles=["finance"])
    return found


def pay(shop: Shop, phone: city.Phone, fen: int = 1_000, *, at: datetime) -> Any:
    return shop.pay(digits(phone, at=at), at=at, amount_fen=fen)


def paid() -> int:
    return Transaction.objects.filter(kind="payment").count()


def test_velocity__more_in_an_hour_than_the_rule_allows__stepped_up_until_it_is_over(
    shop: Shop, payer: city.Phone, at: datetime
):
    rule("burst", "hour_count", 2, "confirm")

    states = [pay(shop, payer, at=at + timedelta(minutes=n)).state for n in range(3)]

    assert states == ["captured", "captured", "confirming"]
    case = RiskCase.objects.get()
    assert (case.outcome, case.reasons, case.state) == ("confirm", ["burst"], "open")
    later = at + timedelta(minutes=62)
    assert pay(shop, payer, at=later).state == "captured"  # with the one that waits, two
    assert confirm_with(payer, case.order_id, None, at=at + timedelta(minutes=3)).state == (
        "captured"
    )


@pytest.mark.parametrize(
    ("kind", "threshold", "fen"),
    [("hour_fen", 2_999, 2_000), ("day_count", 1, 1), ("day_fen", 2_999, 2_000)],
)
def test_sums__over_the_threshold_with_this_one__met(
    shop: Shop, payer: city.Phone, at: datetime, kind: str, threshold: int, fen: int
):
    rule("sum", kind, threshold, "confirm")

    assert [pay(shop, payer, each, at=at).state for each in (1_000, fen)] == [
        "captured", "confirming",
    ]  # fmt: skip


def test_amount_and_new_phone__each_from_its_amount(shop: Shop, payer: city.Phone, at: datetime):
    rule("large", "amount_fen", 50_000, "review")
    rule("new-phone", "new_device_hours", 24, "confirm", from_fen=20_000)
    rule("asleep", "amount_fen", 0, "freeze")
    RiskRule.objects.filter(name="asleep").update(is_active=False)

    assert pay(shop, payer, 19_999, at=at).state == "captured"
    assert pay(shop, payer, 20_000, at=at).state == "confirming"
    Device.objects.update(bound_at=at - timedelta(hours=24))
    assert pay(shop, payer, 50_001, at=at).state == "captured"

    assert list(RiskCase.objects.order_by("id").values_list("outcome", "reasons")) == [
        ("confirm", ["new-phone"]), ("review", ["large"]),
    ]  # fmt: skip


def test_place__a_county_never_paid_in__stepped_up_and_usual_afterwards(
    shop: Shop, payer: city.Phone, at: datetime
):
    rule("other-county", "other_county", 2, "confirm")
    far = open_shop(name="诸城超市", key_id="till-2", system=shop.system)
    nowhere = open_shop(name="网店", key_id="till-3", system=shop.system)
    for each, name in ((shop, "奎文区"), (far, "诸城市")):
        county = Organisation.objects.create(kind="county", name_zh=name, name_en="County")
        Organisation.objects.filter(id=each.merchant.organisation_id).update(parent=county)

    assert pay(far, payer, at=at).state == "captured"  # nothing is usual yet
    Order.objects.all().update(captured_fen=0, state="failed")
    assert [pay(shop, payer, at=at).state for _ in range(2)] == ["captured", "captured"]
    assert pay(nowhere, payer, at=at).state == "captured"
    away = pay(far, payer, at=at)
    assert away.state == "confirming"
    confirm_with(payer, away.id, None, at=at)
    assert pay(far, payer, at=at).state == "captured"


def test_pin__asked_for_at_the_till_and_by_a_merchants_qr(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    rule("large", "amount_fen", 2_000, "pin")
    set_pin(payer, at=at)
    at_till = pay(shop, payer, 2_001, at=at).id
    by_qr = scan(payer, make_qr(shop, at=at).text, at=at).id
    in_app = scan(payer, make_qr(shop, "link", at=at).text, at=at).id

    for order_id in (at_till, by_qr, in_app):
        with pytest.raises(PinNeeded):
            confirm_with(payer, order_id, None, at=at)
        assert confirm_with(payer, order_id, PIN, at=at).state == "captured"

    assert RiskCase.objects.filter(outcome="pin").count() == 3
    shown = payer.send("GET", f"{city.RESIDENT}/payments/{at_till}").json()
    assert (shown["needs_pin"], shown["state"]) == (True, "captured")


def test_freeze__refused_at_once_and_everywhere_until_staff_clear_it(
    shop: Shop,
    payer: city.Phone,
    grant: city.HeldGrant,
    accountant: city.DeskBrowser,
    at: datetime,
):
    waiting = pay(shop, payer, 150_000, at=at).id
    rule("flood", "amount_fen", 2_000, "freeze")

    with pytest.raises(risk.RiskRefused) as refused:
        shop.pay(grant.code(at), at=at, amount_fen=2_001)

    failed = Order.objects.get(id=refused.value.members["payment_id"])
    assert (failed.state, failed.reason) == ("failed", "risk.refused")
    # The case counts before identity has heard of it.
    with pytest.raises(codes.PaySuspended):
        pay(shop, payer, 1, at=at)
    with pytest.raises(accounts.PayingSuspended):
        confirm_with(payer, waiting, None, at=at)
    with pytest.raises(accounts.PayingSuspended):
        withdraw(resident_of(payer), 100, at=at)
    outbox.deliver_due(at=at)
    assert suspensions.is_suspended(resident_id=resident_of(payer), scene="pay")
    with pytest.raises(codes.PaySuspended):
        shop.pay(grant.code(at), at=at, amount_fen=1)
    assert (paid(), balance_fen(payer)) == (0, 1_000_000)

    queue = accountant.send("GET", f"{FINANCE}/risk-cases?state=open").json()["items"]
    assert [(each["outcome"], each["reasons"]) for each in queue] == [("freeze", ["flood"])]
    path = f"{FINANCE}/risk-cases/{queue[0]['id']}/decision"
    body = {"is_fraud": False}
    decided = accountant.send("POST", path, body, key=city.new_key())
    assert decided.json() == {"id": queue[0]["id"], "state": "cleared"}
    again = accountant.send("POST", path, body, key=city.new_key())
    assert city.problem(again) == (409, "risk_case.decided")
    assert AuditEvent.objects.filter(action="risk_case.cleared").count() == 1
    assert not suspensions.is_suspended(resident_id=resident_of(payer), scene="pay")
    RiskRule.objects.update(is_active=False)
    assert shop.pay(grant.code(at), at=at, amount_fen=2_001).state == "captured"


def test_uphold__paying_stays_stopped_and_clearing_another_case_does_not_lift_it(
    shop: Shop, payer: city.Phone, accountant: city.DeskBrowser, at: datetime
):
    rule("large", "amount_fen", 2_000, "review")
    for _ in range(2):
        pay(shop, payer, 2_001, at=at)
    first, second = RiskCase.objects.order_by("id")
    for case, is_fraud in ((first, True), (second, False)):
        path = f"{FINANCE}/risk-cases/{case.id}/decision"
        body = {"is_fraud": is_fraud}
        accountant.send("POST", path, body, key=city.new_key())

    first.refresh_from_db()
    assert (first.state, first.decided_by_id) == ("upheld", accountant.staff.id)
    with pytest.raises(codes.PaySuspended):
        pay(shop, payer, 1, at=at)
    assert paid() == 2


def test_freeze__met_by_a_confirmation__the_payment_fails_once_and_for_all(
    shop: Shop, payer: city.Phone, at: datetime
):
    rule("large", "amount_fen", 2_000, "freeze")
    order = scan(payer, make_qr(shop, at=at).text, at=at)

    for _ in range(2):
        with pytest.raises(risk.RiskRefused):
            confirm(payer, order, at=at, key="one-and-the-same")

    order.refresh_from_db()
    assert (order.state, RiskCase.objects.get().outcome, paid()) == ("failed", "freeze", 0)


def test_police_stop_paying__what_waits_is_not_paid_and_charges_stay_due(
    shop: Shop, payer: city.Phone, at: datetime
):
    waiting = pay(shop, payer, 150_000, at=at).id
    suspension = suspensions.suspend(
        resident_id=resident_of(payer), source="police", scope="pay", reason="case",
        actor="test", at=at,
    )  # fmt: skip

    for work in (
        lambda: confirm_with(payer, waiting, None, at=at),
        lambda: withdraw(resident_of(payer), 100, at=at),
        lambda: scan(payer, make_qr(shop, at=at).text, at=at),
        lambda: sources.choose_source(
            resident_id=resident_of(payer), card_id=None, version=0, at=at
        ),
    ):
        with pytest.raises(accounts.PayingSuspended):
            work()
    with transaction.atomic():
        owed = charges.charge(
            payer_id=resident_of(payer),
            organisation_id=shop.merchant.organisation_id,
            amount_fen=200,
            title="车费",
            reference="tap:00000000-0000-0000-0000-000000000001",
            at=at,
        )
    assert (owed.state, charges.collect_due(at=at), paid()) == ("due", 0, 0)
    suspensions.lift(suspension_id=suspension.id, sources=("police",), actor="test", at=at)
    assert confirm_with(payer, waiting, None, at=at).state == "captured"
    assert charges.collect_due(at=at) == 1


def test_rules__a_city_never_seeded__has_them_and_what_it_changed_stays(transactional_db: None):
    lay_down_rules()
    migrated = list(RiskRule.objects.order_by("name").values())
    RiskRule.objects.filter(name="burst").update(threshold=7)

    lay_down_rules()

    assert RiskRule.objects.get(name="burst").threshold == 7
    assert (len(migrated), RiskRule.objects.count()) == (6, 6)


def test_velocity__opened_by_others_or_reversed__not_counted(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    rule("burst", "hour_count", 2, "confirm")
    for state in ("confirming", "reversed"):
        opened = scan(payer, make_qr(shop, at=at).text, at=at)
        Order.objects.filter(id=opened.id).update(state=state)

    assert shop.pay(grant.code(at), at=at).state == "captured"
    assert shop.pay(grant.code(at), at=at).state == "captured"
    assert shop.pay(grant.code(at), at=at).state == "confirming"
