"""Makes and checks notice codes: the 20 digits by which anybody may pay a bill.

Digits 1-4 are the biller's number, 5-6 the year's last two, 7-18 random, 19-20 the check. The
check digits make the number "3707" + the whole code leave 1 when divided by 97 (the rule of ISO/IEC
7064 MOD 97-10, over the code with the city's division code before it, so that other cities' codes
do not pass). docs/notice-code.md has the worked example and golden vectors. Pure Python.
"""

import re
import secrets
from dataclasses import dataclass

DIVISION = "3707"  # GB/T 2260: Weifang
_FORM = re.compile(r"[0-9]{20}", re.ASCII)


@dataclass(frozen=True)
class NoticeCode:
    """What a code says: the biller's number, the year's last two digits, and the serial."""

    biller: int
    year: int
    serial: int

    @property
    def text(self) -> str:
        """The 20 digits. Raises ValueError for parts out of bounds."""
        if not (1 <= self.biller <= 9999 and 0 <= self.year <= 99 and 0 <= self.serial < 10**12):
            raise ValueError("a notice code's part is out of its bounds")
        body = f"{self.biller:04d}{self.year:02d}{self.serial:012d}"
        return body + check_digits(body)


def make(*, biller: int, year: int) -> str:
    """A fresh code for a biller's bill; `year` is the full one. Its serial cannot be guessed."""
    return NoticeCode(biller, year % 100, secrets.randbelow(10**12)).text


def check_digits(body: str) -> str:
    """The two digits that follow the first 18: 98 less the remainder of "3707" + body + "00"."""
    return f"{98 - int(DIVISION + body + '00') % 97:02d}"


def read(text: str) -> NoticeCode | None:
    """What a code says, or None for a text that is none; spaces between its digits do not count.

    Any one wrong digit, and any two neighbours exchanged, are found.
    """
    digits = text.replace(" ", "")
    if not _FORM.fullmatch(digits) or int(DIVISION + digits) % 97 != 1:
        return None
    code = NoticeCode(int(digits[:4]), int(digits[4:6]), int(digits[6:18]))
    # 98 - r is 2 to 98: what check digits 00 and 01 say, 97 and 98 say as well.
    return code if code.biller > 0 and code.text == digits else None
