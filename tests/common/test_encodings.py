"""Base64url and JSON have one reading only."""

import pytest

from vpass.common import encodings


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xff\xfe", "__4")],
)
def test_b64url__both_ways(data, text):
    assert encodings.b64url_encode(data) == text
    assert encodings.b64url_decode(text) == data


@pytest.mark.parametrize(
    "text", ["Zg==", "Zg=", "Zh", "Z", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Ｚｇ", None, b"Zg"]
)
def test_b64url_decode__not_canonical__refused(text):
    with pytest.raises(ValueError):
        encodings.b64url_decode(text)


def test_read_json_object__plain__read():
    assert encodings.read_json_object('{"a": [1, "城", null]}'.encode()) == {"a": [1, "城", None]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":1}x',
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_read_json_object__ambiguous_or_unstorable__refused(data):
    with pytest.raises(ValueError):
        encodings.read_json_object(data)
