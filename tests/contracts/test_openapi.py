"""docs/openapi.json is what the program answers to: current, valid, and its examples are true.

`manage.py spectacular --format openapi-json --validate --fail-on-warn --file docs/openapi.json`
writes the snapshot anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from vpass.common.api import Endpoint
from vpass.common.api.openapi import Description

SNAPSHOT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def schema_text() -> str:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return json.dumps(schema, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


@pytest.fixture(scope="module")
def schema() -> Any:
    reset_generator_stats()
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))


def described() -> list[tuple[str, Description]]:
    found = []
    for pattern in get_resolver().url_patterns:
        view = getattr(pattern.callback, "cls", None)
        if view is None or not issubclass(view, Endpoint):
            continue
        for method in ("get", "post", "put", "patch", "delete"):
            description = getattr(getattr(view, method, None), "description", None)
            if description is not None:
                found.append((f"{method} {pattern.pattern}", description))
    return found


def test_schema__no_warning(schema: Any):
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache


def test_schema__valid_openapi_3_1(schema: Any):
    assert schema["openapi"].startswith("3.1")
    validate(schema, cls=OpenAPIV31SpecValidator)


def test_schema__snapshot_is_current(schema: Any):
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))

    assert kept == schema, "write it anew, see above"


def test_schema__each_operation__audience_problems_and_an_example(schema: Any):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation["tags"] and operation["operationId"] and operation["description"], name
            assert "500" in operation["responses"] and "503" in operation["responses"], name
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert len(good) == 1, name
            content = operation["responses"][good[0]].get("content", {})
            is_shown = "application/statuslist+cwt" in content or good[0] == "204"
            assert is_shown or content["application/json"]["examples"], name
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["examples"], name
                assert "400" in operation["responses"], name
            if not path.startswith(("/.well-known/", "/api/public/")):
                assert operation["security"] and "401" in operation["responses"], name


@pytest.mark.parametrize(("name", "description"), described())
def test_examples__each_passes_its_serializer(name: str, description: Description):
    for example in description.examples:
        if example.request_only:
            shape = description.request
        else:
            status = int((example.status_codes or ["200"])[0])
            assert status in description.answers, (name, status)
            shape = description.answers[status]
        assert shape is not None, name
        read = shape(data=example.value)
        assert read.is_valid(), (name, read.errors)
        required = {field for field, known in read.fields.items() if known.required}
        assert required <= set(example.value) <= set(read.fields), name
