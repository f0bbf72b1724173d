"""Seals personal data for the database (AES-256-GCM), and hashes it with a key for look-up.

A sealed value is: version 1 (1 byte), key id (4), nonce (12), ciphertext and tag (16). The
additional data "table|row|column" binds it to its place, so that a value copied into another row
does not open. Each place has a key of its own, HMAC-SHA256(sealing key, "vpass-seal-v1|" and the
additional data): random nonces are then safe for any number of values (NIST SP 800-38D section
8.3 limits one key to 2^32). Every key of the ring opens, the current one seals.
"""

import hashlib
import hmac
import os
import uuid
from typing import Any, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models
from django.db.models.query_utils import DeferredAttribute

Row = str | int | bytes | memoryview | uuid.UUID

_VERSION = b"\x01"
_HEADER_BYTES = 1 + 4 + 12


class SealBroken(Exception):
    """A sealed value does not open: damaged, moved from another place, or sealed by a lost key."""


def seal(text: str, *, table: str, row: Row, column: str) -> bytes:
    """`text` sealed for its place; the row is named by its primary key."""
    key_id = settings.SECRETS.sealing_key_id
    place = _place(table, row, column)
    nonce = os.urandom(12)
    sealed = _cipher(key_id, place).encrypt(nonce, text.encode("utf-8"), place)
    return _VERSION + bytes.fromhex(key_id) + nonce + sealed


def unseal(sealed: bytes | memoryview, *, table: str, row: Row, column: str) -> str:
    """The text sealed for this place; raises SealBroken."""
    data = bytes(sealed)
    key_id = data[1:5].hex()
    if data[:1] != _VERSION or key_id not in settings.SECRETS.sealing_keys:
        raise SealBroken(f"{table}.{column}: unknown version or key")
    place = _place(table, row, column)
    try:
        text = _cipher(key_id, place).decrypt(data[5:17], data[_HEADER_BYTES:], place)
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"{table}.{column}: damaged or moved") from error
    return text.decode("utf-8")


def lookup_hash(purpose: str, value: str) -> bytes:
    """The 32 bytes by which `value` is found again without being known (HMAC-SHA256).

    `purpose` keeps the same value under two purposes apart; it holds no NUL.
    """
    if "\0" in purpose:
        raise ValueError("a purpose holds no NUL")
    message = f"{purpose}\0{value}".encode()
    return hmac.digest(settings.SECRETS.lookup_key, message, hashlib.sha256)


class _Sealed(bytes):
    """A value as it stands in the database."""


class _OpenOnRead(DeferredAttribute):
    """Opens a sealed value when it is first read, so that a row costs only what is looked at."""

    field: "SealedText"

    def __get__(self, instance: models.Model | None, owner: Any = None) -> Any:
        value = super().__get__(instance, owner)
        if instance is not None and isinstance(value, _Sealed):
            table, column = instance._meta.db_table, str(self.field.column)
            value = unseal(value, table=table, row=instance.pk, column=column)
            instance.__dict__[self.field.attname] = value
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


def as_read(value: bytes | memoryview | None) -> Any:
    """A sealed value of a row which was read by hand: for its field of a model, opened on read."""
    return None if value is None else _Sealed(value)


class SealedText(models.BinaryField):  # type: ignore[type-arg]
    """Text which the database sees only sealed; in Python it is a str or None.

    The primary key must be known before saving, because the seal names it. create(), save() and
    bulk_create() work; searching, values(), update() and bulk_update() have no plain text to work
    with. To find rows, store `lookup_hash` beside it.
    """

    _pyi_private_set_type: str | None
    _pyi_private_get_type: str  # type: ignore[assignment]

    descriptor_class = _OpenOnRead

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> _Sealed | None:
        """What is read stays sealed until the attribute is looked at."""
        return as_read(value)  # type: ignore[no-any-return]

    def pre_save(self, model_instance: models.Model, add: bool) -> _Sealed | None:
        """The sealed form for the row's place."""
        value = model_instance.__dict__.get(self.attname)
        if value is None or isinstance(value, _Sealed):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{self.name} holds text, not {type(value).__name__}")
        if model_instance.pk is None:
            raise ValueError(f"{self.name} can be sealed only for a known primary key")
        table, column = model_instance._meta.db_table, str(self.column)
        return _Sealed(seal(value, table=table, row=model_instance.pk, column=column))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Only sealed values reach the database."""
        if value is not None and not isinstance(value, _Sealed):
            raise TypeError(f"{self.name} reaches the database only sealed, by save() or create()")
        return super().get_db_prep_value(value, connection, prepared)

    def get_lookup(self, lookup_name: str) -> Any:
        """Nothing but `isnull` can be asked of a sealed value."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed: search by its lookup hash")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> NoReturn:
        """A sealed value is not written out by serializers."""
        raise TypeError(f"{self.name} is sealed and not serialised")


def _place(table: str, row: Row, column: str) -> bytes:
    named = bytes(row).hex() if isinstance(row, bytes | memoryview) else str(row)
    return f"{table}|{named}|{column}".encode()


def _cipher(key_id: str, place: bytes) -> AESGCM:
    master = settings.SECRETS.sealing_keys[key_id]
    return AESGCM(hmac.digest(master, b"vpass-seal-v1|" + place, hashlib.sha256))
