"""Draws a receipt as a PDF: what its content says, the verification code, and its QR picture.

The content and its signature stand in the document's properties (Subject and Keywords), so that
the file alone can be checked. The same receipt gives the same bytes. Chinese is set in the CID font
STSong-Light, which every PDF reader brings along.
"""

import json
from io import BytesIO
from typing import Any

from reportlab.graphics import renderPDF
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A5
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from vpass.common.money import format_fen

FONT = "STSong-Light"
_WIDTH, _HEIGHT = A5
_LEFT, _RIGHT = 40.0, _WIDTH - 40.0
_INK, _FAINT, _SEAL = HexColor("#16202b"), HexColor("#6b7684"), HexColor("#b3261e")
_QR_SIDE = 96.0
_MOST_LINES = 11  # what a bill may have, and the surcharge


def draw(*, content: str, signature: str) -> bytes:
    """The PDF of a receipt, one page of A5."""
    told: dict[str, Any] = json.loads(content)
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    out = BytesIO()
    canvas = Canvas(out, pagesize=A5, invariant=1)
    canvas.setTitle(f"V Pass {told['receipt_code']}")
    canvas.setAuthor(told["iss"])
    canvas.setSubject(content)
    canvas.setKeywords(signature)
    _head(canvas, told)
    _foot(canvas, told, y=_facts(canvas, told, y=_HEIGHT - 150))
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _head(canvas: Canvas, told: dict[str, Any]) -> None:
    canvas.setFillColor(_INK)
    canvas.setFont(FONT, 20)
    canvas.drawString(_LEFT, _HEIGHT - 60, "电子缴款凭证")
    canvas.setFont(FONT, 10)
    canvas.setFillColor(_FAINT)
    canvas.drawString(_LEFT, _HEIGHT - 76, "Electronic payment receipt · V Pass")
    canvas.setFillColor(_SEAL)
    canvas.setFont(FONT, 26)
    canvas.drawString(_LEFT, _HEIGHT - 118, f"¥ {format_fen(told['amount_fen'], grouped=True)}")


def _facts(canvas: Canvas, told: dict[str, Any], *, y: float) -> float:
    biller = told["biller"]
    for label, value in (
        ("收款单位 Payee", f"{biller['zh']}  {biller['en']}"),
        ("缴款日期 Paid on", told["paid_on"]),
        ("缴款码 Notice code", _grouped(told["notice_code"])),
    ):
        y = _row(canvas, label, value, y=y)
    canvas.setStrokeColor(_FAINT)
    canvas.line(_LEFT, y + 6, _RIGHT, y + 6)
    y -= 8
    for line in told["lines"][:_MOST_LINES]:
        canvas.setFillColor(_INK)
        canvas.setFont(FONT, 10)
        canvas.drawString(_LEFT, y, f"{line['zh']}  {line['en']}  {line['period_from'][:7]}")
        canvas.drawRightString(_RIGHT, y, format_fen(line["amount_fen"], grouped=True))
        y -= 16
    return y


def _foot(canvas: Canvas, told: dict[str, Any], *, y: float) -> None:
    top = min(y - 8, _QR_SIDE + 60)
    widget = QrCodeWidget(told["check"], barLevel="M")
    left, bottom, right, upper = widget.getBounds()
    scale = _QR_SIDE / (right - left)
    picture = Drawing(
        _QR_SIDE, _QR_SIDE, transform=[scale, 0, 0, _QR_SIDE / (upper - bottom), 0, 0]
    )
    picture.add(widget)
    renderPDF.draw(picture, canvas, _RIGHT - _QR_SIDE, top - _QR_SIDE)
    canvas.setFillColor(_INK)
    canvas.setFont(FONT, 10)
    canvas.drawString(_LEFT, top - 16, "验证码 Verification code")
    canvas.setFont(FONT, 13)
    canvas.drawString(_LEFT, top - 36, _grouped(told["receipt_code"]))
    canvas.setFillColor(_FAINT)
    canvas.setFont(FONT, 8)
    canvas.drawString(_LEFT, top - 54, "扫码可核验真伪，本凭证由城市密钥签名。")
    canvas.drawString(_LEFT, top - 66, "Scan to check; signed with the city's key.")


def _row(canvas: Canvas, label: str, value: str, *, y: float) -> float:
    canvas.setFont(FONT, 8)
    canvas.setFillColor(_FAINT)
    canvas.drawString(_LEFT, y, label)
    canvas.setFont(FONT, 11)
    canvas.setFillColor(_INK)
    canvas.drawString(_LEFT, y - 14, value)
    return y - 34


def _grouped(text: str) -> str:
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))
