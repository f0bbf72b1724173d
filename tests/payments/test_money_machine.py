"""Money over the API against a model of it in memory: whatever comes in whatever order, both agree.

`VPASS_ROUNDS` makes the long form: so many runs of 50 steps.
"""

import os
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from payments import funding, ledger, proof
from payments.accounts import bank_account
from payments.models import Hold
from tests import city
from tests.banking import TOKEN
from tests.ledger import post
from tests.shop import MERCHANT, RESIDENT, Shop, fill, open_shop, resident_of
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
RUNS, STEPS = (ROUNDS, 50) if ROUNDS else (3, 15)
BANK = "/api/bank/v1"
START_FEN = 500
SHORT_OF_MONEY = (409, "ledger.insufficient_funds")
# What rules about a person may refuse beside the ledger; then nothing has moved either.
RULES = ("limit.", "risk.", "payment.limit")

people = st.integers(0, 1)
shops = st.integers(0, 1)
amounts = st.integers(1, 400)
which = st.integers(0, 50)


@dataclass
class Paid:
    """A payment as the model knows it."""

    id: str
    who: int
    shop: int
    fen: int
    refunded: int = 0


@dataclass
class Sent:
    """A withdrawal as the model knows it."""

    id: str
    who: int
    fen: int
    state: str = "open"


@dataclass
class Model:
    """What everybody has, and the lines of the wallets' statements, newest last."""

    wallets: list[int]
    held: list[int]
    shops: list[int]
    lines: list[list[tuple[str, int]]] = field(default_factory=lambda: [[], []])
    payments: list[Paid] = field(default_factory=list)
    withdrawals: list[Sent] = field(default_factory=list)

    def available(self, who: int) -> int:
        return self.wallets[who] - self.held[who]

    def move(self, who: int, kind: str, fen: int) -> None:
        self.wallets[who] += fen
        self.lines[who].append((kind, fen))


@dataclass
class Town:
    """Two people with phones, two shops (one's balance over four rows), and a bank."""

    phones: list[city.Phone]
    grants: list[city.HeldGrant]
    shops: list[Shop]
    numbers: list[str]
    accounts: list[int]

    def begin_again(self) -> None:
        """Everybody has what they had at first, so that the same steps always have the same end."""
        for held in Hold.objects.filter(state="open"):
            ledger.void(hold_id=held.id, at=clock.now())
        clearing = bank_account(self.shops[0].system.bank)
        for account in self.accounts:
            more = ledger.balance_of(account).posted_fen - START_FEN
            if more:
                post((account, clearing, more) if more > 0 else (clearing, account, -more))

    def wallet(self, who: int) -> tuple[int, int]:
        """(balance, available) as the app shows it."""
        shown = self.phones[who].send("GET", f"{RESIDENT}/wallet").json()
        return shown["balance_fen"], shown["available_fen"]

    def notice(self, path: str, body: dict[str, Any], key: str) -> Any:
        return self.shops[0].system.machine.send("POST", f"{BANK}/{path}", body, key=key)


class MoneyMachine(RuleBasedStateMachine):
    """Every rule does something over the API and, in the model, what should come of it."""

    town: Town

    def __init__(self) -> None:
        super().__init__()
        self.town.begin_again()
        self.model = Model(
            wallets=[START_FEN] * 2,
            held=[0, 0],
            shops=[shop.balance_fen for shop in self.town.shops],
        )

    def twice(self, send: Any) -> Any:
        """The answer to a request that is sent a second time: the same one."""
        first, again = send(), send()
        assert (again.status_code, again.json().get("id")) == (
            first.status_code,
            first.json().get("id"),
        )
        return first

    @rule(who=people, fen=amounts)
    def top_up(self, who: int, fen: int) -> None:
        key = str(uuid.uuid4())
        body = {
            "notice_id": key,
            "top_up_number": self.town.numbers[who],
            "amount_fen": fen,
            "currency": "CNY",
            "payer_account_token": TOKEN,
            "payer_last4": "6217",
            "booked_at": "2026-03-02T01:29:58Z",
        }

        answer = self.twice(lambda: self.town.notice("credit-notices", body, key))

        assert answer.json()["status"] == "credited"
        self.model.move(who, "top_up", fen)

    @rule(who=people, shop=shops, fen=amounts)
    def pay(self, who: int, shop: int, fen: int) -> None:
        code, key = self.town.grants[who].code(clock.now(), nonce=os.urandom(6)), city.new_key()
        reference, till = uuid.uuid4().hex, self.town.shops[shop].till

        def send() -> Any:
            return till.pay(code, key=key, amount_fen=fen, merchant_reference=reference)

        answer = self.twice(send)

        if answer.status_code != 201:
            refusal = city.problem(answer)
            if not refusal[1].startswith(RULES):
                assert refusal == SHORT_OF_MONEY and fen > self.model.available(who)
            return
        assert fen <= self.model.available(who)
        self.model.move(who, "payment", -fen)
        self.model.shops[shop] += fen
        self.model.payments.append(Paid(answer.json()["id"], who, shop, fen))

    @precondition(lambda self: self.model.payments)
    @rule(chosen=which, fen=amounts, is_whole=st.booleans())
    def refund(self, chosen: int, fen: int, is_whole: bool) -> None:
        paid = self.model.payments[chosen % len(self.model.payments)]
        left = paid.fen - paid.refunded
        fen = (left or 1) if is_whole else fen
        key, reference = city.new_key(), uuid.uuid4().hex
        till = self.town.shops[paid.shop].till

        answer = self.twice(
            lambda: till.refund(paid.id, key=key, amount_fen=fen, reference=reference)
        )
        stranger = self.town.shops[1 - paid.shop].till.refund(paid.id, amount_fen=1)

        assert city.problem(stranger) == (404, "object.not_found")
        if answer.status_code != 201:
            assert city.problem(answer) == (409, "refund.too_much") and fen > left
            return
        assert fen <= left
        paid.refunded += fen
        self.model.shops[paid.shop] -= fen
        self.model.move(paid.who, "refund", fen)

    @rule(who=people, fen=amounts)
    def withdraw(self, who: int, fen: int) -> None:
        key = city.new_key()

        answer = self.twice(
            lambda: self.town.phones[who].send(
                "POST", f"{RESIDENT}/withdrawals", {"amount_fen": fen}, key=key
            )
        )

        if answer.status_code != 201:
            refusal = city.problem(answer)
            if not refusal[1].startswith(RULES):
                assert refusal == SHORT_OF_MONEY and fen > self.model.available(who)
            return
        assert fen <= self.model.available(who)
        self.model.held[who] += fen
        self.model.withdrawals.append(Sent(answer.json()["id"], who, fen))

    @precondition(lambda self: self.model.withdrawals)
    @rule(chosen=which, is_booked=st.booleans())
    def hear_of_a_withdrawal(self, chosen: int, is_booked: bool) -> None:
        """The bank books a withdrawal (the hold is captured) or rejects it (voided)."""
        sent = self.model.withdrawals[chosen % len(self.model.withdrawals)]
        status = "booked" if is_booked else "rejected"
        told = (
            {"bank_reference": f"SB{sent.id[:8]}", "booked_at": "2026-03-02T01:30:00Z"}
            if is_booked
            else {"reason": "account_closed"}
        )

        answer = self.town.notice(
            "payout-notices", {"payout_id": sent.id, "status": status, **told}, sent.id
        )

        if sent.state == "open":
            assert answer.status_code == 200
            sent.state = status
            self.model.held[sent.who] -= sent.fen
            if is_booked:
                self.model.move(sent.who, "payout", -sent.fen)
        elif sent.state == status:
            assert answer.status_code == 200
        else:  # told otherwise before, under the same key
            assert city.problem(answer)[0] in (409, 422)

    @invariant()
    def wallets_and_shops_have_what_the_model_says(self) -> None:
        for who, account in enumerate(self.town.accounts):
            stands = ledger.balance_of(account)
            expected = (self.model.wallets[who], self.model.available(who))
            assert (stands.posted_fen, stands.available_fen) == expected
        assert [shop.balance_fen for shop in self.town.shops] == self.model.shops

    def teardown(self) -> None:
        for who, phone in enumerate(self.town.phones):
            expected = (self.model.wallets[who], self.model.available(who))
            assert self.town.wallet(who) == expected
            lines = self.model.lines[who]
            told = phone.send("GET", f"{RESIDENT}/statement?limit=100").json()["items"]
            shown = [(each["kind"], each["amount_fen"]) for each in reversed(told[: len(lines)])]
            assert shown == lines
        for shown in self.model.payments:
            till = self.town.shops[shown.shop].till
            found = till.send("GET", f"{MERCHANT}/payments/{shown.id}").json()
            assert (found["captured_fen"], found["refunded_fen"]) == (shown.fen, shown.refunded)


@pytest.fixture
def town(shop: Shop, phone: city.Phone, at: Any) -> Town:
    second = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    phones = [phone, city.make_phone(1, at=at)]
    for each in phones:
        fill(shop, each, START_FEN, at=at)
    account = ledger.open_account(kind="merchant", owner=str(second.merchant.organisation_id))
    ledger.spread_account(account, shards=4)
    return Town(
        phones,
        [each.grant(at=at) for each in phones],
        [shop, second],
        [funding.top_up_number(resident_id=resident_of(each)) for each in phones],
        [ledger.open_account(kind="resident", owner=str(resident_of(each))) for each in phones],
    )


def test_money__any_order_of_what_the_api_takes__as_the_model_says(town: Town, at: Any):
    machine = type("Machine", (MoneyMachine,), {"town": town})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=not ROUNDS,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert proof.prove(at).is_sound
