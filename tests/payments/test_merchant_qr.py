"""The merchant QR's text: golden vectors, and everything that is not exactly one of ours."""

import pytest

from payments import merchant_qr
from payments.merchant_qr import MerchantCode, QrForeign, QrUnreadable

# As written down in docs/merchant-qr.md; their checksums are those of binascii.crc_hqx too.
PRINTED = (
    "00020101021126760016CN.WEIFANG.VPASS0132018F2F6E00007000800000000000002A02160123456789ABCDEF"
    "5204000053031565802CN5918HUIMIN SUPERMARKET6007WEIFANG63049DA0"
)
FOR_ONE = (
    "00020101021226760016CN.WEIFANG.VPASS0132018F2F6E00007000800000000000002A02160123456789ABCDEF"
    "520400005303156540512.345802CN5918HUIMIN SUPERMARKET6007WEIFANG62200116T1-20261121-0042"
    "6304E4E6"
)
# Of the Brazilian central bank's manual: a sound code of another wallet.
FOREIGN = (
    "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR"
    "5913Fulano de Tal6008BRASILIA62070503***63041D3D"
)
NAMES = {
    "reference": "018F2F6E00007000800000000000002A",
    "tag": "0123456789ABCDEF",
    "payee": "HUIMIN SUPERMARKET",
}
CODES = {
    PRINTED: MerchantCode(**NAMES),
    FOR_ONE: MerchantCode(**NAMES, amount_fen=1_234, bill="T1-20261121-0042"),
}


def sealed(body: str) -> str:
    """A text with the checksum that goes with it."""
    return body + "6304" + merchant_qr.crc(body + "6304")


def test_crc__check_value_of_the_catalogue():
    assert merchant_qr.crc("123456789") == "29B1"


@pytest.mark.parametrize("text", CODES, ids=["printed", "for-one"])
def test_golden__made_and_read(text: str):
    assert merchant_qr.encode(CODES[text]) == text
    assert merchant_qr.decode(text) == CODES[text]


def test_decode__every_changed_character__refused():
    for place, letter in enumerate(FOR_ONE):
        spoilt = FOR_ONE[:place] + ("1" if letter != "1" else "2") + FOR_ONE[place + 1 :]
        with pytest.raises((QrUnreadable, QrForeign)):
            merchant_qr.decode(spoilt)


def test_decode__another_wallets__foreign():
    with pytest.raises(QrForeign):
        merchant_qr.decode(FOREIGN)


def test_decode__sound_checksum_over_something_else__form():
    body = FOR_ONE[:-8]
    for spoilt in (
        body.replace("540512.34", "540612.340"),
        body.replace("540512.34", "540501.34"),
        body.replace("540512.34", "54041234"),
        body.replace("540512.34", ""),
        body.replace("000201", "000202"),
        body.replace("000201010212", "010212000201"),
        body.replace("01021226", "01021126"),
        body.replace("5802CN", "5802US"),
        body.replace("018F2F", "018f2f"),
        body.replace("62200116", "62190116"),
        body + "9902AB",
        body + "01",
        body + body,
    ):
        with pytest.raises(QrUnreadable) as refused:
            merchant_qr.decode(sealed(spoilt))
        assert refused.value.reason == "form"
    with pytest.raises(QrUnreadable) as refused:
        merchant_qr.decode(FOR_ONE[:-1] + "7")
    assert refused.value.reason == "checksum"
    for junk in ("", "VP1:X", "６３０４" * 20, "6304" * 5, "0" * 301):
        with pytest.raises(QrUnreadable):
            merchant_qr.decode(junk)


def test_encode__what_has_no_place__refused():
    for changes in (
        {"amount_fen": 1},
        {"bill": "A"},
        {"amount_fen": 0, "bill": "A"},
        {"amount_fen": 1, "bill": "a"},
        {"amount_fen": 1, "bill": "A" * 26},
        {"payee": "惠民"},
        {"payee": ""},
        {"tag": "0123"},
        {"reference": "X" * 32},
    ):
        with pytest.raises(ValueError, match=r"."):
            merchant_qr.encode(MerchantCode(**NAMES | changes))


def test_payee_name__in_the_alphabet_and_short():
    assert merchant_qr.payee_name("Huimin Supermarket & Café №1") == "HUIMIN SUPERMARKET CAF 1"
    assert merchant_qr.payee_name("惠民超市") == "MERCHANT"
    assert len(merchant_qr.payee_name("A" * 80)) == 25
