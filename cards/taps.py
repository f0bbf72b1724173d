"""Records taps at a bus: one code, one ride, and the fare told to whoever charges it."""

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, ClassVar

from cards import fares, standing
from identity import codes
from identity.access_log import Deed, DeedUndone
from identity.queries import GrantFound, Look
from vpass.common import outbox
from vpass.common.callers import Caller
from vpass.common.clock import city_date
from vpass.common.errors import DomainError, Unavailable
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7

TAP_RECORDED = "cards.tap_recorded"

PURPOSE = "ride"
CARD_TYPE = "bus"
TRIES = 3

# The newest card counts: a replaced or unbound one has left the wallet.
_LOOK = """json_build_object('card', (
    SELECT json_build_object('id', c.id, 'state', c.state, 'epoch', c.epoch, 'facts', c.facts,
        'valid_until', c.valid_until,
        'is_frozen', EXISTS (
            SELECT FROM cards_freeze f WHERE f.card_id = c.id AND f.lifted_at IS NULL),
        'is_in_debt', EXISTS (
            SELECT FROM cards_debt d
            WHERE d.account_id = c.account_id AND d.due_at IS NOT NULL AND d.paid_at IS NULL))
    FROM cards_card c JOIN cards_cardaccount a ON a.id = c.account_id
    WHERE a.resident_id = identity_grant.resident_id AND a.card_type = %(look_type)s
        AND c.state NOT IN ('replaced', 'unbound')
    ORDER BY c.id DESC LIMIT 1
), 'line', (
    SELECT json_build_object('id', l.id, 'flat_fare_fen', l.flat_fare_fen)
    FROM cards_busline l WHERE l.organisation_id = %(look_organisation)s AND l.code = %(look_line)s
))"""

# The share lock and the epoch: whoever stops the card waits for the tap, or the tap sees it.
_DEED = """, card AS (
    SELECT c.id FROM cards_card c, verdict v
    WHERE c.id = %(deed_card)s AND c.epoch = %(deed_epoch)s AND v.reason IS NULL
    FOR SHARE OF c
), tap AS (
    INSERT INTO cards_tap (id, card_id, line_id, terminal_id, concession, fare_fen, at)
    SELECT %(deed_tap)s, id, %(deed_line)s, %(deed_terminal)s, %(deed_concession)s,
        %(deed_fare)s, %(deed_at)s
    FROM card RETURNING 1
), deed AS (
    SELECT CASE WHEN %(deed_fare)s > 0 THEN outbox_publish_v1(%(deed_event_id)s, %(deed_event)s,
        %(deed_payload)s, %(deed_consumers)s, %(deed_at)s) END FROM tap
)"""


class TapRefused(DomainError):
    """The tap is refused; each reason is a class of its own."""

    code: ClassVar[str] = "tap.refused"
    status = 403
    title_zh = "刷卡被拒绝"


class CardMissing(TapRefused):
    """There is no bus card in this wallet."""

    code = "card.none"
    title_zh = "卡包中没有公交卡"


class CardFrozen(TapRefused):
    """The bus card is frozen."""

    code = standing.FROZEN
    title_zh = "公交卡已冻结"


class CardInDebt(TapRefused):
    """An earlier fare has not been paid."""

    code = standing.DEBT
    title_zh = "尚有未付车费"


class CardExpired(TapRefused):
    """The bus card has expired."""

    code = standing.EXPIRED
    title_zh = "公交卡已过期"


class CardLost(TapRefused):
    """The bus card is reported lost."""

    code = "card.lost"
    title_zh = "公交卡已挂失"


class CardPending(TapRefused):
    """The bus card is not active yet."""

    code = "card.pending"
    title_zh = "公交卡尚未激活"


class LineUnknown(TapRefused):
    """This bus company has no such line."""

    code = "tap.line_unknown"
    status = 422
    title_zh = "线路不存在"


# Refusals of a tap whose code is used up.
REFUSALS: dict[str, type[DomainError]] = {
    **codes.REFUSALS,
    **{refusal.code: refusal for refusal in TapRefused.__subclasses__()},
}


@dataclass(frozen=True, kw_only=True)
class Tapped:
    """What the bus hears of a tap; it says nothing of the holder but the fare's class."""

    tap: str
    line: str
    concession: str
    fare_fen: int
    tapped_at: str


class Boarding:
    """A tap in the making: the codes.Occasion of a ride."""

    def __init__(self, *, caller: Caller, line: str, at: datetime) -> None:
        self._caller, self._line_code, self._at = caller, line, at
        self._resident_id: uuid.UUID | None = None
        self._card: dict[str, Any] = {}
        self._line: dict[str, Any] = {}
        self._tap_id = uuid7(at)

    @property
    def tapped(self) -> Tapped:
        """What the bus hears, once the card has been looked at and found good."""
        concession = self._card["facts"]["concession"]
        return Tapped(
            tap=str(self._tap_id),
            line=self._line_code,
            concession=concession,
            fare_fen=fares.flat_fare(
                flat_fare_fen=self._line["flat_fare_fen"], concession=concession
            ),
            tapped_at=self._at.isoformat(),
        )

    def looks_at(self) -> Look:
        """See codes.Occasion: the holder's bus card with its stops and debts, and the line."""
        values = {
            "look_type": CARD_TYPE,
            "look_organisation": self._caller.organisation_id,
            "look_line": self._line_code,
        }
        return Look(_LOOK, values)

    def refusal(self, found: GrantFound) -> str | None:
        """See codes.Occasion: why this holder cannot ride."""
        ride = found.looked
        if ride["line"] is None:
            return LineUnknown.code
        if ride["card"] is None:
            return CardMissing.code
        self._resident_id = found.resident.id
        self._card, self._line = ride["card"], ride["line"]
        until = self._card["valid_until"]
        return standing.fault(
            state=self._card["state"],
            is_frozen=self._card["is_frozen"],
            valid_until=None if until is None else date.fromisoformat(until),
            is_in_debt=self._card["is_in_debt"],
            today=city_date(self._at),
        )

    def deed(self) -> Deed:
        """See codes.Occasion: the tap's row, and the word to whoever charges the fare."""
        tapped = self.tapped
        payload = {
            "tap": tapped.tap,
            "card": self._card["id"],
            "resident": str(self._resident_id),
            "organisation": str(self._caller.organisation_id),
            "fare_fen": tapped.fare_fen,
        }
        return Deed(
            sql=_DEED,
            values={
                "deed_card": self._card["id"],
                "deed_epoch": self._card["epoch"],
                "deed_tap": tapped.tap,
                "deed_line": self._line["id"],
                "deed_terminal": str(self._caller.id),
                "deed_concession": tapped.concession,
                "deed_fare": tapped.fare_fen,
                "deed_at": self._at,
                "deed_event_id": str(uuid.uuid4()),
                "deed_event": TAP_RECORDED,
                "deed_payload": json.dumps(payload),
                "deed_consumers": outbox.consumers_of(TAP_RECORDED),
            },
        )


def record_tap(
    *, caller: Caller, code: str, line: str, idempotency_key: IdempotencyKey, at: datetime
) -> Tapped:
    """Take a ride by the code a resident shows at the caller's bus validator.

    `line` is the code of one of the bus company's lines. A genuine code is used up whatever comes
    of it, and the holder reads of it. The fare is charged afterwards, by whoever hears of
    TAP_RECORDED; a ride that costs nothing is not told. The same request gets the same answer
    again. Raises a codes.ScanRefused, a TapRefused, Unavailable when the card changes all the
    while, and what `once` raises.
    """
    for _ in range(TRIES):
        try:
            answer = _tap_once(
                caller=caller, code=code, line=line, idempotency_key=idempotency_key, at=at
            )
        except DeedUndone:
            continue  # the card was stopped, or paid up, between look and deed: judge it anew
        if reason := answer.get("reason"):
            raise REFUSALS[reason]
        return Tapped(**answer)
    raise Unavailable(retry_after=1)


def _tap_once(
    *, caller: Caller, code: str, line: str, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            shown = codes.read_genuine(code, at=at)
            boarding = Boarding(caller=caller, line=line, at=at)
            use = codes.use_code(
                caller=caller,
                shown=shown,
                purpose=PURPOSE,
                case_number=None,
                occasion=boarding,
                at=at,
            )
            if use.resident is None:
                claim.answer = {"reason": use.reason}
            else:
                if outbox.consumers_of(TAP_RECORDED):
                    outbox.ring_on_commit()
                claim.answer = asdict(boarding.tapped)
        return dict(claim.answer)
