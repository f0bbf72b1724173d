"""Notice codes: the golden vectors of docs/notice-code.md, and every slip of a finger found."""

import re
from pathlib import Path

import pytest

from payments import notice_code
from payments.notice_code import NoticeCode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notice-code.md"
# Worked out by hand from the rule, not by the code under test.
GOLDEN = [
    (NoticeCode(1, 26, 123456789012), "00012612345678901278"),
    (NoticeCode(1, 26, 0), "00012600000000000035"),
    (NoticeCode(9999, 99, 999999999999), "99999999999999999947"),
    (NoticeCode(3707, 30, 20301231235), "37073002030123123540"),
]


@pytest.mark.parametrize(("parts", "text"), GOLDEN, ids=[text for _, text in GOLDEN])
def test_golden__made_and_read(parts: NoticeCode, text: str):
    assert parts.text == text
    assert notice_code.read(text) == parts
    assert int("3707" + text) % 97 == 1
    assert text in PAGE.read_text("utf-8").replace(" ", "")


def test_made__reads_back_and_is_of_its_biller_and_year():
    made = {notice_code.make(biller=7, year=2026) for _ in range(200)}

    assert len(made) == 200
    assert {(read.biller, read.year) for read in map(notice_code.read, made) if read} == {(7, 26)}
    assert None not in map(notice_code.read, made)


def test_read__one_digit_wrong_or_two_neighbours_exchanged__none():
    text = GOLDEN[0][1]
    slips = {
        text[:place] + digit + text[place + 1 :] for place in range(20) for digit in "0123456789"
    } | {text[:place] + text[place + 1] + text[place] + text[place + 2 :] for place in range(19)}
    slips.discard(text)

    assert len(slips) > 190
    assert [slip for slip in slips if notice_code.read(slip) is not None] == []


@pytest.mark.parametrize(
    "text",
    ["", "0", "000126123456789012780", "0001261234567890124", "٠0012612345678901278",
     "00012612345678901278\n", "-0012612345678901243", "00012612345678901２78"],
    ids=range(8),
)  # fmt: skip
def test_read__of_another_form__none(text: str):
    assert notice_code.read(text) is None


def test_read__spaces_as_printed__do_not_count():
    assert notice_code.read(" 0001 2612 3456 7890 1278 ") == GOLDEN[0][0]


def test_read__check_digits_said_otherwise__none():
    """97 and 98 stand for 00 and 01 alone: one number has one text."""
    bodies = (f"{number:018d}" for number in range(10**14, 10**14 + 2_000))
    checked = {body: notice_code.check_digits(body) for body in bodies}
    highest = [body for body, digits in checked.items() if digits in ("97", "98")]

    assert len(highest) > 20
    assert all(re.fullmatch("[0-9]{2}", digits) for digits in checked.values())
    assert all(int(digits) >= 2 for digits in checked.values())
    for body in highest:
        other = f"{int(checked[body]) - 97:02d}"
        assert int("3707" + body + other) % 97 == 1
        assert notice_code.read(body + other) is None


@pytest.mark.parametrize("parts", [(0, 26, 1), (10_000, 26, 1), (1, 100, 1), (1, 26, 10**12)])
def test_text__part_out_of_bounds__refused(parts: tuple[int, int, int]):
    with pytest.raises(ValueError, match="bounds"):
        _ = NoticeCode(*parts).text
