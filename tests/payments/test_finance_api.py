"""What accountants see and decide over HTTP, and how a resident sees where the money is."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from payments import payouts, pursuit
from payments.banks import BankAnswerLost
from payments.models import Merchant, Order
from payments.settlement import netting, windows
from tests import city
from tests.banking import (
    BankSystem,
    StubBank,
    booked,
    fund,
    make_accountants,
    make_bank,
    make_merchant,
    pay,
    refund,
)
from vpass.common import clock, outbox

pytestmark = pytest.mark.django_db(transaction=True)

FINANCE = "/api/finance/v1"


@dataclass
class Office:
    """Two accountants, a bank, a shop and a resident's phone with 1,000,000 fen."""

    at: datetime
    first: city.DeskBrowser
    second: city.DeskBrowser
    system: BankSystem
    bank: StubBank
    shop: Merchant
    phone: city.Phone

    def propose(self, action: str, window_id: int) -> Any:
        body = {"action": action, "subject": str(window_id)}
        return self.first.send("POST", f"{FINANCE}/proposals", body, key=city.new_key())

    def decide(self, who: city.DeskBrowser, proposal_id: str, what: str = "approval") -> Any:
        path = f"{FINANCE}/proposals/{proposal_id}/{what}"
        return who.send("POST", path, {}, key=city.new_key())

    def both(self, action: str, window_id: int) -> None:
        """One proposes, the other approves, and the outbox does the rest."""
        proposed = self.propose(action, window_id)
        assert proposed.status_code == 201, proposed.content
        assert self.decide(self.second, proposed.json()["id"]).status_code == 200
        while outbox.deliver_due(at=clock.now()):
            pass

    def pay(self, fen: int) -> Order:
        return pay(self.shop, self.resident, fen, at=self.at)

    @property
    def resident(self) -> uuid.UUID:
        assert self.phone.device is not None
        return self.phone.device.resident_id


@pytest.fixture
def office(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Office:
    at = clock.now()
    windows.ensure_open(at=at)
    bank = StubBank()
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: bank)
    first, second = make_accountants(at=at)
    system, phone = make_bank(), city.make_phone(0, at=at)
    made = Office(at, first, second, system, bank, make_merchant(system.bank), phone)
    fund(system, made.resident, 1_000_000, at=at)
    return made


def test_settlement__whole_way_by_two_people__explained_to_the_fen(office: Office):
    order = office.pay(12_000)
    refund(order, 2_000, at=office.at)
    window_id = office.first.send("GET", f"{FINANCE}/windows").json()["items"][0]["id"]

    office.both("window.close", window_id)
    office.both("settlement.approve", window_id)

    shown = office.first.send("GET", f"{FINANCE}/windows/{window_id}").json()
    assert shown["state"] == "acked"
    assert [step["state"] for step in shown["history"]] == [
        "open", "closing", "netted", "approved", "filed", "sent", "acked",
    ]  # fmt: skip
    assert shown["history"][3]["actor"] == office.second.caller.scope
    line = office.first.send("GET", f"{FINANCE}/windows/{window_id}/lines").json()["items"][0]
    assert (line["gross_fen"], line["refunded_fen"], line["net_fen"]) == (12_000, 2_000, 10_000)
    assert line["payout"]["state"] == "booked"
    path = f"{FINANCE}/windows/{window_id}/lines/{line['id']}/payments"
    items = office.first.send("GET", path).json()["items"]
    assert [(item["kind"], item["amount_fen"]) for item in items] == [
        ("payment", 12_000),
        ("refund", -2_000),
    ]
    assert {item["order_id"] for item in items} == {str(order.id)}
    assert [order.amount_fen for order in office.bank.orders] == [10_000]


def test_approval__own_proposal__403(office: Office):
    proposed = office.propose("window.close", windows.ensure_open(at=office.at)).json()

    answer = office.decide(office.first, proposed["id"])

    assert city.problem(answer) == (403, "proposal.self_approval")
    listed = office.second.send("GET", f"{FINANCE}/proposals").json()["items"]
    assert [(each["id"], each["state"], each["decided_by"]) for each in listed] == [
        (proposed["id"], "proposed", None)
    ]


def test_rejection__by_the_other__window_stays_open(office: Office):
    window_id = windows.ensure_open(at=office.at)
    proposed = office.propose("window.close", window_id).json()

    answer = office.decide(office.second, proposed["id"], "rejection")

    assert answer.json() == {"id": proposed["id"], "state": "rejected"}
    assert windows.ensure_open(at=office.at) == window_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/windows"),
        ("GET", "/windows/1"),
        ("GET", "/windows/1/lines"),
        ("GET", "/windows/1/lines/1/payments"),
        ("GET", "/proposals"),
        ("POST", "/proposals"),
        ("POST", f"/proposals/{uuid.UUID(int=1)}/approval"),
        ("POST", f"/proposals/{uuid.UUID(int=1)}/rejection"),
    ],
)
def test_routes__staff_without_the_role__403(
    office: Office, method: str, path: str, at: datetime | None = None
):
    clerk = city.sign_in_clerk(
        city.make_desk(city.make_organisation(), name="9号窗口"), at=clock.now()
    )

    answer = clerk.send(method, FINANCE + path, {} if method == "POST" else None, key="k" * 8)

    assert city.problem(answer) == (403, "caller.role_missing")


@pytest.mark.parametrize(
    "path",
    [
        "/windows/404",
        "/windows/404/lines",
        "/windows/404/lines/1/payments",
        f"/windows/{10**19}",
    ],
)
def test_routes__missing_window__404(office: Office, path: str):
    assert city.problem(office.first.send("GET", FINANCE + path)) == (404, "object.not_found")


def test_lines__of_a_window_not_netted_yet__empty(office: Office):
    office.pay(100)
    window_id = windows.ensure_open(at=office.at)

    answer = office.first.send("GET", f"{FINANCE}/windows/{window_id}/lines")

    assert answer.json() == {"items": [], "next": None}
    assert netting.net_next(at=office.at) is None


# The resident's side


def test_withdrawal__where_is_my_money__every_step(office: Office):
    office.bank.answers = [BankAnswerLost(), booked(office.at)]
    begun = office.phone.send(
        "POST", f"{city.RESIDENT}/withdrawals", {"amount_fen": 20_000}, key="withdraw-1"
    )
    again = office.phone.send(
        "POST", f"{city.RESIDENT}/withdrawals", {"amount_fen": 20_000}, key="withdraw-1"
    )
    assert (begun.status_code, again.status_code) == (201, 201)
    assert begun.json() == again.json()
    path = f"{city.RESIDENT}/withdrawals/{begun.json()['id']}"
    outbox.deliver_due(at=clock.now())
    assert office.phone.send("GET", path).json()["state"] == "unknown"

    payouts.pursue(payout_id=uuid.UUID(begun.json()["id"]), at=clock.now())

    shown = office.phone.send("GET", path).json()
    assert [step["state"] for step in shown["history"]] == ["prepared", "unknown", "booked"]
    assert (shown["amount_fen"], shown["account_last4"]) == (20_000, "6217")
    assert shown["bank"]["zh"] == "潍坊沙盒银行"
    assert office.phone.send("GET", f"{city.RESIDENT}/withdrawals").json()["items"] == [shown]
    stranger = city.make_phone(1, at=office.at)
    assert city.problem(stranger.send("GET", path)) == (404, "object.not_found")


def test_withdrawal__refusals(office: Office):
    def ask(body: dict[str, Any], **options: Any) -> Any:
        return office.phone.send("POST", f"{city.RESIDENT}/withdrawals", body, **options)

    assert city.problem(ask({"amount_fen": 1})) == (400, "idempotency.key_missing")
    for amount in (0, -1, "1", 1.0, True, None, 10**12):
        answer = ask({"amount_fen": amount}, key=city.new_key())
        assert city.problem(answer) == (400, "request.invalid")
    answer = ask({"amount_fen": 1_000_001}, key=city.new_key())
    assert city.problem(answer) == (409, "ledger.insufficient_funds")


def test_funding_sources__own_only(office: Office):
    items = office.phone.send("GET", f"{city.RESIDENT}/funding-sources").json()["items"]

    assert [item["account_last4"] for item in items] == ["6217"]
    stranger = city.make_phone(1, at=office.at)
    assert stranger.send("GET", f"{city.RESIDENT}/funding-sources").json()["items"] == []
