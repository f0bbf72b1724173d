"""Sessions follow the bay's events, are settled once, and are charged to whoever claimed them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from identity.models import StateChange
from payments import charges
from payments.models import Charge
from services.iot import drain, intake
from services.iot.applications.parking import sessions
from services.iot.applications.parking.claims import NothingToClaim, ParkingClaimed
from services.iot.applications.parking.sessions import CLAIM_WITHIN
from services.iot.applications.parking.stays import read_occupied
from services.iot.models import ParkingBay, ParkingClaim, ParkingSession
from tests import city, sensors
from tests.sensors import claim, lie
from tests.shop import Shop, balance_fen, fill, resident_of
from vpass.common import outbox
from vpass.common.errors import NotFound
from vpass.common.idempotency import KeyReused
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def says(is_occupied: bool, when: datetime, *, at: datetime) -> None:
    """The sensor's word of one moment, taken in and followed at another."""
    sensors.store(sensors.said("bay-17", {"occupied": int(is_occupied)}, when), at=at)
    sensors.work(at=at)


def stays() -> list[tuple[Any, ...]]:
    """(start, end, state, fee) of each session."""
    return [
        (each.started_at, each.ended_at, each.state, each.fee_fen)
        for each in ParkingSession.objects.order_by("started_at")
    ]


def test_stay__claimed_and_over__charged_once_by_the_tariff(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    shown = claim(driver, at=at)
    assert (shown.state, shown.fee_fen, shown.is_settled) == ("open", 400, False)
    for is_occupied, minutes in ((False, 5), (False, 5), (True, 60), (True, 70)):
        says(is_occupied, at - lie(minutes), at=at)
    sensors.settle(at=at + lie(10))

    assert stays() == [(at - lie(70), at - lie(5), "paid", 400)]
    charge = Charge.objects.get()
    assert (charge.amount_fen, charge.state, charge.payer_id) == (400, "paid", resident_of(driver))
    assert charge.reference == f"parking:{shown.id}"
    assert charge.merchant.organisation_id == bay.operator_id
    assert balance_fen(driver) == 9_600
    history = StateChange.objects.filter(object_kind="parking_session").order_by("id")
    assert [each.event for each in history] == ["leave", "settle_paid"]


def test_stay__over_for_less_than_two_minutes__still_shaped_by_late_words(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(40), at=at)
    claim(driver, at=at)
    says(False, at - lie(1), at=at)
    assert stays() == [(at - lie(40), at - lie(1), "ended", None)]

    says(True, at - lie(50), at=at)
    says(False, at - lie(20), at=at)
    assert stays() == [(at - lie(50), at - lie(20), "paid", 200)]


def test_stay__split_by_late_words__the_claim_goes_with_its_moment(
    bay: ParkingBay, driver: city.Phone, at: datetime, settings: Any
):
    settings.PARKING_SETTLE_AFTER_S = 86_400
    says(True, at - lie(100), at=at)
    shown = claim(driver, at=at)
    says(False, at - lie(5), at=at)

    says(False, at - lie(60), at=at)
    says(True, at - lie(50), at=at)

    assert stays() == [
        (at - lie(100), at - lie(60), "ended", None),
        (at - lie(50), at - lie(5), "ended", None),
    ]
    claimed = ParkingSession.objects.get(claim__isnull=False)
    assert (str(claimed.id), claimed.started_at) == (shown.id, at - lie(50))


def test_stay__claim_moves_on_to_the_next_car__its_session_is_open_again(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(30), at=at - lie(30))
    shown = claim(driver, at=at)  # the one before has left, which nobody has heard yet
    says(False, at - lie(1), at=at)

    says(True, at - lie(0.5), at=at)

    assert stays() == [
        (at - lie(30), at - lie(1), "ended", None),
        (at - lie(0.5), None, "open", None),
    ]
    claimed = ParkingSession.objects.get(claim__isnull=False)
    assert (str(claimed.id), claimed.state) == (shown.id, "open")
    history = StateChange.objects.filter(object_kind="parking_session", object_id=shown.id)
    assert [each.event for each in history.order_by("id")] == ["leave", "reopen"]
    says(False, at + lie(40), at=at + lie(40))
    sensors.settle(at=at + lie(50))
    assert stays() == [
        (at - lie(30), at - lie(1), "unclaimed", 200),
        (at - lie(0.5), at + lie(40), "paid", 200),
    ]


def test_stay__next_cars_session_is_there_already__the_two_change_places(
    bay: ParkingBay, driver: city.Phone, at: datetime, settings: Any
):
    settings.PARKING_SETTLE_AFTER_S = 86_400
    for is_occupied, minutes in ((True, 30), (False, 10), (True, 5)):
        says(is_occupied, at - lie(minutes), at=at)
    before = ParkingSession.objects.get(ended_at=None)
    first = ParkingSession.objects.exclude(id=before.id).get()
    # "I came eight minutes ago": until more is heard, that is the car before.
    key = ParkingClaim.objects.create(
        bay=bay, resident_id=resident_of(driver), moment=at - lie(8), claimed_at=at
    )
    ParkingSession.objects.filter(id=first.id).update(claim=key)

    says(True, at - lie(9), at=at)

    assert stays() == [
        (at - lie(30), at - lie(10), "ended", None),
        (at - lie(9), None, "open", None),
    ]
    assert [each.id for each in ParkingSession.objects.order_by("started_at")] == [
        before.id,
        first.id,
    ]


def test_settle__one_bay_is_broken__the_others_are_settled(
    bay: ParkingBay, driver: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    says(True, at - lie(70), at=at - lie(70))
    other = sensors.make_bay("A-018", device="bay-18", at=at, operator=bay.operator)
    sensors.store(sensors.said("bay-18", {"occupied": 1}, at - lie(70)), at=at - lie(70))
    sensors.store(sensors.said("bay-18", {"occupied": 0}, at), at=at)
    says(False, at, at=at)
    real = sessions.follow

    def follow(bay_id: Any, **named: Any) -> None:
        if bay_id == bay.id:
            raise IntegrityError
        real(bay_id, **named)

    monkeypatch.setattr(sessions, "follow", follow)

    sensors.settle(at=at + lie(10))

    assert dict(ParkingSession.objects.values_list("bay_id", "state")) == {
        bay.id: "ended",
        other.id: "unclaimed",
    }


def test_stay__settled__later_words_are_stated_and_never_charged(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    claim(driver, at=at)
    says(False, at - lie(5), at=at)

    says(True, at - lie(200), at=at)

    session = ParkingSession.objects.get()
    assert (session.started_at, session.state, session.fee_fen) == (at - lie(70), "paid", 400)
    assert session.late_change_fen == 1_200 - 400
    says(False, at - lie(180), at=at)
    session.refresh_from_db()
    assert [each[2:] for each in stays()] == [("unclaimed", 200), ("paid", 400)]
    assert session.late_change_fen == 0
    assert Charge.objects.count() == 1


def test_stay__within_the_free_minutes__nothing_charged(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(20), at=at)
    claim(driver, at=at)
    says(False, at - lie(6), at=at)

    assert stays() == [(at - lie(20), at - lie(6), "no_fee", 0)]
    assert Charge.objects.count() == 0


def test_stay__messages_that_wait__settled_only_when_they_are_read(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    sensors.store(b'{"deviceId":"other"}', at=at - lie(10))
    for is_occupied, minutes in ((True, 70), (False, 5)):
        sensors.store(sensors.said("bay-17", {"occupied": is_occupied}, at - lie(minutes)), at=at)
    shard = intake.shard_of(b'"deviceId":"bay-17"')
    assert shard != intake.shard_of(b'"deviceId":"other"')
    drain.drain(shard=shard, at=at)
    outbox.deliver_due(at=at)
    assert [each[2] for each in stays()] == ["ended"]

    sensors.work(at=at)
    sensors.settle(at=at)

    assert [each[2] for each in stays()] == ["unclaimed"]


def test_stay__too_little_money__due_until_money_comes(
    bay: ParkingBay, shop: Shop, phone: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    claim(phone, at=at)
    says(False, at - lie(5), at=at)
    assert [each[2] for each in stays()] == ["due"]

    fill(shop, phone, 1_000, at=at)
    assert charges.collect(payer_id=resident_of(phone), at=at) == 1
    sensors.work(at=at)

    assert [each[2:] for each in stays()] == [("paid", 400)]
    assert balance_fen(phone) == 600


def test_stay__charge_let_go__waived(bay: ParkingBay, phone: city.Phone, at: datetime, shop: Shop):
    says(True, at - lie(70), at=at)
    shown = claim(phone, at=at)
    says(False, at - lie(5), at=at)

    charges.cancel_charge(
        organisation_id=bay.operator_id, reference=f"parking:{shown.id}", actor="test", at=at
    )
    sensors.work(at=at)

    assert [each[2] for each in stays()] == ["waived"]


def test_follow_charge__of_something_else__nothing(bay: ParkingBay, driver: city.Phone, at: Any):
    with transaction.atomic():
        charges.charge(
            payer_id=resident_of(driver), organisation_id=bay.operator_id, amount_fen=100,
            title="x", reference=f"tap:{bay.id}", at=at,
        )  # fmt: skip
    sensors.work(at=at)

    assert stays() == []


# Which words a bay hears of


@pytest.mark.parametrize(
    ("minutes", "is_occupied", "is_told"),
    [
        (90, True, True),  # came earlier
        (90, False, False),  # nobody was there before
        (70, True, False),  # the very word
        (70, False, False),  # at the same moment another has left: nobody had
        (65, True, False),  # still there
        (65, False, True),  # was away for a moment
        (60, True, True),  # at that moment the next came
        (30, False, False),  # still free
        (30, True, True),
    ],
)
def test_hear__one_more_word__told_only_when_the_stays_are_others(
    bay: ParkingBay, at: datetime, minutes: int, is_occupied: bool, is_told: bool, settings: Any
):
    settings.PARKING_SETTLE_AFTER_S = 86_400
    says(True, at - lie(70), at=at)
    says(False, at - lie(60), at=at)
    before, stood = OutboxDelivery.objects.count(), stays()

    says(is_occupied, at - lie(minutes), at=at)

    assert OutboxDelivery.objects.count() - before == is_told
    assert (stays() != stood) == is_told


@pytest.mark.parametrize(
    "value", [True, False, 0, 1, 2, -1, 1.0, 0.0, "1", "true", None, [1], {"a": 1}, 10**30]
)
def test_said_by__any_value__read_by_the_database_as_by_the_program(
    bay: ParkingBay, at: datetime, value: Any
):
    sensors.store(sensors.said("bay-17", {"occupied": value, "battery": 3}, at), at=at)
    sensors.store(sensors.said("bay-17", {"battery": 3}, at - lie(1)), at=at)
    sensors.drain_all(at=at)

    told = sessions._said_by(bay, since=at - lie(5))

    read = read_occupied({"occupied": value})
    assert told == ([] if read is None else [(at, read)])


def test_said_by__a_month_of_heartbeats__only_the_changes(bay: ParkingBay, at: datetime):
    for minutes in range(40, 0, -1):
        word = {"occupied": int(30 > minutes > 10)}
        sensors.store(sensors.said("bay-17", word, at - lie(minutes)), at=at)
    sensors.drain_all(at=at)

    assert sessions._said_by(bay, since=at - lie(60)) == [
        (at - lie(40), False),
        (at - lie(29), True),
        (at - lie(10), False),
    ]


# Claims


def test_claim__after_the_car_left__settled_ones_are_charged_at_once(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    says(False, at - lie(5), at=at)
    assert stays() == [(at - lie(70), at - lie(5), "unclaimed", 400)]

    shown = claim(driver, at=at + timedelta(days=6), parked_at=at - lie(70))

    assert (shown.state, shown.fee_fen, shown.is_settled) == ("paid", 400, True)
    assert balance_fen(driver) == 9_600
    again = claim(driver, at=at + timedelta(days=6), parked_at=at - lie(70))
    assert again.id == shown.id
    sensors.settle(at=at + timedelta(days=8))
    assert Charge.objects.count() == ParkingClaim.objects.count() == 1


@pytest.mark.parametrize(("minutes", "is_claimed"), [(15, True), (15.1, False)])
def test_claim__without_a_moment__only_who_left_just_now(
    bay: ParkingBay, driver: city.Phone, at: datetime, minutes: float, is_claimed: bool
):
    says(True, at - lie(100), at=at)
    says(False, at, at=at)

    if is_claimed:
        assert claim(driver, at=at + lie(minutes)).state == "ended"
    else:
        with pytest.raises(NothingToClaim):
            claim(driver, at=at + lie(minutes))

    assert ParkingClaim.objects.count() == is_claimed


def test_claim__by_nobody_in_a_week__lapsed(bay: ParkingBay, driver: city.Phone, at: datetime):
    says(True, at - lie(70), at=at)
    says(False, at - lie(5), at=at)
    late = at - lie(5) + CLAIM_WITHIN + timedelta(seconds=1)

    with pytest.raises(NothingToClaim):
        claim(driver, at=late, parked_at=at - lie(70))
    sensors.settle(at=late)

    assert stays() == [(at - lie(70), at - lie(5), "lapsed", 400)]


def test_claim__anothers_car__refused_and_nothing_changed(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    claim(driver, at=at)
    stranger = city.make_phone(3, at=at)

    with pytest.raises(ParkingClaimed) as caught:
        claim(stranger, at=at)

    assert caught.value.members == {}
    assert ParkingClaim.objects.get().resident_id == resident_of(driver)


def test_claim__a_bay_that_is_empty_or_nowhere__refused(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    with pytest.raises(NothingToClaim):
        claim(driver, at=at)
    with pytest.raises(NotFound):
        claim(driver, "Z-999", at=at)
    assert ParkingClaim.objects.count() == 0


def test_claim__one_that_stood_there_before__by_its_moment(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    for is_occupied, minutes in ((True, 200), (False, 150), (True, 100)):
        says(is_occupied, at - lie(minutes), at=at)

    shown = claim(driver, at=at, parked_at=at - lie(160))

    assert (shown.state, shown.ended_at) == ("paid", (at - lie(150)).isoformat())
    with pytest.raises(NothingToClaim):
        claim(driver, at=at, parked_at=at - lie(120))
    assert claim(driver, at=at, parked_at=at + lie(500)).state == "open"


def test_claim__same_key_again__same_answer_whatever_came_since(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    first = claim(driver, at=at, key="a-claim-of-mine")
    says(False, at - lie(5), at=at)

    assert claim(driver, at=at + lie(1), key="a-claim-of-mine") == first
    key = city.idempotency(driver.caller.scope, "a-claim-of-mine", digest=b"\2" * 32)
    with pytest.raises(KeyReused):
        sensors.claims.claim_bay(caller=driver.caller, bay_code="A-017", idempotency_key=key, at=at)


# Over HTTP

CLAIMS = f"{city.RESIDENT}/parking/claims"
SESSIONS = f"{city.RESIDENT}/parking/sessions"


def test_api__claim_list_and_show__the_claimant_alone(
    bay: ParkingBay, driver: city.Phone, at: datetime
):
    says(True, at - lie(70), at=at)
    stranger = city.make_phone(3, at=at)

    made = driver.send("POST", CLAIMS, {"bay_code": "A-017"}, key=city.new_key())
    refused = stranger.send("POST", CLAIMS, {"bay_code": "A-017"}, key=city.new_key())

    assert made.status_code == 201
    stay = made.json()
    assert (stay["bay_code"], stay["state"], stay["fee_fen"]) == ("A-017", "open", 400)
    assert stay["operator"] == {"zh": "停车服务中心", "en": "Books"}
    assert driver.send("GET", SESSIONS).json() == {"items": [stay], "next": None}
    assert driver.send("GET", f"{SESSIONS}/{stay['id']}").json() == stay
    assert city.problem(refused) == (409, "parking.claimed")
    assert stranger.send("GET", SESSIONS).json() == {"items": [], "next": None}
    foreign = stranger.send("GET", f"{SESSIONS}/{stay['id']}")
    assert city.problem(foreign) == (404, "object.not_found")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "bay_code", "required"),
        ({"bay_code": None}, "bay_code", "null"),
        ({"bay_code": 17}, "bay_code", "wrong_type"),
        ({"bay_code": "a-017"}, "bay_code", "invalid"),
        ({"bay_code": "A" * 17}, "bay_code", "max_length"),
        ({"bay_code": "A-017", "parked_at": "yesterday"}, "parked_at", "invalid"),
        ({"bay_code": "A-017", "resident": "x"}, "resident", "unknown"),
    ],
)
def test_api__claim_not_as_it_must_be__400_and_nothing_changed(
    bay: ParkingBay, driver: city.Phone, body: Any, field: str, code: str
):
    answer = driver.send("POST", CLAIMS, body, key=city.new_key())

    assert city.problem(answer) == (400, "request.invalid")
    assert (field, code) in [(each["field"], each["code"]) for each in answer.json()["errors"]]
    assert ParkingClaim.objects.count() == 0
