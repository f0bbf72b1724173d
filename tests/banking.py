"""Banks, merchants and money for tests of funding, payouts and settlement."""

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from cards.models import Card, CardAccount, Freeze, Issuer
from identity.models import Organisation, Resident, Terminal
from payments import captures, funding, history, ledger, merchants, queries, refunds
from payments.banks import BankAnswerLost, BankStanding, DebitOrder, PayoutOrder, StatementPage
from payments.funding import Credit, CreditOutcome
from payments.models import Bank, Merchant, Order, Payout
from tests import city
from vpass.common.callers import Caller
from vpass.common.ids import uuid7
from vpass.common.sealed_fields import lookup_hash

TOKEN = "tok_7Qm2xV9dKc4hZs6b"
CARD_TOKEN = "tok_7Qm2xV9dKc4h_1234"
BOOKED_AT_ONCE = "tok_settles_here_0002"


@dataclass
class BankSystem:
    """A partner bank with the machine by which it calls us."""

    bank: Bank
    machine: city.Machine

    @property
    def caller(self) -> Caller:
        return Caller(
            kind="bank",
            id=self.machine.terminal.id,
            key_id=self.machine.key_id,
            organisation_id=self.bank.organisation_id,
        )


@dataclass
class StubBank:
    """A bank that does what a test has laid down: answers in order, then books."""

    answers: list[BankStanding | Exception] = field(default_factory=list)
    orders: list[PayoutOrder] = field(default_factory=list)
    inquiries: list[uuid.UUID] = field(default_factory=list)
    debits: list[DebitOrder] = field(default_factory=list)

    def order(self, order: PayoutOrder, *, at: datetime) -> BankStanding:
        self.orders.append(order)
        return self._next(at)

    def inquire(self, payout_id: uuid.UUID, *, at: datetime) -> BankStanding:
        self.inquiries.append(payout_id)
        return self._next(at)

    def debit(self, order: DebitOrder, *, at: datetime) -> BankStanding:
        self.debits.append(order)
        return self._next(at)

    def inquire_debit(self, debit_id: uuid.UUID, *, at: datetime) -> BankStanding:
        self.inquiries.append(debit_id)
        return self._next(at)

    def statement(self, business_date: date, *, page: int, at: datetime) -> StatementPage:
        raise BankAnswerLost

    def _next(self, at: datetime) -> BankStanding:
        answer = self.answers.pop(0) if self.answers else booked(at)
        if isinstance(answer, Exception):
            raise answer
        return answer


def booked(at: datetime) -> BankStanding:
    return BankStanding(status="booked", bank_reference="SB1", booked_at=at)


ACCEPTED = BankStanding(status="accepted", bank_reference="SB1")
REJECTED = BankStanding(status="rejected", reason="account_closed")
NEVER_ARRIVED = BankStanding(status="never_arrived")


def make_bank(name: str = "潍坊沙盒银行", *, code: str = "", key_id: str = "bank-1") -> BankSystem:
    organisation = Organisation.objects.create(kind="bank", name_zh=name, name_en="Sandbox Bank")
    machine = city.make_terminal(organisation, scene="bank", key_id=key_id)
    bank = Bank.objects.create(organisation=organisation, code=code or settings.BANK_CODE)
    return BankSystem(bank, machine)


def make_merchant(bank: Bank, *, name: str = "白浪河书店", token: str = TOKEN) -> Merchant:
    organisation = Organisation.objects.create(kind="merchant", name_zh=name, name_en="Books")
    return merchants.open_merchant(organisation=organisation, bank=bank, payout_account=token)


def make_card(bank: Bank, resident_id: uuid.UUID, *, token: str = CARD_TOKEN, at: datetime) -> Card:
    """An active bank card of a resident, whose issuer is the bank."""
    issuer, _ = Issuer.objects.get_or_create(
        organisation_id=bank.organisation_id,
        defaults={"code": bank.code, "card_types": ["bank"]},
    )
    place = CardAccount.objects.filter(resident_id=resident_id, card_type="bank").count() + 1
    account = CardAccount.objects.create(
        resident_id=resident_id, card_type="bank", place=place, places=9
    )
    return Card.objects.create(
        id=uuid7(at),
        account=account,
        issuer=issuer,
        card_type="bank",
        token=token,
        number_hash=lookup_hash("test-card", f"{resident_id}{place}{token}"),
        last4=token[-4:],
        state="active",
        bound_at=at,
    )


def freeze(card: Card, *, at: datetime) -> None:
    """The holder's stop on a card."""
    Freeze.objects.create(id=uuid7(at), card=card, source="holder", reason="lost", since=at)


def make_resident(index: int = 0, *, at: datetime) -> uuid.UUID:
    person = city.PEOPLE[index]
    resident = Resident.objects.create(
        phone=person.phone, phone_hash=lookup_hash("phone", person.phone), created_at=at
    )
    return resident.id


def resident_caller(resident_id: uuid.UUID) -> Caller:
    return Caller(kind="resident", id=resident_id, key_id="k", resident_id=resident_id, level=2)


def credit_of(number: str, fen: int = 50_000, *, at: datetime, **changes: Any) -> Credit:
    members: dict[str, Any] = {
        "notice_id": uuid.uuid4(),
        "top_up_number": number,
        "amount_fen": fen,
        "payer_account_token": TOKEN,
        "payer_last4": "6217",
        "booked_at": at.replace(microsecond=0),
    }
    return Credit(**members | changes)


def take(system: BankSystem, credit: Credit, *, at: datetime, **changes: Any) -> CreditOutcome:
    """The credit notice as the edge hands it on."""
    key = city.idempotency(system.caller.scope, str(credit.notice_id), **changes)
    return funding.take_credit_notice(
        caller=system.caller, credit=credit, idempotency_key=key, at=at
    )


def fund(system: BankSystem, resident_id: uuid.UUID, fen: int, *, at: datetime) -> Credit:
    """Money from the bank into a resident's wallet."""
    credit = credit_of(funding.top_up_number(resident_id=resident_id), fen, at=at)
    assert take(system, credit, at=at).status == "credited"
    return credit


def withdraw(resident_id: uuid.UUID, fen: int, *, at: datetime, **changes: Any) -> Payout:
    caller = resident_caller(resident_id)
    begun = funding.withdraw(
        caller=caller,
        amount_fen=fen,
        source_id=changes.pop("source_id", None),
        idempotency_key=city.idempotency(caller.scope, **changes),
        at=at,
    )
    return Payout.objects.get(id=begun.id)


def pay(merchant: Merchant, resident_id: uuid.UUID, fen: int, *, at: datetime) -> Order:
    """A captured payment, without the code that asks for it."""
    till, _ = Terminal.objects.get_or_create(
        organisation_id=merchant.organisation_id, scene="pay", name_zh="收银台", name_en="Till"
    )
    order = Order(
        id=uuid7(at),
        merchant=merchant,
        till=till,
        payer_id=resident_id,
        amount_fen=fen,
        captured_fen=fen,
        title="书",
        merchant_reference=uuid.uuid4().hex,
        state="captured",
        created_at=at,
    )
    with transaction.atomic():
        parties = queries.lock_parties(
            organisation_id=merchant.organisation_id, payer_id=resident_id
        )
        assert parties is not None
        assert history.write_order(order, actor="test", at=at)
        captures.capture_order(order, parties, at=at)
    return order


def refund(order: Order, fen: int, *, at: datetime) -> refunds.RefundShown:
    caller = Caller(
        kind="merchant",
        id=order.till_id,
        key_id="till",
        organisation_id=order.merchant.organisation_id,
        scene="pay",
    )
    return refunds.refund_order(
        caller=caller,
        order_id=order.id,
        amount_fen=fen,
        reference=uuid.uuid4().hex,
        idempotency_key=city.idempotency(caller.scope),
        at=at,
    )


def make_accountants(*, at: datetime) -> list[city.DeskBrowser]:
    """Two people of the finance office, each signed in at a desk."""
    office = city.make_organisation("潍坊市财政局")
    browsers = []
    for number in (1, 2):
        browser = city.make_desk(office, name=f"财务室{number}")
        city.sign_in_clerk(browser, username=f"finance-{number}", at=at)
        assert browser.staff is not None
        browser.staff.roles = ["finance"]
        browser.staff.save(update_fields=["roles"])
        browsers.append(browser)
    return browsers


def standing(account: int) -> tuple[int, int]:
    """(posted, held) of an account."""
    found = ledger.balance_of(account)
    return found.posted_fen, found.held_fen
