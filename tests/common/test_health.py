"""Live, ready and the counts: bare for anybody, with reasons for the holder of the token."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from vpass.common import database, health
from vpass.common.database import Durability

TOKEN = "a-token-for-the-operators-0001"
SAFE = Durability(
    settings={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
    has_checksums=True,
)


@pytest.fixture(autouse=True)
def operators_token(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN


def _get(view: Any, token: str | None = None) -> tuple[HttpResponse, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = view(RequestFactory().get("/health", headers=headers))
    assert response["Cache-Control"] == "no-store"
    is_json = "json" in response["Content-Type"]
    return response, json.loads(response.content) if is_json else response.content.decode()


def _unreachable() -> Durability:
    raise OperationalError("connection refused")


def test_live__always__200():
    response, body = _get(health.live)

    assert (response.status_code, body) == (200, {"status": "live"})


@pytest.mark.django_db
def test_ready__sound_database__bare_status():
    response, body = _get(health.ready)

    assert (response.status_code, body) == (200, {"status": "ready"})


@pytest.mark.django_db
def test_ready__with_token__all_the_reasons(settings: Any):
    settings.BROKER_URL = "redis://127.0.0.1:1/0"

    response, body = _get(health.ready, TOKEN)

    assert response.status_code == 200
    assert body["status"] == "ready"
    assert body["database"]["reachable"] and body["database"]["migrated"]
    assert body["database"]["unsafe"] == {}
    assert body["broker"] == {"reachable": False}
    assert body["outbox"] == {"due": 0, "pending": 0, "dead": 0, "oldest_s": 0}
    assert "the broker is away: jobs wait for the sweeper" in body["warnings"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", database.NEEDED_ON)
def test_ready__unsafe_setting__503(name: str, monkeypatch: pytest.MonkeyPatch):
    unsafe = Durability(settings=SAFE.settings | {name: "off"}, has_checksums=False)
    monkeypatch.setattr(database, "read_durability", lambda: unsafe)

    assert _get(health.ready)[0].status_code == 503
    response, body = _get(health.ready, TOKEN)

    assert response.status_code == 503
    assert body["database"]["unsafe"] == {name: "off"}
    assert "data_checksums is off: damage on disk would go unnoticed" in body["warnings"]


def test_ready__database_away__503_and_no_exception(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "read_durability", _unreachable)

    response, body = _get(health.ready)
    detailed, reasons = _get(health.ready, TOKEN)

    assert (response.status_code, body) == (503, {"status": "not_ready"})
    assert (detailed.status_code, reasons["database"]) == (503, {"reachable": False})


@pytest.mark.django_db
def test_ready__migration_missing__503(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_seen_migrated", set())
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: ["one more"])

    assert _get(health.ready)[0].status_code == 503


@pytest.mark.parametrize("view", [health.ready, health.metrics])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü"])
def test_token__wrong__401(view: Any, token: str):
    response, body = _get(view, token)

    assert (response.status_code, body["code"]) == (401, "caller.not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="operations"'


def test_token__none_configured__nobody_gets_in(settings: Any):
    settings.METRICS_TOKEN = ""

    assert _get(health.metrics, "")[0].status_code == 401


def test_metrics__without_token__401():
    assert _get(health.metrics)[0].status_code == 401


@pytest.mark.django_db
def test_metrics__with_token__text_with_the_outbox():
    response, body = _get(health.metrics, TOKEN)

    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "vpass_outbox_pending 0.0" in body


def test_metrics__database_away__the_rest_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "outbox_figures", _unreachable)

    response, body = _get(health.metrics, TOKEN)

    assert response.status_code == 200
    assert "vpass_outbox" not in body
