"""Postings, holds and windows: what they move, what they refuse, and what a replay gives."""

import uuid
from datetime import timedelta

import pytest
from django.db import transaction

from payments import ledger
from payments.models import Account, Hold, Posting, Transaction, Window
from tests.ledger import (
    AT,
    CALLER,
    TODAY,
    account,
    bank,
    capture,
    funded,
    hold,
    open_window,
    owner,
    post,
    rows,
    standing,
)
from tests.statements import statements
from vpass.common.errors import NotFound
from vpass.common.money import MAX_FEN, AmountInvalid

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def window(transactional_db: None) -> int:
    return open_window()


# Accounts


def test_open_account__twice__one_account_with_a_balance_row():
    first = ledger.open_account(kind="resident", owner="a", floor_fen=0)

    again = ledger.open_account(kind="resident", owner="a", floor_fen=-500)

    assert again == first
    assert ledger.balance_of(first) == ledger.Standing(0, 0, 0)
    assert Account.objects.count() == 1


@pytest.mark.parametrize(("kind", "name"), [("clerk", "a"), ("resident", "")])
def test_open_account__unknown_kind_or_no_owner__refused(kind: str, name: str):
    with pytest.raises(ledger.AccountUnknown):
        ledger.open_account(kind=kind, owner=name)
    assert Account.objects.count() == 0


def test_balance_of__unknown_account__refused():
    with pytest.raises(ledger.AccountUnknown):
        ledger.balance_of(404_000_000)


def test_balance_of__held_and_overdraft__counts_down_to_the_floor(window: int):
    resident = account("resident", floor_fen=-100)
    post((bank(), resident, 1_000))
    hold(resident, 300)

    assert ledger.balance_of(resident) == ledger.Standing(1_000, 300, 800)


# Postings


def test_post__one_leg__one_statement_and_both_balances(window: int):
    clearing, resident = bank(), account("resident")
    order = uuid.uuid4()

    with statements() as sent:
        posted = post((clearing, resident, 1_234), key="k", order_id=order)

    assert len(sent) == 1
    assert posted.is_new
    assert standing(clearing) == (-1_234, 0)
    assert standing(resident) == (1_234, 0)
    row = Transaction.objects.get()
    assert (row.id, row.caller, row.key, row.kind) == (
        posted.transaction_id,
        CALLER,
        "k",
        "payment",
    )
    assert (row.order_id, row.window_id, row.business_date) == (order, window, TODAY)
    assert (row.event_at, row.at, row.reverses_id) == (AT, AT, None)
    assert list(Posting.objects.values_list("seq", "debit", "credit", "amount_fen")) == [
        (1, clearing, resident, 1_234)
    ]


def test_post__after_midnight_in_the_city__the_next_business_date(window: int):
    late = AT.replace(hour=16)  # 00:00 in Shanghai

    post((bank(), account("resident"), 1), at=late, event_at=AT)

    row = Transaction.objects.get()
    assert (str(row.business_date), row.event_at, row.at) == ("2026-06-02", AT, late)


def test_post__three_legs__posted_together_in_order(window: int):
    resident, merchant, fee = funded(1_000), account("merchant"), account("fee")

    posted = post((resident, merchant, 1_000), (merchant, fee, 6), (merchant, fee, 1))

    assert standing(resident) == (0, 0)
    assert standing(merchant) == (993, 0)
    assert standing(fee) == (7, 0)
    legs = Posting.objects.filter(transaction=posted.transaction_id).order_by("seq")
    assert list(legs.values_list("seq", "amount_fen")) == [(1, 1_000), (2, 6), (3, 1)]


def test_post__same_key_and_legs_again__known_transaction_and_nothing_moves(window: int):
    resident, merchant = funded(1_000), account("merchant")
    first = post((resident, merchant, 700), key="k")
    before = rows()

    again = post((resident, merchant, 700), key="k", at=AT + timedelta(days=2))

    assert again == ledger.Posted(first.transaction_id, is_new=False)
    assert rows() == before
    assert standing(resident) == (300, 0)


def test_post__same_key_with_several_legs_again__known_transaction(window: int):
    resident, merchant, fee = funded(1_000), account("merchant"), account("fee")
    legs = ((resident, merchant, 700), (merchant, fee, 2))
    first = post(*legs, key="k")

    assert post(*legs, key="k") == ledger.Posted(first.transaction_id, is_new=False)
    with pytest.raises(ledger.KeyTaken):
        post(*reversed(legs), key="k")


def test_post__same_key_with_other_content__refused(window: int):
    resident, merchant = funded(1_000), account("merchant")
    other = account("merchant")
    post((resident, merchant, 700), key="k")
    before = rows()

    for legs in (
        [(resident, merchant, 701)],
        [(resident, other, 700)],
        [(merchant, resident, 700)],
        [(resident, merchant, 700), (resident, merchant, 1)],
    ):
        with pytest.raises(ledger.KeyTaken):
            post(*legs, key="k")
    with pytest.raises(ledger.KeyTaken):
        post((resident, merchant, 700), key="k", order_id=uuid.uuid4())
    with pytest.raises(ledger.KeyTaken):
        post((resident, merchant, 700), key="k", kind="fare")
    assert rows() == before
    assert standing(resident) == (300, 0)


def test_post__same_key_of_another_caller__another_transaction(window: int):
    resident, merchant = funded(1_000), account("merchant")
    first = post((resident, merchant, 1), key="k")

    second = post((resident, merchant, 1), key="k", caller="terminal:2")

    assert second.is_new
    assert second.transaction_id != first.transaction_id


@pytest.mark.parametrize(("fen", "is_enough"), [(1_000, True), (1_001, False)])
def test_post__to_the_last_fen_and_one_more__the_floor_holds(
    window: int, fen: int, is_enough: bool
):
    resident, merchant = funded(1_000), account("merchant")
    before = rows()

    if is_enough:
        post((resident, merchant, fen))
        assert standing(resident) == (0, 0)
        return
    with pytest.raises(ledger.InsufficientFunds) as caught:
        post((resident, merchant, fen))
    assert (caught.value.status, caught.value.code) == (409, "ledger.insufficient_funds")
    assert caught.value.title_zh == "余额不足"
    assert rows() == before
    assert (standing(resident), standing(merchant)) == ((1_000, 0), (0, 0))


def test_post__what_is_held__cannot_be_spent(window: int):
    resident, merchant = funded(1_000), account("merchant")
    hold(resident, 400)

    with pytest.raises(ledger.InsufficientFunds):
        post((resident, merchant, 601))
    post((resident, merchant, 600))

    assert standing(resident) == (400, 400)


def test_post__later_leg_fails__no_leg_stays(window: int):
    resident, merchant = funded(1_000), account("merchant")
    before = rows()

    with pytest.raises(ledger.InsufficientFunds):
        post((resident, merchant, 500), (resident, merchant, 501))

    assert rows() == before
    assert standing(resident) == (1_000, 0)


@pytest.mark.parametrize("fen", [0, -1, MAX_FEN + 1, 1.0, True, "1", None])
def test_post__amount_out_of_bounds__refused(window: int, fen: int):
    with pytest.raises(AmountInvalid):
        post((bank(), account("resident"), fen))
    assert rows() == (0, 0, 0)


def test_post__largest_amount__posted(window: int):
    clearing = bank()
    post((clearing, account("resident"), MAX_FEN))

    assert standing(clearing) == (-MAX_FEN, 0)


def test_post__no_legs__refused(window: int):
    with pytest.raises(ledger.PostingInvalid):
        post()
    assert rows() == (0, 0, 0)


def test_post__account_with_itself__refused(window: int):
    resident = account("resident")
    merchant = account("merchant")

    with pytest.raises(ledger.PostingInvalid):
        post((resident, resident, 1))
    with pytest.raises(ledger.PostingInvalid):
        post((bank(), merchant, 1), (merchant, merchant, 1))
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize("more", [[], ["leg"]])
def test_post__unknown_account__refused(window: int, more: list[str]):
    clearing, resident = bank(), account("resident")
    extra = [(clearing, resident, 1) for _ in more]

    for leg in ((clearing, 404_000_000, 1), (404_000_000, resident, 1)):
        with pytest.raises(ledger.AccountUnknown):
            post(leg, *extra)
    assert rows() == (0, 0, 0)


def test_post__accounts_of_two_currencies__refused(window: int):
    clearing, resident = bank(), account("resident")
    with owner() as cursor:
        cursor.execute(
            "WITH a AS (INSERT INTO payments_account (kind, owner, currency)"
            " VALUES ('bank', 'x', 'HKD') RETURNING id)"
            " INSERT INTO payments_balance (account_id, shard, posted_fen, held_fen)"
            " SELECT id, 0, 0, 0 FROM a RETURNING account_id"
        )
        foreign = cursor.fetchone()[0]

    with pytest.raises(ledger.CurrencyMismatch):
        post((foreign, resident, 1))
    with pytest.raises(ledger.CurrencyMismatch):
        post((clearing, resident, 1), (foreign, resident, 1))
    assert rows() == (0, 0, 0)


def test_post__work_of_the_caller_fails__nothing_stays(window: int):
    clearing, resident = bank(), account("resident")

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        post((clearing, resident, 1))
        raise ZeroDivisionError
    assert rows() == (0, 0, 0)
    assert standing(resident) == (0, 0)


def test_post__older_snapshot__refused(window: int):
    clearing, resident = bank(), account("resident")

    with pytest.raises(Exception, match="read committed only"), transaction.atomic():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        post((clearing, resident, 1))
    assert rows() == (0, 0, 0)


# Reversals


def test_reverse__once__mirror_image_under_the_same_order(window: int):
    resident, merchant, fee = funded(1_000), account("merchant"), account("fee")
    order = uuid.uuid4()
    posted = post((resident, merchant, 900), (merchant, fee, 5), order_id=order)

    mirror = ledger.reverse(
        posted.transaction_id, kind="reversal", caller=CALLER, key="r", event_at=AT, at=AT
    )

    assert [standing(each) for each in (resident, merchant, fee)] == [(1_000, 0), (0, 0), (0, 0)]
    row = Transaction.objects.get(id=mirror.transaction_id)
    assert (row.reverses_id, row.order_id) == (posted.transaction_id, order)


def test_reverse__again__replayed_by_key_and_refused_by_another(window: int):
    resident, merchant = funded(1_000), account("merchant")
    posted = post((resident, merchant, 900))
    arguments = {"kind": "reversal", "caller": CALLER, "event_at": AT, "at": AT}
    first = ledger.reverse(posted.transaction_id, key="r", **arguments)
    before = rows()

    again = ledger.reverse(posted.transaction_id, key="r", **arguments)
    with pytest.raises(ledger.AlreadyReversed):
        ledger.reverse(posted.transaction_id, key="other", **arguments)

    assert again == ledger.Posted(first.transaction_id, is_new=False)
    assert rows() == before
    assert standing(resident) == (1_000, 0)


def test_reverse__payee_has_spent_it__refused(window: int):
    resident, merchant = funded(1_000), account("merchant")
    posted = post((resident, merchant, 900))
    post((merchant, bank(), 900), kind="settlement")

    with pytest.raises(ledger.InsufficientFunds):
        ledger.reverse(
            posted.transaction_id, kind="reversal", caller=CALLER, key="r", event_at=AT, at=AT
        )
    assert standing(resident) == (100, 0)


def test_reverse__unknown_transaction__refused(window: int):
    with pytest.raises(NotFound):
        ledger.reverse(404_000_000, kind="reversal", caller=CALLER, key="r", event_at=AT, at=AT)


# Holds


def test_hold__within_what_is_available__set_aside(window: int):
    resident = funded(1_000)

    hold(resident, 600)
    with pytest.raises(ledger.InsufficientFunds):
        hold(resident, 401)
    hold(resident, 400)

    assert standing(resident) == (1_000, 1_000)
    assert Hold.objects.count() == 2


def test_hold__same_reference_again__known_hold_or_refused(window: int):
    resident, reference = funded(1_000), uuid.uuid4()
    first = hold(resident, 600, reference=reference)

    again = hold(resident, 600, reference=reference)
    with pytest.raises(ledger.KeyTaken):
        hold(resident, 601, reference=reference)
    with pytest.raises(ledger.KeyTaken):
        hold(resident, 600, hold_id=first)
    other_purpose = hold(resident, 1, reference=reference, purpose="fare")

    assert again == first
    assert other_purpose != first
    assert standing(resident) == (1_000, 601)


def test_hold__unknown_account_or_bad_amount__refused(window: int):
    with pytest.raises(ledger.AccountUnknown):
        hold(404_000_000, 1)
    with pytest.raises(AmountInvalid):
        hold(funded(10), 0)
    assert Hold.objects.count() == 0


def test_capture__a_part__posts_it_and_frees_the_rest(window: int):
    resident, merchant = funded(1_000), account("merchant")
    held = hold(resident, 800)

    with statements() as sent:
        posted = capture(held, (resident, merchant, 500))

    assert len(sent) == 1
    assert posted.is_new
    assert (standing(resident), standing(merchant)) == ((500, 0), (500, 0))
    row = Hold.objects.get()
    assert (row.state, row.captured_fen, row.amount_fen) == ("captured", 500, 800)


def test_capture__the_whole_of_an_account__the_floor_holds_and_nothing_stays(window: int):
    resident, merchant = funded(1_000), account("merchant")
    held = hold(resident, 1_000)

    capture(held, (resident, merchant, 1_000))

    assert (standing(resident), standing(merchant)) == ((0, 0), (1_000, 0))


def test_capture__with_a_fee_of_the_merchant__counts_what_the_holder_gives(window: int):
    resident, merchant, fee = funded(1_000), account("merchant"), account("fee")
    held = hold(resident, 1_000)

    capture(held, (resident, merchant, 1_000), (merchant, fee, 6))

    assert [standing(each) for each in (resident, merchant, fee)] == [(0, 0), (994, 0), (6, 0)]
    assert Hold.objects.get().captured_fen == 1_000


@pytest.mark.parametrize("is_more", [True, False])
def test_capture__more_than_is_held_or_from_elsewhere__refused(window: int, is_more: bool):
    resident, merchant = funded(1_000), account("merchant")
    held = hold(resident, 800)
    before = rows()

    leg = (resident, merchant, 801) if is_more else (funded(900), merchant, 800)
    before = rows()
    with pytest.raises(ledger.HoldExceeded):
        capture(held, leg)

    assert rows() == before
    assert standing(resident) == (1_000, 800)
    assert Hold.objects.get().state == "open"


def test_capture__same_key_again__known_transaction(window: int):
    resident, merchant = funded(1_000), account("merchant")
    held, other = hold(resident, 500), hold(resident, 500)
    first = capture(held, (resident, merchant, 500), key="k")

    assert capture(held, (resident, merchant, 500), key="k") == ledger.Posted(
        first.transaction_id, is_new=False
    )
    with pytest.raises(ledger.KeyTaken):
        capture(other, (resident, merchant, 500), key="k")
    with pytest.raises(ledger.HoldNotOpen):
        capture(held, (resident, merchant, 500), key="other")
    assert standing(resident) == (500, 500)


@pytest.mark.parametrize("end", ["captured", "voided", "expired"])
def test_hold__ended__cannot_end_again(window: int, end: str):
    resident, merchant = funded(1_000), account("merchant")
    held = hold(resident, 500, expires_at=AT + timedelta(minutes=1))
    later = AT + timedelta(minutes=2)
    if end == "captured":
        capture(held, (resident, merchant, 500))
    elif end == "voided":
        ledger.void(hold_id=held, at=AT)
    else:
        assert ledger.expire_holds(at=later) == 1
    before = standing(resident)

    with pytest.raises(ledger.HoldNotOpen) as caught:
        ledger.void(hold_id=held, at=AT)
    with pytest.raises(ledger.HoldNotOpen):
        capture(held, (resident, merchant, 500))
    assert ledger.expire_holds(at=later) == 0

    assert (caught.value.status, caught.value.code) == (409, "hold.not_open")
    assert standing(resident) == before
    assert before == ((500, 0) if end == "captured" else (1_000, 0))
    assert Hold.objects.get().state == end


def test_capture__past_its_time__refused_before_the_sweep(window: int):
    resident, merchant = funded(1_000), account("merchant")
    held = hold(resident, 500, expires_at=AT)

    with pytest.raises(ledger.HoldNotOpen):
        capture(held, (resident, merchant, 500))
    assert standing(resident) == (1_000, 500)


def test_expire_holds__due_at_that_moment__up_to_the_limit(window: int):
    first, second = funded(1_000), funded(1_000)
    for number in range(3):
        hold(first, 100, expires_at=AT + timedelta(seconds=number))
    hold(second, 100, expires_at=AT)
    hold(second, 50)

    assert ledger.expire_holds(at=AT - timedelta(microseconds=1)) == 0
    assert ledger.expire_holds(at=AT, limit=1) == 1
    assert ledger.expire_holds(at=AT) == 1
    assert ledger.expire_holds(at=AT + timedelta(seconds=1)) == 1

    assert (standing(first), standing(second)) == ((1_000, 100), (1_000, 50))


def test_void__unknown_hold__refused(window: int):
    with pytest.raises(NotFound):
        ledger.void(hold_id=uuid.uuid4(), at=AT)
    with pytest.raises(NotFound):
        capture(uuid.uuid4(), (1, 2, 3))


# Windows


def test_post__no_window_open__refused():
    with pytest.raises(ledger.NoOpenWindow) as caught:
        post((bank(), account("resident"), 1))
    assert (caught.value.status, caught.value.code) == (503, "window.none_open")
    assert rows() == (0, 0, 0)


def test_open_window__twice__one_window():
    first = open_window()

    assert open_window() == first
    row = Window.objects.get()
    assert (row.state, row.business_date, row.opened_at, row.closed_at) == ("open", TODAY, AT, None)


def test_close_window__open_one__closing_and_the_next_one_opens(window: int):
    later, tomorrow = AT + timedelta(hours=1), TODAY + timedelta(days=1)
    clearing, resident = bank(), account("resident")
    first = post((clearing, resident, 1))

    turned = ledger.close_window(business_date=tomorrow, at=later)
    second = post((clearing, resident, 1))

    assert turned.closed_id == window
    assert list(Window.objects.order_by("id").values_list("id", "state", "business_date")) == [
        (window, "closing", TODAY),
        (turned.opened_id, "open", tomorrow),
    ]
    assert Window.objects.get(id=window).closed_at == later
    windows = dict(Transaction.objects.values_list("id", "window"))
    assert windows == {first.transaction_id: window, second.transaction_id: turned.opened_id}


def test_close_window__none_open__refused():
    with pytest.raises(ledger.NoOpenWindow):
        ledger.close_window(business_date=TODAY, at=AT)
    assert Window.objects.count() == 0


def test_close_window__replay_of_a_key_from_the_closed_one__stays_there(window: int):
    clearing, resident = bank(), account("resident")
    first = post((clearing, resident, 1), key="k")
    ledger.close_window(business_date=TODAY, at=AT)

    assert post((clearing, resident, 1), key="k") == ledger.Posted(first.transaction_id, False)
    assert Transaction.objects.get().window_id == window
