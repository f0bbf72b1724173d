"""The rows of Cloud Pay."""

from payments.models.banking import (
    Bank,
    BankWork,
    BankWorkChange,
    CreditNotice,
    Debit,
    DebitChange,
    FundingSource,
    PaymentSource,
    Payout,
    PayoutChange,
    TopUpNumber,
)
from payments.models.charges import Charge, ChargeChange
from payments.models.ledger import (
    Account,
    AccountLine,
    Balance,
    Hold,
    LedgerSeal,
    Posting,
    Transaction,
)
from payments.models.orders import Merchant, Order, OrderChange, Refund
from payments.models.settlement import Proposal, SettlementLine, Window, WindowChange

__all__ = [
    "Account",
    "AccountLine",
    "Balance",
    "Bank",
    "BankWork",
    "BankWorkChange",
    "Charge",
    "ChargeChange",
    "CreditNotice",
    "Debit",
    "DebitChange",
    "FundingSource",
    "Hold",
    "LedgerSeal",
    "Merchant",
    "Order",
    "OrderChange",
    "PaymentSource",
    "Payout",
    "PayoutChange",
    "Posting",
    "Proposal",
    "Refund",
    "SettlementLine",
    "TopUpNumber",
    "Transaction",
    "Window",
    "WindowChange",
]
