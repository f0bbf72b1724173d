"""P-5: a batch comes from the biller's server, the resident pays by heads, and has receipts."""

import json
from pathlib import Path

import pytest

from payments import bill_reminders
from payments.models import Bill, BillReceipt, BillReminder
from tests.in_process import prepare_day, work
from tests.outside import OutsideWorld
from vpass import seed
from vpass.common.clock import now
from vpass.day import bill_steps, payment_steps, steps
from vpass.day.checks import present
from vpass.day.play import Day


@pytest.fixture
def day(transactional_db: None, sandbox_of_own: OutsideWorld, tmp_path: Path) -> Day:
    """The city is seeded, nobody has enrolled, and somebody works while the day's people wait."""
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    day.outside.wait = work
    return day


def test_p5__batch_to_receipt__paid_by_heads_once_and_checked_by_anybody(day: Day, tmp_path: Path):
    for act in (
        steps.enrol,
        steps.prove_identity,
        steps.fetch_grant,
        payment_steps.open_wallet,
        payment_steps.top_up,
        bill_steps.upload,
        bill_steps.pay_part,
    ):
        act(day)
    codes = json.loads((tmp_path / seed.LOGINS).read_text("utf-8"))["notice_codes"]
    body = {"notice_code": codes["utility"]}  # due in two days
    followed = day.phone.send("POST", "/bill-follows", body).expect(200)
    bill = Bill.objects.get(id=day.billing.bill["bill_id"])
    resident = present(day.resident)
    before = day.outside.message_ids(resident.phone)

    assert [bill_reminders.remind_due(at=now()) for _ in range(2)] == [1, 0]
    work()

    assert [str(each.bill_id) for each in BillReminder.objects.all()] == [followed["id"]]
    assert len(day.outside.message_ids(resident.phone) - before) == 1

    bill_steps.pay_rest(day)

    bill.refresh_from_db()
    assert (bill.state, bill.paid_fen, bill.reserved_fen) == ("paid", bill.amount_fen, 0)
    assert BillReceipt.objects.filter(payment__bill=bill).count() == 2
