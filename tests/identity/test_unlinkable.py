"""Two scanners that keep all they see of codes can't tell one phone from two strangers' phones."""

from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

import base45
import cbor2
import pytest

from identity import status_list
from identity.models import Grant
from tests import city
from tests.identity.test_server_codes import issue
from vpass.common.encodings import b64url_decode

pytestmark = pytest.mark.django_db(transaction=True)


def leaves(value: Any) -> set[Any]:
    """Every number, text and byte string in a value, those inside encoded payloads too."""
    if isinstance(value, dict):
        return set().union(*(leaves(each) for each in value.values()), set(value))
    if isinstance(value, list | tuple):
        return set().union(*(leaves(each) for each in value))
    if isinstance(value, bytes) and len(value) > 64:
        return {value} | leaves(cbor2.loads(value))
    return {value}


def seen_in(code: str) -> set[Any]:
    """All that a scanner has of a code."""
    items = cbor2.loads(base45.b45decode(code[4:]))
    payloads = [cbor2.loads(item[2]) for item in items]
    return leaves([list(item) for item in items]) | leaves(payloads)


def test_codes__of_two_grants_of_one_phone__share_no_more_than_strangers(
    phone: city.Phone, at: datetime
):
    stranger = city.make_phone(1, at=at)
    mine = [seen_in(phone.grant(at=at).code(at)) for _ in range(6)]
    theirs = [seen_in(stranger.grant(at=at).code(at)) for _ in range(6)]

    strangers = set().union(*(one & other for one in mine for other in theirs))
    own = set().union(*(one & other for one, other in combinations(mine, 2)))

    # The list number is a small number of the day's own; nothing else is ever shared.
    assert own == strangers
    assert all(not isinstance(each, bytes) or len(each) <= 9 for each in own), own


def test_places__of_one_phone__say_nothing_of_one_another(phone: city.Phone, at: datetime):
    for _ in range(40):
        phone.grant(at=at)

    places = sorted(
        index & 0xFFFFF for index in Grant.objects.values_list("status_index", flat=True)
    )

    gaps = [high - low for low, high in pairwise(places)]
    assert sum(gap < 100 for gap in gaps) < 5, "places drawn by chance do not cluster"
    assert len({index >> 20 for index in Grant.objects.values_list("status_index", flat=True)}) > 1


def test_server_codes__of_one_phone__share_no_more_than_strangers(phone: city.Phone, at: datetime):
    stranger = city.make_phone(1, at=at)
    mine, theirs = (
        [
            set(issue(each, at=at).split(".")[1:])
            | {b64url_decode(issue(each, at=at).split(".")[0])}
            for _ in range(3)
        ]
        for each in (phone, stranger)
    )

    strangers = set().union(*(one & other for one in mine for other in theirs))
    own = set().union(*(one & other for one, other in combinations(mine, 2)))

    assert own == strangers
    assert len(own) == 1, "the header with the city's key alone"


def test_lists__name_nobody_and_hold_only_places(phone: city.Phone, at: datetime):
    grant = phone.grant(at=at)
    status_list.sign_due(at=at)
    index = int(Grant.objects.get(handle=grant.handle).status_index)

    token = bytes(status_list.find_list(number=index >> 20, at=at).token)

    for secret in (grant.handle, phone.device.resident_id.bytes, phone.device.id.bytes):
        assert secret not in token
