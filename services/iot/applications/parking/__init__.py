"""Parking: a sensor says that a bay is taken and free again, the driver claims the stay, and what
it costs is charged through Cloud Pay.

Stays are a pure function of the bay's events, and fees of the stays, so the order of arrival is of
no account. A stay is settled a while after its end (`settings.PARKING_SETTLE_AFTER_S`): until then
late readings still shape it. From then on stay and fee stand for good, it is charged once, and what
would come out otherwise by later readings is stated beside it and never charged.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from services.iot.applications.parking.stays import OCCUPIED_SQL, SERVICE, read_occupied
from services.iot.city_application import CityApplication, Heard
from vpass.common import outbox

BAY_HEARD = "iot.bay_heard"


# Of several words of one moment "free" comes first, as in stays_in. The words heard now are events
# already, and the twins are locked: whoever wrote others of these devices has committed.
_NEWS = f"""
SELECT DISTINCT b.id::text
FROM unnest(%(devices)s, %(moments)s, %(words)s) AS h (device, moment, word)
    JOIN iot_parkingbay b ON b.device_id = h.device
WHERE h.word IS DISTINCT FROM COALESCE((
    SELECT is_occupied FROM (
        SELECT event_time, {OCCUPIED_SQL} AS is_occupied FROM iot_event
        WHERE device_id = h.device AND service = %(service)s AND event_time <= h.moment
    ) said
    WHERE is_occupied IS NOT NULL AND (event_time < h.moment OR (h.word AND NOT is_occupied))
    ORDER BY event_time DESC, is_occupied DESC LIMIT 1
), false) ORDER BY 1
"""  # noqa: S608  a constant


def hear(heard: Sequence[Heard], at: datetime) -> None:
    """Tell each bay whose sensor has said something else than just before: all other words leave
    its stays as they are."""
    said = [(each, read_occupied(each.props)) for each in heard]
    words = [(each, word) for each, word in said if word is not None]
    if not words:
        return
    values: dict[str, Any] = {
        "devices": [each.device_id for each, _ in words],
        "moments": [each.event_time for each, _ in words],
        "words": [word for _, word in words],
        "service": SERVICE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, values)
        bays = [bay for (bay,) in cursor.fetchall()]
    for bay in bays:
        outbox.publish(BAY_HEARD, {"bay": bay}, at=at)


PARKING = CityApplication(services=frozenset({SERVICE}), on_readings=hear)
