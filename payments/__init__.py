"""Cloud Pay: ledger, orders, settlement, banks, loans."""
