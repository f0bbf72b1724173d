"""The way of the money from the bank to the till and back, with a real bank outside."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django_otp.plugins.otp_totp.models import TOTPDevice

from payments import proof
from payments.models import Payout, Window
from tests.in_process import prepare_day, work
from tests.outside import OutsideWorld
from vpass.common.clock import now
from vpass.day import payment_steps, settlement_steps, steps
from vpass.day.play import Day, play
from vpass.day.story import STEPS

ACTS = [step.act for step in STEPS]
UP_TO_THE_GRANT = [steps.enrol, steps.prove_identity, steps.fetch_grant]
UP_TO_THE_MONEY = [
    *UP_TO_THE_GRANT,
    payment_steps.begin,
    payment_steps.open_wallet,
    payment_steps.top_up,
]


@pytest.fixture
def sandbox(sandbox_of_own: OutsideWorld) -> OutsideWorld:
    """One whose bank has empty books and knows where V Pass answers."""
    return sandbox_of_own


@pytest.fixture
def day(transactional_db: None, sandbox: OutsideWorld, tmp_path: Path) -> Day:
    """The city is seeded, nobody has enrolled, and somebody works while the day's people wait."""
    return new_day(sandbox, tmp_path)


def new_day(sandbox: OutsideWorld, folder: Path) -> Day:
    day = prepare_day(sandbox, folder=folder)
    day.outside.wait = work
    return day


def forget_used_codes(day: Day) -> None:
    """Spares the wait of half a minute for the authenticators' next codes."""
    TOTPDevice.objects.update(last_t=-1)
    day.memory.totp_steps.clear()


def go(day: Day, *acts: Callable[[Day], str]) -> None:
    """Play these steps; they go well."""
    for act in acts:
        act(day)


def test_day__every_step__goes_well_and_the_ledger_is_sound(day: Day, sandbox: OutsideWorld):
    lines: list[str] = []

    failed = play(STEPS, day, say=lines.append)

    assert failed == 0, "\n".join(lines)
    assert proof.prove(now()).is_sound
    assert list(Window.objects.order_by("id").values_list("state", flat=True)) == ["acked", "open"]
    at_bank = sandbox.read("/bank/control/totals")
    assert (at_bank["payouts"], at_bank["debits"]) == ({"booked": 5}, {"booked": 2})
    paid = Payout.objects.values_list("purpose", "state", "amount_fen").order_by("id")
    assert [each[:2] for each in paid] == [
        ("withdrawal", "booked"),
        # the shop's, the bus company's, the car park's and the waterworks'
        *[("settlement", "booked")] * 4,
    ]
    assert sum(each[2] for each in paid) == at_bank["paid_out_fen"]


@pytest.mark.parametrize(
    "last",
    [settlement_steps.propose_closing, settlement_steps.close_window],
)
def test_day__after_one_that_was_broken_off__goes_well(
    day: Day, sandbox: OutsideWorld, tmp_path: Path, last: Callable[[Day], str]
):
    go(day, *ACTS[: ACTS.index(last) + 1])
    second = new_day(sandbox, tmp_path)
    forget_used_codes(second)
    lines: list[str] = []

    failed = play(STEPS, second, say=lines.append)

    assert failed == 0, "\n".join(lines)


@pytest.mark.parametrize("mode", ["duplicate", "replayed", "lost_reply", "reset", "bad_signature"])
def test_top_up__notice_goes_wrong_on_its_way__the_money_is_there_once(
    day: Day, sandbox: OutsideWorld, mode: str
):
    go(day, *UP_TO_THE_GRANT, payment_steps.begin, payment_steps.open_wallet)
    sandbox.breaks("bank_notices", mode)

    go(day, payment_steps.top_up)

    assert [line["amount_fen"] for line in day.money.wallet.statement().expect(200)["items"]] == [
        payment_steps.TOP_UP_FEN
    ]
    assert sandbox.read("/bank/control/totals")["notices"] == {"credited": 1}


@pytest.mark.parametrize(
    ("mode", "end"),
    [
        ("reset", "never_arrived"),
        ("http_500", "never_arrived"),
        ("lost_reply", "booked"),
        ("truncated", "booked"),
        ("nonsense", "booked"),
        ("bad_signature", "booked"),
        ("unsigned", "booked"),
        ("duplicate", "booked"),
    ],
)
def test_withdrawal__bank_answers_wrongly__paid_once_or_not_at_all(
    day: Day, sandbox: OutsideWorld, mode: str, end: str
):
    go(day, *UP_TO_THE_MONEY)
    sandbox.breaks("bank", mode)
    withdrawal_id = day.money.wallet.withdraw(payment_steps.WITHDRAWAL_FEN).expect(201)["id"]

    until = time.monotonic() + 15
    shown = day.money.wallet.withdrawal(withdrawal_id).expect(200)
    while shown["state"] not in ("booked", "rejected", "never_arrived"):
        assert time.monotonic() < until, shown["state"]
        work()
        shown = day.money.wallet.withdrawal(withdrawal_id).expect(200)

    assert shown["state"] == end
    paid_fen = payment_steps.WITHDRAWAL_FEN if end == "booked" else 0
    assert sandbox.read("/bank/control/totals")["paid_out_fen"] == paid_fen
    wallet = day.money.wallet.show().expect(200)
    left_fen = payment_steps.TOP_UP_FEN - paid_fen
    assert (wallet["balance_fen"], wallet["available_fen"]) == (left_fen, left_fen)
    assert proof.prove(now()).is_sound


def test_window__second_accountant_closes_twice__refused(day: Day):
    go(day, *ACTS[: ACTS.index(settlement_steps.close_window) + 1])

    reply = day.money.officers[1].approve(day.money.proposal_id)

    reply.expect_refusal(409, "proposal.over")
