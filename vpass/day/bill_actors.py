"""A resident who has bills to pay, and whoever wants to know whether a receipt is genuine."""

import json
from dataclasses import dataclass, field
from typing import Any

from vpass.day.actors import Phone, new_key
from vpass.day.transport import Reply

CHECKS = "/api/public/v1"


@dataclass
class Billing:
    """The resident whose phone this is, the biller's log-in, and the bill of the day."""

    phone: Phone
    login: dict[str, str]
    bill: Any = None
    receipt: Any = None
    payments: list[str] = field(default_factory=list)

    def owed(self) -> Reply:
        """Everything the resident owes, the earliest due first."""
        return self.phone.send("GET", "/owed")

    def show(self, bill_id: str) -> Reply:
        """One bill."""
        return self.phone.send("GET", f"/bills/{bill_id}")

    def pay(self, notice_code: str, amount_fen: int) -> Reply:
        """Opens a payment of a bill."""
        body = {"notice_code": notice_code, "amount_fen": amount_fen}
        return self.phone.send("POST", "/bill-payments", body, idempotency_key=new_key())

    def fetch_receipt(self, payment_id: str) -> Reply:
        """The receipt of one of the resident's payments."""
        return self.phone.send("GET", f"/bill-payments/{payment_id}/receipt")

    def check(self, receipt_code: str) -> Reply:
        """What anybody learns of a receipt by its verification code."""
        return self.phone.transport.send("GET", f"{CHECKS}/receipts/{receipt_code}", headers={})

    def check_content(self, content: str, signature: str) -> Reply:
        """What anybody learns of a receipt by its signed content."""
        body = json.dumps({"content": content, "signature": signature}).encode()
        headers = {"content-type": "application/json"}
        return self.phone.transport.send(
            "POST", f"{CHECKS}/receipt-checks", headers=headers, body=body
        )
