"""States change by their table, and each change is written down."""

from datetime import datetime

import pytest

from identity import states
from identity.history import change_state
from identity.models import Device, StateChange
from tests import city
from vpass.common.states import IllegalTransition

pytestmark = pytest.mark.django_db(transaction=True)


def test_change_state__along_an_edge__row_and_history(phone: city.Phone, at: datetime):
    change_state(phone.device, "frozen", table=states.DEVICE, actor="resident:1", at=at)

    assert Device.objects.get().state == "frozen"
    assert StateChange.objects.values().get() | {"id": 0} == {
        "id": 0,
        "object_kind": "device",
        "object_id": str(phone.device.id),
        "from_state": "active",
        "to_state": "frozen",
        "event": "freeze",
        "actor": "resident:1",
        "at": at,
    }


def test_change_state__no_such_edge__refused_and_nothing_written(phone: city.Phone, at: datetime):
    change_state(phone.device, "ended", table=states.DEVICE, actor="resident:1", at=at)

    with pytest.raises(IllegalTransition):
        change_state(phone.device, "active", table=states.DEVICE, actor="resident:1", at=at)

    assert Device.objects.get().state == "ended"
    assert StateChange.objects.count() == 1


def test_state__that_no_table_has__refused_by_the_database(phone: city.Phone):
    with pytest.raises(Exception, match="device_state"):
        Device.objects.update(state="lost")
