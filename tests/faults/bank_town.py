"""The people of the bank run: a bank that a sandbox plays, shops, payers with cards and codes."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from cards.models import Card
from identity.models import Device, MachineKey, Terminal
from payments import funding, proposals, sources
from payments.banks.http import partner_bank
from payments.models import CreditNotice, Payout, TopUpNumber, Window
from payments.settlement import windows
from tests import banking, city
from tests.faults.clients import BankControl
from tests.shop import Shop, open_shop, resident_of
from vpass import processes
from vpass.common import clock, signing
from vpass.common.callers import Caller

# By the ends of the tokens the bank pays out at once, later, never; and takes from cards at once,
# later, never.
ACCOUNTS = ("0002", "6217", "6218", "0001", "0000", "0002")
CARDS = ("5501", "0004", "5502", "5503", "0003", "0004")
SHOPS = ("0002", "6217", "6219")
START_FEN = 10_000_000

# What our books have of the bank, each under the bank's own name for it.
_OURS = """
SELECT COALESCE(d.id::text, t.key), CASE WHEN p.debit_id = a.id THEN p.amount_fen
    ELSE -p.amount_fen END
FROM payments_posting p
    JOIN payments_account a ON a.kind = 'bank' AND a.id IN (p.debit_id, p.credit_id)
    JOIN payments_transaction t ON t.id = p.transaction_id
    LEFT JOIN payments_debit d ON d.order_id = t.order_id AND t.kind = 'payment'
"""


@dataclass(frozen=True)
class Resident:
    """A payer with a wallet, a bank account of theirs, a card, and a grant to make codes of."""

    id: uuid.UUID
    top_up_number: str
    last4: str
    card: Card
    grant: city.HeldGrant


@dataclass
class BankTown:
    """Everybody, and what the sandbox's bank can be told."""

    system: banking.BankSystem
    bank: BankControl
    shops: list[Shop]
    residents: list[Resident]
    people: list[Caller]

    def credit(self, resident: Resident, fen: int) -> None:
        """Money comes in at the bank, of which it will give notice."""
        body = {
            "top_up_number": resident.top_up_number,
            "amount_fen": fen,
            "payer_name": str(resident.id),
            "payer_last4": resident.last4,
        }
        self.bank.ask("POST", "/bank/control/credits", body)

    def settle(self) -> None:
        """Two people close the open window, and approve the settlements that wait."""
        for window_id in Window.objects.filter(state="netted").values_list("id", flat=True):
            self._decide("settlement.approve", window_id)
        self._decide("window.close", windows.ensure_open(at=clock.now()))

    def contradict(self) -> list[Any]:
        """The bank, by another machine of its own, takes back what it has said; our answers."""
        answers = []
        credit = CreditNotice.objects.order_by("-id").first()
        if credit is not None:
            number = TopUpNumber.objects.get(resident_id=credit.resident_id).number
            body = {
                "notice_id": credit.notice_id,
                "top_up_number": number,
                "amount_fen": credit.amount_fen + 1,
                "currency": "CNY",
                "payer_account_token": banking.TOKEN,
                "payer_last4": "6217",
                "booked_at": credit.booked_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            answers.append(self._say("credit", body, key=credit.notice_id))
        booked = Payout.objects.filter(state="booked").order_by("-id").first()
        if booked is not None:
            told = {"payout_id": str(booked.id), "status": "rejected", "reason": "refused"}
            answers.append(self._say("payout", told, key=str(booked.id)))
        return answers

    def _say(self, kind: str, body: dict[str, Any], *, key: str) -> Any:
        return self.system.machine.send("POST", f"/api/bank/v1/{kind}-notices", body, key=key)

    def _decide(self, action: str, window_id: int) -> None:
        one, two = self.people
        at = clock.now()
        made = proposals.propose(
            caller=one,
            action=action,
            subject=str(window_id),
            idempotency_key=city.idempotency(one.scope),
            at=at,
        )
        proposals.approve(
            caller=two,
            proposal_id=uuid.UUID(made.id),
            idempotency_key=city.idempotency(two.scope),
            at=at,
        )


def open_town(url: str, *, at: datetime) -> BankTown:
    """The town at the sandbox's bank of this address, with money in every wallet."""
    windows.ensure_open(at=at)
    system = banking.make_bank(key_id="bank-2")
    public: Any = signing.load_public(settings.BANK_PUBLIC_KEY_PEM)
    MachineKey.objects.create(
        id=settings.BANK_KEY_ID,
        terminal=Terminal.objects.create(
            organisation=system.bank.organisation, scene="bank", name_zh="银行", name_en="Bank"
        ),
        algorithm="Ed25519",
        public_key=signing.ed25519_public_bytes(public),
    )
    town = BankTown(
        system,
        BankControl(url),
        [_shop(system, number, last4) for number, last4 in enumerate(SHOPS)],
        [_resident(system, number, at=at) for number in range(len(CARDS))],
        [browser.caller for browser in banking.make_accountants(at=at)],
    )
    Device.objects.update(bound_at=at.replace(year=at.year - 1))  # no new phones
    town.bank.ask("POST", "/bank/control/settings", {"books_after_s": 0.3})
    for each in town.residents:
        town.credit(each, START_FEN)
    assert processes.wait_until(
        lambda: town.bank.totals()["notices"].get("credited") == len(town.residents), within_s=30.0
    ), town.bank.totals()
    return town


def read_bank(at: datetime) -> Counter[tuple[str, int]]:
    """What the bank's statements have since `at`: whose entry it is, and how much came or went."""
    bank, found = partner_bank(settings.BANK_CODE), Counter[tuple[str, int]]()
    for day in sorted({clock.city_date(at), clock.city_date(clock.now())}):
        page, pages = 1, 1
        while page <= pages:
            read = bank.statement(day, page=page, at=clock.now())
            for each in read.entries:
                named = each.payout_id or each.debit_id or each.notice_id
                sign = 1 if each.kind == "credit" else -1
                found[str(named), sign * each.amount_fen] += 1
            page, pages = page + 1, read.pages
    return found


def read_ours() -> Counter[tuple[str, int]]:
    """The same as our ledger has it."""
    with connection.cursor() as cursor:
        cursor.execute(_OURS)
        return Counter(cursor.fetchall())


def _shop(system: banking.BankSystem, number: int, last4: str) -> Shop:
    shop = open_shop(name=f"商铺{number}", key_id=f"till-{number}", system=system)
    shop.merchant.payout_account = f"tok_of_a_shop_{number}_{last4}"
    shop.merchant.save(update_fields=["payout_account"])
    return shop


def _resident(system: banking.BankSystem, number: int, *, at: datetime) -> Resident:
    phone = city.make_phone(number, at=at)
    resident_id = resident_of(phone)
    card = banking.make_card(
        system.bank, resident_id, token=f"tok_of_a_card_{number}_{CARDS[number]}", at=at
    )
    sources.choose_source(resident_id=resident_id, card_id=card.id, version=0, at=at)
    number_ = funding.top_up_number(resident_id=resident_id)
    return Resident(resident_id, number_, ACCOUNTS[number], card, phone.grant(at=at))
