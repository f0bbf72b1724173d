"""All that scanners get, by every route that takes a code, links nobody beyond their rights.

A scanner keeps the code's text and claims, and the whole answer with its headers. Two views of one
person are linked when they share a value that no other person's views have. Organisations pool
theirs, and each its own of two days.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import code_format
from identity.models import Entitlement, StaffSession
from payments.settlement import windows
from services import queueing
from tests import city, shop, wallets
from tests.contracts.test_access import endpoints
from tests.hall import COUNTER, open_hall
from tests.identity.test_disclosure_unlinkable import Views, leaves, linked
from tests.shops import make_door
from vpass.common import clock
from vpass.common.encodings import b64url_decode

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 3
SCANNER = ("counter", "terminal", "merchant", "department")
LOOKED_AT = {
    "api/counter/v1/scans",
    "api/counter/v1/check-ins",
    "api/terminal/v1/scans",
    "api/terminal/v1/bus-taps",
    "api/merchant/v1/payments",
    "api/merchant/v1/visits",
}
NEWS = ("X-Request-ID", "Content-Length")  # of the request, not of the person


@dataclass
class City:
    """Organisations with their scanners, and people with a bus card and money."""

    phones: list[city.Phone]
    scanners: dict[str, list[Callable[[str], Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def day(
        self, *, turn: int, held: Callable[[int], city.HeldGrant], names: Collection[str] = ()
    ) -> dict[str, Views]:
        """What organisations (all by default) have seen of people, who came in another order each
        `turn`."""
        seen: dict[str, Views] = {}
        for place, name in enumerate(names or self.scanners):
            views: Views = [set() for _ in range(PEOPLE)]
            for step in range(PEOPLE):
                person = (step + turn + place) % PEOPLE
                for scan in self.scanners[name]:
                    text = held(person).code(clock.now())
                    views[person] |= seen_by(text, scan(text))
            seen[name] = views
        return seen


def seen_by(text: str, answer: Any) -> set[str]:
    """All that a scanner has after one scan."""
    assert answer.status_code in (200, 201), answer.content
    code = code_format.read_code(text)
    claims = asdict(code.grant) | asdict(code.presentation)
    headers = {name: value for name, value in answer.headers.items() if name not in NEWS}
    return leaves(
        {"text": text, "jti": code.jti, **claims, "answer": answer.json(), "headers": headers}
    )


@pytest.fixture
def everybody(at: datetime) -> City:
    """Two halls, two shops and a bus company; none has a right to know people again."""
    made = City([city.make_phone(index, at=at) for index in range(PEOPLE)])
    windows.ensure_open(at=at)
    issuer = wallets.open_issuer()
    for number, phone in enumerate(made.phones):
        wallets.give_card(phone, issuer, number=f"3707002000{number}", at=at)
    for number in range(2):
        hall = open_hall(f"政务服务中心{number}")
        kiosk = city.make_terminal(hall.organisation, key_id=f"kiosk-{number}")
        counter = city.sign_in_clerk(
            city.make_desk(hall.organisation), username=f"clerk-{number}", at=at
        )
        reception = hall.desk(at=at)
        made.scanners[f"hall {number}"] = [
            lambda text, kiosk=kiosk: with_bundle(kiosk, kiosk.scan(text)),
            counter.scan,
            lambda text, reception=reception: reception.send(
                "POST",
                f"{COUNTER}/check-ins",
                {"code": text, "walk_in_service": "residence-permit"},
                key=city.new_key(),
            ),
        ]
    system = None
    for number in range(2):
        store = shop.open_shop(name=f"店{number}", key_id=f"till-{number}", system=system)
        system = store.system
        make_door(store, hold_fen=100)
        made.scanners[f"shop {number}"] = [
            store.till.pay,
            lambda text, door=store.till: door.send(
                "POST",
                f"{shop.MERCHANT}/visits",
                {"code": text, "merchant_reference": city.new_key()},
                key=city.new_key(),
            ),
        ]
    for phone in made.phones:
        shop.fill(store, phone, 1_000_000, at=at)
    made.scanners["bus"] = [wallets.open_bus(issuer).tap]
    Entitlement.objects.update(attributes=["over_18"], knows_holder=False)
    Entitlement.objects.filter(scene__in=("pay", "bus")).update(attributes=[])
    return made


def with_bundle(kiosk: city.Machine, answer: Any) -> Any:
    """The answer to a scan, and beside it all that this scanner is given to decide alone."""
    packed = kiosk.send("GET", f"{city.TERMINAL}/scanner-bundle").json()
    claims = json.loads(b64url_decode(packed["bundle"].split(".")[1]))
    together = answer.json() | {"bundle": claims, "version": packed["version"]}
    answer.json = lambda: together
    return answer


def fresh(everybody: City) -> Callable[[int], city.HeldGrant]:
    return lambda person: everybody.phones[person].grant(at=clock.now())


def test_routes__each_that_takes_a_code__is_looked_at():
    found = set()
    for route, view in endpoints().items():
        description = getattr(getattr(view, "post", None), "description", None)
        fields = description.request().fields if description and description.request else {}
        if route.split("/")[1] in SCANNER and any(
            getattr(fields.get(name), "max_length", None) == 2048 for name in ("code", "codes")
        ):
            found.add(route)
    assert found == LOOKED_AT


def test_organisations__pool_what_they_saw_and_keep_two_days__nobody_is_found_again(
    everybody: City, monkeypatch: pytest.MonkeyPatch
):
    first = everybody.day(turn=0, held=fresh(everybody))
    tomorrow(monkeypatch)
    second = everybody.day(turn=1, held=fresh(everybody))

    pairs = [(one, other) for one in first for other in first if one < other]
    assert len(pairs) == 10
    assert {pair: linked(first[pair[0]], first[pair[1]]) for pair in pairs} == dict.fromkeys(
        pairs, 0
    )
    assert {name: linked(first[name], second[name]) for name in first} == dict.fromkeys(first, 0)


def test_organisation__with_a_right_to_a_pseudonym__links_its_own_and_no_others(
    everybody: City, monkeypatch: pytest.MonkeyPatch
):
    """The twin, and how far the right goes."""
    Entitlement.objects.update(knows_holder=True)
    halls = ("hall 0", "hall 1")
    first = everybody.day(turn=0, held=fresh(everybody), names=halls)
    tomorrow(monkeypatch)
    second = everybody.day(turn=1, held=fresh(everybody), names=halls[:1])

    assert linked(first["hall 0"], second["hall 0"]) == PEOPLE
    assert linked(first["hall 0"], first["hall 1"]) == 0


def test_organisations__one_grant_for_all_of_a_day__would_find_everybody(everybody: City):
    """The twin: what the fresh grants are for, and that these tests would notice."""
    grants = [phone.grant(at=clock.now()) for phone in everybody.phones]

    seen = everybody.day(turn=0, held=grants.__getitem__, names=("shop 0", "shop 1", "bus"))

    assert linked(seen["shop 0"], seen["bus"]) == linked(seen["shop 0"], seen["shop 1"]) == PEOPLE


def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day passes; everybody is at work again."""
    moment = clock.now() + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: moment)
    StaffSession.objects.update(expires_at=moment + timedelta(minutes=30))
    queueing.close_old_tickets(at=moment)
