"""Personal data is sealed for its place; only its keyed hash can be looked for."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, models, transaction

from vpass.common import sealed_fields
from vpass.common.sealed_fields import SealBroken, SealedText, lookup_hash, seal, unseal

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
PLACE = {
    "table": "person",
    "row": uuid.UUID("01234567-89ab-4def-8123-456789abcdef"),
    "column": "name",
}
OLD, NEW = "0a0b0c0d", "00000001"

# Made once, with a program of its own, from the key, the place and the nonce named here.
GOLDEN_NONCE = bytes(range(12))
GOLDEN_SEALED = (
    "010a0b0c0d000102030405060708090a0b08373f32bc24514e5dfa241c0a64e69c338745bea9966197757bd060a6a7"
)
GOLDEN_LOOKUP = "2e6497352b78a945089232b112c09b3b77b1a625218ed8e147739cec0700a2c9"


class Paper(models.Model):
    """A model of the test's own, over a table that stands anyway."""

    id = models.BinaryField(primary_key=True)
    digest = SealedText()
    answer = SealedText(null=True)
    claimed_at = models.DateTimeField(default=AT)

    class Meta:
        app_label = "sealed_fields_test"
        managed = False
        db_table = "common_idempotency"


@pytest.fixture
def key_ring(settings):
    def set_ring(*key_ids, current):
        settings.SECRETS = replace(
            settings.SECRETS,
            sealing_keys={key_id: bytes.fromhex(key_id) * 8 for key_id in key_ids},
            sealing_key_id=current,
            lookup_key=bytes(range(32)),
        )

    set_ring(OLD, current=OLD)
    return set_ring


def raw(row_id, column="digest"):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM common_idempotency WHERE id = %s", [row_id])
        value = cursor.fetchone()[0]
    return None if value is None else bytes(value)


def test_seal__golden_vector(key_ring, monkeypatch):
    monkeypatch.setattr(sealed_fields.os, "urandom", lambda count: GOLDEN_NONCE[:count])

    assert seal("潍坊 Weifang", **PLACE).hex() == GOLDEN_SEALED
    assert unseal(bytes.fromhex(GOLDEN_SEALED), **PLACE) == "潍坊 Weifang"


def test_lookup_hash__golden_vector(key_ring):
    assert lookup_hash("phone", "13800000000").hex() == GOLDEN_LOOKUP
    assert lookup_hash("phon", "e13800000000").hex() != GOLDEN_LOOKUP
    with pytest.raises(ValueError):
        lookup_hash("pho\0ne", "1")


def test_seal__twice__different_but_both_open(key_ring):
    first, second = seal("x", **PLACE), seal("x", **PLACE)

    assert first != second
    assert unseal(first, **PLACE) == unseal(memoryview(second), **PLACE) == "x"


@pytest.mark.parametrize("change", [{"table": "other"}, {"row": "other"}, {"column": "other"}])
def test_unseal__moved_to_another_place__refused(key_ring, change):
    with pytest.raises(SealBroken):
        unseal(seal("x", **PLACE), **(PLACE | change))


def test_unseal__any_byte_changed_or_cut__refused(key_ring):
    sealed = seal("x", **PLACE)

    for index in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[index] ^= 1
        with pytest.raises(SealBroken):
            unseal(bytes(damaged), **PLACE)
        with pytest.raises(SealBroken):
            unseal(sealed[:index], **PLACE)


def test_rotation__old_key_opens_and_current_seals(key_ring):
    sealed = seal("x", **PLACE)

    key_ring(OLD, NEW, current=NEW)

    assert unseal(sealed, **PLACE) == "x"
    assert sealed[1:5].hex() == OLD
    assert seal("x", **PLACE)[1:5].hex() == NEW
    key_ring(NEW, current=NEW)
    with pytest.raises(SealBroken):
        unseal(sealed, **PLACE)


@pytest.mark.django_db
def test_sealed_text__create_and_read__plain_in_python_only(key_ring):
    Paper.objects.create(id=b"1", digest="潍坊", answer=None)

    row = Paper.objects.get(id=b"1")

    assert (row.digest, row.answer) == ("潍坊", None)
    stored = raw(b"1")
    assert stored[:5].hex() == "01" + OLD
    assert "潍坊".encode() not in stored
    assert raw(b"1", "answer") is None


@pytest.mark.django_db
def test_sealed_text__update_fields__only_that_column_sealed_anew(key_ring):
    Paper.objects.create(id=b"1", digest="a", answer="b")
    before = raw(b"1"), raw(b"1", "answer")
    row = Paper.objects.get(id=b"1")

    row.answer = "c"
    row.save(update_fields=["answer"])

    assert raw(b"1") == before[0]
    assert raw(b"1", "answer") != before[1]
    assert Paper.objects.get(id=b"1").answer == "c"


@pytest.mark.django_db
def test_sealed_text__saved_unread__stays_as_it_was(key_ring):
    Paper.objects.create(id=b"1", digest="a")
    before = raw(b"1")

    Paper.objects.get(id=b"1").save()

    assert raw(b"1") == before


@pytest.mark.django_db
def test_sealed_text__bulk_create_deferred_and_refreshed(key_ring):
    Paper.objects.bulk_create([Paper(id=b"1", digest="a"), Paper(id=b"2", digest="b")])

    assert [row.digest for row in Paper.objects.order_by("id")] == ["a", "b"]
    deferred = Paper.objects.defer("digest").get(id=b"2")
    assert deferred.digest == "b"
    deferred.digest = "z"
    deferred.refresh_from_db()
    assert deferred.digest == "b"


@pytest.mark.django_db
def test_sealed_text__copied_into_another_row__does_not_open(key_ring):
    Paper.objects.create(id=b"1", digest="a")
    Paper.objects.create(id=b"2", digest="b")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE common_idempotency SET digest = %s WHERE id = %s", [raw(b"1"), b"2"])

    with pytest.raises(SealBroken):
        _ = Paper.objects.get(id=b"2").digest


@pytest.mark.django_db
def test_sealed_text__search_and_bulk_changes__refused(key_ring):
    row = Paper.objects.create(id=b"1", digest="a")
    before = raw(b"1")

    for condition in (
        {"digest": "a"},
        {"digest__in": ["a"]},
        {"digest__contains": "a"},
        {"digest__length": 1},
    ):
        with pytest.raises(FieldError):
            list(Paper.objects.filter(**condition))
    with pytest.raises(TypeError), transaction.atomic():
        Paper.objects.update(digest="b")
    row.digest = "b"
    with pytest.raises(TypeError), transaction.atomic():
        Paper.objects.bulk_update([row], ["digest"])
    with pytest.raises(TypeError):
        serializers.serialize("json", [row])
    assert raw(b"1") == before
    assert Paper.objects.filter(answer__isnull=True).count() == 1
    # A value list holds sealed bytes, never plain text.
    assert bytes(Paper.objects.values_list("digest", flat=True)[0]) == before


def test_sealed_text__no_primary_key_or_no_text__refused(key_ring):
    field = Paper._meta.get_field("digest")

    with pytest.raises(ValueError, match="primary key"):
        field.pre_save(Paper(id=None, digest="a"), add=True)
    for value in (b"a", 1, ["a"]):
        with pytest.raises(TypeError):
            field.pre_save(Paper(id=b"1", digest=value), add=True)


def test_sealed_text__deconstruct__by_its_own_name():
    _, path, args, options = Paper._meta.get_field("answer").deconstruct()

    assert (path, args, options) == ("vpass.common.sealed_fields.SealedText", [], {"null": True})
