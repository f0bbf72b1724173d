"""A card issuer over signed HTTP, as docs/issuer-protocol.md lays down."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any

from django.conf import settings

from cards.card_type import AnswerMalformed
from cards.issuers import Answer, CardIssuer, IssuerAnswerInvalid, IssuerUnavailable, Question
from vpass.common import signing
from vpass.common.observability import log
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerRefused, PeerUnavailable
from vpass.common.signing import Ed25519Public, VerificationKey

_CONFIRMED = {"binding_id", "status", "card"}
_REFUSED = {"binding_id", "status", "reason"}
_REASON = re.compile(r"[a-z_]{1,40}")
_REASONS = frozenset({"not_found", "stopped", "expired", "refused"})


class HttpIssuer:
    """Asks one issuer; its answers are signed and tied to the question."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def bind(self, question: Question, *, at: datetime) -> Answer:
        """See CardIssuer."""
        holder, card_type = question.holder, question.card_type
        asked = {
            "binding_id": str(question.binding_id),
            "card_type": card_type.code,
            "real_name": holder.real_name,
            "id_number": holder.id_number,
            "fields": card_type.question(question.told, holder=holder),
        }
        read = partial(_read, question=question)
        try:
            return self._peer.post("/v1/bindings", asked, expected=200, read=read, at=at)
        except PeerUnavailable as error:
            raise IssuerUnavailable(retry_after=error.retry_after) from error
        except (PeerAnswerInvalid, PeerRefused) as error:
            raise IssuerAnswerInvalid from error


@cache
def card_issuer(code: str) -> CardIssuer:
    """Return the issuer of this code as the settings name it; one circuit for the whole process.

    Raises IssuerUnavailable for an issuer that the settings do not know.
    """
    known = settings.ISSUERS.get(code)
    if known is None:
        log.error("issuer_unknown", site="issuer")
        raise IssuerUnavailable
    public = signing.load_public(known["public_key"])
    if not isinstance(public, Ed25519Public):
        raise TypeError("an issuer signs with Ed25519")
    return HttpIssuer(
        Peer(
            name="issuer",
            base_url=known["url"],
            label="issuer",
            key_id=known["key_id"],
            key=VerificationKey("Ed25519", public),
        )
    )


def _read(answer: Mapping[str, Any], *, question: Question) -> Answer:
    if answer.get("binding_id") != str(question.binding_id):
        raise PeerAnswerInvalid("binding_id")
    if answer.get("status") == "refused" and answer.keys() == _REFUSED:
        return Answer(reason=_reason(answer["reason"]))
    if answer.get("status") != "confirmed" or answer.keys() != _CONFIRMED:
        raise PeerAnswerInvalid("shape")
    card = answer["card"]
    if not isinstance(card, dict):
        raise PeerAnswerInvalid("card")
    try:
        issued = question.card_type.read_card(card, told=question.told, holder=question.holder)
    except AnswerMalformed as error:
        raise PeerAnswerInvalid(f"card.{error}") from error
    return Answer(issued=issued)


def _reason(value: object) -> str:
    if not isinstance(value, str) or not _REASON.fullmatch(value):
        raise PeerAnswerInvalid("reason")
    return value if value in _REASONS else "refused"
