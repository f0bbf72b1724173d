"""The API's description: complete, valid, and without a single warning."""

import io
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import override_settings
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vpass.common.api import (
    Audience,
    Endpoint,
    QuerySerializer,
    StrictSerializer,
    describes,
    page_serializer,
)
from vpass.common.errors import Conflict


class DescribedScanRequest(StrictSerializer):
    code = serializers.CharField(max_length=600, help_text="What the scanner read.")
    purpose = serializers.CharField()


class DescribedScanResult(StrictSerializer):
    outcome = serializers.CharField()
    fields_ = serializers.DictField(child=serializers.CharField())


class DescribedLine(StrictSerializer):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()


class DescribedSearch(QuerySerializer):
    year = serializers.IntegerField(required=False, help_text="Which year.")


class ScanTaken(Conflict):
    """The code was taken by another scanner."""

    code = "test_scan.taken"
    title_zh = "测试"


class Scans(Endpoint):
    audience = Audience.TERMINAL

    @describes(
        request=DescribedScanRequest,
        answers={200: DescribedScanResult},
        problems=[ScanTaken],
        idempotent=True,
    )
    def post(self, request: Request) -> Response:
        """Redeem a code."""
        return Response()


class Lines(Endpoint):
    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: page_serializer(DescribedLine)}, paged=True)
    def get(self, request: Request) -> Response:
        """The resident's access log."""
        return Response()


class OneLine(Lines):
    @describes(answers={200: DescribedLine}, query=DescribedSearch)
    def get(self, request: Request, line_id: Any) -> Response:
        """One line."""
        return Response()


class CurrentSession(Endpoint):
    audience = Audience.COUNTER
    roles = frozenset({"clerk"})

    @describes(answers={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out."""
        return Response()


class Enrolments(Endpoint):
    audience = Audience.RESIDENT
    signed_in = False

    @describes(request=DescribedScanRequest, answers={201: DescribedScanResult})
    def post(self, request: Request) -> Response:
        """Start."""
        return Response()


class DeskKeys(Enrolments):
    audience = Audience.COUNTER


class Keys(Endpoint):
    audience = Audience.PUBLIC

    @describes(answers={200: DescribedScanResult})
    def get(self, request: Request) -> Response:
        """The city's public keys."""
        return Response()


def _routes(*patterns: Any) -> ModuleType:
    module = ModuleType("described_routes")
    module.urlpatterns = list(patterns)  # type: ignore[attr-defined]
    return module


ROUTES = _routes(
    path("api/terminal/v1/scans", Scans.as_view()),
    path("api/resident/v1/access-log", Lines.as_view()),
    path("api/resident/v1/access-log/<uuid:line_id>", OneLine.as_view()),
    path("api/resident/v1/enrolments", Enrolments.as_view()),
    path("api/counter/v1/desk-keys", DeskKeys.as_view()),
    path("api/counter/v1/sessions/current", CurrentSession.as_view()),
    path(".well-known/vpass-keys.json", Keys.as_view()),
)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    out = io.StringIO()
    with override_settings(ROOT_URLCONF=ROUTES):
        call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    found: dict[str, Any] = yaml.safe_load(out.getvalue())
    return found


def _names(operation: dict[str, Any]) -> set[str]:
    return {each["name"] for each in operation.get("parameters", [])}


def test_schema__no_warning__version_3_1(described: dict[str, Any]):
    assert described["openapi"].startswith("3.1")
    assert len(described["paths"]) == 7


def test_schema__machine__signature_headers_and_idempotency_key(described: dict[str, Any]):
    operation = described["paths"]["/api/terminal/v1/scans"]["post"]

    assert operation["operationId"] == "terminal_scans_post"
    assert operation["tags"] == ["terminal"]
    assert operation["security"] == [{"machine": []}]
    assert _names(operation) == {
        "Signature", "Signature-Input", "Content-Digest", "Idempotency-Key",
    }  # fmt: skip
    assert "`test_scan.taken`" in operation["responses"]["409"]["description"]
    assert "`signature.replayed`" in operation["responses"]["401"]["description"]
    assert "`idempotency.key_reused`" in operation["responses"]["422"]["description"]


def test_schema__problems__one_shared_component(described: dict[str, Any]):
    refs = {
        content["schema"]["$ref"]
        for path_item in described["paths"].values()
        for operation in path_item.values()
        for answer in operation["responses"].values()
        for kind, content in answer.get("content", {}).items()
        if kind == "application/problem+json"
    }

    assert refs == {"#/components/schemas/Problem"}
    assert "FieldError" in described["components"]["schemas"]


def test_schema__resident__proof_and_page(described: dict[str, Any]):
    operation = described["paths"]["/api/resident/v1/access-log"]["get"]

    assert operation["security"] == [{"resident": []}]
    assert _names(operation) == {"DPoP", "limit", "cursor"}
    assert "`caller.level_too_low`" in operation["responses"]["403"]["description"]
    content = operation["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/DescribedLinePage"}


def test_schema__ways_in__each_documented(described: dict[str, Any]):
    paths = described["paths"]

    assert paths["/api/resident/v1/enrolments"]["post"]["security"] == [{"key_dpop": []}]
    assert paths["/api/counter/v1/desk-keys"]["post"]["security"] == [{"key_desk_proof": []}]
    assert "security" not in paths["/.well-known/vpass-keys.json"]["get"]
    assert set(described["components"]["securitySchemes"]) == {
        "resident", "staff", "machine", "key_dpop", "key_desk_proof",
    }  # fmt: skip


def test_schema__method_without_description__cannot_pass_unseen():
    class Bare(Endpoint):
        audience = Audience.PUBLIC

        def get(self, request: Request) -> Response:
            return Response()

    with (
        override_settings(ROOT_URLCONF=_routes(path("bare", Bare.as_view()))),
        pytest.raises(TypeError, match="not described"),
    ):
        call_command("spectacular", stdout=io.StringIO())
