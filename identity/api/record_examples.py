"""Worked examples about a resident's own record; a test sends each through its serializer."""

from identity import deletion
from identity.api.examples import answered, asked

_AT, _DUE = "2026-11-21T02:00:00Z", "2026-11-28T02:00:00Z"
_JWS = "eyJ0eXAiOiJ2cGFzcy1leHBvcnQrand0IiwiYWxnIjoiRVMyNTYifQ.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_ID = "01936a7c-0000-7000-8000-0000000000b1"
_ACCOUNT = "01936a7c-0000-7000-8000-0000000000b2"
_MOVED = {"id": _ID, "field": "real_name", "state": "open"}
_SHOWN = {
    **_MOVED,
    "note": "“玥”字登记错误",
    "asked_at": _AT,
    "answer": None,
    "ended_at": None,
}
_DELETION: dict[str, object] = {
    "id": _ID,
    "state": "waiting",
    "asked_at": _AT,
    "due_at": _DUE,
    "ended_at": None,
    "obligations": [],
}

SECTIONS = [answered({"sections": ["account", "cards", "devices", "orders", "wallet"]})]
EXPORT = [
    asked({"section": "devices", "request": _JWS, "before": None}),
    answered(
        {
            "format": "vpass-record-1",
            "section": "devices",
            "exported_at": _AT,
            "rows": [{"id": _ID, "grade": "software", "state": "active", "bound_at": _AT}],
            "next": None,
        }
    ),
]
CORRECTION = [
    asked({"field": "real_name", "note": "“玥”字登记错误"}),
    answered(_MOVED, 201),
]
CORRECTIONS = [answered({"items": [_SHOWN], "next": None})]
CORRECTION_WITHDRAWN = [asked({}), answered({**_MOVED, "state": "withdrawn"})]
CORRECTION_REFUSED = [
    asked({"text": "人口登记信息与现有记录一致"}),
    answered({**_MOVED, "state": "refused"}),
]
CORRECTION_GRANTED = [
    asked({"real_name": "王小玥", "id_number": "370702199001011234", "text": "已按登记更正"}),
    answered({**_MOVED, "state": "granted"}),
]
TERMS = [
    answered(
        {
            "account": _ACCOUNT,
            "terms": deletion.terms_digest(),
            "text_zh": deletion.TERMS_ZH,
            "text_en": deletion.TERMS_EN,
            "obligations": ["payments.balance"],
        }
    )
]
DELETION = [asked({"request": _JWS}), answered(_DELETION, 201)]
DELETIONS = [answered({"items": [_DELETION], "next": None})]
DELETION_CANCELLED = [
    asked({}),
    answered({**_DELETION, "state": "cancelled", "ended_at": _DUE}),
]
