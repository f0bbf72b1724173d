"""Card issuers: what V Pass asks of one, in whatever protocol it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cards.card_type import CardType, Holder, Issued
from vpass.common.errors import DomainError


class IssuerUnavailable(DomainError):
    """The card's issuer cannot be reached right now; try again later."""

    code = "issuer.unavailable"
    status = 503
    title_zh = "发卡机构暂时无法访问，请稍后再试"


class IssuerAnswerInvalid(DomainError):
    """The card's issuer gave an answer that cannot be believed."""

    code = "issuer.answer_invalid"
    status = 502
    title_zh = "发卡机构的答复无效"


@dataclass(frozen=True, kw_only=True)
class Question:
    """Does this card belong to this resident? `told` are the fields of its type."""

    binding_id: UUID
    card_type: CardType
    holder: Holder
    told: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The issuer's word: the card, or the reason for which it is refused."""

    issued: Issued | None = None
    reason: str | None = None


class CardIssuer(Protocol):
    """The contract of every adapter to an issuer."""

    def bind(self, question: Question, *, at: datetime) -> Answer:
        """Return what the issuer says of a card; the same `binding_id` gets the same answer.

        Asked outside any transaction. Raises IssuerUnavailable and IssuerAnswerInvalid.
        """
