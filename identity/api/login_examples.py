"""Worked examples of logging in with V Pass for the API's description."""

from identity.api.examples import answered, asked

_AT = "2026-11-21T02:00:00Z"
_SOON = "2026-11-21T02:02:00Z"
_ID = "0b1f2f6e-5d1c-4c0e-8f0a-000000000011"
_HANDLE = "VPL1.Vv3cJm0bD1l1mJcG1j0m9h2W6mJ6k1n6f4h9s2c7d8E"
_WORD = "eyJ0eXAiOiJ2cGFzcy1sb2dpbitqd3QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_RECEIPT = "eyJ0eXAiOiJ2cGFzcy1yZWNlaXB0K2p3dCIsImFsZyI6IkVTMjU2In0.eyJpc3MiOiIuLi4ifQ.c2lnbmF0dXJl"
_SITE = "https://library.example"
_QUERY = (
    "response_type=code&client_id=vp-0123456789abcdef01234567&scope=openid%20real_name"
    "&redirect_uri=https%3A%2F%2Flibrary.example%2Fcallback&state=af0ifjsldkj"
    "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
)
_LOGIN = {
    "id": _ID,
    "relying_party": {"client_id": "vp-0123456789abcdef01234567", "name": "潍坊市图书馆"},
    "organisation": {"id": _ID, "zh": "潍坊市图书馆", "en": "Weifang Library"},
    "purpose": {"code": "reader", "zh": "读者服务", "en": "Readers' services"},
    "fields": ["real_name"],
    "level": 2,
    "state": "asked",
    "begun_at": _AT,
    "expires_at": _SOON,
    "receipt": None,
}
_SIGNED_IN = {**_LOGIN, "state": "signed_in", "receipt": _RECEIPT}


def _moved(state: str) -> dict[str, str]:
    return {"id": _ID, "state": state}


LOOK = [asked({"handle": _HANDLE}), answered(_LOGIN)]
LOGINS = [answered({"items": [_SIGNED_IN], "next": None})]
APPROVAL = [asked({"approval": _WORD}), answered(_moved("approved"))]
REFUSAL = [asked({}), answered(_moved("refused"))]
WITHDRAWAL = [asked({}), answered(_moved("withdrawn"))]
BEGUN = [
    asked({"request": _QUERY}),
    answered(
        {
            "id": _ID,
            "handle": _HANDLE,
            "number": "42",
            "relying_party": {"name": "读者服务", "zh": "潍坊市图书馆", "en": "Weifang Library"},
            "expires_at": _SOON,
            "location": None,
        },
        201,
    ),
]
STATE = [answered({"state": "approved"})]
WAY_BACK = [
    asked({}),
    answered(
        {
            "location": f"{_SITE}/callback?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj"
            "&iss=https%3A%2F%2Fvpass.example"
        }
    ),
]
LOGOUT = [
    asked(
        {
            "id_token_hint": _WORD,
            "post_logout_redirect_uri": f"{_SITE}/goodbye",
            "state": "af0ifjsldkj",
        }
    ),
    answered({"location": f"{_SITE}/goodbye?state=af0ifjsldkj"}),
]
_BASE = "https://vpass.example"
DISCOVERY = [
    answered(
        {
            "issuer": _BASE,
            "authorization_endpoint": f"{_BASE}/oidc/authorize",
            "token_endpoint": f"{_BASE}/oidc/token",
            "userinfo_endpoint": f"{_BASE}/oidc/userinfo",
            "revocation_endpoint": f"{_BASE}/oidc/revoke",
            "end_session_endpoint": f"{_BASE}/oidc/logout",
            "jwks_uri": f"{_BASE}/.well-known/vpass-keys.json",
            "scopes_supported": ["openid", "real_name"],
            "acr_values_supported": ["urn:vpass:level:1", "urn:vpass:level:2", "urn:vpass:level:3"],
        }
    )
]

# The scan the other way round
_NONCE = "VPN1.Vv3cJm0bD1l1mJcG1j0m9h2W6mJ6k1n6f4h9s2c7d8E"
REVERSE_SCAN = [
    asked({"purpose": "residence-permit", "case_number": "WF-2026-0042", "fields": None}),
    answered({"id": _ID, "qr": f"{_BASE}/phone/#counter={_NONCE}", "expires_at": _SOON}, 201),
]
REVERSE_SCAN_STATE = [answered({"state": "answered"})]
COLLECTION = [
    asked({}),
    answered(
        {
            "outcome": "accepted",
            "assurance": "high",
            "device": "hardware",
            "scan": "018f2f6e-0000-7000-8000-000000000003",
            "holder": "pZ2kq1n0Yb7mUu0o4l7m3g9X1c2d3e4f5g6h7i8j9k0",
            "level": 2,
            "fields": {"real_name": "王秀英", "over_18": True},
            "redeemed_at": _AT,
        }
    ),
]
NONCE_LOOK = [
    asked({"nonce": _NONCE}),
    answered(
        {
            "id": _ID,
            "organisation": {
                "id": _ID,
                "zh": "潍坊市政务服务中心",
                "en": "Weifang Government Service Hall",
            },
            "desk": _ID,
            "place": {"zh": "3号窗口", "en": "Desk 3"},
            "purpose": {"code": "residence-permit", "zh": "办理居住证", "en": "Residence permit"},
            "fields": ["over_18", "real_name"],
            "case_number": "WF-2026-0042",
            "expires_at": _SOON,
        }
    ),
]
PRESENCE = [asked({"answer": _WORD}), answered(_moved("answered"))]
