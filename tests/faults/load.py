"""A bounded loop of payments, refunds, withdrawals, top-ups and settlements, by four clients.

Two of them pay by bank card. Beside each, a sensor speaks after every operation.
"""

import itertools
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.faults.clients import Accountant, Shop, Town, Wallet, new_key
from tests.faults.oracle import Oracle
from tests.sensors import said
from vpass.common import clock

THREADS = 4
SMALL_FEN = 2_000
LARGE_FEN = 150_000  # the payer has to confirm
WEIGHTS = {"pay": 50, "refund": 20, "withdraw": 15, "pay_large": 8, "top_up": 7, "by_card": 10}
SETTLE_EVERY = 8  # of the first thread's operations
# What a sensor says is mostly sound; some has an impossible time, and some nobody can read.
PUSHES = {"sound": 4, "impossible": 1, "unreadable": 1}
LONG_AGO = timedelta(days=400)

_seconds = itertools.count(1)


@dataclass
class Load:
    """The loop; `run` ends when every thread has done its operations."""

    town: Town
    oracle: Oracle
    seed: int
    failed: list[BaseException] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, operations: int) -> None:
        """Starts four threads with so many operations each."""
        for number in range(THREADS):
            thread = threading.Thread(target=self._work, args=(number, operations), daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self, within_s: float) -> None:
        """Waits for the end; raises what broke a thread."""
        for thread in self._threads:
            thread.join(within_s)
            assert not thread.is_alive(), "a client still waits"
        if self.failed:
            raise self.failed[0]

    def _work(self, number: int, operations: int) -> None:
        client = Client(
            self.oracle,
            random.Random(self.seed * THREADS + number),
            self.town,
            self.town.shops[number],
            self.town.wallets[number],
            self.tried,
        )
        try:
            for count in range(operations):
                if number == 0 and count % SETTLE_EVERY == SETTLE_EVERY // 2:
                    client.settle()
                client.take_turn()
                client.push()
        except BaseException as error:  # noqa: BLE001  the test judges it
            self.failed.append(error)


@dataclass
class Client:
    """One thread of the loop: a till and a wallet, mostly with each other."""

    oracle: Oracle
    chance: random.Random
    town: Town
    shop: Shop
    wallet: Wallet
    tried: dict[str, int]
    paid: list[tuple[str, int]] = field(default_factory=list)
    pushing: random.Random = field(default_factory=random.Random)

    def take_turn(self) -> None:
        """One operation, by chance."""
        turns: dict[str, Callable[[], object]] = {
            "pay": lambda: self.pay(self.chance.randint(1, SMALL_FEN)),
            "pay_large": lambda: self.confirm(LARGE_FEN + self.chance.randint(1, SMALL_FEN)),
            "refund": self.refund,
            "withdraw": self.withdraw,
            "top_up": lambda: self.town.bank.credit(self.wallet, 50_000),
            "by_card": self.top_up_by_card,
        }
        turns[self.chance.choices(list(WEIGHTS), WEIGHTS.values())[0]]()

    def pay(self, amount_fen: int) -> Any:
        """A payment by a fresh code."""
        key = new_key()
        wallet = self.chance.choice(self.town.wallets)
        send = partial(
            self.shop.till.pay,
            wallet.phone.show_code(),
            amount_fen=amount_fen,
            title="fault test",
            reference=key,
            key=key,
        )
        done = self._do("payment", key, send, amount_fen=amount_fen)
        if done is not None and done["state"] == "captured":
            self.paid.append((done["id"], amount_fen))
        return None if done is None else (done, wallet)

    def confirm(self, amount_fen: int) -> None:
        """A payment that its payer confirms on the phone."""
        asked = self.pay(amount_fen)
        if asked is None or asked[0]["state"] != "confirming":
            return
        payment, wallet = asked
        key, path = new_key(), f"/payments/{payment['id']}/confirmation"
        body = {
            "confirmation": wallet.confirmation(
                payment_id=payment["id"], payee=self.shop.merchant_id, amount_fen=amount_fen
            )
        }
        done = self._do(
            "confirmation", key, lambda: wallet.send(path, body, key=key), amount_fen=amount_fen
        )
        if done is not None and done["state"] == "captured":
            self.paid.append((payment["id"], amount_fen))

    def refund(self) -> None:
        """A part of an earlier payment goes back."""
        if not self.paid:
            return
        order_id, amount_fen = self.chance.choice(self.paid)
        fen, key = self.chance.randint(1, amount_fen), new_key()
        send = partial(self.shop.till.refund, order_id, amount_fen=fen, reference=key, key=key)
        self._do("refund", key, send, amount_fen=fen, of=order_id)

    def withdraw(self) -> Any:
        """Money to the bank account it came from."""
        fen, key = self.chance.randint(1, SMALL_FEN), new_key()
        return self._do(
            "withdrawal",
            key,
            lambda: self.wallet.send("/withdrawals", {"amount_fen": fen}, key=key),
            amount_fen=fen,
        )

    def top_up_by_card(self) -> Any:
        """Money from the bound bank card."""
        fen, key = self.chance.randint(1, SMALL_FEN), new_key()
        body = {"card_id": self.wallet.card_id, "amount_fen": fen}
        return self._do(
            "top_up_by_card",
            key,
            lambda: self.wallet.send("/top-ups", body, key=key),
            amount_fen=fen,
        )

    def push(self) -> None:
        """A sensor's message, each of another moment."""
        kind = self.pushing.choices(list(PUSHES), PUSHES.values())[0]
        device, key = f"sensor-of-{self.shop.merchant_id[:8]}", new_key()
        moment = _a_moment(LONG_AGO if kind == "impossible" else timedelta(days=1))
        body = json.dumps(said(device, {"reading": key}, moment, service="Weather")).encode()
        if kind == "unreadable":
            body = body[:-1]
        self._do(
            "push",
            key,
            lambda: self.town.platform.push(body),
            device=device,
            moment=moment.isoformat(),
        )

    def settle(self) -> None:
        """Closes the open window, and approves every settlement that waits, by two people."""
        accountant = self.town.accountants[0]
        page = self._read(accountant, "/windows?limit=20")
        for window in page:
            if window["state"] == "netted":
                self._decide("settlement.approve", window["id"])
        for window in page:
            if window["state"] == "open":
                self._decide("window.close", window["id"])

    def _decide(self, action: str, window_id: int) -> None:
        one, two = self.town.accountants
        key = new_key()
        asked = {"action": action, "subject": str(window_id)}
        made = self._do(
            "proposal", key, lambda: one.send("POST", "/proposals", asked, key=key), what=action
        )
        if made is None:
            return
        path, second_key = f"/proposals/{made['id']}/approval", new_key()
        self._do(
            action,
            second_key,
            lambda: two.send("POST", path, {}, key=second_key),
            id=str(window_id),
        )

    def _read(self, accountant: Accountant, path: str) -> list[dict[str, Any]]:
        """The items of a page; none when the program does not answer for long."""
        found = self.oracle.read(lambda: accountant.send("GET", path))
        return [] if found is None else list(found["items"])

    def _do(self, name: str, key: str, send: Callable[[], Any], **asked: Any) -> Any:
        self.tried[name] = self.tried.get(name, 0) + 1
        return self.oracle.do(name, key=key, send=send, **asked)


def _a_moment(ago: timedelta) -> datetime:
    """A second of its own, so long ago."""
    return clock.now().replace(microsecond=0) - ago + timedelta(seconds=next(_seconds))
