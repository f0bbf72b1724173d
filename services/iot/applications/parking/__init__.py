"""Parking: a sensor says that a bay is taken and free again, the driver claims the stay, and what
it costs is charged through Cloud Pay.

Stays are a pure function of the bay's events, and fees of the stays, so the order of arrival is of
no account. A stay is settled a while after its end (`settings.PARKING_SETTLE_AFTER_S`): until then
late readings still shape it. From then on stay and fee stand for good, it is charged once, and what
would come out otherwise by later readings is stated beside it and never charged.
"""

from collections.abc import Sequence
from datetime import datetime

from services.iot.applications.parking.stays import SERVICE, read_occupied
from services.iot.city_application import CityApplication, Heard
from services.iot.models import ParkingBay
from vpass.common import outbox

BAY_HEARD = "iot.bay_heard"


def hear(heard: Sequence[Heard], at: datetime) -> None:
    """Tell each bay whose sensor has spoken."""
    devices = {each.device_id for each in heard if read_occupied(each.props) is not None}
    bays = ParkingBay.objects.filter(device_id__in=devices).order_by("id")
    for bay_id in bays.values_list("id", flat=True):
        outbox.publish(BAY_HEARD, {"bay": bay_id}, at=at)


PARKING = CityApplication(services=frozenset({SERVICE}), on_readings=hear)
