"""Reads the small part of CBOR that codes use, in its only spelling (RFC 8949, section 4.2.1).

Foreign bytes are kept away from general decoders: those take trailing bytes and long-winded
numbers, and make mail messages, patterns and cycles out of tags. Here an item is a number from 0
to 2^32 - 1, a byte string, a text, an array, or a map with such numbers as keys (status lists have
texts too, where the caller allows them); negative and larger numbers, floats, true, false, null,
tags and indefinite lengths are refused.
"""

from typing import Final

# Codes nest three deep and hold ten items at most; more is not worth reading.
_DEPTH: Final = 3
_ITEMS: Final = 10
_NUMBERS: Final = frozenset({0})
_NUMBERS_AND_TEXTS: Final = frozenset({0, 3})


class NotDeterministic(Exception):
    """The bytes are no single item of this part of CBOR in its only spelling."""


def read_item(data: bytes, *, has_text_keys: bool = False) -> object:
    """The one data item which `data` is: int, bytes, str, list or dict; raises NotDeterministic.

    Map keys come in ascending order of their bytes, so writing the item again gives the same ones.
    """
    item, end = _read_item(data, 0, 0, _NUMBERS_AND_TEXTS if has_text_keys else _NUMBERS)
    if end != len(data):
        raise NotDeterministic("bytes behind the item")
    return item


def _read_item(data: bytes, position: int, depth: int, keys: frozenset[int]) -> tuple[object, int]:
    # Most heads are one byte: those are read here, for speed, and the others below.
    if position < len(data) and (first := data[position]) & 31 < 24:
        kind, number, position = first >> 5, first & 31, position + 1
    else:
        kind, number, position = _read_head(data, position)
    if kind == 0:
        return number, position
    if kind in (2, 3):
        end = position + number
        if end > len(data):
            raise NotDeterministic("cut short")
        content = data[position:end]
        if kind == 2:
            return content, end
        try:
            return content.decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise NotDeterministic("text is not UTF-8") from error
    if kind not in (4, 5) or depth == _DEPTH or number > _ITEMS:
        raise NotDeterministic("not a kind of item that codes use")
    if kind == 4:
        return _read_array(data, position, depth + 1, number, keys)
    return _read_map(data, position, depth + 1, number, keys)


def _read_array(
    data: bytes, position: int, depth: int, length: int, keys: frozenset[int]
) -> tuple[list[object], int]:
    items: list[object] = []
    for _ in range(length):
        item, position = _read_item(data, position, depth, keys)
        items.append(item)
    return items, position


def _read_map(
    data: bytes, position: int, depth: int, length: int, keys: frozenset[int]
) -> tuple[dict[object, object], int]:
    members: dict[object, object] = {}
    last = b""
    for _ in range(length):
        start = position
        if data[start : start + 1] and data[start] >> 5 not in keys:
            raise NotDeterministic("not a kind of key that maps have here")
        key, position = _read_item(data, position, depth, keys)
        if data[start:position] <= last:
            raise NotDeterministic("map keys do not ascend")
        last = data[start:position]
        members[key], position = _read_item(data, position, depth, keys)
    return members, position


def _read_head(data: bytes, position: int) -> tuple[int, int, int]:
    """Major type, argument and the position behind them (RFC 8949, section 3)."""
    if position >= len(data):
        raise NotDeterministic("cut short")
    kind, argument = divmod(data[position], 32)
    position += 1
    if argument < 24:
        return kind, argument, position
    if argument > 26:
        # 64-bit arguments are never needed, 28 to 30 are reserved and 31 has no fixed length.
        raise NotDeterministic("not the only spelling")
    width = 1 << (argument - 24)
    number = int.from_bytes(data[position : position + width])
    if position + width > len(data) or number < (24, 1 << 8, 1 << 16)[argument - 24]:
        raise NotDeterministic("not the only spelling")
    return kind, number, position + width
