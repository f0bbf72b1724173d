"""Those whose things speak for themselves: a driver whose car stands in a bay with a sensor."""

from dataclasses import dataclass, field
from datetime import datetime

from vpass.day.actors import Phone, new_key
from vpass.day.transport import Reply


@dataclass
class Driver:
    """The resident whose phone this is, with a car."""

    phone: Phone

    def claim(self, bay_code: str) -> Reply:
        """Says that the car in this bay is the driver's."""
        body = {"bay_code": bay_code}
        return self.phone.send("POST", "/parking/claims", body, idempotency_key=new_key())

    def stays(self) -> Reply:
        """Where the driver has parked, newest first."""
        return self.phone.send("GET", "/parking/sessions")

    def stay(self, stay_id: str) -> Reply:
        """How one stay stands."""
        return self.phone.send("GET", f"/parking/sessions/{stay_id}")

    def debts(self) -> Reply:
        """What the driver owes, the oldest first."""
        return self.phone.send("GET", "/charges")


@dataclass
class Parking:
    """The day's driver, and the stay in the day's bay."""

    driver: Driver
    began_at: datetime | None = None
    reported: list[datetime] = field(default_factory=list)  # of what; acknowledged
    stay_id: str = ""
    fee_fen: int = 0
    balance_fen: int = 0  # before the fee
