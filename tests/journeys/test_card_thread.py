"""The way of a card from its issuer into the wallet, onto the bus, and to a stop."""

from cards import debts, taps
from cards.models import Card, Tap
from identity.models import Resident
from vpass.common import outbox
from vpass.day import card_steps, steps
from vpass.day.play import Day, play
from vpass.day.story import STEPS

ACTS = [
    steps.enrol,
    steps.prove_identity,
    steps.fetch_grant,
    steps.enrol_neighbour,
    *[step.act for step in card_steps.STEPS],
]


def test_day__cards__bound_ridden_frozen_and_lifted(day: Day):
    lines: list[str] = []

    failed = play([step for step in STEPS if step.act in ACTS], day, say=lines.append)

    assert failed == 0, lines
    assert len(lines) == 4 + len(card_steps.STEPS)
    resident = Resident.objects.order_by("created_at").first()
    cards = Card.objects.filter(account__resident=resident).order_by("card_type")
    assert [(card.card_type, card.state) for card in cards] == [
        ("bank", "active"),
        ("bus", "active"),
        ("id", "active"),
    ]
    assert list(Tap.objects.values_list("fare_fen", flat=True)) == [200, 200]


def test_day__what_waits_for_the_charge__stands_after_what_it_needs():
    acts = {step.act for step in card_steps.STEPS}

    assert all(set(step.needs) <= acts for step in card_steps.CHARGED_STEPS)


def test_events__the_names_the_floors_agreed_on():
    assert taps.TAP_RECORDED == "cards.tap_recorded"
    for name in ("payments.charge_due", "payments.charge_paid"):
        assert debts.CONSUMER in outbox.consumers_of(name)
