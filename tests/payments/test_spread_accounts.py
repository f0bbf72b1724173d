"""Accounts whose balance is spread over several rows: the same money, whatever row it stands on."""

import uuid
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from payments import ledger, proof
from payments.models import Account, Balance
from tests.ledger import (
    AT,
    account,
    bank,
    capture,
    funded,
    hold,
    open_window,
    owner,
    post,
    standing,
)
from tests.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def window(transactional_db: None) -> int:
    return open_window()


@pytest.fixture
def payer() -> int:
    return funded(100_000)


@pytest.fixture
def merchant(payer: int) -> int:
    """A merchant of 16 rows, whom 32 payments of 10 fen have reached."""
    made = account("merchant")
    ledger.spread_account(made, shards=16)
    for _ in range(32):
        post((payer, made, 10))
    return made


def balances(account_id: int) -> list[tuple[int, int, int, int | None]]:
    """Shard, posted, held and floor of each row."""
    rows = Balance.objects.filter(account=account_id).order_by("shard")
    return list(rows.values_list("shard", "posted_fen", "held_fen", "floor_fen"))


def is_sound() -> bool:
    return proof.prove(AT).is_sound


def test_post__to_a_spread_account__one_statement_each_and_all_rows_used(payer: int, merchant: int):
    with statements() as sent:
        post((payer, merchant, 10))

    assert len(sent) == 1
    assert {posted for _, posted, _, _ in balances(merchant)} <= {20, 30}
    assert len(balances(merchant)) == 16
    assert ledger.balance_of(merchant) == ledger.Standing(330, 0, 330)
    assert is_sound()


@pytest.mark.parametrize(("fen", "is_enough"), [(10, True), (320, True), (321, False)])
def test_post__from_a_spread_account__to_the_last_fen_and_no_further(
    payer: int, merchant: int, fen: int, is_enough: bool
):
    if is_enough:
        post((merchant, payer, fen), kind="refund")
    else:
        with pytest.raises(ledger.InsufficientFunds):
            post((merchant, payer, fen), kind="refund")
        fen = 0

    assert (standing(merchant), standing(payer)) == ((320 - fen, 0), (99_680 + fen, 0))
    assert is_sound()


def test_post__legs_both_ways_and_a_fee__judged_by_what_they_come_to(payer: int, merchant: int):
    fee = account("fee")
    ledger.spread_account(fee, shards=4)

    post((payer, merchant, 5), (merchant, fee, 3), (merchant, payer, 300))
    with pytest.raises(ledger.InsufficientFunds):
        post((payer, merchant, 5), (merchant, payer, 28))

    assert [standing(each)[0] for each in (merchant, fee, payer)] == [22, 3, 99_975]
    assert is_sound()


def test_post__floor_below_zero__the_first_row_alone_goes_down_to_it(payer: int):
    merchant = account("merchant", floor_fen=-100)
    ledger.spread_account(merchant, shards=4)
    for _ in range(4):
        post((payer, merchant, 10))

    with pytest.raises(ledger.InsufficientFunds):
        post((merchant, payer, 141))
    post((merchant, payer, 140))

    assert [posted for _, posted, _, _ in balances(merchant)] == [-100, 0, 0, 0]
    assert ledger.balance_of(merchant) == ledger.Standing(-100, 0, 0)


def test_post__no_floor__any_row_gives(payer: int):
    clearing = bank()
    ledger.spread_account(clearing, shards=4)

    for _ in range(8):
        post((clearing, payer, 10))

    assert [row[1:] for row in balances(clearing)] == [(-20, 0, None)] * 4
    assert is_sound()


def test_reverse__of_a_payment_to_a_spread_account__the_mirror_image(payer: int, merchant: int):
    paid = post((payer, merchant, 300)).transaction_id
    arguments = {"kind": "reversal", "caller": "x", "event_at": AT, "at": AT}

    ledger.reverse(paid, key="r", **arguments)

    assert (standing(merchant), standing(payer)) == ((320, 0), (99_680, 0))
    assert is_sound()


def test_hold__on_a_spread_account__gathered_captured_and_voided(payer: int, merchant: int):
    with pytest.raises(ledger.InsufficientFunds):
        hold(merchant, 321)
    first, second = hold(merchant, 300), hold(merchant, 20)
    with pytest.raises(ledger.InsufficientFunds):
        post((merchant, payer, 1))
    assert balances(merchant)[0] == (0, 320, 320, 0)

    post((payer, merchant, 7))
    capture(first, (merchant, payer, 250))
    ledger.void(hold_id=second, at=AT)

    assert standing(merchant) == (77, 0)
    assert is_sound()


def test_spread_account__more_fewer_and_none__nothing_is_lost(payer: int, merchant: int):
    hold(merchant, 100)

    seen = {}
    for shards in (16, 64, 5, 1):
        ledger.spread_account(merchant, shards=shards)
        seen[shards] = (len(balances(merchant)), standing(merchant), is_sound())
        post((payer, merchant, 1))
    post((merchant, payer, 224))

    assert seen == {
        16: (16, (320, 100), True),
        64: (64, (321, 100), True),
        5: (5, (322, 100), True),
        1: (1, (323, 100), True),
    }
    assert balances(merchant) == [(0, 100, 100, 0)]
    assert Account.objects.get(id=merchant).shards == 1


def test_command__account_by_kind_and_owner__spread(payer: int):
    owner_id = str(uuid.uuid4())
    made = ledger.open_account(kind="merchant", owner=owner_id)
    post((payer, made, 10))
    out = StringIO()

    call_command("spread_account", "merchant", owner_id, stdout=out)

    assert out.getvalue() == f"The balance of account {made} has 16 rows now.\n"
    assert (len(balances(made)), standing(made)) == (16, (10, 0))
    with pytest.raises(CommandError, match="There is no such account"):
        call_command("spread_account", "merchant", "nobody", stdout=out)
    call_command("spread_account", "merchant", owner_id, shards=1, stdout=out)
    assert balances(made) == [(0, 10, 0, 0)]


@pytest.mark.parametrize("shards", [0, -1, 65])
def test_spread_account__other_numbers_or_no_account__refused(merchant: int, shards: int):
    before = balances(merchant)

    with pytest.raises(ledger.PostingInvalid):
        ledger.spread_account(merchant, shards=shards)
    with pytest.raises(ledger.AccountUnknown):
        ledger.spread_account(404_000_000, shards=16)
    assert balances(merchant) == before


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM payments_balance WHERE account_id = %s AND shard = 3", "account_has_balance"),
        (
            "UPDATE payments_balance SET shard = 60 WHERE account_id = %s AND shard = 3",
            "account_has_balance",
        ),
        (
            "UPDATE payments_balance SET held_fen = 1 WHERE account_id = %s AND shard = 3",
            "held_on_the_first_shard",
        ),
    ],
    ids=["gone", "elsewhere", "held"],
)
def test_prove__rows_of_a_spread_account_damaged__found(merchant: int, statement: str, found: str):
    with owner() as cursor:
        cursor.execute(statement, [merchant])

    assert found in {finding.check for finding in proof.prove(AT).findings}
