"""A resident's cards: bound once with the issuer's word, each stop lifted by its own source."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from cards import freezes, obligations, queries, wallet
from cards.issuers import Answer, IssuerUnavailable
from cards.models import Card, CardAccount, Freeze, Issuer
from identity.models import Resident, StateChange
from identity.residents import AccountSuspended
from tests import city, wallets
from tests.statements import statements
from vpass.common import contributions, limits
from vpass.common.errors import BadRequest, DomainError, NotFound
from vpass.common.idempotency import KeyReused
from vpass.common.states import IllegalTransition

NUMBER = "37070020009"
NOBODY = uuid.UUID(int=1)


@pytest.fixture
def stub() -> wallets.StubIssuer:
    return wallets.StubIssuer()


@pytest.fixture
def bank(transactional_db: None) -> Issuer:
    return wallets.open_issuer("bank", kind="bank")


def nothing_bound() -> bool:
    return not Card.objects.exists() and not CardAccount.objects.exists()


def change(
    what: Any, phone: city.Phone, card: Card, *, at: datetime, key: str | None = None
) -> Any:
    return what(
        caller=phone.caller,
        card_id=card.id,
        idempotency_key=city.idempotency(phone.caller.scope, key),
        at=at,
    )


# Binding


def test_bind__confirmed__stands_in_the_wallet(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    shown = wallets.bind(phone, stub, at=at)

    card = Card.objects.get()
    assert (shown.id, shown.state, shown.fault, shown.stops) == (str(card.id), "active", None, [])
    assert (shown.card_type, shown.last4, shown.facts) == ("bus", "0009", {"concession": "none"})
    assert shown.valid_until == "2035-12-31"
    assert (card.number, card.token, card.epoch) == (NUMBER, None, 1)
    assert card.account.resident_id == wallets.resident_of(phone)
    history = StateChange.objects.get(object_kind="card")
    assert (history.from_state, history.to_state, history.event) == ("pending", "active", "confirm")
    (asked,) = stub.asked
    assert asked.holder == wallets.holder_of()


def test_bind__bank_card__its_token_is_kept_and_no_number(
    bank: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    shown = wallets.bind(phone, stub, "bank", card_number="621700000002340002", at=at)

    card = Card.objects.get()
    assert (card.number, card.token) == (None, "tok_7Qm2xV9dKc4hZs6b_0002")
    assert (shown.last4, shown.facts, shown.valid_until) == ("0002", {"brand": "UnionPay"}, None)


def test_bind__same_request_again__same_card_and_nobody_asked(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    key = city.new_key()

    first, second = (wallets.bind(phone, stub, key=key, at=at) for _ in range(2))

    assert first == second
    assert len(stub.asked) == 1
    assert Card.objects.count() == 1


def test_bind__answer_lost__asked_again_under_the_same_binding_id(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    stub.answers = [IssuerUnavailable()]
    key = city.new_key()
    with pytest.raises(IssuerUnavailable):
        wallets.bind(phone, stub, key=key, at=at)
    assert nothing_bound()

    wallets.bind(phone, stub, key=key, at=at)

    first, second = stub.asked
    assert first.binding_id == second.binding_id
    assert Card.objects.count() == 1


def test_bind__another_key__another_binding_id(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    stub.answers = [IssuerUnavailable(), IssuerUnavailable()]

    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            wallets.bind(phone, stub, at=at)

    assert len({question.binding_id for question in stub.asked}) == 2


def test_bind__refused_by_the_issuer__reason_told_again_and_nothing_bound(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    stub.answers = [Answer(reason="not_found")]
    key = city.new_key()

    for _ in range(2):
        with pytest.raises(wallet.CardNotConfirmed) as caught:
            wallets.bind(phone, stub, key=key, at=at)
        assert caught.value.members == {"reason": "not_found"}

    assert len(stub.asked) == 1
    assert nothing_bound()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"card_type": "dragon"}, wallet.CardTypeUnknown),
        ({"issuer": "nobody"}, wallet.CardTypeUnknown),
        ({"card_type": "bank", "issuer": "weifang-bus"}, wallet.CardTypeUnknown),
        ({"fields": {}}, BadRequest),
        ({"fields": {"card_number": "12"}}, BadRequest),
        ({"fields": {"card_number": NUMBER, "pin": "1"}}, BadRequest),
    ],
    ids=str,
)
def test_bind__asked_wrongly__nobody_is_asked(
    issuer: Issuer,
    phone: city.Phone,
    stub: wallets.StubIssuer,
    at: datetime,
    changes: dict[str, Any],
    error: type[DomainError],
):
    asked: dict[str, Any] = {
        "card_type": "bus",
        "issuer": "weifang-bus",
        "fields": {"card_number": NUMBER},
    }

    with pytest.raises(error):
        wallet.bind_card(
            caller=phone.caller,
            find_issuer=lambda _: stub,
            idempotency_key=city.idempotency(phone.caller.scope),
            at=at,
            **asked | changes,
        )

    assert stub.asked == []
    assert nothing_bound()


def test_bind__suspended_account__nobody_is_asked(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    Resident.objects.update(state="suspended")

    with pytest.raises(AccountSuspended):
        wallets.bind(phone, stub, at=at)

    assert stub.asked == []


def test_bind__one_too_many_of_a_type__refused(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    wallets.bind(phone, stub, at=at)

    with pytest.raises(wallet.TooManyCards):
        wallets.bind(phone, stub, card_number="37070020017", at=at)

    assert Card.objects.count() == 1


def test_bind__five_bank_cards__and_no_sixth(
    bank: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    for last4 in range(1001, 1006):
        wallets.bind(phone, stub, "bank", card_number=f"62170000000000{last4}", at=at)

    with pytest.raises(wallet.TooManyCards):
        wallets.bind(phone, stub, "bank", card_number="621700000000001006", at=at)

    places = CardAccount.objects.filter(card_type="bank").values_list("place", flat=True)
    assert sorted(places) == [1, 2, 3, 4, 5]
    assert Card.objects.count() == 5


def test_bind__number_in_another_wallet__refused(
    issuer: Issuer, card: Card, stub: wallets.StubIssuer, at: datetime
):
    stranger = city.make_phone(1, at=at)

    with pytest.raises(wallet.CardAlreadyBound):
        wallets.bind(stranger, stub, at=at)

    assert Card.objects.count() == 1


def test_bind__after_unbinding__same_account_again(
    issuer: Issuer, phone: city.Phone, card: Card, stub: wallets.StubIssuer, at: datetime
):
    assert change(wallet.unbind_card, phone, card, at=at) == "unbound"

    shown = wallets.bind(phone, stub, at=at)

    assert Card.objects.get(id=shown.id).account_id == card.account_id
    assert CardAccount.objects.count() == 1


def test_bind__too_often__limited_and_a_repeat_still_answered(
    issuer: Issuer, phone: city.Phone, stub: wallets.StubIssuer, at: datetime
):
    key = city.new_key()
    wallets.bind(phone, stub, key=key, at=at)
    stub.answers = [Answer(reason="not_found") for _ in range(19)]
    for _ in range(19):
        with pytest.raises(wallet.CardNotConfirmed):
            wallets.bind(phone, stub, at=at)

    with pytest.raises(limits.LimitReached):
        wallets.bind(phone, stub, at=at)

    assert wallets.bind(phone, stub, key=key, at=at).last4 == "0009"


def test_bind__over_http__level_2_and_a_key_needed(issuer: Issuer, phone: city.Phone, at: datetime):
    body = {"card_type": "bus", "issuer": "weifang-bus", "fields": {"card_number": NUMBER}}
    beginner = city.make_phone(1, level=1, at=at)

    low = beginner.send("POST", wallets.CARDS, body, key=city.new_key())
    keyless = phone.send("POST", wallets.CARDS, body)

    assert city.problem(low) == (403, "caller.level_too_low")
    assert city.problem(keyless) == (400, "idempotency.key_missing")


# Showing


def test_cards__listed_newest_first__anothers_not_there(
    issuer: Issuer, bank: Issuer, phone: city.Phone, card: Card, at: datetime
):
    later = wallets.give_card(
        phone, bank, card_type="bank", number="621700000000001001", at=at + timedelta(seconds=1)
    )
    stranger = city.make_phone(1, at=at)

    items = phone.send("GET", wallets.CARDS).json()["items"]

    assert [one["id"] for one in items] == [str(later.id), str(card.id)]
    assert NUMBER not in str(items)
    assert stranger.send("GET", wallets.CARDS).json()["items"] == []
    assert city.problem(stranger.send("GET", f"{wallets.CARDS}/{card.id}")) == (
        404,
        "object.not_found",
    )


def test_cards__any_number_of_them__four_statements_beside_the_callers(
    issuer: Issuer, bank: Issuer, phone: city.Phone, card: Card, at: datetime
):
    counts = []
    for number in ("621700000000001001", "621700000000001002"):
        with statements() as sent:
            assert phone.send("GET", wallets.CARDS).status_code == 200
        counts.append(len(sent))
        Card.objects.filter(id=card.id).update(state="unbound")
        wallets.give_card(phone, bank, card_type="bank", number=number, at=at)
        Card.objects.filter(card_type="bank").update(state="expired")

    assert counts == [4, 4]


@pytest.mark.parametrize(("days", "fault"), [(0, None), (-1, "card.expired")])
def test_card__past_its_last_day__says_so(
    issuer: Issuer, phone: city.Phone, at: datetime, days: int, fault: str | None
):
    until = city.clock.city_date(at) + timedelta(days=days)
    card = wallets.give_card(phone, issuer, valid_until=until, at=at)

    shown = wallet.card_of(caller=phone.caller, card_id=card.id, at=at)

    assert (shown.fault, shown.valid_until) == (fault, until.isoformat())


def test_card_types__what_they_ask_and_who_issues_them(issuer: Issuer, phone: city.Phone):
    items = phone.send("GET", "/api/resident/v1/card-types").json()["items"]

    found = {one["code"]: one for one in items}
    assert list(found) == ["id", "bank", "bus"]
    assert [one["code"] for one in found["bus"]["issuers"]] == ["weifang-bus"]
    assert found["bank"]["issuers"] == []
    assert [one["name"] for one in found["bus"]["fields"]] == ["card_number"]


# Stops


def test_freeze__by_every_source__each_lifts_only_its_own(
    phone: city.Phone, card: Card, at: datetime
):
    change(wallet.freeze_card, phone, card, at=at)
    for source in ("issuer", "police", "risk"):
        wallets.stop(card, source, at=at)

    shown = change(wallet.lift_card, phone, card, at=at)

    assert [one["source"] for one in shown.stops] == ["issuer", "police", "risk"]
    assert shown.fault == "card.frozen"
    with pytest.raises(freezes.CardNotFrozen):
        change(wallet.lift_card, phone, card, at=at)
    for source in ("issuer", "police", "risk"):
        freezes.lift(Card.objects.get(id=card.id), source=source, at=at)
    assert wallet.card_of(caller=phone.caller, card_id=card.id, at=at).fault is None


def test_freeze__same_request_again__one_freeze(phone: city.Phone, card: Card, at: datetime):
    key = city.new_key()

    first, second = (change(wallet.freeze_card, phone, card, key=key, at=at) for _ in range(2))

    assert first == second
    assert Freeze.objects.count() == 1
    with pytest.raises(freezes.CardFrozenAlready):
        change(wallet.freeze_card, phone, card, at=at)


def test_change__each_one__raises_the_epoch(phone: city.Phone, card: Card, at: datetime):
    epochs = []
    for what in (wallet.freeze_card, wallet.lift_card, wallet.report_lost):
        change(what, phone, card, at=at)
        epochs.append(Card.objects.get(id=card.id).epoch)

    assert epochs == [2, 3, 4]


@pytest.mark.parametrize(
    "what", [wallet.freeze_card, wallet.lift_card, wallet.report_lost, wallet.unbind_card]
)
def test_change__anothers_card_or_none__not_found_and_nothing_changed(
    card: Card, at: datetime, what: Any
):
    stranger = city.make_phone(1, at=at)

    for card_id in (card.id, NOBODY):
        with pytest.raises(NotFound):
            what(
                caller=stranger.caller,
                card_id=card_id,
                idempotency_key=city.idempotency(stranger.caller.scope),
                at=at,
            )

    assert Card.objects.get(id=card.id).epoch == 1


def test_change__key_of_another_request__refused(phone: city.Phone, card: Card, at: datetime):
    key = city.new_key()
    path = f"{wallets.CARDS}/{card.id}"
    assert phone.send("POST", f"{path}/freeze", {}, key=key).status_code == 200

    reused = phone.send("POST", f"{path}/loss", {}, key=key)

    assert city.problem(reused) == (422, KeyReused.code)
    assert Card.objects.get(id=card.id).state == "active"


def test_lost__then_no_way_back_but_the_issuers(phone: city.Phone, card: Card, at: datetime):
    shown = change(wallet.report_lost, phone, card, at=at)

    assert (shown.state, shown.fault) == ("lost", "card.lost")
    with pytest.raises(IllegalTransition):
        change(wallet.report_lost, phone, card, at=at)


@pytest.mark.parametrize("source", ["issuer", "police", "risk"])
def test_unbind__stopped_by_somebody_else__refused(
    phone: city.Phone, card: Card, at: datetime, source: str
):
    wallets.stop(card, source, at=at)

    with pytest.raises(obligations.CardObliged) as refused:
        change(wallet.unbind_card, phone, card, at=at)

    assert refused.value.members == {"obligations": ["card.stopped"]}
    assert Card.objects.get().state == "active"


def test_unbind__lost__refused(phone: city.Phone, card: Card, at: datetime):
    change(wallet.report_lost, phone, card, at=at)

    with pytest.raises(obligations.CardObliged) as refused:
        change(wallet.unbind_card, phone, card, at=at)

    assert refused.value.members == {"obligations": ["card.stopped"]}
    assert Card.objects.get().state == "lost"


def test_unbind__stopped_by_its_holder__gone(phone: city.Phone, card: Card, at: datetime):
    wallets.stop(card, "holder", at=at)

    assert change(wallet.unbind_card, phone, card, at=at) == "unbound"


def test_bind__after_expiry_under_a_stop__the_stop_is_handed_on(
    phone: city.Phone, card: Card, stub: wallets.StubIssuer, at: datetime
):
    wallets.stop(card, "police", at=at)
    Card.objects.update(state="expired")

    shown = wallets.bind(phone, stub, at=at)

    assert (shown.state, shown.fault) == ("active", "card.frozen")
    assert [stop["source"] for stop in shown.stops] == ["police"]
    assert Freeze.objects.get(lifted_at=None).card_id == uuid.UUID(shown.id)


def test_bind__bank_card_again_after_expiry__its_own_stop_and_not_the_other_cards(
    phone: city.Phone, bank: Issuer, stub: wallets.StubIssuer, at: datetime
):
    first, second = "6217000000001001", "6217000000001002"
    for number in (first, second):
        wallets.bind(phone, stub, "bank", card_number=number, at=at)
    for source, last4 in (("risk", "1001"), ("police", "1002")):
        wallets.stop(Card.objects.get(last4=last4), source, at=at)
    Card.objects.update(state="expired")

    shown = wallets.bind(phone, stub, "bank", card_number=second, at=at)

    assert [stop["source"] for stop in shown.stops] == ["police"]


def test_lift__asked_before_the_stop_it_waited_for__lifted(
    phone: city.Phone, card: Card, at: datetime
):
    wallets.stop(card, "holder", at=at)

    with transaction.atomic():
        freezes.lift(card, source="holder", at=at - timedelta(milliseconds=5))

    stop = Freeze.objects.get()
    assert stop.lifted_at == stop.since


def test_unbind__something_open_on_an_upper_floor__refused_with_the_reason(
    phone: city.Phone, card: Card, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def loans(*, card_id: uuid.UUID) -> list[str]:
        asked.append(card_id)
        return ["library.loan_open"]

    monkeypatch.setattr(contributions, "_contributors", {})
    contributions.register(obligations.QUESTION, "library", loans)

    with pytest.raises(obligations.CardObliged) as caught:
        change(wallet.unbind_card, phone, card, at=at)

    assert caught.value.members == {"obligations": ["library.loan_open"]}
    assert asked == [card.id]
    assert Card.objects.get(id=card.id).state == "active"


def test_accounts__made_once__and_locked(phone: city.Phone, transactional_db: None):
    from django.db import transaction

    for _ in range(2):
        with transaction.atomic():
            found = queries.lock_accounts(
                resident_id=wallets.resident_of(phone), card_type="bank", places=5
            )
        assert [one.place for one in found] == [1, 2, 3, 4, 5]
