"""Worked examples of disclosure for the API's description."""

from typing import Any

from identity.api.examples import ACCESS_LINE as ACCESS_LINE
from identity.api.examples import ACCESS_LOG as ACCESS_LOG
from identity.api.examples import answered, asked

_AT = "2026-11-21T02:00:00Z"
_SOON = "2026-11-21T02:03:00Z"
_ID = "0b1f2f6e-5d1c-4c0e-8f0a-000000000007"
_LINE_ID = "018f2f6e-0000-7000-8000-000000000003"
_JWS = "eyJ0eXAiOiJ2cGFzcy1jb25zZW50K2p3dCIsImFsZyI6IkVTMjU2In0.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_RECEIPT = "eyJ0eXAiOiJ2cGFzcy1yZWNlaXB0K2p3dCIsImFsZyI6IkVTMjU2In0.eyJpc3MiOiIuLi4ifQ.c2lnbmF0dXJl"
_HALL = {"id": _ID, "zh": "潍坊市政务服务中心", "en": "Weifang Government Service Hall"}
_DESK = {"zh": "3号窗口", "en": "Desk 3"}
_PERMIT = {"code": "residence-permit", "zh": "办理居住证", "en": "Residence permit"}
_PENSION = {"code": "pension", "zh": "养老金资格认证", "en": "Pension entitlement"}
_LINE: Any = ACCESS_LINE[0].value


def _moved(state: str) -> dict[str, str]:
    return {"id": _ID, "state": state}


DISPUTE = [asked({"note": "我当天不在潍坊"}), answered({"line": _LINE_ID, "state": "open"}, 201)]
DISPUTE_WITHDRAWN = [asked({}), answered({"line": _LINE_ID, "state": "withdrawn"})]
DISPUTES = [
    answered(
        {
            "items": [
                {
                    "line": _LINE_ID,
                    "state": "open",
                    "note": "我当天不在潍坊",
                    "opened_at": _AT,
                    "at": _AT,
                    "place": _DESK,
                    "staff": "clerk",
                    "purpose": "residence-permit",
                    "case_number": "WF-2026-0042",
                    "fields": ["real_name"],
                    "asked": [],
                    "outcome": "accepted",
                    "answer": None,
                    "answered_at": None,
                }
            ],
            "next": None,
        }
    )
]
DISPUTE_ANSWER = [
    asked({"verdict": "justified", "text": "您的配偶当天代您办理。"}),
    answered({"line": _LINE_ID, "state": "justified"}),
]
EXPORT = [
    asked({"request": _JWS, "before": None}),
    answered({"format": "vpass-access-log-1", "exported_at": _AT, "lines": [_LINE], "next": None}),
]
_ASKED = {
    "id": _ID,
    "state": "asked",
    "fields": ["id_number", "phone"],
    "expires_at": _SOON,
    "release_by": None,
}
CONSENT_REQUEST = [
    asked({"scan": _LINE_ID, "fields": ["id_number", "phone"], "case_number": None}),
    answered(_ASKED, 201),
]
CONSENT_ASKED = [answered({**_ASKED, "state": "approved", "release_by": _SOON})]
CONSENT_RELEASE = [
    asked({}),
    answered(
        {
            "fields": {"id_number": "370702198001019902", "phone": "13900000001"},
            "receipt": _RECEIPT,
            "released_at": _AT,
        }
    ),
]
CONSENTS = [
    answered(
        {
            "items": [
                {
                    "id": _ID,
                    "organisation": _HALL,
                    "place": _DESK,
                    "purpose": _PERMIT,
                    "fields": ["id_number", "phone"],
                    "case_number": "WF-2026-0042",
                    "state": "asked",
                    "asked_at": _AT,
                    "expires_at": _SOON,
                    "receipt": None,
                }
            ],
            "next": None,
        }
    )
]
APPROVAL = [asked({"approval": _JWS}), answered(_moved("approved"))]
CONSENT_REFUSED = [asked({}), answered(_moved("refused"))]
CONSENT_WITHDRAWN = [asked({}), answered(_moved("withdrawn"))]
RECIPIENTS = [
    answered(
        {
            "items": [
                {"organisation": _HALL, "purpose": _PENSION, "fields": ["real_name", "id_number"]}
            ],
            "next": None,
        }
    )
]
CASE_SHARE = [
    asked({"share": _JWS}),
    answered(
        {
            "id": _ID,
            "handle": "VPS1.6b4Qq0mJ1cV5t9yXw2sD8fH3kL7nP0rTzUaBcEeGgIi",
            "expires_at": "2026-11-22T02:00:00Z",
            "receipt": _RECEIPT,
        },
        201,
    ),
]
CASE_SHARES = [
    answered(
        {
            "items": [
                {
                    "id": _ID,
                    "organisation": _HALL,
                    "purpose": _PENSION,
                    "matter": "2026 年度资格认证",
                    "fields": ["id_number", "real_name"],
                    "state": "concluded",
                    "created_at": _AT,
                    "expires_at": "2026-11-22T02:00:00Z",
                    "opened_at": _SOON,
                    "case_number": "YL-2026-0815",
                    "result": {"decision": "granted", "note": "已办结", "at": _SOON},
                }
            ],
            "next": None,
        }
    )
]
CASE_SHARE_WITHDRAWN = [asked({}), answered(_moved("withdrawn"))]
OPENING = [
    asked(
        {
            "handle": "VPS1.6b4Qq0mJ1cV5t9yXw2sD8fH3kL7nP0rTzUaBcEeGgIi",
            "official": "0815",
            "case_number": "YL-2026-0815",
        }
    ),
    answered(
        {
            "id": _ID,
            "purpose": "pension",
            "matter": "2026 年度资格认证",
            "holder": "pZ2kq1n0Yb7mUu0o4l7m3g9X1c2d3e4f5g6h7i8j9k0",
            "level": 2,
            "fields": {"id_number": "370702198001019902", "real_name": "王秀英"},
            "receipt": _RECEIPT,
            "opened_at": _AT,
        }
    ),
]
DECISION = [asked({"decision": "granted", "note": "已办结"}), answered(_moved("concluded"))]
DELEGATION = [
    asked({"request": _JWS, "child_name": "王小宝"}),
    answered(_moved("active"), 201),
]
DELEGATIONS = [
    answered(
        {
            "items": [
                {
                    "id": _ID,
                    "kind": "child",
                    "role": "delegate",
                    "principal": "**宝",
                    "delegate": "**英",
                    "enterprise": None,
                    "scenes": ["id"],
                    "purposes": [],
                    "state": "active",
                    "created_at": _AT,
                    "expires_at": "2027-11-21T02:00:00Z",
                    "receipt": _RECEIPT,
                }
            ],
            "next": None,
        }
    )
]
ACCEPTANCE = [asked({"acceptance": _JWS}), answered(_moved("active"))]
DELEGATION_DECLINED = [asked({}), answered(_moved("declined"))]
DELEGATION_REVOKED = [asked({}), answered(_moved("revoked"))]
DELEGATION_USES = [
    answered(
        {
            "items": [
                {
                    **_LINE,
                    "acting": {"kind": "child", "delegate": "**英", "principal": "**宝"},
                }
            ],
            "next": None,
        }
    )
]
