"""What every card type promises, for the whole table: a new type is held to it on arrival."""

import re
from typing import Any

import pytest

from cards.card_type import AnswerMalformed, CardType, Issued
from cards.types import CARD_TYPES
from tests import wallets
from vpass.common.errors import BadRequest

EVERY_TYPE = pytest.mark.parametrize("kind", CARD_TYPES.values(), ids=CARD_TYPES)
HOLDER = wallets.holder_of()
# What no type of ours is told, and what none may take.
WRONG = ["", " ", "x" * 65, None, 7, True, [], {}, "２", "'; --"]


def read(kind: CardType, **changes: Any) -> Issued:
    card = {**kind.example.card, **changes}
    return kind.read_card(card, told=kind.example.fields, holder=HOLDER)


@EVERY_TYPE
def test_type__names_and_limits__well_formed(kind: CardType):
    assert CARD_TYPES[kind.code] is kind
    assert re.fullmatch(r"[a-z][a-z_]{1,19}", kind.code)
    assert kind.en.isascii()
    assert not kind.zh.isascii()
    assert 1 <= kind.max_per_person <= 10
    for one in kind.fields:
        assert re.fullmatch(r"[a-z][a-z_]{1,39}", one.name)
        assert one.en.isascii()
        assert not one.zh.isascii()
        re.compile(one.form)


@EVERY_TYPE
def test_type__its_example__is_read_as_it_says(kind: CardType):
    told = kind.read_fields(kind.example.fields)
    issued = read(kind)

    assert told == dict(kind.example.fields)
    assert dict(issued.facts) == dict(kind.example.facts)
    assert re.fullmatch(r"[0-9]{4}" if kind.code != "id" else "", issued.last4)
    assert issued.name.endswith(issued.last4)


@EVERY_TYPE
def test_type__number_or_token__never_both_and_no_number_of_a_card_that_pays(kind: CardType):
    issued = read(kind)

    assert (issued.number is None) != (issued.token is None)
    assert (issued.token is not None) == kind.pays
    assert "card_number" not in issued.facts


@EVERY_TYPE
def test_type__what_it_shows__nothing_of_the_holder_or_the_number(kind: CardType):
    issued = read(kind)

    shown = str(dict(issued.facts))
    for secret in (HOLDER.real_name, HOLDER.id_number, HOLDER.phone, issued.name):
        assert secret not in shown
        assert secret not in repr(issued)
        assert secret not in repr(HOLDER)


@EVERY_TYPE
def test_type__question__what_was_told_and_the_phone_only_where_it_is_asked(kind: CardType):
    asked = kind.question(kind.example.fields, holder=HOLDER)

    assert asked == dict(kind.example.fields) | ({"phone": HOLDER.phone} if kind.asks_phone else {})


@EVERY_TYPE
def test_type__a_field_missing_unknown_or_malformed__named(kind: CardType):
    good = dict(kind.example.fields)
    with pytest.raises(BadRequest) as caught:
        kind.read_fields({**good, "surprise": "1"})
    assert caught.value.members["errors"] == [{"field": "fields.surprise", "code": "unknown"}]

    for name in good:
        with pytest.raises(BadRequest) as caught:
            kind.read_fields({other: good[other] for other in good if other != name})
        assert caught.value.members["errors"] == [{"field": f"fields.{name}", "code": "required"}]
        for wrong in WRONG:
            if isinstance(wrong, str):
                with pytest.raises(BadRequest) as caught:
                    kind.read_fields({**good, name: wrong})
                assert caught.value.members["errors"] == [
                    {"field": f"fields.{name}", "code": "invalid"}
                ]


@EVERY_TYPE
def test_type__an_issuers_member_wrong__not_believed(kind: CardType):
    for name in kind.example.card:
        for wrong in WRONG:
            if wrong is None and name == "valid_until":
                continue  # without end
            with pytest.raises(AnswerMalformed):
                read(kind, **{name: wrong})


@EVERY_TYPE
def test_type__an_issuers_member_missing_or_added__not_believed(kind: CardType):
    with pytest.raises(AnswerMalformed):
        read(kind, surprise="1")
    for name in kind.example.card:
        rest = {other: value for other, value in kind.example.card.items() if other != name}
        with pytest.raises(AnswerMalformed):
            kind.read_card(rest, told=kind.example.fields, holder=HOLDER)


@EVERY_TYPE
def test_type__a_day_that_does_not_exist__not_believed(kind: CardType):
    if "valid_until" in kind.example.card:
        for wrong in ("2036-02-30", "20360630", "2036-6-30"):
            with pytest.raises(AnswerMalformed):
                read(kind, valid_until=wrong)


@EVERY_TYPE
def test_type__replacement__read_like_the_first_and_refused_when_malformed(kind: CardType):
    first = read(kind)
    facts: dict[str, Any] = dict(first.facts) | ({"last4": first.last4} if kind.pays else {})

    again = kind.read_replacement(first.name, facts, valid_until=first.valid_until)

    assert again == first
    for name, told in [(first.name[:-1] + "?", facts), ("", facts), (first.name, {"x": "1"})]:
        with pytest.raises(AnswerMalformed):
            kind.read_replacement(name, told, valid_until=None)


def test_bank__an_answer_for_another_card__not_believed():
    bank = CARD_TYPES["bank"]

    with pytest.raises(AnswerMalformed):
        bank.read_card(bank.example.card, told={"card_number": "621700002000030003"}, holder=HOLDER)
    with pytest.raises(AnswerMalformed):
        read(bank, account_token="tok_7Qm2xV9dKc4hZs6b_0003")


def test_bus__an_answer_for_another_card__not_believed():
    with pytest.raises(AnswerMalformed):
        read(CARD_TYPES["bus"], card_number="37070020017")
