"""Asks the population register whether a name and an ID number belong to one living person."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from vpass.common.errors import DomainError


class RegisterUnavailable(DomainError):
    """The population register cannot be reached right now; try again later."""

    code = "register.unavailable"
    status = 503
    title_zh = "人口登记系统暂时无法访问，请稍后再试"


class RegisterAnswerInvalid(DomainError):
    """The population register gave an answer that cannot be believed."""

    code = "register.answer_invalid"
    status = 502
    title_zh = "人口登记系统的答复无效"


@dataclass(frozen=True)
class RegisteredPerson:
    """Whom the register found; `census_id` stays with a person for life, `sex` is F or M."""

    census_id: str
    birth_date: date
    sex: str


@dataclass(frozen=True)
class RegisteredEnterprise:
    """A firm, as the person who was asked about represents it by law."""

    credit_code: str
    name: str


class PopulationRegister(Protocol):
    """The contract of every adapter to a register."""

    def match(self, *, real_name: str, id_number: str, at: datetime) -> RegisteredPerson | None:
        """Return the living person of this name and ID number, or None for every kind of mismatch.

        Asked outside any transaction. Raises RegisterUnavailable and RegisterAnswerInvalid.
        """

    def child(
        self,
        *,
        real_name: str,
        id_number: str,
        child_name: str,
        child_id_number: str,
        at: datetime,
    ) -> RegisteredPerson | None:
        """Return the living child of a living parent, or None for every kind of mismatch.

        `real_name` and `id_number` are the parent's. Raises as `match`.
        """

    def enterprise(
        self, *, real_name: str, id_number: str, credit_code: str, at: datetime
    ) -> RegisteredEnterprise | None:
        """Return the firm of a unified social credit code if this person represents it by law.

        None for every kind of mismatch. Raises as `match`.
        """

    def photo(self, *, real_name: str, id_number: str, at: datetime) -> bytes | None:
        """Return the photo of a living person, a small JPEG, or None for every kind of mismatch.

        For comparing faces, never to be kept. Raises as `match`.
        """
