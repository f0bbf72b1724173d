"""Answers whether the program lives, is ready to work, and what it counted."""

import hmac
import socket
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from vpass.common import clock, database, outbox
from vpass.common.api import problems
from vpass.common.errors import NotAuthenticated
from vpass.common.observability import metrics_text

BROKER_WAIT_S = 0.3

_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}
# Migrations only ever get more, and a program which saw its own all applied need not look again.
_seen_migrated: set[str] = set()


class OutboxBacklog(Collector):
    """The outbox as it stands when it is asked for."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge for each figure of `outbox.backlog`; none while the database is away."""
        try:
            figures = outbox_figures()
        except (DatabaseError, InterfaceError):
            return
        for name, value in figures.items():
            yield GaugeMetricFamily(f"vpass_outbox_{name}", f"Outbox: {name}.", value=value)


def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all; asks nothing else of anybody."""
    return _answer({"status": "live"}, 200)


def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database can be worked on safely and has this program's schema, else 503.

    Anybody learns {"status": "ready" | "not_ready"}; with the bearer token of the metrics the
    answer tells why, and what is only worth a warning: no checksums, no broker, dead letters.
    """
    if request.headers.get("Authorization") is None:
        return _answer({"status": _status(_database())}, None)
    if not _has_token(request):
        return _refuse(request)
    return _answer(state_of_engines(), None)


def metrics(request: HttpRequest) -> HttpResponse:
    """All counts in the Prometheus text format, for the holder of the bearer token."""
    if not _has_token(request):
        return _refuse(request)
    text = metrics_text(OutboxBacklog())
    response = HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return response


def state_of_engines() -> dict[str, Any]:
    """How the database, the broker and the outbox stand, and what is worth a warning."""
    state = _database()
    outside = {"broker": {"reachable": _reaches_broker()}, "outbox": _outbox(state)}
    warnings = _warnings(state, outside)
    return {"status": _status(state), "database": state, **outside, "warnings": warnings}


def outbox_figures() -> dict[str, float]:
    """The figures of the outbox's backlog, as numbers."""
    found = outbox.backlog(at=clock.now())
    return {name: float(value) for name, value in asdict(found).items()}


def _database() -> dict[str, Any]:
    try:
        durability = database.read_durability()
        is_migrated = _is_migrated()
    except (DatabaseError, InterfaceError):
        return {"reachable": False}
    return {
        "reachable": True,
        "migrated": is_migrated,
        "unsafe": durability.unsafe,
        "data_checksums": durability.has_checksums,
    }


def _is_migrated() -> bool:
    if DEFAULT_DB_ALIAS not in _seen_migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _seen_migrated.add(DEFAULT_DB_ALIAS)
    return True


def _status(state: dict[str, Any]) -> str:
    is_ready = state["reachable"] and state["migrated"] and not state["unsafe"]
    return "ready" if is_ready else "not_ready"


def _outbox(state: dict[str, Any]) -> dict[str, float]:
    if not state["reachable"] or not state["migrated"]:
        return {}
    try:
        return outbox_figures()
    except (DatabaseError, InterfaceError):
        return {}


def _warnings(state: dict[str, Any], outside: dict[str, Any]) -> list[str]:
    found = []
    if state["reachable"] and not state["data_checksums"]:
        found.append("data_checksums is off: damage on disk would go unnoticed")
    if not outside["broker"]["reachable"]:
        found.append("the broker is away: jobs wait for the sweeper")
    if outside["outbox"].get("dead"):
        found.append("the outbox holds dead letters")
    return found


def _reaches_broker() -> bool:
    """Whether something listens where the broker should be; never waits long, never raises."""
    parts = urlsplit(settings.BROKER_URL)
    try:
        if parts.scheme.endswith("socket") or parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(BROKER_WAIT_S)
                link.connect(unquote(parts.path))
            return True
        address = (parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 0))
        with socket.create_connection(address, timeout=BROKER_WAIT_S):
            return True
    except (OSError, ValueError):
        return False


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = str(settings.METRICS_TOKEN or "")
    if scheme.lower() != "bearer" or not expected:
        return False
    return hmac.compare_digest(token.encode(), expected.encode())


def _refuse(request: HttpRequest) -> HttpResponse:
    response = problems.as_response(request, NotAuthenticated())
    response["WWW-Authenticate"] = 'Bearer realm="operations"'
    return response


def _answer(body: dict[str, Any], status: int | None) -> HttpResponse:
    code = status or (200 if body["status"] == "ready" else 503)
    response = JsonResponse(body, status=code)
    response["Cache-Control"] = "no-store"
    return response
