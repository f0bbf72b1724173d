"""Cards for tests: issuers that answer as they are told, cards in wallets, and a bus."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import transaction

from cards import freezes, queries, taps, wallet
from cards.card_type import Holder, Issued
from cards.issuers import Answer, Question
from cards.models import BusLine, Card, Issuer
from cards.types import CARD_TYPES
from identity.models import Entitlement, Organisation
from tests import city
from vpass.common.callers import Caller

CARDS = "/api/resident/v1/cards"
ISSUER = "/api/issuer/v1"
TAPS = "/api/terminal/v1/bus-taps"
ISSUER_OF = {"id": "public-security", "bank": "weifang-bank", "bus": "weifang-bus"}
FARE_FEN = 200


@dataclass
class StubIssuer:
    """The contract of an issuer: confirms the type's example unless told otherwise."""

    answers: list[Answer | Exception] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    def bind(self, question: Question, *, at: datetime) -> Answer:
        self.asked.append(question)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        kind = question.card_type
        card = {**kind.example.card, **_echo(kind.code, question.told)}
        return Answer(issued=kind.read_card(card, told=question.told, holder=question.holder))


def _echo(card_type: str, told: Mapping[str, str]) -> dict[str, str]:
    if card_type == "bus":
        return {"card_number": told["card_number"]}
    if card_type == "bank":
        last4 = told["card_number"][-4:]
        return {"account_token": f"tok_7Qm2xV9dKc4hZs6b_{last4}", "last4": last4}
    return {}


def open_issuer(card_type: str = "bus", **changes: Any) -> Issuer:
    """An issuer of one type of card."""
    organisation = Organisation.objects.create(
        **{"kind": "issuer", "name_zh": f"发卡机构{card_type}", "name_en": "Issuer"} | changes
    )
    return Issuer.objects.create(
        organisation=organisation, code=ISSUER_OF[card_type], card_types=[card_type]
    )


def give_card(
    phone: city.Phone,
    issuer: Issuer,
    *,
    card_type: str = "bus",
    number: str = "37070020009",
    valid_until: date | None = None,
    concession: str = "none",
    at: datetime,
) -> Card:
    """A card in the phone's wallet, as binding leaves it."""
    kind = CARD_TYPES[card_type]
    facts = {"concession": concession} if card_type == "bus" else dict(kind.example.facts)
    named = {"token": f"tok_7Qm2xV9dKc4hZs6b_{number[-4:]}"} if kind.pays else {"number": number}
    issued = Issued(last4=number[-4:], facts=facts, valid_until=valid_until, **named)
    with transaction.atomic():
        account = queries.lock_accounts(
            resident_id=resident_of(phone), card_type=card_type, places=kind.max_per_person
        )[0]
        return wallet.write_card(
            issued,
            issuer_id=issuer.id,
            account_id=account.id,
            card_type=card_type,
            actor="test",
            at=at,
        )


def resident_of(phone: city.Phone) -> uuid.UUID:
    assert phone.device is not None
    return phone.device.resident_id


def holder_of(index: int = 0) -> Holder:
    person = city.PEOPLE[index]
    return Holder(real_name=person.real_name, id_number=person.id_number, phone=person.phone)


def stop(card: Card, source: str, *, at: datetime) -> None:
    """A freeze by one source."""
    with transaction.atomic():
        freezes.freeze(card, source=source, reason="test", at=at)


def bind(
    phone: city.Phone,
    by: StubIssuer,
    card_type: str = "bus",
    *,
    key: str | None = None,
    at: datetime,
    **fields: str,
) -> wallet.CardShown:
    """Bind a card, beside the edge."""
    return wallet.bind_card(
        caller=phone.caller,
        card_type=card_type,
        issuer=ISSUER_OF[card_type],
        fields=fields or dict(CARD_TYPES[card_type].example.fields),
        find_issuer=lambda _: by,
        idempotency_key=city.idempotency(phone.caller.scope, key),
        at=at,
    )


class IssuerSystem(city.Machine):
    """An issuer's own machine."""

    @property
    def caller(self) -> Caller:
        return Caller(
            kind="issuer",
            id=self.terminal.id,
            key_id=self.key_id,
            organisation_id=self.terminal.organisation_id,
        )

    def tell(self, what: str, *, key: str | None = None, **members: Any) -> Any:
        """Say something of the bus card over HTTP."""
        body = {"card_type": "bus", "card": "37070020009"} | members
        return self.send("POST", f"{ISSUER}/card-{what}", body, key=key or city.new_key())


def system_of(issuer: Issuer, *, key_id: str = "issuer-1") -> IssuerSystem:
    made = city.make_terminal(issuer.organisation, scene="issuer", key_id=key_id)
    return IssuerSystem(made.terminal, made.key_id, made.private)


class Bus(city.Machine):
    """A bus's validator."""

    def tap(self, code: str, *, key: str | None = None, line: str = "1") -> Any:
        """Scan a code for a ride over HTTP."""
        body = {"code": code, "line": line}
        return self.send("POST", TAPS, body, key=key or city.new_key())

    def take(self, code: str, *, key: str | None = None, at: datetime) -> taps.Tapped:
        """Scan a code for a ride, beside the edge."""
        return taps.record_tap(
            caller=self.caller,
            code=code,
            line="1",
            idempotency_key=city.idempotency(self.caller.scope, key),
            at=at,
        )


def open_bus(issuer: Issuer, *, key_id: str = "bus-1", flat_fare_fen: int = FARE_FEN) -> Bus:
    """A validator of the bus company's, and its one line."""
    company = issuer.organisation
    Entitlement.objects.get_or_create(
        organisation=company,
        scene="bus",
        purpose=taps.PURPOSE,
        defaults={"purpose_zh": "乘车", "purpose_en": "Bus ride", "attributes": []},
    )
    BusLine.objects.get_or_create(
        organisation=company,
        code="1",
        defaults={"name_zh": "1路", "name_en": "Line 1", "flat_fare_fen": flat_fare_fen},
    )
    made = city.make_terminal(company, scene="bus", key_id=key_id)
    return Bus(made.terminal, made.key_id, made.private)
