"""What must never be false of cards is refused by the database itself."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from cards.models import Card, CardAccount, Debt, Freeze, Issuer, Tap
from tests import city, wallets
from vpass.common.ids import uuid7

NUMBER = "37070020009"


def copy_of(card: Card, **changes: Any) -> Card:
    """Another card like this one, in an account of its own."""
    places = CardAccount.objects.filter(resident=card.account.resident).count() + 1
    account = CardAccount.objects.create(
        resident=card.account.resident, card_type=card.card_type, place=places, places=9
    )
    values: dict[str, Any] = {
        "id": uuid.uuid4(),
        "account": account,
        "issuer": card.issuer,
        "card_type": card.card_type,
        "number": "37070020017",
        "number_hash": b"\1" * 32,
        "last4": "0017",
        "state": "active",
        "bound_at": card.bound_at,
    }
    return Card(**values | changes)


def refused(row: Any, constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        row.save(force_insert=True)


def test_card__like_the_first__taken(card: Card):
    copy_of(card).save(force_insert=True)

    assert Card.objects.count() == 2


@pytest.mark.parametrize("state", ["active", "lost", "pending"])
def test_card__number_in_a_living_card_already__refused(card: Card, state: str):
    Card.objects.filter(id=card.id).update(state=state)

    refused(copy_of(card, number_hash=card.number_hash), "card_number_once")


@pytest.mark.parametrize("state", ["expired", "replaced", "unbound"])
def test_card__number_of_a_card_that_is_gone__taken(card: Card, state: str):
    Card.objects.filter(id=card.id).update(state=state)

    copy_of(card, number_hash=card.number_hash).save(force_insert=True)

    assert Card.objects.count() == 2


def test_card__second_living_one_in_an_account__refused(card: Card):
    refused(copy_of(card, account=card.account), "card_one_living")


def test_account__more_places_than_the_type_allows__refused(card: Card):
    account = card.account

    for place, constraint in ((1, "card_account_once"), (2, "card_account_place")):
        refused(
            CardAccount(
                resident=account.resident, card_type="bus", place=place, places=account.places
            ),
            constraint,
        )


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"state": "frozen"}, "card_state"),
        ({"number": None}, "card_number_or_token"),
        ({"token": "tok_7Qm2xV9dKc4hZs6b_0017"}, "card_number_or_token"),
        ({"card_type": "bank"}, "card_bank_by_token"),
    ],
)
def test_card__what_cannot_be__refused(card: Card, changes: dict[str, Any], constraint: str):
    refused(copy_of(card, **changes), constraint)


def test_card__two_successors_of_one__refused(card: Card):
    copy_of(card, predecessor=card).save(force_insert=True)

    refused(copy_of(card, predecessor=card, number_hash=b"\2" * 32), "predecessor")


def test_freeze__each_source_once__refused_the_second_time(card: Card, at: datetime):
    for source in Freeze.Source.values:
        wallets.stop(card, source, at=at)

    again = Freeze(id=uuid7(at), card=card, source="police", reason="x", since=at)
    refused(again, "freeze_once")
    card.freezes.filter(source="police").update(lifted_at=at)
    again.save(force_insert=True)

    assert card.freezes.filter(lifted_at=None).count() == 4


def test_freeze__unknown_source_or_lifted_before_it_began__refused(card: Card, at: datetime):
    made: dict[str, Any] = {"card": card, "reason": "x", "since": at}

    refused(Freeze(id=uuid7(at), source="neighbour", **made), "freeze_source")
    refused(
        Freeze(id=uuid7(at), source="risk", lifted_at=at - timedelta(seconds=1), **made),
        "freeze_period",
    )


def test_debt__neither_due_nor_paid__refused(
    card: Card, bus: wallets.Bus, grant: city.HeldGrant, at: datetime
):
    bus.take(grant.code(at), at=at)
    tap = Tap.objects.get()

    refused(
        Debt(charge_id=uuid.uuid4(), account=card.account, tap=tap, amount_fen=200), "debt_told"
    )


def test_number__in_the_database__sealed(card: Card, issuer: Issuer):
    row = Card.objects.filter(id=card.id).values_list("number", flat=True)

    assert NUMBER.encode() not in bytes(row[0])
    assert Card.objects.get(id=card.id).number == NUMBER
