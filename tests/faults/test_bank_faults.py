"""A bank that is slow, down, lying, deaf or says it twice: nothing is paid twice, nothing hangs."""

import random
from dataclasses import replace

import pytest

from tests.faults.clients import new_key
from tests.faults.judging import judge, tell
from tests.faults.load import Client
from tests.faults.stage import Stage
from vpass import processes

FULL_ROUNDS = 10

# In this order four in a row fail, and the one after them goes well: the fifth would have the
# program leave the bank alone for ten seconds.
ANSWERS: list[tuple[str, dict[str, float]]] = [
    ("delay", {"seconds": 4.0}),
    ("lost_reply", {}),
    ("http_500", {}),
    ("nonsense", {}),
    ("duplicate", {}),
    ("bad_signature", {}),
    ("reset", {}),
]
NOTICES = ["duplicate", "lost_reply", "replayed", "reset"]
TO_BE_BOOKED_LATER = 0  # the wallet whose payouts the bank accepts first and then gives notice of


@pytest.mark.stack
def test_bank__answers_and_notices_go_wrong__no_double_payout_and_no_unknown_left(stage: Stage):
    rounds, broken, faults = FULL_ROUNDS if stage.is_full else 1, [], 0

    for number in range(rounds):
        begun = withdraw_through_faults(stage, seed=number)
        faults += len(ANSWERS) + len(NOTICES)
        broken += [] if stage.rest() else ["something is still under way"]
        broken += [str(each) for each in stage.examine(at_rest=True)] + judge(stage)
        broken += paid_otherwise_than_once(stage, begun)

    tell("bank", tried=faults, broken=len(broken))
    assert broken == []


def withdraw_through_faults(stage: Stage, *, seed: int) -> list[str]:
    """One withdrawal for each fault, their ids; every fault has been met at the end."""
    town, chance = stage.town, random.Random(seed)
    for mode, options in ANSWERS:
        town.bank.breaks("bank", mode, count=1, **options)
    for mode in NOTICES:
        town.bank.breaks("bank_notices", mode, count=1)
    wallet = town.wallets[TO_BE_BOOKED_LATER]
    client = Client(stage.oracle, chance, town, town.shops[0], wallet, {})
    begun = [client.withdraw()["id"] for _ in ANSWERS]

    def are_met() -> bool:
        stage.hurry()
        return not town.bank.ask("GET", "/faults")["faults"]

    assert processes.wait_until(are_met, within_s=60.0, every_s=0.5), "a fault was never met"
    ((lost,),) = stage.read(
        "SELECT count(*) FROM payments_payoutchange WHERE to_state = 'unknown'"
        " AND payout_id = ANY (%s::uuid[])",
        begun,
    )
    assert lost >= 4, "the faults did not reach the payouts"
    return begun


def paid_otherwise_than_once(stage: Stage, begun: list[str]) -> list[str]:
    """The withdrawals that bank and wallet do not both count once."""
    found = []
    for payout_id in begun:
        ((state, times),) = stage.read(
            "SELECT o.state, (SELECT count(*) FROM payments_transaction t"
            " WHERE t.kind = 'payout' AND t.key = o.id::text)"
            " FROM payments_payout o WHERE o.id = %s",
            payout_id,
        )
        at_bank = stage.town.bank.ask("GET", f"/bank/control/payouts/{payout_id}")["status"]
        if (state, times) != (at_bank, int(at_bank == "booked")):
            found.append(f"{payout_id} is {state}, posted {times} times, {at_bank} at the bank")
    return found


@pytest.mark.stack
def test_bank__answers_about_cards_go_wrong__each_debit_is_taken_once(stage: Stage):
    town, chance = stage.town, random.Random(7)
    wallet, payer = town.wallets[0], town.wallets[2]  # whose cards the bank debits at once
    client = Client(stage.oracle, chance, town, town.shops[0], wallet, {})
    buyers = Client(stage.oracle, chance, replace(town, wallets=[payer]), town.shops[0], payer, {})
    for mode, options in ANSWERS:
        town.bank.breaks("bank", mode, count=1, **options)
    begun = [client.top_up_by_card()["id"] for _ in ANSWERS[:4]]
    paid = [buyers.pay(1_000) for _ in ANSWERS[4:]]

    def are_met() -> bool:
        stage.hurry()
        return not town.bank.ask("GET", "/faults")["faults"]

    assert processes.wait_until(are_met, within_s=60.0, every_s=0.5), "a fault was never met"
    assert stage.rest()
    assert [str(each) for each in stage.examine(at_rest=True)] + judge(stage) == []
    rows = stage.read(
        "SELECT id::text FROM payments_debit WHERE order_id = ANY (%s::uuid[])",
        [each[0]["id"] for each in paid if each is not None],
    )
    debits = begun + [row[0] for row in rows]
    assert len(debits) == len(ANSWERS)
    for debit_id in debits:
        ((state,),) = stage.read("SELECT state FROM payments_debit WHERE id = %s", debit_id)
        at_bank = town.bank.ask("GET", f"/bank/control/debits/{debit_id}")
        assert state == at_bank["status"]


@pytest.mark.stack
def test_bank__credit_notice_in_every_wrong_way__credited_once(stage: Stage):
    town, wallet = stage.town, stage.town.wallets[3]
    before = stage.read(
        "SELECT posted_fen FROM payments_balance b JOIN payments_account a ON a.id = b.account_id"
        " WHERE a.owner = %s",
        wallet.resident_id,
    )[0][0]

    for mode in NOTICES:
        town.bank.breaks("bank_notices", mode, count=1)
    notices = [town.bank.credit(wallet, 101) for _ in NOTICES]

    assert stage.rest()
    told = [{"work": "top_up", "key": new_key(), "id": each, "amount_fen": 101} for each in notices]
    assert stage.examine(at_rest=True, told=told) == []
    after = stage.read(
        "SELECT posted_fen FROM payments_balance b JOIN payments_account a ON a.id = b.account_id"
        " WHERE a.owner = %s",
        wallet.resident_id,
    )[0][0]
    assert after - before == 101 * len(NOTICES)
