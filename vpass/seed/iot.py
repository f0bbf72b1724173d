"""The demo city's parking: an operator, two bays, and the sensors in them."""

from datetime import datetime

from identity.models import Organisation
from payments import merchants
from payments.models import Bank
from services.iot.models import Device, ParkingBay, ParkingTariff, Twin
from vpass.seed.people import open_organisation

SOURCE = "sandbox"


def open_parking(city: Organisation, *, bank: Bank, at: datetime) -> None:
    """The operator, with a bay for people to try and one for the day, whose sensor the day's
    platform speaks for."""
    operator = open_organisation(
        city, "merchant", "潍坊市停车服务中心", "Weifang Parking Services", scene="pay"
    )
    merchants.open_merchant(
        organisation=operator, bank=bank, payout_account="tok_weifang_parking_5521"
    )
    street = ParkingTariff.objects.create(
        name="street", free_minutes=15, half_hour_fen=200, day_cap_fen=2_000
    )
    hospital = ParkingTariff.objects.create(
        name="hospital", free_minutes=0, half_hour_fen=200, day_cap_fen=1_500
    )
    for code, device_id, tariff, place in (
        ("A-017", "bay-a-017", street, ("胜利东街北侧", "Shengli East Street, north side")),
        ("D-001", "bay-d-001", hospital, ("市人民医院东门", "People's Hospital, east gate")),
    ):
        device = Device.objects.create(source=SOURCE, external_id=device_id, heard_at=at)
        Twin.objects.create(device=device)
        ParkingBay.objects.create(
            code=code,
            device=device,
            operator=operator,
            tariff=tariff,
            location_zh=place[0],
            location_en=place[1],
        )
