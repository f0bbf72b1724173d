"""Which place a grant gets, what the lists say of it, and when they are signed anew."""

from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from django.conf import settings
from django.db import transaction

from identity import keys, status_format, status_list, suspensions
from identity.models import Grant, StatusEntry, StatusShard
from tests import city
from tests.statements import statements
from tests.together import together
from vpass.common import outbox
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

PATH = status_list.LISTS_PATH


def published(index: int, *, at: datetime) -> int:
    """What the published list says of a place, checked as a scanner checks it."""
    shard = status_list.find_list(number=index >> 20, at=at)
    found = status_format.decode_list(bytes(shard.token))
    status_format.check_list(
        found,
        key=keys.verification_key(found.kid, at=at),
        at=int(at.timestamp()),
        subject=status_list.address_of(index >> 20),
    )
    return found.status(index)


def index_of(grant: city.HeldGrant) -> int:
    return int(Grant.objects.get(handle=grant.handle).status_index)


# Places


def test_numbers_of__three_days__apart_and_within_twelve_bits(at: datetime):
    days = [at.date() + timedelta(days=ahead) for ahead in range(256)]

    numbers = [number for day in days for number in status_list.numbers_of(day)]

    assert len(numbers) == len(set(numbers)) == 256 * status_list.LISTS_A_DAY
    assert min(numbers) >= 0 and max(numbers) < 4096
    assert status_list.numbers_of(days[0] + timedelta(days=256)) == status_list.numbers_of(days[0])


def test_issue_grant__place__in_a_list_of_its_expiry_day(phone: city.Phone, at: datetime):
    grants = [Grant.objects.get(handle=phone.grant(at=at).handle) for _ in range(20)]

    day = (at + timedelta(hours=24)).date()
    assert {grant.status_index >> 20 for grant in grants} <= set(status_list.numbers_of(day))
    assert len({grant.status_index for grant in grants}) == 20


def test_issue_grant__place_taken__draws_another(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    taken = index_of(phone.grant(at=at))
    draws = iter([taken, taken, taken ^ 1])
    monkeypatch.setattr(status_list, "draw_index", lambda expires_at: next(draws))

    second = phone.grant(at=at)

    assert index_of(second) == taken ^ 1


def test_issue_grant__no_place_free__refused_and_nothing_issued(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    taken = index_of(phone.grant(at=at))
    monkeypatch.setattr(status_list, "draw_index", lambda expires_at: taken)

    with pytest.raises(status_list.ListsFull):
        phone.grant(at=at)

    assert Grant.objects.count() == 1


def test_issue_grant__twenty_threads_in_one_crowded_list__each_its_own_place(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    phones = [phone, *(city.make_phone(number, at=at) for number in range(1, 20))]
    base = status_list.numbers_of(at.date())[0] << 20
    keys.current_signer(at=at)
    chance = status_list.secrets.randbelow
    monkeypatch.setattr(status_list, "draw_index", lambda expires_at: base + chance(60))

    found = together(20, lambda index: phones[index].grant(at=at))

    assert [each for each in found if isinstance(each, Exception)] == []
    assert Grant.objects.values("status_index").distinct().count() == 20


# What a list says


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ([], 0),
        (["all"], 2),
        (["pay"], 3),
        (["bus"], 12),
        (["door"], 13),
        (["pay", "bus"], 14),
        (["pay", "door"], 15),
        (["bus", "door"], 15),
        (["pay", "bus", "door"], 15),
        (["all", "pay"], 2),
    ],
)
def test_suspended__the_list_says_so_and_again_valid_when_lifted(
    phone: city.Phone, grant: city.HeldGrant, at: datetime, scopes: list[str], expected: int
):
    resident_id = phone.device.resident_id

    made = [
        suspensions.suspend(
            resident_id=resident_id, source="risk", scope=scope, reason="t", actor="t", at=at
        )
        for scope in scopes
    ]
    status_list.sign_due(at=at)
    outbox.deliver_due(at=at)

    assert published(index_of(grant), at=at) == expected
    for each in made:
        suspensions.lift(suspension_id=each.id, sources={"risk"}, actor="t", at=at)
    outbox.deliver_due(at=at)
    assert published(index_of(grant), at=at) == 0
    assert StatusEntry.objects.count() == 0


def test_grant_issued_while_paying_is_suspended__starts_blocked(phone: city.Phone, at: datetime):
    suspensions.suspend(
        resident_id=phone.device.resident_id, source="risk", scope="pay", reason="t", actor="t",
        at=at,
    )  # fmt: skip

    grant = phone.grant(at=at)
    status_list.sign_due(at=at)

    assert published(index_of(grant), at=at) == 3


def test_status_of__device_frozen_or_account_closed__revoked(
    phone: city.Phone, grant: city.HeldGrant
):
    row = Grant.objects.select_related("resident", "device").get(handle=grant.handle)

    row.device.state = "frozen"
    assert status_list.status_of(row) == 1
    row.device.state, row.resident.state = "active", "closed"
    assert status_list.status_of(row) == 1
    row.resident.state = "suspended"
    assert status_list.status_of(row) == 2
    row.resident.state, row.resident.suspended_scenes = "active", 16
    assert status_list.status_of(row) == 15


# Signing


def test_sign_due__first_run__three_days_of_lists_and_then_nothing(db: None, at: datetime):
    at = at.replace(hour=12)  # no day ends meanwhile
    first = status_list.sign_due(at=at)
    again = status_list.sign_due(at=at + timedelta(seconds=239))
    later = status_list.sign_due(at=at + timedelta(seconds=240))

    assert (first, again, later) == (12, 0, 12)
    assert StatusShard.objects.count() == 12


def test_sign_changed__one_grant__only_its_list(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)
    before = dict(StatusShard.objects.values_list("number", "token"))

    suspensions.suspend(
        resident_id=phone.device.resident_id, source="risk", scope="bus", reason="t", actor="t",
        at=at,
    )  # fmt: skip
    assert dict(StatusShard.objects.values_list("number", "token")) == before
    outbox.deliver_due(at=at)

    after = dict(StatusShard.objects.values_list("number", "token"))
    changed = [number for number in before if bytes(before[number]) != bytes(after[number])]
    assert changed == [index_of(grant) >> 20]


def test_sign_due__event_lost__found_when_the_time_is_up(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)
    StatusEntry.objects.create(index=index_of(grant), value=1)
    later = at + status_list.SIGN_EVERY

    status_list.sign_due(at=later)

    assert published(index_of(grant), at=later) == 1


def test_sign_due__nothing_changed__not_packed_again(
    db: None, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    at = at.replace(hour=12)  # no day ends meanwhile
    status_list.sign_due(at=at)
    monkeypatch.setattr(status_format, "pack", lambda statuses: pytest.fail("packed again"))

    assert status_list.sign_due(at=at + timedelta(minutes=5)) == 12


def test_sign_due__day_over__its_lists_and_places_dropped(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)
    StatusEntry.objects.create(index=index_of(grant), value=1)
    StatusEntry.objects.create(index=(index_of(grant) + (16 << 20)) % 2**32, value=1)

    status_list.sign_due(at=at + timedelta(days=2))

    assert StatusEntry.objects.count() == 1
    numbers = set(StatusShard.objects.values_list("number", flat=True))
    assert not numbers & set(status_list.numbers_of((at + timedelta(days=1)).date()))
    with pytest.raises(NotFound):
        status_list.find_list(number=index_of(grant) >> 20, at=at + timedelta(days=2))


def test_sign__ten_at_once__one_list_and_the_newest_places(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    keys.current_signer(at=at)
    StatusEntry.objects.create(index=index_of(grant), value=12)

    found = together(10, lambda _: status_list.sign_due(at=at))

    assert [each for each in found if isinstance(each, Exception)] == []
    assert published(index_of(grant), at=at) == 12


# Over HTTP


def test_status_lists__over_http__type_tag_and_age(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)
    number = index_of(grant) >> 20

    answer = city.send("GET", f"{PATH}{number}", None, {})

    token = bytes(StatusShard.objects.get(number=number).token)
    assert (answer.status_code, answer.content) == (200, token)
    assert answer["Content-Type"] == "application/statuslist+cwt"
    assert answer["ETag"] == f'"{sha256(token).hexdigest()[:32]}"'
    assert answer["Cache-Control"].startswith("public, max-age=2")
    found = status_format.decode_list(token)
    assert found.subject == f"{settings.PUBLIC_URL}{PATH}{number}"
    assert found.expires_at - found.issued_at == 86400


def test_status_lists__same_again__304_without_a_body(db: None, at: datetime):
    status_list.sign_due(at=at)
    number = status_list.numbers_of(at.date())[0]
    first = city.send("GET", f"{PATH}{number}", None, {})

    again = city.send("GET", f"{PATH}{number}", None, {"If-None-Match": first["ETag"]})
    other = city.send("GET", f"{PATH}{number}", None, {"If-None-Match": '"other"'})

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize("number", ["4096", "99999999999999999999"])
def test_status_lists__not_published__404(db: None, at: datetime, number: str):
    assert city.problem(city.send("GET", f"{PATH}{number}", None, {})) == (404, "object.not_found")


def test_status_lists__one_statement(db: None, at: datetime):
    status_list.sign_due(at=at)
    number = status_list.numbers_of(at.date())[0]

    with statements() as sent:
        city.send("GET", f"{PATH}{number}", None, {})

    assert len(sent) == 1, sent


def test_refresh__nothing_changed__nothing_written(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    with statements() as sent, transaction.atomic():
        status_list.refresh(resident_id=phone.device.resident_id, at=at)

    assert len(sent) == 3, sent
