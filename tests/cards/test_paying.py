"""From a bank card in the wallet its holder pays while it is good, and nobody else ever."""

import uuid
from datetime import datetime, timedelta

import pytest

from cards import paying
from cards.models import Card, Freeze, Issuer
from tests import city, wallets
from tests.statements import statements
from vpass.common.clock import city_date
from vpass.common.errors import NotFound

NOBODY = uuid.UUID(int=1)


@pytest.fixture
def bank(transactional_db: None) -> Issuer:
    return wallets.open_issuer("bank", kind="bank")


@pytest.fixture
def bank_card(bank: Issuer, phone: city.Phone, at: datetime) -> Card:
    return wallets.give_card(phone, bank, card_type="bank", number="621700000000000002", at=at)


def test_payable__good_bank_card__bank_and_token_in_one_statement(
    bank: Issuer, bank_card: Card, phone: city.Phone, at: datetime
):
    with statements() as sent:
        found = paying.payable_card(
            resident_id=wallets.resident_of(phone), card_id=bank_card.id, at=at
        )

    assert len(sent) == 1
    assert found == paying.PayableCard(
        card_id=bank_card.id,
        bank_organisation_id=bank.organisation_id,
        account_token="tok_7Qm2xV9dKc4hZs6b_0002",
        last4="0002",
    )
    assert "tok_" not in repr(found)


@pytest.mark.parametrize("state", ["pending", "lost", "expired", "replaced", "unbound"])
def test_payable__not_active__refused_with_the_reason(
    bank_card: Card, phone: city.Phone, at: datetime, state: str
):
    Card.objects.filter(id=bank_card.id).update(state=state)

    with pytest.raises(paying.CardNotUsable) as caught:
        paying.payable_card(resident_id=wallets.resident_of(phone), card_id=bank_card.id, at=at)

    assert caught.value.members == {"reason": f"card.{state}"}


@pytest.mark.parametrize("source", Freeze.Source.values)
def test_payable__frozen_by_whomever__refused(
    bank_card: Card, phone: city.Phone, at: datetime, source: str
):
    wallets.stop(bank_card, source, at=at)

    with pytest.raises(paying.CardNotUsable) as caught:
        paying.payable_card(resident_id=wallets.resident_of(phone), card_id=bank_card.id, at=at)

    assert caught.value.members == {"reason": "card.frozen"}


@pytest.mark.parametrize(("days", "is_good"), [(0, True), (-1, False)])
def test_payable__past_its_last_day__refused(
    phone: city.Phone, bank_card: Card, at: datetime, days: int, is_good: bool
):
    Card.objects.update(valid_until=city_date(at) + timedelta(days=days))
    resident_id = wallets.resident_of(phone)

    assert paying.is_good_to_debit(card_id=bank_card.id, at=at) is is_good
    if is_good:
        assert paying.payable_card(resident_id=resident_id, card_id=bank_card.id, at=at)
        return
    with pytest.raises(paying.CardNotUsable) as caught:
        paying.payable_card(resident_id=resident_id, card_id=bank_card.id, at=at)

    assert caught.value.members == {"reason": "card.expired"}


def test_payable__anothers_none_or_no_bank_card__not_found(
    bank_card: Card, card: Card, phone: city.Phone, at: datetime
):
    stranger = city.make_phone(1, at=at)

    for owner, card_id in ((stranger, bank_card.id), (phone, NOBODY), (phone, card.id)):
        with pytest.raises(NotFound):
            paying.payable_card(resident_id=wallets.resident_of(owner), card_id=card_id, at=at)
