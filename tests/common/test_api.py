"""What every endpoint inherits: audience, methods, strict bodies, problems, headers."""

import json
from typing import Any

import psycopg2
import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from vpass.common import errors
from vpass.common.api import Audience, Endpoint, QuerySerializer, StrictSerializer, problems
from vpass.common.limits import LimitReached

requests = APIRequestFactory()


class Address(StrictSerializer):
    street = serializers.CharField(max_length=20)


class Thing(StrictSerializer):
    name = serializers.CharField(max_length=10)
    amount_fen = serializers.IntegerField(min_value=1, required=False)
    is_new = serializers.BooleanField(required=False)
    on = serializers.DateField(required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    story = serializers.CharField(required=False, style={"multiline": True})
    address = Address(required=False)


class Search(QuerySerializer):
    year = serializers.IntegerField(required=False)
    word = serializers.CharField(required=False)


class Things(Endpoint):
    audience = Audience.PUBLIC

    def get(self, request: Request) -> Response:
        return Response(self.read_query(Search))

    def post(self, request: Request) -> Response:
        return Response(self.read(Thing), status=201)


class Small(Things):
    max_bytes = 10


class Keyed(Endpoint):
    audience = Audience.PUBLIC

    def post(self, request: Request) -> Response:
        key = self.idempotency()
        return Response({"key": key.key, "digest": key.digest.hex()})


class Failing(Endpoint):
    audience = Audience.PUBLIC
    error: Exception = RuntimeError("the name of a resident")

    def get(self, request: Request) -> Response:
        raise self.error


class Cached(Endpoint):
    audience = Audience.PUBLIC

    def get(self, request: Request) -> Response:
        return Response({}, headers={"Cache-Control": "public, max-age=300"})


def _call(endpoint: type[Endpoint], request: Any) -> Response:
    response = endpoint.as_view()(request)
    response.render()
    return response


def _post(body: bytes | str, *, content_type: str = "application/json", **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return _call(
        Things, requests.generic("POST", "/x", body, content_type=content_type, headers=sent)
    )


def _problem(response: Response) -> dict[str, Any]:
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert body["status"] == response.status_code
    assert body["type"] == f"/problems#{body['code']}"
    assert body["title"] and body["title_zh"]
    return body


# Audience


def test_endpoint__without_audience__cannot_be_defined():
    with pytest.raises(TypeError, match="names its audience"):
        type("Nameless", (Endpoint,), {})


def test_endpoint__own_authentication__cannot_be_defined():
    with pytest.raises(TypeError, match="follows from the audience"):
        type("Open", (Endpoint,), {"audience": Audience.RESIDENT, "authentication_classes": []})


def test_endpoint__platform__must_bring_its_authentication():
    with pytest.raises(TypeError, match="brings its authentication"):
        type("Posts", (Endpoint,), {"audience": Audience.PLATFORM})

    type(
        "Fit", (Endpoint,),
        {"audience": Audience.PLATFORM, "authentication_classes": [BaseAuthentication]},
    )  # fmt: skip


def test_endpoint__public_without_signing_in__cannot_be_defined():
    with pytest.raises(TypeError, match="no way in"):
        type("Odd", (Endpoint,), {"audience": Audience.PUBLIC, "signed_in": False})


# Methods


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"])
def test_endpoint__unlisted_method__405_with_allow(method: str):
    response = _call(Things, requests.generic(method, "/x"))

    assert _problem(response)["code"] == "request.method_not_allowed"
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, POST"


def test_endpoint__head__answers_like_get():
    assert _call(Things, requests.head("/x")).status_code == 200


def test_endpoint__accept_of_something_else__json_all_the_same():
    response = _call(Things, requests.get("/x", headers={"Accept": "text/html"}))

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_endpoint__any_answer__no_store_and_nosniff():
    response = _call(Things, requests.get("/x"))

    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "Allow" not in response


def test_endpoint__public_answer_with_own_cache_rule__kept():
    assert _call(Cached, requests.get("/x"))["Cache-Control"] == "public, max-age=300"


# Bodies


def test_read__valid_body__values():
    body = {
        "name": "二维码", "amount_fen": 5, "is_new": True, "on": "2026-02-28", "tags": ["a"],
        "story": "two\nlines", "address": {"street": "胜利东街"},
    }  # fmt: skip

    assert _post(json.dumps(body)).data | {"on": "2026-02-28"} == body


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b"", "name", "required"),
        (b"[]", "", "not_json"),
        (b"null", "", "not_json"),
        (b'"x"', "", "not_json"),
        (b"{", "", "not_json"),
        (b"{} {}", "", "not_json"),
        (b"\xff", "", "not_json"),
        (b"\xef\xbb\xbf{}", "", "not_json"),
        ("{}".encode("utf-16"), "", "not_json"),
        (b'{"name":"a","name":"b"}', "", "not_json"),
        (b'{"name":"a","address":{"street":"a","street":"b"}}', "", "not_json"),
        (b'{"name":NaN}', "", "not_json"),
        (b'{"name":-Infinity}', "", "not_json"),
        (b'{"name":1e400}', "", "not_json"),
        (b'{"amount_fen":' + b"9" * 5000 + b"}", "", "not_json"),
        (b'{"name":"\\ud800"}', "", "not_json"),
        (b'{"name":"a\\u0000b"}', "name", "control_character"),
        (b'{"name":"a\\u0007b"}', "name", "control_character"),
        (b'{"name":"a\\u202eb"}', "name", "control_character"),
        (b'{"name":"a\\nb"}', "name", "control_character"),
        (b'{"na\\u0000me":"a"}', "", "control_character"),
        (b'{"tags":["a","b\\u0000"]}', "tags.1", "control_character"),
        (b'{"name":' + b"[" * 40 + b"]" * 40 + b"}", "", "too_deep"),
        (b"[" * 100_000, "", "too_deep"),
        (b'{"name":"a","colour":"red"}', "colour", "unknown"),
        (b'{"name":"a","address":{"street":"a","no":1}}', "address.no", "unknown"),
        (b'{"name":"a","address":[]}', "address", "wrong_type"),
        (b'{"name":5}', "name", "wrong_type"),
        (b'{"name":true}', "name", "wrong_type"),
        (b'{"name":null}', "name", "null"),
        (b'{"name":""}', "name", "blank"),
        (b'{"name":"12345678901"}', "name", "max_length"),
        (b'{"name":"a","amount_fen":"5"}', "amount_fen", "wrong_type"),
        ('{"name":"a","amount_fen":"１２"}'.encode(), "amount_fen", "wrong_type"),
        (b'{"name":"a","amount_fen":5.0}', "amount_fen", "wrong_type"),
        (b'{"name":"a","amount_fen":true}', "amount_fen", "wrong_type"),
        (b'{"name":"a","amount_fen":0}', "amount_fen", "min_value"),
        (b'{"name":"a","is_new":1}', "is_new", "wrong_type"),
        (b'{"name":"a","is_new":"true"}', "is_new", "wrong_type"),
        (b'{"name":"a","on":20260228}', "on", "wrong_type"),
        (b'{"name":"a","on":"2026-02-30"}', "on", "invalid"),
        (b'{"name":"a","tags":"a"}', "tags", "wrong_type"),
        (b'{"name":"a","tags":[5]}', "tags", "wrong_type"),
    ],
)  # fmt: skip
def test_read__bad_body__field_and_code(body: bytes, field: str, code: str):
    problem = _problem(_post(body))

    assert (problem["status"], problem["code"]) == (400, "request.invalid")
    assert {"field": field, "code": code} in problem["errors"]


def test_read__string_full_of_brackets__is_not_deep():
    problem = _problem(_post(json.dumps({"name": "[" * 50 + '\\"' + "{" * 50})))

    assert problem["errors"] == [{"field": "name", "code": "max_length"}]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=gbk", "application/jsonp", "application/json; x=y", "",
     "application/json, application/json"],
)  # fmt: skip
def test_read__other_media_type__415(content_type: str):
    problem = _problem(_post(b"{}", content_type=content_type))

    assert (problem["status"], problem["code"]) == (415, "request.media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; Charset=UTF-8",
                     'application/json;charset="utf-8"']
)  # fmt: skip
def test_read__json_in_utf_8__accepted(content_type: str):
    assert _post(b'{"name":"a"}', content_type=content_type).status_code == 201


def test_read__compressed_body__415():
    problem = _problem(_post(b"x", Content_Encoding="gzip"))

    assert problem["code"] == "request.media_type"


def test_body__too_large__refused_unread():
    request = requests.generic("POST", "/x", b'{"name":"abcdef"}', content_type="application/json")

    problem = _problem(_call(Small, request))

    assert (problem["status"], problem["code"]) == (413, "request.too_large")
    assert problem["max_bytes"] == 10
    assert request._read_started is False


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "٥", "9" * 20])
def test_body__malformed_length__400(length: str):
    request = requests.post("/x")
    request.META["CONTENT_LENGTH"] = length

    assert _problem(_call(Things, request))["code"] == "request.invalid"


def test_body__chunked_without_length__411():
    request = requests.post("/x", headers={"Transfer-Encoding": "chunked"})
    request.META.pop("CONTENT_LENGTH", None)

    assert _problem(_call(Things, request))["code"] == "request.length_required"


# URL parameters


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("colour=red", "colour", "unknown"),
        ("year=2025&year=2026", "year", "repeated"),
        ("year=x", "year", "invalid"),
        ("year=" + "9" * 5000, "year", "max_string_length"),
        ("word=%00", "word", "control_character"),
        ("word=%ED%A0%80%E2%80%AE", "word", "control_character"),
    ],
)
def test_read_query__bad_parameter__field_and_code(query: str, field: str, code: str):
    problem = _problem(_call(Things, requests.get(f"/x?{query}")))

    assert problem["errors"] == [{"field": field, "code": code}]


def test_read_query__valid__typed():
    assert _call(Things, requests.get("/x?year=2026&word=a%20b")).data == {
        "year": 2026,
        "word": "a b",
    }


# Idempotency keys


def _keyed(key: str | None, *, path: str = "/x", body: bytes = b"{}") -> Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return _call(
        Keyed,
        requests.generic("POST", path, body, content_type="application/json", headers=headers),
    )


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, "idempotency.key_missing"), ("", "idempotency.key_missing"),
     ("short", "idempotency.key_invalid"), ("x" * 129, "idempotency.key_invalid"),
     ("ключ-ключ", "idempotency.key_invalid")],
)  # fmt: skip
def test_idempotency__bad_key__400(key: str | None, code: str):
    assert _problem(_keyed(key))["code"] == code


def test_idempotency__digest__differs_by_body_and_path():
    digests = {
        _keyed("key-000001").data["digest"],
        _keyed("key-000001").data["digest"],
        _keyed("key-000001", body=b"{ }").data["digest"],
        _keyed("key-000001", path="/y").data["digest"],
        _keyed("key-000001", path="/x?a=1").data["digest"],
    }

    assert len(digests) == 4


# Problems


def _database_error(kind: type[Exception], state: str | None) -> Exception:
    class Cause(psycopg2.Error):
        pgcode = state

    error = kind("Key (phone)=(13800000000) already exists")
    error.__cause__ = Cause()
    return error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("the name of a resident"), 500, "server.error"),
        (KeyError("x"), 500, "server.error"),
        (errors.NotFound(), 404, "object.not_found"),
        (Http404(), 404, "object.not_found"),
        (exceptions.NotFound(), 404, "object.not_found"),
        (exceptions.PermissionDenied(), 403, "caller.not_allowed"),
        (exceptions.ParseError(), 400, "request.invalid"),
        (exceptions.UnsupportedMediaType("x"), 415, "request.media_type"),
        (exceptions.NotAcceptable(), 406, "request.not_acceptable"),
        (exceptions.Throttled(wait=2), 429, "request.throttled"),
        (exceptions.APIException(), 500, "server.error"),
        (RequestDataTooBig(), 413, "request.too_large"),
        (UnreadablePostError(), 400, "request.invalid"),
        (LimitReached(retry_after=30), 429, "limit.reached"),
        (_database_error(OperationalError, "57014"), 503, "service.busy"),
        (_database_error(OperationalError, "55P03"), 503, "service.busy"),
        (_database_error(OperationalError, "40P01"), 503, "service.busy"),
        (_database_error(OperationalError, "57P01"), 503, "service.busy"),
        (_database_error(OperationalError, "53200"), 500, "server.error"),
        (OperationalError("connection refused"), 503, "service.busy"),
        (InterfaceError("connection already closed"), 503, "service.busy"),
        (_database_error(DataError, "22003"), 400, "request.invalid"),
    ],
)
def test_render_exception__any__its_problem_and_no_text_of_ours(
    error: Exception, status: int, code: str
):
    view = type("Fails", (Failing,), {"error": error})

    response = _call(view, requests.get("/x"))
    problem = _problem(response)

    assert (problem["status"], problem["code"]) == (status, code)
    assert b"resident" not in response.content
    assert b"138" not in response.content


def test_render_exception__retry_after__in_the_header():
    view = type("Fails", (Failing,), {"error": LimitReached(retry_after=30)})

    assert _call(view, requests.get("/x"))["Retry-After"] == "30"


def test_render_exception__401_of_a_public_endpoint__still_names_a_challenge():
    view = type("Fails", (Failing,), {"error": errors.NotAuthenticated()})

    assert _call(view, requests.get("/x"))["WWW-Authenticate"] == 'Session realm="V Pass"'


@pytest.mark.parametrize(
    ("accepted", "language"),
    [(None, "zh"), ("en-GB,en;q=0.9", "en"), ("zh-CN,en", "zh"), ("fr,en", "en"), ("*", "zh"),
     ("x" * 10_000, "zh")],
)  # fmt: skip
def test_preferred_language__accept_language__first_of_ours(accepted: str | None, language: str):
    headers = {} if accepted is None else {"Accept-Language": accepted}

    assert problems.preferred_language(requests.get("/x", headers=headers)) == language


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (lambda request: problems.bad_request(request, None), 400, "request.invalid"),
        (lambda request: problems.bad_request(request, RequestDataTooBig()), 413,
         "request.too_large"),
        (lambda request: problems.not_allowed(request, None), 403, "caller.not_allowed"),
        (lambda request: problems.not_found(request, Http404()), 404, "object.not_found"),
        (problems.server_fault, 500, "server.error"),
    ],
)  # fmt: skip
def test_handlers__of_django__answer_problems_too(handler: Any, status: int, code: str):
    response = handler(requests.get("/x"))

    assert (response.status_code, json.loads(response.content)["code"]) == (status, code)
    assert response["Content-Type"] == "application/problem+json"
