"""Shops and who goes shopping: a door that lets people in, and where they see it.

As in `actors`, methods return the Reply as it came, refusals included.
"""

from dataclasses import dataclass, field
from typing import Any

from vpass.day.actors import Phone, new_key
from vpass.day.payment_actors import Till
from vpass.day.transport import Reply


@dataclass
class Shopping:
    """The resident whose phone this is, the door of an unmanned shop, and a shop taken on today."""

    phone: Phone
    door: Till
    door_enrolment_code: str
    taken_on: Any = None  # the merchant, as accountants see it
    store_id: str = ""
    tills: list[Till] = field(default_factory=list)
    paid: Any = None

    def enter(self, code: str, *, reference: str, key: str | None = None) -> Reply:
        """Shows a code at the door."""
        body = {"code": code, "merchant_reference": reference}
        return self.door.send("POST", "/visits", body, key=key or new_key())

    def leave(self, visit_id: str, amount_fen: int, *, title: str, key: str | None = None) -> Reply:
        """Leaves with goods of this worth."""
        body = {"amount_fen": amount_fen, "title": title}
        return self.door.send("POST", f"/visits/{visit_id}/leaving", body, key=key or new_key())

    def visits(self) -> Reply:
        """The resident's visits, newest first."""
        return self.phone.send("GET", "/visits")
