"""Worked examples for the API's description; a test sends each of them through its serializer."""

from drf_spectacular.utils import OpenApiExample

_AT = "2026-11-21T02:00:00Z"
_JWS = "eyJ0eXAiOiJ2cGFzcy1ncmFudCtqd3QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_CODE = "VP1:.Q6..."
_DESK = {
    "id": "018f2f6e-0000-7000-8000-000000000001",
    "scene": "id",
    "name": {"zh": "3号窗口", "en": "Desk 3"},
    "organisation": {"zh": "潍坊市政务服务中心", "en": "Weifang Government Service Hall"},
}
_SESSION = {
    "staff": {"id": "018f2f6e-0000-7000-8000-000000000002", "username": "clerk", "roles": []},
    "desk": _DESK,
    "purposes": [
        {
            "code": "residence-permit",
            "zh": "办理居住证",
            "en": "Residence permit",
            "fields": ["real_name", "id_last4", "over_18"],
            "may_ask": ["id_number"],
        }
    ],
    "expires_at": "2026-11-21T02:30:00Z",
    "session_hash": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
}
_TOKEN_ANSWER = {
    "access_token": "Vv3cJm0bD1l1mJcG1j0m9h2W6mJ6k1n6f4h9s2c7d8E",
    "token_type": "DPoP",
    "expires_in": 900,
    "refresh_token": "9mQz2xL7cTq0R4vK8nB1yHfW3sJ6dPgE5aUoXiVbNtM",
    "refresh_expires_in": 2592000,
    "resident": {"level": 1},
}
_LINE = {
    "id": "018f2f6e-0000-7000-8000-000000000003",
    "at": _AT,
    "organisation": _DESK["organisation"],
    "place": _DESK["name"],
    "scene": "id",
    "purpose": {"code": "residence-permit", "zh": "办理居住证", "en": "Residence permit"},
    "case_number": "WF-2026-0042",
    "fields": ["real_name", "id_last4", "over_18"],
    "asked": [],
    "outcome": "accepted",
    "reason": None,
    "deferred_until": None,
    "legal_basis": None,
    "is_shielded": False,
    "acting": None,
    "dispute": None,
}
_SCAN_RESULT = {
    "outcome": "accepted",
    "scan": "018f2f6e-0000-7000-8000-000000000003",
    "holder": "pZ2kq1n0Yb7mUu0o4l7m3g9X1c2d3e4f5g6h7i8j9k0",
    "level": 2,
    "fields": {"real_name": "王秀英", "id_last4": "9902", "over_18": True},
    "acting": None,
    "redeemed_at": _AT,
}


def asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


ENROLMENT = [
    asked({"phone": "13900000001"}),
    answered(
        {
            "enrolment_id": "018f2f6e-0000-7000-8000-000000000004",
            "expires_at": "2026-11-21T02:05:00Z",
            "server_time": _AT,
        },
        201,
    ),
]
PHONE_PROOF = [asked({"one_time_code": "123456"}), answered(_TOKEN_ANSWER)]
TOKEN = [asked({"assertion": _JWS}), answered(_TOKEN_ANSWER)]
IDENTITY_PROOF = [
    asked({"real_name": "王秀英", "id_number": "370702198001019902"}),
    answered({"level": 2}),
]
ME = [
    answered(
        {
            "level": 2,
            "state": "active",
            "masked_name": "**英",
            "masked_phone": "139****0001",
            "device": {"grade": "software", "bound_at": _AT},
        }
    )
]
GRANT = [
    asked({"request": _JWS}),
    answered(
        {
            "grant": "hEqiASYERN6tvu-gWFg...",
            "expires_at": "2026-11-22T02:00:00Z",
            "server_time": _AT,
            "rotate_every_s": 30,
            "lives_s": 60,
        },
        201,
    ),
]
ACCESS_LOG = [answered({"items": [_LINE], "next": None})]
ACCESS_LINE = [answered(_LINE)]
DESK_KEY = [asked({"enrolment_code": "7KQ2M9XWPT4RHD6C"}), answered({"desk": _DESK}, 201)]
SIGN_IN = [
    asked(
        {
            "username": "clerk",
            "password": "correct horse battery staple",
            "one_time_code": "123456",
        }
    ),
    answered(_SESSION, 201),
]
SESSION = [answered(_SESSION)]
SCAN = [
    asked({"code": _CODE, "purpose": "residence-permit", "case_number": "WF-2026-0042"}),
    answered(_SCAN_RESULT),
]
KEY_SET = [
    answered(
        {
            "keys": [
                {
                    "kty": "EC",
                    "crv": "P-256",
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                    "kid": "9a3f00c1",
                    "use": "sig",
                    "alg": "ES256",
                }
            ]
        }
    )
]
_DEVICE = {
    "id": "018f2f6e-0000-7000-8000-000000000005",
    "grade": "software",
    "state": "active",
    "bound_at": _AT,
    "is_this": False,
}
_SUSPENSION = {
    "id": "018f2f6e-0000-7000-8000-000000000006",
    "source": "holder",
    "scope": "pay",
    "state": "in_force",
    "set_at": _AT,
}
_TOLD = {
    "phone": "13900000001",
    "real_name": "王秀英",
    "id_number": "370702198001019902",
    "reason": "lost",
    "case_number": "WF-2026-0043",
}
REFRESH = [
    asked({"refresh_token": "9mQz2xL7cTq0R4vK8nB1yHfW3sJ6dPgE5aUoXiVbNtM"}),
    answered(_TOKEN_ANSWER),
]
MOVE = [
    asked({"one_time_code": "123456", "real_name": "王秀英", "id_number": "370702198001019902"}),
    answered(_TOKEN_ANSWER),
]
DEVICES = [answered({"devices": [_DEVICE | {"is_this": True}]})]
DEVICE = [answered(_DEVICE | {"state": "frozen"})]
DEVICE_BACK = [answered(_DEVICE)]
SUSPENSIONS = [answered({"suspensions": [_SUSPENSION]})]
SUSPENSION = [asked({"scope": "pay"}), answered(_SUSPENSION)]
LIFTING = [answered(_SUSPENSION | {"state": "lifted"})]
LOST_PHONE = [asked(_TOLD), answered({"phones": 1})]
STAFF_SUSPENSION = [
    asked(_TOLD | {"source": "risk", "scope": "pay", "reason": "fraud-report"}),
    answered(_SUSPENSION | {"source": "risk"}),
]
STAFF_LIFTING = [
    asked(_TOLD | {"source": "risk", "scope": "pay", "reason": "cleared"}),
    answered(_SUSPENSION | {"source": "risk", "state": "lifted"}),
]
SCANNER_BUNDLE = [
    answered(
        {
            "bundle": "eyJ0eXAiOiJ2cGFzcy1idW5kbGUrand0In0.eyJpc3MiOiJ3ZWlmYW5nIn0.c2lnbmF0dXJl",
            "version": "9mQz2xL7cTq0R4vK8nB1yH",
        }
    )
]
SERVER_CODE = [
    asked({"scenes": ["id", "library"]}),
    answered(
        {
            "code": "eyJ0eXAiOiJ2cGFzcy1jb2RlK2p3dCJ9.eyJpc3MiOiJ3ZWlmYW5nIn0.c2lnbmF0dXJl",
            "expires_at": "2026-11-21T02:01:00Z",
            "server_time": _AT,
            "rotate_every_s": 30,
        },
        201,
    ),
]
STAFF_CODE = [
    asked(_TOLD | {"reason": "phone-empty", "scenes": ["library"]}),
    SERVER_CODE[1],
]
