"""Registers the IoT city with Django."""

from django.apps import AppConfig

from vpass.common import contributions, outbox


class IotConfig(AppConfig):
    """Devices, twins and the city applications."""

    name = "services.iot"
    label = "iot"

    def ready(self) -> None:
        from identity import deletion, own_data
        from services.iot import dead_letters, personal
        from services.iot.applications.parking import BAY_HEARD, sessions

        outbox.subscribe(BAY_HEARD, "iot.parking", sessions.follow_bay)
        for name in sessions.CHARGE_FOLLOWED:
            outbox.subscribe(name, "iot.parking", sessions.follow_charge)
        contributions.register("purge_expired", "iot", dead_letters.purge)
        contributions.register(own_data.EXPORT, "iot", personal.export)
        contributions.register(deletion.OBLIGATIONS, "iot", personal.open_obligations)
