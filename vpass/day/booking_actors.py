"""Those who meet at the counter: a resident's appointments in the phone, and the receptionist.

As in `actors`, methods return the Reply as it came, refusals included.
"""

from dataclasses import dataclass

from vpass.day.actors import Clerk, Phone, new_key
from vpass.day.transport import Reply


@dataclass
class Appointments:
    """The appointments of the resident whose phone this is."""

    phone: Phone

    def services(self) -> Reply:
        """What the city's counters offer."""
        return self.phone.send("GET", "/services")

    def slots(self, service_id: str) -> Reply:
        """The next slots of a service."""
        return self.phone.send("GET", f"/services/{service_id}/slots")

    def hold(self, slot_id: str) -> Reply:
        """Holds a seat."""
        body = {"slot_id": slot_id}
        return self.phone.send("POST", "/bookings", body, idempotency_key=new_key())

    def confirm(self, booking_id: str) -> Reply:
        """Books the seat that is held."""
        return self._step(booking_id, "confirmation")

    def cancel(self, booking_id: str) -> Reply:
        """Gives the seat back."""
        return self._step(booking_id, "cancellation")

    def show(self, booking_id: str) -> Reply:
        """How a booking stands."""
        return self.phone.send("GET", f"/bookings/{booking_id}")

    def _step(self, booking_id: str, step: str) -> Reply:
        path = f"/bookings/{booking_id}/{step}"
        return self.phone.send("POST", path, {}, idempotency_key=new_key())


class Receptionist(Clerk):
    """A clerk at a check-in desk, who also calls people from the queue."""

    def check_in(self, code: str, *, walk_in_service: str | None = None) -> Reply:
        """Checks the holder of a code in."""
        body = {"code": code, "walk_in_service": walk_in_service}
        return self.send("POST", "/check-ins", body, idempotency_key=new_key())

    def queue(self) -> Reply:
        """Who waits, and who is at which desk."""
        return self.send("GET", "/queue")

    def call_next(self) -> Reply:
        """Calls the next to this desk."""
        return self.send("POST", "/queue/next", {}, idempotency_key=new_key())

    def ticket(self, ticket_id: str, step: str) -> Reply:
        """Takes a step with a ticket: recall, serve, finish or miss."""
        path = f"/tickets/{ticket_id}/{step}"
        return self.send("POST", path, {}, idempotency_key=new_key())
