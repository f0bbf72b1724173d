"""The city applications: a new one is one file, and one line in CITY_APPLICATIONS."""

from collections.abc import Mapping

from services.iot.applications import parking
from services.iot.city_application import CityApplication

CITY_APPLICATIONS: Mapping[str, CityApplication] = {
    "parking": parking.PARKING,
}
