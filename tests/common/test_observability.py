"""Ids, log lines and counts: there when needed, and nothing personal in any of them."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from vpass.common import observability
from vpass.common.observability import RequestIdMiddleware, log, request_id

CANARY = "张伟 370702199001011234"


@pytest.fixture
def lines(program_log: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    """A function that gives the log lines written so far, as JSON."""
    return lambda: [json.loads(line) for line in program_log.getvalue().splitlines()]


def _pass(request: HttpRequest, *, status: int = 200) -> tuple[HttpResponse, list[str]]:
    seen: list[str] = []

    def view(_: HttpRequest) -> HttpResponse:
        seen.append(request_id())
        observability.note_caller("terminal:7")
        return HttpResponse(status=status)

    return RequestIdMiddleware(view)(request), seen


@pytest.mark.parametrize(
    ("offered", "is_kept"),
    [("a1b2-c3d4", True), ("x" * 64, True), ("short", False), ("x" * 65, False),
     ("with space", False), ("a\nb-injected", False), ("ключ-ключ", False), (None, False)],
)  # fmt: skip
def test_request_id__offered__kept_only_when_harmless(offered: str | None, is_kept: bool):
    headers = {} if offered is None else {"X-Request-ID": offered}

    response, seen = _pass(RequestFactory().get("/x", headers=headers))

    assert response["X-Request-ID"] == seen[0]
    assert (seen[0] == offered) is is_kept
    assert is_kept or len(seen[0]) == 32
    assert request_id() == ""


def test_access_log__one_line_with_the_route_and_no_path(lines: Any):
    request = RequestFactory().get(f"/people/{CANARY}?q={CANARY}")
    request.resolver_match = SimpleNamespace(route="people/<str:name>")  # type: ignore[assignment]

    response, _ = _pass(request, status=404)

    (line,) = lines()
    assert line["duration_ms"] >= 0
    assert {name: line[name] for name in ("event", "method", "route", "status", "caller")} == {
        "event": "request",
        "method": "GET",
        "route": "people/<str:name>",
        "status": 404,
        "caller": "terminal:7",
    }
    assert line["request_id"] == response["X-Request-ID"]
    assert "张伟" not in json.dumps(line, ensure_ascii=False)


def test_log__field_outside_the_list__left_out_by_name(lines: Any):
    log.info("citizen seen", real_name=CANARY, count=3)

    (line,) = lines()
    assert (line["event"], line["count"], line["left_out"]) == ("citizen seen", 3, ["real_name"])
    assert "real_name" not in line
    assert CANARY not in json.dumps(line, ensure_ascii=False)


def test_log__exception__type_and_place_but_never_its_text(lines: Any):
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise ValueError(CANARY) from error
    except ValueError:
        log.exception("it failed")

    (line,) = lines()
    assert (line["exception"], line["cause"]) == ("builtins.ValueError", "builtins.KeyError")
    assert line["frames"][-1].startswith("tests/common/test_observability.py:")
    assert CANARY not in json.dumps(line, ensure_ascii=False)


def test_log__foreign_record__template_without_arguments(lines: Any):
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        logging.getLogger("some.library").error("could not store %s", CANARY, exc_info=True)

    (line,) = lines()
    assert line["event"] == "could not store %s"
    assert line["exception"] == "builtins.RuntimeError"
    assert CANARY not in json.dumps(line, ensure_ascii=False)


def test_log__long_value__cut(lines: Any):
    log.info("x" * 1000, reason=["y" * 1000] * 50)

    (line,) = lines()
    assert len(line["event"]) == 300
    assert (len(line["reason"]), len(line["reason"][0])) == (20, 300)


def test_tasks__carry_the_id_of_the_request_that_rang():
    headers: dict[str, Any] = {}
    with observability.as_request("request-0001"):
        observability._send_request_id(headers=headers)
    assert request_id() == ""

    task = SimpleNamespace(request=SimpleNamespace(**headers))
    observability._restore_request_id(task=task)
    assert request_id() == "request-0001"
    observability._forget_request_id()
    assert request_id() == ""


@pytest.mark.parametrize("carried", [None, 5, "x", "a b c d e f g h"])
def test_tasks__no_fit_id__a_fresh_one(carried: Any):
    task = SimpleNamespace(request=SimpleNamespace(vpass_request_id=carried))

    observability._restore_request_id(task=task)

    assert len(request_id()) == 32
    observability._forget_request_id()


def test_metrics__requests_counted_by_route():
    request = RequestFactory().get("/x")
    request.resolver_match = SimpleNamespace(route="counted/<int:id>")  # type: ignore[assignment]
    _pass(request, status=201)
    observability.note_problem("code.of_this_test")

    text = observability.metrics_text().decode()

    assert (
        'vpass_http_requests_total{method="GET",route="counted/<int:id>",status="201"} 1.0' in text
    )
    assert 'vpass_problems_total{code="code.of_this_test"} 1.0' in text
    assert 'vpass_http_request_seconds_count{method="GET",route="counted/<int:id>"} 1.0' in text


def test_metrics__several_processes__added_up(tmp_path: Any):
    script = (
        "import sys; from vpass.common import observability as o\n"
        "if sys.argv[1] == 'count': o.note_problem('a.b')\n"
        "else: print(o.metrics_text().decode())"
    )
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def run(word: str) -> str:
        command = [sys.executable, "-c", script, word]
        return subprocess.run(
            command, env=environ, check=True, capture_output=True, text=True
        ).stdout

    run("count")
    run("count")

    assert 'vpass_problems_total{code="a.b"} 2.0' in run("tell")
