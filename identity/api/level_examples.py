"""Worked examples of levels, photos and the register's events, for the API's description."""

from identity.api.examples import answered, asked

_JWS = "eyJ0eXAiOiJ2cGFzcy1saXZlbmVzcytqd3QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_CHECK = "018f2f6e-0000-7000-8000-000000000011"
_EVENT = "5b7a3a52-6a55-4a0e-9c55-0a4f5f1f7c01"
_HOLDER = "pZ2kq1n0Yb7mUu0o4l7m3g9X1c2d3e4f5g6h7i8j9k0"
_SEEN = {"document_kind": "id_card", "case_number": "WF-2026-0051"}

CHALLENGE = [answered({"challenge": "kX0m7mJ6k1n6f4h9s2c7dwAAanH1YAhQ2n0Yb7mUu0o4l7m3g9X"})]
FACE_CHECK = [
    answered(
        {
            "id": _CHECK,
            "challenge": "Vv3cJm0bD1l1mJcG1j0m9h2W6mJ6k1n6f4h9s2c7d8E",
            "subject": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
            "audience": "https://vpass.example/api/resident/v1/face-checks",
            "service": "https://faces.example",
            "expires_at": "2026-11-21T02:10:00Z",
        },
        201,
    ),
]
FACE_RESULT = [asked({"result": _JWS}), answered({"level": 3})]
COUNTER_NUMBER = [
    answered({"number": "40718265", "expires_at": "2026-11-21T02:10:00Z"}, 201),
]
LEVEL_RAISE = [
    asked({"scan": "018f2f6e-0000-7000-8000-000000000003", **_SEEN}),
    answered({"level": 3, "holder": _HOLDER}),
]
COUNTER_ENROLMENT = [
    asked(
        {
            "phone": "13900000001",
            "number": "40718265",
            "real_name": "王秀英",
            "id_number": "370702198001019902",
            **_SEEN,
        }
    ),
    answered({"level": 3, "holder": _HOLDER}),
]
PHOTO = [answered({"media_type": "image/jpeg", "photo": "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q=="})]
REVIEWS = [
    answered(
        {
            "items": [
                {"id": _EVENT, "kind": "number_corrected", "received_at": "2026-11-21T02:00:00Z"}
            ],
            "next": None,
        }
    )
]
DECISION = [
    asked({"decision": "apply", "reason": "other-account-closed"}),
    answered({"id": _EVENT, "state": "applied"}),
]
CHANGE = [
    asked(
        {
            "event_id": _EVENT,
            "kind": "name_changed",
            "census_id": "370705000123",
            "sequence": 7,
            "real_name": "王小明",
        }
    ),
    answered({"event_id": _EVENT, "state": "applied"}),
]
