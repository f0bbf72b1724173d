"""Limits, rules of risk and what a till gives back alone: changed by two, good for the next."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError

from payments import proposals
from payments.models import PaymentLimit, Proposal, RiskRule, SettingChange
from payments.refunds import RefundNeedsTwo
from tests import city
from tests.banking import make_accountants
from tests.paying import digits, lay_down_rules
from tests.shop import Shop
from tests.statements import statements
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

FINANCE = "/api/finance/v1"
WHY = "Agreed in the meeting of Monday."
LIMIT: dict[str, Any] = {
    "means": "code", "device": "software", "level": 2, "single_fen": 3_000, "daily_fen": 4_000,
    "reason": WHY,
}  # fmt: skip
RULE: dict[str, Any] = {
    "name": "burst", "kind": "hour_count", "threshold": 1, "from_fen": 0, "outcome": "confirm",
    "is_active": True, "words_zh": "一小时内付款超过 1 笔", "words_en": "More than one in an hour",
    "reason": WHY,
}  # fmt: skip


@pytest.fixture
def people(at: datetime) -> list[city.DeskBrowser]:
    return make_accountants(at=at)


def post(who: city.DeskBrowser, path: str, body: Any, *, key: str | None = None) -> Any:
    return who.send("POST", FINANCE + path, body, key=key or city.new_key())


def approve(who: city.DeskBrowser, proposed: Any) -> Any:
    return post(who, f"/proposals/{proposed.json()['id']}/approval", {})


def test_limit__changed_by_two__the_next_payment_is_bounded_and_what_stood_is_kept(
    people: list[city.DeskBrowser], shop: Shop, payer: city.Phone, at: datetime
):
    def pay(fen: int) -> str:
        return str(shop.pay(digits(payer, at=at), at=at, amount_fen=fen).state)

    assert pay(3_500) == "captured"
    proposed = post(people[0], "/payment-limit-changes", LIMIT, key="propose-limit")
    assert (
        post(people[0], "/payment-limit-changes", LIMIT, key="propose-limit").json()
        == proposed.json()
    )
    assert city.problem(post(people[1], "/payment-limit-changes", LIMIT)) == (
        409, "proposal.waiting",
    )  # fmt: skip
    assert city.problem(approve(people[0], proposed)) == (403, "proposal.self_approval")
    assert (pay(100), SettingChange.objects.count()) == ("captured", 0)

    assert approve(people[1], proposed).json()["state"] == "approved"

    assert pay(3_001) == "confirming"  # above what is paid at once
    assert pay(400) == "captured"
    assert pay(100) == "confirming"  # the day's 4,000 are used
    assert city.problem(approve(people[1], proposed)) == (409, "proposal.over")
    (shown,) = people[0].send("GET", f"{FINANCE}/setting-changes").json()["items"]
    assert (shown["action"], shown["subject"]) == ("payment_limit.set", "code:software:2")
    assert shown["before"] == {"single_fen": 100_000, "daily_fen": 100_000}
    assert shown["after"] == {"single_fen": 3_000, "daily_fen": 4_000}
    assert (shown["reason"], shown["proposed_by"], shown["approved_by"]) == (
        WHY, "finance-1", "finance-2",
    )  # fmt: skip
    (row,) = people[0].send("GET", f"{FINANCE}/proposals").json()["items"]
    assert (row["detail"], row["reason"]) == (shown["after"], WHY)
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True)) == [
        "proposal.proposed", "proposal.approved",
    ]  # fmt: skip


def test_rule__changed_and_made_by_two__the_next_payment_is_judged_so_at_no_further_cost(
    people: list[city.DeskBrowser], shop: Shop, payer: city.Phone, at: datetime
):
    lay_down_rules()
    with statements() as before:
        shop.pay(digits(payer, at=at), at=at)

    assert approve(people[1], post(people[0], "/risk-rule-changes", RULE)).status_code == 200
    with statements() as after:
        assert shop.pay(digits(payer, at=at), at=at).state == "confirming"
    off = approve(people[0], post(people[1], "/risk-rule-changes", RULE | {"is_active": False}))
    assert off.status_code == 200
    assert shop.pay(digits(payer, at=at), at=at).state == "captured"
    own = RULE | {"name": "books", "kind": "amount_fen", "threshold": 5_000, "outcome": "pin"}
    approve(people[1], post(people[0], "/risk-rule-changes", own))
    assert shop.pay(digits(payer, at=at), at=at, amount_fen=5_001).state == "confirming"

    assert len(after) <= len(before)
    assert RiskRule.objects.count() == 7
    made = SettingChange.objects.order_by("-id").first()
    assert made is not None
    assert (made.before, made.after["threshold"]) == (None, 5_000)
    with pytest.raises(ProgrammingError):
        made.delete()


def test_refund_alone__changed_by_two__the_next_refund_is_judged_so(
    people: list[city.DeskBrowser], shop: Shop, payer: city.Phone, at: datetime
):
    paid = shop.pay(digits(payer, at=at), at=at, amount_fen=900)
    path = f"/merchants/{shop.merchant.id}/refund-alone"
    body = {"refund_alone_fen": 300, "reason": WHY}
    proposed = post(people[0], path, body)
    shop.refund(paid.id, 250, at=at)

    approve(people[1], proposed)

    with pytest.raises(RefundNeedsTwo) as refused:
        shop.refund(paid.id, 51, at=at)
    assert refused.value.members == {"alone_fen": 50}
    approve(people[1], post(people[0], path, body | {"refund_alone_fen": None}))
    assert shop.refund(paid.id, 650, at=at).payment_state == "refunded"
    assert list(SettingChange.objects.order_by("id").values_list("before", "after")) == [
        ({"refund_alone_fen": None}, {"refund_alone_fen": 300}),
        ({"refund_alone_fen": 300}, {"refund_alone_fen": None}),
    ]


def test_change__cannot_be_done__its_own_code_and_nothing_kept(
    people: list[city.DeskBrowser], shop: Shop
):
    lay_down_rules()
    rules = list(RiskRule.objects.order_by("name").values())
    limits = list(PaymentLimit.objects.order_by("id").values())
    alone = f"/merchants/{shop.merchant.id}/refund-alone"
    nobody = f"/merchants/{uuid.UUID(int=1)}/refund-alone"
    beyond, invalid = (422, "payment_limit.beyond_cap"), (400, "request.invalid")
    reach, nothing = (422, "risk_rule.out_of_reach"), (409, "change.nothing")
    refused: list[tuple[str, dict[str, Any], dict[str, Any], tuple[int, str]]] = [
        ("/payment-limit-changes", LIMIT, {"daily_fen": 100_001}, beyond),
        ("/payment-limit-changes", LIMIT, {"daily_fen": None}, beyond),
        ("/payment-limit-changes", LIMIT, {"means": "static", "daily_fen": 50_001}, beyond),
        ("/payment-limit-changes", LIMIT, {"means": "signature", "daily_fen": 500_001}, beyond),
        ("/payment-limit-changes", LIMIT, {"means": "pin", "daily_fen": 500_001}, beyond),
        ("/payment-limit-changes", LIMIT, {"level": 3}, (404, "object.not_found")),
        ("/payment-limit-changes", LIMIT, {"single_fen": 4_001}, invalid),
        ("/payment-limit-changes", LIMIT, {"single_fen": -1}, invalid),
        ("/payment-limit-changes", LIMIT, {"daily_fen": "4000"}, invalid),
        ("/payment-limit-changes", LIMIT, {"single_fen": 10**30, "daily_fen": None}, invalid),
        ("/payment-limit-changes", LIMIT, {"means": "cash"}, invalid),
        ("/payment-limit-changes", LIMIT, {"reason": "why"}, invalid),
        ("/payment-limit-changes", LIMIT, {"single_fen": 100_000, "daily_fen": 100_000}, nothing),
        ("/risk-rule-changes", RULE, {"threshold": 501}, reach),
        ("/risk-rule-changes", RULE, {"name": "n", "kind": "other_county", "threshold": 21}, reach),
        ("/risk-rule-changes", RULE, {"kind": "day_count"}, (409, "risk_rule.kind_stays")),
        ("/risk-rule-changes", RULE, {"kind": "mood"}, invalid),
        ("/risk-rule-changes", RULE, {"name": "burst\n"}, invalid),
        ("/risk-rule-changes", RULE, {"threshold": 10**40}, invalid),
        ("/risk-rule-changes", RULE, {"outcome": "shrug"}, invalid),
        (alone, {"refund_alone_fen": 1, "reason": WHY}, {"refund_alone_fen": None}, nothing),
        (alone, {"refund_alone_fen": 1, "reason": WHY}, {"refund_alone_fen": -1}, invalid),
        (nobody, {"refund_alone_fen": 1, "reason": WHY}, {}, (404, "object.not_found")),
        ("/proposals", {"action": "risk_rule.set", "subject": "burst"}, {}, invalid),
    ]  # fmt: skip
    for path, body, changes, expected in refused:
        found = post(people[0], path, body | changes)
        assert city.problem(found) == expected, (path, changes)
    assert list(RiskRule.objects.order_by("name").values()) == rules
    assert list(PaymentLimit.objects.order_by("id").values()) == limits
    assert (Proposal.objects.count(), SettingChange.objects.count()) == (0, 0)
    with pytest.raises(IntegrityError):
        PaymentLimit.objects.filter(means="static").update(daily_fen=50_001)
    grade_a = {"means": "pin", "device": "hardware", "level": 3, "daily_fen": None}
    assert post(people[0], "/payment-limit-changes", LIMIT | grade_a).status_code == 201


def test_change__no_longer_possible_when_approved__refused_and_still_waiting(
    people: list[city.DeskBrowser], at: datetime
):
    proposed = post(people[0], "/payment-limit-changes", LIMIT)
    PaymentLimit.objects.filter(means="code").update(single_fen=3_000, daily_fen=4_000)

    assert city.problem(approve(people[1], proposed)) == (409, "change.nothing")

    assert Proposal.objects.get().state == "proposed"
    rejected = post(people[1], f"/proposals/{proposed.json()['id']}/rejection", {})
    assert (rejected.json()["state"], SettingChange.objects.count()) == ("rejected", 0)
    assert (
        post(people[0], "/payment-limit-changes", LIMIT | {"daily_fen": 5_000}).status_code == 201
    )
    later = at + proposals.LIFE + timedelta(minutes=5)
    assert proposals.expire_old(at=later) == 1
