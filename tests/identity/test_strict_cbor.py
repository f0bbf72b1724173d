import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.strict_cbor import NotDeterministic, read_item

numbers = st.integers(0, 2**32 - 1)
leaves = numbers | st.binary(max_size=300) | st.text(max_size=60)


def containers(inner):
    return st.lists(inner, max_size=10) | st.dictionaries(numbers, inner, max_size=10).map(
        lambda members: dict(sorted(members.items()))
    )


items = leaves | containers(leaves | containers(leaves))


@settings(max_examples=200, deadline=None)
@given(items)
def test_read_item__what_cbor2_writes__read_back(item):
    assert read_item(cbor2.dumps(item)) == item


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=40))
def test_read_item__any_bytes__one_spelling_or_refused(data):
    try:
        item = read_item(data)
    except NotDeterministic:
        return

    assert cbor2.dumps(item) == data


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "0000",
        "1817",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "1b0000000100000000",
        "1c",
        "1f",
        "20",
        "4261",
        "5f4161ff",
        "61ff",
        "7f6161ff",
        "9f01ff",
        "8201",
        "a10102ff",
        "a2010101 02",
        "a202000100",
        "a1616100",
        "a12000",
        "bf0101ff",
        "c100",
        "d8184100",
        "f4",
        "f5",
        "f6",
        "f7",
        "f93c00",
        "fb3ff0000000000000",
        "ff",
        "8b0000000000000000000000",
        "8181818100",
    ],
)
def test_read_item__other_spelling_or_kind__refused(spelling):
    with pytest.raises(NotDeterministic):
        read_item(bytes.fromhex(spelling))
