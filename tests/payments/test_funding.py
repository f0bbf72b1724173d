"""Money that a bank has received reaches the right wallet once; withdrawals hold what they send."""

import uuid
from datetime import datetime, timedelta

import pytest
from stdnum import luhn

from identity.models import Resident
from identity.residents import AccountSuspended
from payments import funding, payouts
from payments.funding import SourceUnknown
from payments.ledger import InsufficientFunds
from payments.models import (
    CreditNotice,
    FundingSource,
    Payout,
    PayoutChange,
    Posting,
    TopUpNumber,
    Transaction,
)
from payments.settlement import windows
from tests.banking import (
    TOKEN,
    BankSystem,
    credit_of,
    fund,
    make_bank,
    make_resident,
    standing,
    take,
    withdraw,
)
from vpass.common import clock
from vpass.common.callers import Caller
from vpass.common.errors import NotAllowed, NotFound
from vpass.common.idempotency import KeyReused
from vpass.common.models import IdempotencyRecord

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at(transactional_db: None) -> datetime:
    moment = clock.now()
    windows.ensure_open(at=moment)
    return moment


@pytest.fixture
def bank(at: datetime) -> BankSystem:
    return make_bank()


@pytest.fixture
def resident(at: datetime) -> uuid.UUID:
    return make_resident(at=at)


@pytest.fixture
def number(resident: uuid.UUID) -> str:
    return funding.top_up_number(resident_id=resident)


# Top-up numbers


def test_top_up_number__twelve_digits_with_a_check_digit__the_same_again(resident: uuid.UUID):
    number = funding.top_up_number(resident_id=resident)

    assert len(number) == 12
    assert number.startswith("88")
    assert luhn.is_valid(number)
    assert funding.top_up_number(resident_id=resident) == number
    assert TopUpNumber.objects.count() == 1


# Credit notices


def test_credit__known_number__booked_once_and_source_remembered(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    credit = credit_of(number, 50_000, at=at)

    outcome = take(bank, credit, at=at)

    assert (outcome.status, outcome.reason) == ("credited", None)
    assert standing(funding.resident_account(resident)) == (50_000, 0)
    assert standing(payouts.bank_account(bank.bank)) == (-50_000, 0)
    posted = Transaction.objects.get()
    assert (posted.kind, posted.caller, posted.key, posted.event_at) == (
        "top_up",
        f"bank:{bank.bank.id}",
        str(credit.notice_id),
        credit.booked_at,
    )
    source = FundingSource.objects.get()
    assert (source.resident_id, source.account_token, source.last4) == (resident, TOKEN, "6217")


def test_credit__repeated__same_answer_and_no_second_posting(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    credit = credit_of(number, at=at)
    first = take(bank, credit, at=at)

    again = take(bank, credit, at=at + timedelta(minutes=1))

    assert again == first
    assert (Posting.objects.count(), CreditNotice.objects.count()) == (1, 1)


def test_credit__repeated_after_the_answer_is_forgotten__same_answer(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    credit, unknown = credit_of(number, at=at), credit_of("880000000000", at=at)
    first = [take(bank, each, at=at) for each in (credit, unknown)]
    IdempotencyRecord.objects.all().delete()

    again = [take(bank, each, at=at) for each in (credit, unknown)]

    assert again == first
    assert (Posting.objects.count(), CreditNotice.objects.count()) == (1, 2)


def test_credit__same_notice_with_another_amount__refused(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    credit = credit_of(number, 100, at=at)
    take(bank, credit, at=at)
    other = credit_of(number, 200, at=at, notice_id=credit.notice_id)

    with pytest.raises(KeyReused):
        take(bank, other, at=at, digest=b"\2" * 32)
    IdempotencyRecord.objects.all().delete()
    with pytest.raises(KeyReused):
        take(bank, other, at=at, digest=b"\2" * 32)

    assert standing(funding.resident_account(resident)) == (100, 0)


def test_credit__unknown_number__returned_and_nothing_posted(bank: BankSystem, at: datetime):
    outcome = take(bank, credit_of("880000000000", at=at), at=at)

    assert (outcome.status, outcome.reason) == ("returned", "number_unknown")
    assert (Posting.objects.count(), FundingSource.objects.count()) == (0, 0)
    notice = CreditNotice.objects.get()
    assert (notice.outcome, notice.resident_id) == ("returned", None)


def test_credit__closed_wallet__returned(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    Resident.objects.update(state="closed")

    outcome = take(bank, credit_of(number, at=at), at=at)

    assert (outcome.status, outcome.reason) == ("returned", "wallet_closed")
    assert Posting.objects.count() == 0


def test_credit__two_banks_with_one_notice_id__both_booked(
    bank: BankSystem, resident: uuid.UUID, number: str, at: datetime
):
    other = make_bank("第二银行", code="SECOND", key_id="second-1")
    credit = credit_of(number, 100, at=at)

    outcomes = [take(system, credit, at=at).status for system in (bank, other)]

    assert outcomes == ["credited", "credited"]
    assert standing(funding.resident_account(resident)) == (200, 0)
    assert standing(payouts.bank_account(other.bank)) == (-100, 0)


def test_credit__caller_is_no_bank__refused(resident: uuid.UUID, number: str, at: datetime):
    stranger = Caller(kind="bank", id="x", key_id="x", organisation_id=uuid.uuid4())
    credit = credit_of(number, at=at)

    with pytest.raises(NotAllowed):
        funding.take_credit_notice(
            caller=stranger,
            credit=credit,
            idempotency_key=funding.IdempotencyKey("x", str(credit.notice_id), b"\1" * 32),
            at=at,
        )
    assert CreditNotice.objects.count() == 0


# Withdrawals


def test_withdraw__holds_the_money_and_prepares_one_payout(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    fund(bank, resident, 50_000, at=at)

    payout = withdraw(resident, 20_000, at=at)

    assert standing(funding.resident_account(resident)) == (50_000, 20_000)
    assert (payout.state, payout.purpose, payout.amount_fen) == ("prepared", "withdrawal", 20_000)
    assert (payout.account_token, payout.account_last4) == (TOKEN, "6217")
    assert len(payout.reference) <= 35
    assert payout.reference.startswith("V PASS W-")
    assert [step.to_state for step in PayoutChange.objects.all()] == ["prepared"]


def test_withdraw__same_key_again__same_answer_one_payout(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    fund(bank, resident, 50_000, at=at)

    first = withdraw(resident, 20_000, at=at, key="same-key-1")
    again = withdraw(resident, 20_000, at=at + timedelta(seconds=5), key="same-key-1")

    assert again.id == first.id
    assert Payout.objects.count() == 1


def test_withdraw__more_than_there_is__refused_and_nothing_changed(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    fund(bank, resident, 50_000, at=at)
    withdraw(resident, 30_000, at=at)

    with pytest.raises(InsufficientFunds):
        withdraw(resident, 20_001, at=at)

    assert standing(funding.resident_account(resident)) == (50_000, 30_000)
    assert Payout.objects.count() == 1


def test_withdraw__suspended_resident__refused_and_nothing_held(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    fund(bank, resident, 50_000, at=at)
    Resident.objects.update(state="suspended")

    with pytest.raises(AccountSuspended):
        withdraw(resident, 1, at=at)

    assert standing(funding.resident_account(resident)) == (50_000, 0)
    assert not Payout.objects.exists()


def test_withdraw__no_money_ever_came_from_a_bank__refused(resident: uuid.UUID, at: datetime):
    with pytest.raises(SourceUnknown):
        withdraw(resident, 1, at=at)


def test_withdraw__another_residents_account__refused(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    stranger = make_resident(1, at=at)
    fund(bank, resident, 100, at=at)
    fund(bank, stranger, 100, at=at)
    foreign = FundingSource.objects.get(resident_id=stranger)

    with pytest.raises(SourceUnknown):
        withdraw(resident, 50, at=at, source_id=foreign.id)


def test_withdrawal__another_residents__as_if_there_were_none(
    bank: BankSystem, resident: uuid.UUID, at: datetime
):
    fund(bank, resident, 100, at=at)
    payout = withdraw(resident, 50, at=at)

    with pytest.raises(NotFound):
        funding.withdrawal(resident_id=make_resident(1, at=at), withdrawal_id=payout.id)
    assert funding.withdrawal(resident_id=resident, withdrawal_id=payout.id).id == payout.id
