"""Tells what the program is doing: one id per request, structured logs, counts and times.

Nothing personal gets out: a log line keeps only the fields of `LOG_FIELDS`, with short plain
values; foreign log records keep their message template without its arguments; an exception is told
by its type and the places it passed, never by its text, which may quote a row of the database.
"""

import contextvars
import logging
import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from celery.signals import before_task_publish, task_postrun, task_prerun
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.registry import REGISTRY, Collector

LOG_FIELDS = frozenset(
    {
        "event", "level", "logger", "timestamp", "request_id",
        "method", "route", "status", "duration_ms", "caller", "audience", "code",
        "task", "queue", "name", "consumer", "event_id", "attempt", "attempts", "count", "site",
        "state", "reason", "kid", "setting", "process", "port", "seconds",
        "exception", "frames", "cause", "left_out",
    }
)  # fmt: skip
MAX_VALUE_CHARS = 300

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)
_PROJECT = Path(__file__).resolve().parent.parent.parent
_TASK_HEADER = "vpass_request_id"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
_caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="")
_problem: contextvars.ContextVar[str] = contextvars.ContextVar("problem", default="")

_REQUESTS = Counter(
    "vpass_http_requests", "Requests answered, by route and status.", ["route", "method", "status"]
)
_SECONDS = Histogram(
    "vpass_http_request_seconds",
    "Time from first byte to answer.",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_PROBLEMS = Counter("vpass_problems", "Problem details answered, by code.", ["code"])

log: structlog.stdlib.BoundLogger = structlog.get_logger("vpass")


# The id of a request


def request_id() -> str:
    """The id of the request or task being worked on; "" outside of both."""
    return _request_id.get()


def new_request_id() -> str:
    """A fresh request id of 32 hexadecimal characters."""
    return secrets.token_hex(16)


@contextmanager
def as_request(identifier: str) -> Iterator[None]:
    """Work under a request id, e.g. in a command that plays the part of a caller."""
    token = _request_id.set(identifier)
    try:
        yield
    finally:
        _request_id.reset(token)


def note_caller(scope: str) -> None:
    """Name the authenticated caller ("terminal:<uuid>") in this request's log line."""
    _caller.set(scope)


def note_problem(code: str) -> None:
    """Count one problem answered, by its stable code, and name it in this request's log line."""
    _problem.set(code)
    _PROBLEMS.labels(code=code).inc()


class RequestIdMiddleware:
    """Gives each request its id, answers it in X-Request-ID, logs one line and counts it.

    A caller's own X-Request-ID is kept when it has 8 to 64 letters, digits and hyphens. The line
    names the route's pattern, never the path, and so no identifier from a URL.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identifier = fit_request_id(request.headers.get("X-Request-ID", ""))
        id_token, caller_token = _request_id.set(identifier), _caller.set("")
        problem_token = _problem.set("")
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = identifier
            _tell(request, response.status_code, time.perf_counter() - started)
            return response
        finally:
            _problem.reset(problem_token)
            _caller.reset(caller_token)
            _request_id.reset(id_token)


def fit_request_id(offered: str) -> str:
    """The id that a request goes by: the one its caller offers when it is fit, else a fresh one."""
    return offered if _REQUEST_ID.fullmatch(offered) else new_request_id()


def count_request(*, route: str, method: str, status: int, seconds: float) -> None:
    """Count an answer, and the time it took, under its route's pattern."""
    _REQUESTS.labels(route=route, method=method, status=str(status)).inc()
    _SECONDS.labels(route=route, method=method).observe(seconds)


def _tell(request: HttpRequest, status: int, seconds: float) -> None:
    match = request.resolver_match
    route = match.route if match is not None else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    count_request(route=route, method=method, status=status, seconds=seconds)
    log.info(
        "request",
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        caller=_caller.get(),
        **({"code": code} if (code := _problem.get()) else {}),
    )


# Tasks carry the id of the request that rang for them


@before_task_publish.connect
def _send_request_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None and request_id():
        headers[_TASK_HEADER] = request_id()


@task_prerun.connect
def _restore_request_id(task: Any = None, **_: Any) -> None:
    carried = getattr(getattr(task, "request", None), _TASK_HEADER, None)
    is_fit = isinstance(carried, str) and _REQUEST_ID.fullmatch(carried)
    _request_id.set(str(carried) if is_fit else new_request_id())


@task_postrun.connect
def _forget_request_id(**_: Any) -> None:
    _request_id.set("")


# Logs


def configure_logging(*, level: int = logging.INFO) -> None:
    """Send every log record of the process, ours and others', to stderr as one JSON line each.

    Safe to call twice.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_chain(), _hand_over],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_chain(),
            use_get_message=False,  # the template: the arguments may be personal
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                keep_allowed_fields,
                structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=True),
            ],
        )
    )
    logging.raiseExceptions = False  # else a failing handler prints the whole record
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Below an error, their lines only repeat ours.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.server").setLevel(logging.ERROR)


def keep_allowed_fields(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop every field which is not in LOG_FIELDS, name the dropped ones, and cut long values."""
    kept = {name: _plain(value) for name, value in event.items() if name in LOG_FIELDS}
    if left_out := sorted(str(name) for name in event if name not in LOG_FIELDS):
        kept["left_out"] = left_out[:20]
    return kept


def _chain() -> list[Any]:
    return [
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_exception,
    ]


def _hand_over(logger: Any, name: str, event: MutableMapping[str, Any]) -> Any:
    return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, name, event)


def _add_request_id(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if identifier := request_id():
        event.setdefault("request_id", identifier)
    return event


def _tell_exception(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    told = event.pop("exc_info", None)
    record = event.get("_record")
    if told is None and record is not None:
        told = record.exc_info
    error = told[1] if isinstance(told, tuple) else sys.exc_info()[1] if told is True else told
    if isinstance(error, BaseException):
        event["exception"] = _type_name(error)
        event["frames"] = [
            f"{_short(frame.filename)}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-20:]
        ]
        if cause := error.__cause__ or error.__context__:
            event["cause"] = _type_name(cause)
    return event


def _type_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_PROJECT)) if path.is_relative_to(_PROJECT) else path.name


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:20]]
    return str(value)[:MAX_VALUE_CHARS]


# Metrics


def metrics_text(*collectors: Collector) -> bytes:
    """Everything counted so far in the Prometheus text format, with `collectors` asked now.

    With PROMETHEUS_MULTIPROC_DIR set (a folder emptied before the web program starts), the counts
    of all worker processes are added up; otherwise this process tells its own.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        own = generate_latest(REGISTRY)
        asked = CollectorRegistry()
    else:
        own = b""
        asked = CollectorRegistry()
        multiprocess.MultiProcessCollector(asked)
    for collector in collectors:
        asked.register(collector)
    return own + generate_latest(asked)
