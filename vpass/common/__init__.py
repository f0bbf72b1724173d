"""What every floor stands on: errors, time, money, signatures, idempotency, outbox, callers."""
