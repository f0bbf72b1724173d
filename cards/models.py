"""The rows of the wallet: issuers, cards and what they belong to, freezes, taps and debts."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from cards import states
from identity.models import Organisation, Resident, Terminal
from vpass.common.sealed_fields import SealedText


class Issuer(models.Model):
    """Who issues cards of these types; the settings say where it is reached, by its code."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.OneToOneField(Organisation, models.PROTECT)
    code = models.TextField(unique=True)
    card_types = ArrayField(models.TextField())


class CardAccount(models.Model):
    """What survives when a card is replaced: one for each card a person may have of a type.

    `place` counts them from 1, and `places` is what the type allows. Debts (and balances and loans)
    belong to the account, not to the card.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.PROTECT)
    card_type = models.TextField()
    place = models.PositiveSmallIntegerField()
    places = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["resident", "card_type", "place"], name="card_account_once"
            ),
            models.CheckConstraint(
                condition=Q(place__gte=1) & Q(place__lte=F("places")), name="card_account_place"
            ),
        ]


class Card(models.Model):
    """A card in a resident's wallet; `facts` are what its type shows, and nothing personal.

    `number_hash` is of the number; a bank card has none with us, and it is of the bank's token.
    Every change of what the card is good for raises `epoch`.
    """

    id = models.UUIDField(primary_key=True)
    account = models.ForeignKey(CardAccount, models.PROTECT)
    issuer = models.ForeignKey(Issuer, models.PROTECT)
    card_type = models.TextField()
    number = SealedText(null=True)
    token = SealedText(null=True)
    number_hash = models.BinaryField(max_length=32)
    last4 = models.TextField()
    facts = models.JSONField(default=dict)
    state = models.TextField(default=states.CARD.initial)
    epoch = models.PositiveIntegerField(default=1)
    predecessor = models.OneToOneField("self", models.PROTECT, null=True)
    valid_until = models.DateField(null=True)
    bound_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.CARD.sql_check("state", "card_state"),
            models.UniqueConstraint(
                fields=["card_type", "issuer", "number_hash"],
                condition=Q(state__in=states.LIVING),
                name="card_number_once",
            ),
            models.UniqueConstraint(
                fields=["account"], condition=Q(state__in=states.LIVING), name="card_one_living"
            ),
            models.CheckConstraint(
                condition=Q(number__isnull=True, token__isnull=False)
                | Q(number__isnull=False, token__isnull=True),
                name="card_number_or_token",
            ),
            models.CheckConstraint(
                condition=~Q(card_type="bank") | Q(number__isnull=True), name="card_bank_by_token"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="card_of_account"),
            models.Index(fields=["number_hash", "-id"], name="card_by_number"),
        ]


class Freeze(models.Model):
    """A stop which one source has put on a card, and which only the same source lifts."""

    class Source(models.TextChoices):
        HOLDER = "holder"
        ISSUER = "issuer"
        POLICE = "police"
        RISK = "risk"

    id = models.UUIDField(primary_key=True)
    card = models.ForeignKey(Card, models.PROTECT, related_name="freezes")
    source = models.TextField(choices=Source.choices)
    reason = models.TextField()
    since = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(source__in=["holder", "issuer", "police", "risk"]),
                name="freeze_source",
            ),
            models.UniqueConstraint(
                fields=["card", "source"], condition=Q(lifted_at=None), name="freeze_once"
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None) | Q(lifted_at__gte=F("since")), name="freeze_period"
            ),
        ]


class BusLine(models.Model):
    """A line of a bus company with its flat fare."""

    organisation = models.ForeignKey(Organisation, models.PROTECT)
    code = models.TextField()
    name_zh = models.TextField()
    name_en = models.TextField()
    flat_fare_fen = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "code"], name="bus_line_once")
        ]


class Tap(models.Model):
    """One boarding of a bus, and the fare for it. Append-only."""

    id = models.UUIDField(primary_key=True)
    card = models.ForeignKey(Card, models.PROTECT)
    line = models.ForeignKey(BusLine, models.PROTECT)
    terminal = models.ForeignKey(Terminal, models.PROTECT)
    concession = models.TextField()
    fare_fen = models.PositiveIntegerField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["card", "-id"], name="tap_of_card")]


class Debt(models.Model):
    """How the charge for a tap stands, as payments tells it: open from `due_at` until `paid_at`.

    `paid_at` is also when it was cancelled. Events come in any order, so a charge may be known as
    paid before it was known as due.
    """

    charge_id = models.UUIDField(primary_key=True)
    account = models.ForeignKey(CardAccount, models.PROTECT)
    tap = models.ForeignKey(Tap, models.PROTECT)
    amount_fen = models.PositiveIntegerField()
    due_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(due_at__isnull=False) | Q(paid_at__isnull=False), name="debt_told"
            )
        ]
        indexes = [models.Index(fields=["account"], condition=Q(paid_at=None), name="debt_open")]
