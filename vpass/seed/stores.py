"""The stores of the demo city's merchants."""

from identity.models import Organisation, Store


def open_store(
    organisation: Organisation,
    zh: str,
    en: str,
    address: str,
    *,
    point: tuple[float, float],
    code: str = "S01",
) -> Store:
    """A store of a merchant's; the point is its longitude and latitude."""
    longitude, latitude = point
    return Store.objects.create(
        organisation=organisation,
        code=code,
        name_zh=f"{organisation.name_zh}{zh}",
        name_en=f"{organisation.name_en}, {en}",
        address=address,
        longitude=longitude,
        latitude=latitude,
    )
