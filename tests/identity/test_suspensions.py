"""A code is blocked for one scene while it stays good for others; each source lifts its own."""

from datetime import datetime
from typing import Any

import pytest

from identity import suspensions
from identity.models import AccessLine, Entitlement, Redemption, Resident, Staff, Suspension
from tests import city
from tests.identity.test_lost_phones import as_role, told
from tests.shop import open_shop
from tests.together import together
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/suspensions"


def suspend(phone: city.Phone, scope: str, *, source: str = "risk", at: datetime) -> Suspension:
    return suspensions.suspend(
        resident_id=phone.device.resident_id,
        source=source,
        scope=scope,
        reason="test",
        actor="test",
        at=at,
    )


@pytest.mark.parametrize("scene", ["bus", "door"])
def test_suspended_scene__refused_with_its_own_reason_while_the_id_stays_good(
    phone: city.Phone,
    grant: city.HeldGrant,
    counter: city.DeskBrowser,
    at: datetime,
    scene: str,
):
    organisation = city.make_organisation("公交公司")
    Entitlement.objects.filter(organisation=organisation).update(scene=scene)
    scanner = city.make_terminal(organisation, scene=scene)
    suspend(phone, scene, at=at)

    refused = scanner.scan(grant.code(at))
    accepted = counter.scan(grant.code(at))

    assert city.problem(refused) == (403, f"code.{scene}_suspended")
    assert accepted.status_code == 200
    line = AccessLine.objects.get(outcome="refused")
    assert (line.reason, line.fields) == (f"code.{scene}_suspended", [])
    assert Redemption.objects.count() == 2, "a code that was refused is used up"


def test_suspended_paying__the_till_is_refused_and_no_money_moves(
    phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    shop = open_shop()
    suspend(phone, "pay", at=at)
    body = {
        "code": grant.code(at), "amount_fen": 100, "title": "t", "merchant_reference": "r-1",
    }  # fmt: skip

    answer = shop.till.send("POST", "/api/merchant/v1/payments", body, key=city.new_key())

    assert city.problem(answer) == (403, "code.pay_suspended")
    lifted = Suspension.objects.get()
    suspensions.lift(suspension_id=lifted.id, sources={"risk"}, actor="t", at=at)
    body["code"], body["merchant_reference"] = grant.code(at), "r-2"
    answer = shop.till.send("POST", "/api/merchant/v1/payments", body, key=city.new_key())
    assert answer.status_code != 403, answer.content


def test_suspended_whole__nothing_is_accepted_and_no_grant_issued(
    phone: city.Phone, grant: city.HeldGrant, counter: city.DeskBrowser, at: datetime
):
    suspend(phone, "all", at=at)

    assert city.problem(counter.scan(grant.code(at))) == (403, "code.suspended")
    assert phone.send("GET", f"{city.RESIDENT}/me").json()["state"] == "suspended"


def test_lift__two_sources__closed_until_both_have_lifted(
    phone: city.Phone, grant: city.HeldGrant, counter: city.DeskBrowser, at: datetime
):
    one, two = (suspend(phone, "all", source=source, at=at) for source in ("risk", "police"))

    with pytest.raises(suspensions.SuspensionOfAnother):
        suspensions.lift(suspension_id=one.id, sources={"police"}, actor="t", at=at)
    suspensions.lift(suspension_id=one.id, sources={"risk"}, actor="t", at=at)
    still = counter.scan(grant.code(at))
    suspensions.lift(suspension_id=two.id, sources={"police"}, actor="t", at=at)

    assert city.problem(still) == (403, "code.suspended")
    assert counter.scan(grant.code(at)).status_code == 200
    assert Resident.objects.get().state == "active"


def test_suspend__same_source_and_scope_again__one_row(phone: city.Phone, at: datetime):
    assert suspend(phone, "pay", at=at).id == suspend(phone, "pay", at=at).id
    assert Suspension.objects.count() == 1


def test_suspend__twenty_threads__one_row_and_the_right_sum(phone: city.Phone, at: datetime):
    scopes = ["pay", "bus", "door", "all"]

    found = together(20, lambda index: suspend(phone, scopes[index % 4], at=at))

    assert [each for each in found if isinstance(each, Exception)] == []
    assert Suspension.objects.count() == 4
    resident = Resident.objects.get()
    assert (resident.suspended_scenes, resident.state) == (2 | 4 | 8, "suspended")


def test_suspend_and_lift__at_once__the_sum_is_what_is_in_force(phone: city.Phone, at: datetime):
    kept = {scope: suspend(phone, scope, at=at) for scope in ("pay", "bus")}

    def work(index: int) -> Any:
        if index % 2:
            return suspensions.lift(
                suspension_id=kept["pay"].id, sources={"risk"}, actor="t", at=at
            )
        return suspend(phone, "door", source="police", at=at)

    found = together(8, work)

    assert [each for each in found if isinstance(each, Exception)] == []
    assert Resident.objects.get().suspended_scenes == 4 | 8


def test_suspend__closed_or_missing_account__not_found(phone: city.Phone, at: datetime):
    Resident.objects.update(state="closed")

    with pytest.raises(NotFound):
        suspend(phone, "pay", at=at)
    assert Suspension.objects.count() == 0


@pytest.mark.parametrize(
    ("scope", "scene", "expected"),
    [("pay", "pay", True), ("pay", "bus", False), ("all", "bus", True), ("door", "id", False)],
)
def test_is_suspended__by_scene(
    phone: city.Phone, at: datetime, scope: str, scene: str, expected: bool
):
    suspend(phone, scope, at=at)

    found = suspensions.is_suspended(resident_id=phone.device.resident_id, scene=scene)

    assert found is expected


# Over HTTP


def test_own__set_listed_and_lifted(phone: city.Phone, at: datetime):
    made = phone.send("POST", PATH, {"scope": "bus"}).json()
    listed = phone.send("GET", PATH).json()["suspensions"]
    lifted = phone.send("POST", f"{PATH}/{made['id']}/lift").json()

    assert listed == [made]
    assert (made["source"], made["scope"], made["state"]) == ("holder", "bus", "in_force")
    assert (lifted["id"], lifted["state"]) == (made["id"], "lifted")
    assert phone.send("GET", PATH).json() == {"suspensions": []}


def test_own__lifts_neither_the_police_nor_another_person(phone: city.Phone, at: datetime):
    by_police = suspend(phone, "pay", source="police", at=at)
    stranger = city.make_phone(1, at=at)

    mine = phone.send("POST", f"{PATH}/{by_police.id}/lift")
    theirs = stranger.send("POST", f"{PATH}/{by_police.id}/lift")

    assert city.problem(mine) == (403, "suspension.of_another_source")
    assert city.problem(theirs) == (404, "object.not_found")
    assert Resident.objects.get(id=phone.device.resident_id).suspended_scenes == 2


def test_staff__source_is_one_of_their_roles(phone: city.Phone, counter: city.DeskBrowser):
    desk = as_role(counter, "risk")
    path, asked = f"{city.COUNTER}/suspensions", told() | {"source": "risk", "scope": "pay"}

    foreign = desk.send("POST", path, asked | {"source": "police"})
    made = desk.send("POST", path, asked)
    Staff.objects.update(roles=["police"])
    not_theirs = desk.send("POST", f"{path}/lift", asked)
    nothing = desk.send("POST", f"{path}/lift", asked | {"source": "police"})
    Staff.objects.update(roles=["risk"])
    lifted = desk.send("POST", f"{path}/lift", asked)

    assert city.problem(foreign) == city.problem(not_theirs) == (403, "caller.role_missing")
    assert (made.json()["source"], made.json()["state"]) == ("risk", "in_force")
    assert city.problem(nothing) == (404, "object.not_found")
    assert lifted.json()["state"] == "lifted"
    assert [line.purpose for line in AccessLine.objects.order_by("id")] == [
        "suspension.pay",
        "lifting.pay",
    ]
