"""A run of calls between us and a real bank of the sandbox, every tenth of them with a fault.

Calls are ours (orders and inquiries, of payouts and of debits) and the bank's own (notices of
credits, payouts and debits). Clients, relays and sweeps are threads of this process; what passes
between us and the bank is signed HTTP, both ways.
"""

import itertools
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.signals import got_request_exception, request_started
from django.db import connection, connections

from payments import debits, ledger, payouts, states, top_ups
from payments.banks import BankStanding, DebitOrder, PartnerBank, PayoutOrder
from payments.banks.http import HttpBank, partner_bank
from payments.models import Debit, Order, Payout, Window
from payments.refunds import MerchantShort, RefundTooMuch
from payments.settlement import payouts as settlement
from tests import city
from tests.banking import resident_caller, withdraw
from tests.faults.bank_town import BankTown, Resident
from vpass.common import clock, outbox

EVERY = 10
CLIENTS, RELAYS = 4, 14
RESTS_WITHIN_S = 600.0
MOST_WAITING = 60  # deliveries, before the clients wait for the relays
MOST_FEN = 2_000

Way = tuple[str, Mapping[str, Any]]
# What goes wrong with an answer of the bank, and with a message of its own: the kinds in turn, and
# the ways of each in turn. Of "refused" and "contradicted" the switch of the sandbox knows nothing.
ANSWERS: Mapping[str, Sequence[Way]] = {
    "slow": [("delay", {"seconds": 4.0}), ("trickle", {"seconds": 0.05})],
    "down": [("refused", {}), ("http_500", {}), ("reset", {})],
    "lying": [
        *[("bad_signature", {"variant": each}) for each in ("flipped", "digest", "old", "two")],
        ("nonsense", {}),  # each time another
        ("unsigned", {}),
        ("replayed", {}),
        *[("bad_signature", {"variant": each}) for each in ("early", "key_id", "not_tied")],
        ("nonsense", {}),
    ],
    "twice": [("duplicate", {})],
    "lost": [("lost_reply", {}), ("truncated", {})],
}
NOTICES: Mapping[str, Sequence[Way]] = {
    "slow": [("delay", {"seconds": 2.0})],
    "down": [("reset", {})],
    "lying": [
        ("contradicted", {}),
        *[("bad_signature", {"variant": each}) for each in ("flipped", "digest", "old", "key_id")],
    ],
    "twice": [("duplicate", {}), ("replayed", {})],
    "lost": [("lost_reply", {})],
}
WEIGHTS = {"withdraw": 30, "top_up": 18, "pay": 18, "credit": 26, "ask": 6, "refund": 4}
SETTLE_EVERY = 12  # of the first client's operations


@dataclass
class Faults:
    """Says of every tenth call how it goes wrong, and counts."""

    every: int = EVERY
    answers: Mapping[str, Sequence[Way]] = field(default_factory=lambda: ANSWERS)
    notices: Mapping[str, Sequence[Way]] = field(default_factory=lambda: NOTICES)
    tried: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._turns = {"call": _turns(self.answers), "notice": _turns(self.notices)}

    @property
    def calls(self) -> int:
        return self.tried.total()

    def next(self, site: str, what: str) -> Way | None:
        """Counts a call; how the next one of this site goes wrong, if it does."""
        with self._lock:
            self.tried[what] += 1
            if self.tried.total() % self.every:
                return None
            kind, way = next(self._turns[site])
            self.met[f"{kind} {site}"] += 1
            return way


def _turns(ways: Mapping[str, Sequence[Way]]) -> Iterator[tuple[str, Way]]:
    of_kind = {kind: itertools.cycle(each) for kind, each in ways.items()}
    for kind in itertools.cycle(of_kind):
        yield kind, next(of_kind[kind])


@dataclass
class Line:
    """The line to the bank, as PartnerBank: what is said over it is counted and spoiled in turn."""

    town: BankTown
    faults: Faults
    bank: HttpBank = field(init=False)
    dead: HttpBank = field(init=False)

    def __post_init__(self) -> None:
        bank: Any = partner_bank(settings.BANK_CODE)
        self.bank = bank
        # The same bank, and the same circuit, where nobody listens.
        self.dead = HttpBank(replace(bank._peer, base_url="http://127.0.0.1:1/bank"))

    def order(self, order: PayoutOrder, *, at: datetime) -> BankStanding:
        return self._call("payout", lambda bank: bank.order(order, at=at))

    def inquire(self, payout_id: uuid.UUID, *, at: datetime) -> BankStanding:
        return self._call("inquiry", lambda bank: bank.inquire(payout_id, at=at))

    def debit(self, order: DebitOrder, *, at: datetime) -> BankStanding:
        return self._call("debit", lambda bank: bank.debit(order, at=at))

    def inquire_debit(self, debit_id: uuid.UUID, *, at: datetime) -> BankStanding:
        return self._call("inquiry", lambda bank: bank.inquire_debit(debit_id, at=at))

    def _call(self, what: str, ask: Callable[[PartnerBank], BankStanding]) -> BankStanding:
        way = self.faults.next("call", what)
        if way is not None and way[0] == "refused":
            return ask(self.dead)
        if way is not None:
            self.town.bank.breaks("bank", way[0], **way[1])
        return ask(self.bank)


@dataclass
class Run:
    """So many calls and everything that follows of them; `wrong` collects what nobody expects."""

    town: BankTown
    faults: Faults
    target: int
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    wrong: list[str] = field(default_factory=list)
    unmet: int = 0  # faults that came after the last call
    _contradicting: list[threading.Thread] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def go(self, *, hurried: bool) -> None:
        """Runs until the calls are made and nothing is under way, or has not ended in ten minutes.

        When `hurried`, the waits before the next try are cut short.
        """
        with self._serving(), self._heard():
            clients = [self._start(self._client(number)) for number in range(CLIENTS)]
            for each in [*clients, *self._contradicting]:
                each.join(RESTS_WITHIN_S)
            end = time.monotonic() + RESTS_WITHIN_S
            while not self._rests():
                if hurried:
                    hurry()
                if time.monotonic() > end:
                    self.wrong.append("something is still under way")
                    break
                time.sleep(0.2)
            self.unmet = len(self.town.bank.ask("GET", "/faults")["faults"])
            self.town.bank.heals()

    # Threads

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Relays and the sweep at work, as worker and clock of a stack."""
        threads = [self._start(self._relay) for _ in range(RELAYS)]
        threads.append(self._start(self._sweep))
        try:
            yield
        finally:
            self._is_over.set()
            for each in threads:
                each.join(30)

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  the test judges it
                self.wrong.append(repr(error))
            finally:
                connections.close_all()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _relay(self) -> None:
        while not self._is_over.is_set():
            if outbox.deliver_due(at=clock.now(), limit=4) == 0:
                self._is_over.wait(0.1)

    def _sweep(self) -> None:
        while not self._is_over.wait(0.2):
            payouts.pursue_due(at=clock.now())
            debits.pursue_due(at=clock.now())
            settlement.settle_due(at=clock.now())

    def _client(self, number: int) -> Callable[[], None]:
        chance = random.Random(number)
        names, weights = list(self.weights), list(self.weights.values())

        def work() -> None:
            for count in itertools.count(1):
                if self.faults.calls >= self.target or self.wrong:
                    return
                while outbox.backlog(at=clock.now()).pending > MOST_WAITING:
                    time.sleep(0.05)
                if number == 0 and count % SETTLE_EVERY == SETTLE_EVERY // 2:
                    self.town.settle()
                operation = getattr(self, f"_{chance.choices(names, weights)[0]}")
                try:
                    operation(chance)
                except (ledger.InsufficientFunds, RefundTooMuch, MerchantShort):
                    continue  # another was first, or a merchant has been paid out

        return work

    # Operations

    def _withdraw(self, chance: random.Random) -> None:
        withdraw(self._resident(chance).id, chance.randint(1, MOST_FEN), at=clock.now())

    def _top_up(self, chance: random.Random) -> None:
        resident = self._resident(chance)
        caller = resident_caller(resident.id)
        top_ups.top_up(
            caller=caller,
            card_id=resident.card.id,
            amount_fen=chance.randint(1, MOST_FEN),
            idempotency_key=city.idempotency(caller.scope),
            at=clock.now(),
        )

    def _pay(self, chance: random.Random) -> None:
        at, fen = clock.now(), chance.randint(1, MOST_FEN)
        code = self._resident(chance).grant.code(at)
        chance.choice(self.town.shops).pay(code, at=at, amount_fen=fen)

    def _credit(self, chance: random.Random) -> None:
        self.town.credit(self._resident(chance), chance.randint(1, MOST_FEN))

    def _ask(self, chance: random.Random) -> None:
        """Somebody cannot wait until the bank gives notice."""
        payout_id = Payout.objects.filter(state="accepted").values_list("id", flat=True).first()
        if payout_id is not None:
            payouts.pursue(payout_id=payout_id, at=clock.now())

    def _refund(self, chance: random.Random) -> None:
        shop = chance.choice(self.town.shops)
        paid = Order.objects.filter(merchant=shop.merchant, refunded_fen=0)
        order = paid.filter(state__in=("captured", "resolved")).order_by("-id").first()
        if order is not None:
            shop.refund(order.id, chance.randint(1, order.captured_fen), at=clock.now())

    def _resident(self, chance: random.Random) -> Resident:
        return chance.choice(self.town.residents)

    # The bank's own messages

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Every message of the bank is counted as it comes in, and the next one spoiled in turn."""
        request_started.connect(self._hear)
        got_request_exception.connect(self._note_exception)
        try:
            yield
        finally:
            request_started.disconnect(self._hear)
            got_request_exception.disconnect(self._note_exception)

    def _hear(self, *, environ: Mapping[str, Any], **_: Any) -> None:
        if not environ["PATH_INFO"].startswith("/api/bank/"):
            return
        way = self.faults.next("notice", "notice")
        if way is not None and way[0] == "contradicted":
            self._contradicting.append(self._start(self._contradict))
        elif way is not None:
            self.town.bank.breaks("bank_notices", way[0], **way[1])

    def _note_exception(self, **_: Any) -> None:
        self.wrong.append(f"a message of the bank met {sys.exception()!r}")

    def _contradict(self) -> None:
        """The bank says of a credit that it was more, and of a booked payout that it was none."""
        answers = self.town.contradict()
        if not {each.status_code for each in answers} <= {409, 422}:
            self.wrong.append(f"a contradiction was answered {answers}")

    # The end

    def _rests(self) -> bool:
        totals = self.town.bank.totals()
        if totals["notices"].get("waiting"):
            return False
        if any(totals[kind].get("accepted") for kind in ("payouts", "debits")):
            return False
        under_way = Window.objects.filter(state__in=("closing", "approved", "filed", "sent"))
        return not (
            outbox.backlog(at=clock.now()).pending
            or under_way.exists()
            or Payout.objects.exclude(state__in=states.PAYOUT.final).exists()
            or Debit.objects.exclude(state__in=states.DEBIT.final).exists()
        )


def hurry() -> None:
    """Lets what waits for its next try have it now."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE common_outbox SET due_at = now() WHERE state = 'pending'")
        for table in ("payments_payout", "payments_debit"):
            cursor.execute(
                f"UPDATE {table} SET next_inquiry_at = now() WHERE next_inquiry_at > now()"
                " AND state = 'unknown'"
            )
