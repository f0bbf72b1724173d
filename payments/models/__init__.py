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
from payments.models.ledger import Account, Balance, Hold, Posting, Transaction
from payments.models.orders import Merchant, Order, OrderChange, Refund
from payments.models.paying import (
    MerchantQr,
    PayCode,
    PayCodeFailure,
    PayerHandle,
    PaymentLimit,
    PaymentPin,
    RiskCase,
    RiskRule,
    Spending,
)
from payments.models.settlement import Proposal, SettlementLine, Window, WindowChange

__all__ = [
    "Account",
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
    "Merchant",
    "MerchantQr",
    "Order",
    "OrderChange",
    "PayCode",
    "PayCodeFailure",
    "PayerHandle",
    "PaymentLimit",
    "PaymentPin",
    "PaymentSource",
    "Payout",
    "PayoutChange",
    "Posting",
    "Proposal",
    "Refund",
    "RiskCase",
    "RiskRule",
    "SettlementLine",
    "Spending",
    "TopUpNumber",
    "Transaction",
    "Window",
    "WindowChange",
]
