"""Those who pay in other ways: the phone, the till and the finance office, each with more to do.

As in `actors`, methods return the Reply as it came, refusals included.
"""

from dataclasses import dataclass

from vpass.day.actors import Phone, new_key
from vpass.day.payment_actors import FINANCE, FinanceOfficer, Till
from vpass.day.transport import Reply


@dataclass
class PayerPhone:
    """What a resident's phone does to pay without the one code."""

    phone: Phone

    def pay_code(self) -> Reply:
        """Fetches 18 digits for a till that reads bars."""
        return self.phone.send("POST", "/pay-codes", {}, idempotency_key=new_key())

    def scan(self, text: str, *, amount_fen: int | None = None) -> Reply:
        """Scans a merchant's QR, or follows a link; a printed one takes the payer's amount."""
        body = {"text": text} | ({} if amount_fen is None else {"amount_fen": amount_fen})
        return self.phone.send("POST", "/scanned-payments", body, idempotency_key=new_key())


@dataclass
class QrTill:
    """A till that shows QRs instead of scanning."""

    till: Till

    def show_qr(self, *, amount_fen: int, title: str, reference: str) -> Reply:
        """Makes a QR for one amount."""
        body = {
            "form": "dynamic",
            "amount_fen": amount_fen,
            "title": title,
            "merchant_reference": reference,
        }
        return self.till.send("POST", "/qr-codes", body, key=new_key())

    def qr(self, qr_id: str) -> Reply:
        """How a QR stands, with its payment."""
        return self.till.send("GET", f"/qr-codes/{qr_id}")


@dataclass
class RiskDesk:
    """An accountant who looks through the queue of risk."""

    officer: FinanceOfficer

    def open_cases(self) -> Reply:
        """What waits for a decision."""
        return self.officer.send("GET", "/risk-cases?state=open", part=FINANCE)

    def decide(self, case_id: str, *, is_fraud: bool) -> Reply:
        """Decides a case."""
        path = f"/risk-cases/{case_id}/decision"
        return self.officer.send(
            "POST", path, {"is_fraud": is_fraud}, idempotency_key=new_key(), part=FINANCE
        )
