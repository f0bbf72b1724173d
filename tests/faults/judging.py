"""Holds a stack to what its clients and its bank were told, and says how it came out."""

from tests.faults.stage import Stage

# What may stand there of the town's residents only if a client was told so in the end. Those of the
# citizen's day see for themselves.
_STORED = {
    "payment": "SELECT id FROM payments_order"
    " WHERE state <> 'failed' AND payer_id = ANY (%s::uuid[])",
    "refund": "SELECT r.id FROM payments_refund r JOIN payments_order o ON o.id = r.order_id"
    " WHERE o.payer_id = ANY (%s::uuid[])",
    "withdrawal": "SELECT id FROM payments_payout"
    " WHERE purpose = 'withdrawal' AND resident_id = ANY (%s::uuid[])",
    "top_up_by_card": "SELECT id FROM payments_debit"
    " WHERE purpose = 'top_up' AND resident_id = ANY (%s::uuid[])",
}


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


def judge(stage: Stage) -> list[str]:
    """What clients and bank say against us, now that everything rests."""
    oracle, totals = stage.oracle, stage.town.bank.totals()
    found = [f"undecided: {each}" for each in oracle.undecided]
    found += [f"contradicted: {each}" for each in oracle.contradicted]
    found += [f"answered {each}" for each in oracle.faults if each.startswith("500")]
    residents = [wallet.resident_id for wallet in stage.town.wallets]
    for work, statement in _STORED.items():
        known = {each["id"] for each in oracle.told() if each["work"] == work}
        found += [
            f"{work} {row[0]} that nobody was told of"
            for row in stage.read(statement, residents)
            if str(row[0]) not in known
        ]
    for kind in ("payout", "debit"):
        states = dict(stage.read(f"SELECT state, count(*) FROM payments_{kind} GROUP BY state"))
        found += [] if states == totals[f"{kind}s"] else [f"{kind}s: {states}, the bank {totals}"]
    return found
