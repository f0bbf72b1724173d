"""Worked examples of the administrators' routes; a test sends each through its serializer."""

from drf_spectacular.utils import OpenApiExample

from identity.api.examples import answered, asked

_AT, _LATER = "2026-11-21T02:00:00Z", "2026-11-22T02:00:00Z"
_HALL = "018f2f6e-0000-7000-8000-0000000000a1"
_DESK = "018f2f6e-0000-7000-8000-0000000000a2"
_TERMINAL = "018f2f6e-0000-7000-8000-0000000000a3"
_PERSON = "018f2f6e-0000-7000-8000-0000000000a4"
_PROPOSAL = "018f2f6e-0000-7000-8000-0000000000a5"
_PARTY = "018f2f6e-0000-7000-8000-0000000000a6"
_CODE = "K7M2QX4NHTW9BC3D"
_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
_WORDS = {"name_zh": "4号窗口", "name_en": "Desk 4"}
_RIGHT = {
    "scene": "id",
    "purpose": "residence-permit",
    "purpose_zh": "办理居住证",
    "purpose_en": "Residence permit",
    "attributes": ["real_name", "id_last4", "over_18"],
    "may_ask": ["phone"],
    "needs_case": True,
    "knows_holder": True,
    "shields_others": False,
    "deferred_days": 0,
    "legal_basis": "",
}
_ORGANISATION = {
    "id": _HALL,
    "parent": "018f2f6e-0000-7000-8000-0000000000a0",
    "kind": "hall",
    "name_zh": "潍坊市政务服务中心",
    "name_en": "Weifang Government Service Hall",
    "scenes": ["id", "check_in"],
    "attributes": None,
    "state": "active",
}
_SITE = {
    "name": "读者之家",
    "purpose": "reader",
    "redirect_uris": ["https://library.example/callback"],
    "post_logout_redirect_uris": ["https://library.example/goodbye"],
}
_PLACE = {"organisation": _HALL, **_WORDS, "scene": "id", "state": "active"}
_STORE_WORDS = {
    "name_zh": "惠民超市胜利东街店",
    "name_en": "Huimin Supermarket, Shengli East Street",
    "address": "潍坊市奎文区胜利东街118号",
    "longitude": 119.1438,
    "latitude": 36.7093,
}
_STORE = "018f2f6e-0000-7000-8000-0000000000a7"
_COLLEAGUE = {
    "id": _PERSON,
    "organisation": _HALL,
    "username": "liu.min",
    "roles": ["privacy"],
    "state": "active",
    "is_active": True,
}


def _page(item: object) -> list[OpenApiExample]:
    return [answered({"items": [item], "next": None})]


TREE = _page(_ORGANISATION)
DESKS = _page({"id": _DESK, **_PLACE, "has_key": True})
TERMINALS = _page(
    {
        "id": _TERMINAL,
        **_PLACE,
        "store": None,
        "keys": [{"id": _THUMBPRINT, "algorithm": "ES256", "retires_at": None}],
    }
)
STORES = _page(
    {"id": _STORE, "organisation": _HALL, "code": "S01", **_STORE_WORDS, "state": "active"}
)
STAFF = _page(_COLLEAGUE)
RIGHTS = _page({"organisation": _HALL, **_RIGHT})
PARTIES = _page(
    {
        "id": _PARTY,
        "organisation": _HALL,
        "client_id": "vp-0f3a5c7e9b1d2f4a6c8e0b1d",
        **_SITE,
        "state": "active",
    }
)
SUSPENSION = [asked({"reason": "burglary"}), answered({"id": _DESK, "state": "suspended"})]
REVOCATION = [asked({"reason": "stolen"}), answered({"keys": 1})]
ROLES_REMOVED = [
    asked({"roles": ["privacy"], "reason": "transfer"}),
    answered({**_COLLEAGUE, "roles": []}),
]
INVITATION = [
    asked({"organisation": _HALL, "username": "liu.min"}),
    answered({"staff": _PERSON, "code": _CODE}, 201),
]
PROPOSE = [
    asked({"action": "desk.register", "subject": _HALL, "detail": {**_WORDS, "scene": "id"}}),
    OpenApiExample(
        "A web service where residents log in",
        value={"action": "relying_party.register", "subject": _HALL, "detail": _SITE},
        request_only=True,
    ),
    OpenApiExample(
        "A merchant's store",
        value={
            "action": "store.register",
            "subject": _HALL,
            "detail": {"code": "S01", **_STORE_WORDS},
        },
        request_only=True,
    ),
    answered({"id": _PROPOSAL, "state": "proposed", "made": None, "code": None}, 201),
]
PROPOSALS = _page(
    {
        "id": _PROPOSAL,
        "action": "desk.register",
        "organisation": _HALL,
        "subject": _HALL,
        "detail": {**_WORDS, "scene": "id"},
        "state": "proposed",
        "proposed_by": "chen.jie",
        "proposed_at": _AT,
        "decided_by": None,
        "decided_at": None,
    }
)
APPROVE = [
    asked({}),
    answered({"id": _PROPOSAL, "state": "approved", "made": _DESK, "code": _CODE}),
]
REJECT = [
    asked({}),
    answered({"id": _PROPOSAL, "state": "rejected", "made": None, "code": None}),
]
_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
MACHINE_KEY = [
    asked({"enrolment_code": _CODE, "jwk": _JWK}),
    answered(
        {
            "machine": {
                "id": _TERMINAL,
                "scene": "id",
                "name": {"zh": "自助机", "en": "Kiosk"},
                "organisation": {"zh": "潍坊市人民医院", "en": "Weifang People's Hospital"},
            },
            "key_id": _THUMBPRINT,
        },
        201,
    ),
]
ROTATION = [
    asked({"proof": "eyJ0eXAiOiJ2cGFzcy1uZXh0LWtleStqd3QifQ.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl"}),
    answered({"key_id": _THUMBPRINT, "old_key_id": "kiosk-1", "old_key_good_until": _LATER}, 201),
]
CHOOSE_PASSWORD = [
    asked({"invitation_code": _CODE, "password": "a long sentence of my own"}),
    answered(
        {
            "totp_secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "totp_url": "otpauth://totp/V%20Pass%3Aliu.min"
            "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=V%20Pass",
        }
    ),
]
ACCEPT = [
    asked({"invitation_code": _CODE, "one_time_code": "492039"}),
    answered({"staff": _PERSON, "username": "liu.min"}, 201),
]
PASSWORD = [
    asked(
        {
            "password": "a long sentence of my own",
            "new_password": "another long sentence of my own",
            "one_time_code": "492039",
        }
    )
]
