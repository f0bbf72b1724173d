"""Answers everything that goes wrong as RFC 9457 problem details, and nothing as a bare 500."""

from typing import Any

import psycopg2
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from vpass.common import errors
from vpass.common.api.parsing import MediaTypeRefused, TooLarge
from vpass.common.api.serializers import field_errors
from vpass.common.errors import DomainError
from vpass.common.observability import log, note_problem, request_id

CONTENT_TYPE = "application/problem+json"

# What another try a moment later may well not meet again (PostgreSQL appendix A): serialization
# failure, deadlock, lock and statement time-outs, too many connections, server going down.
_PASSING = frozenset({"40001", "40P01", "55P03", "57014", "25P03", "25P04", "53300"})
_PASSING_CLASSES = ("08", "57P")


class MethodNotAllowed(DomainError):
    """This address does not take that method."""

    code = "request.method_not_allowed"
    status = 405
    title_zh = "此地址不支持该请求方法"


class NotAcceptable(DomainError):
    """The answer is not available in the form asked for."""

    code = "request.not_acceptable"
    status = 406
    title_zh = "无法以所要求的格式应答"


class Throttled(DomainError):
    """There were too many requests."""

    code = "request.throttled"
    status = 429
    title_zh = "请求过于频繁"


class ServerBusy(DomainError):
    """The service is busy: try again in a moment, with the same Idempotency-Key."""

    code = "service.busy"
    status = 503
    title_zh = "服务繁忙，请稍后使用同一 Idempotency-Key 重试"


class ServerFault(DomainError):
    """Something went wrong on our side."""

    code = "server.error"
    status = 500
    title_zh = "服务器内部错误"


def render_exception(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every exception, as a problem. Unexpected ones are logged."""
    known = as_domain_error(error)
    view, request = context.get("view"), context.get("request")
    language = preferred_language(request)
    response = Response(body_of(known, language=language), status=known.status)
    response.content_type = CONTENT_TYPE
    for name, value in _headers(known).items():
        response[name] = value
    if known.status == 401:
        response["WWW-Authenticate"] = _challenge(view, request, known)
    if known.status == 405 and view is not None:
        response["Allow"] = ", ".join(view.allowed_methods)
    return response


def as_domain_error(error: Exception) -> DomainError:
    """The problem which stands for any exception; logs those which only our fault explains."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_rest_framework(error)
    if isinstance(error, Http404):
        return errors.NotFound()
    if isinstance(error, PermissionDenied):
        return errors.NotAllowed()
    if isinstance(error, RequestDataTooBig):
        return TooLarge(max_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return errors.BadRequest()
    if isinstance(error, DatabaseError | InterfaceError) and is_passing(error):
        log.warning("database busy", exc_info=error, code=_sqlstate(error) or "none")
        return ServerBusy(retry_after=1)
    log.error("unexpected exception", exc_info=error)
    # A value that PostgreSQL cannot store is the sender's; that we let it through is logged.
    return errors.BadRequest() if isinstance(error, DataError) else ServerFault()


def is_passing(error: Exception) -> bool:
    """Whether a database error is one that heals by itself: time-outs, conflicts, lost links."""
    state = _sqlstate(error)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state in _PASSING or state.startswith(_PASSING_CLASSES)


def body_of(error: DomainError, *, language: str) -> dict[str, Any]:
    """The members of the problem, and one more count of its code."""
    note_problem(error.code)
    return errors.problem(error, request_id=request_id(), language=language)


def preferred_language(request: Any) -> str:
    """ "zh" or "en", whichever Accept-Language names first; Chinese when it names neither."""
    accepted = request.headers.get("Accept-Language", "") if request is not None else ""
    for part in accepted[:200].lower().split(","):
        if (tag := part.strip()[:2]) in {"zh", "en"}:
            return tag
    return "zh"


def as_response(request: HttpRequest, error: DomainError) -> JsonResponse:
    """A problem as a plain Django answer, for views that are not endpoints."""
    body = body_of(error, language=preferred_language(request))
    response = JsonResponse(
        body,
        status=error.status,
        content_type=CONTENT_TYPE,
        json_dumps_params={"ensure_ascii": False},
    )
    response["Cache-Control"] = "no-store"
    for name, value in _headers(error).items():
        response[name] = value
    return response


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Django's handler400."""
    is_too_big = isinstance(exception, RequestDataTooBig)
    return as_response(request, TooLarge() if is_too_big else errors.BadRequest())


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Django's handler403."""
    return as_response(request, errors.NotAllowed())


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Django's handler404."""
    return as_response(request, errors.NotFound())


def server_fault(request: HttpRequest) -> JsonResponse:
    """Django's handler500."""
    return as_response(request, ServerFault())


def _of_rest_framework(error: exceptions.APIException) -> DomainError:
    if isinstance(error, exceptions.ValidationError):
        return errors.BadRequest(errors=field_errors(error.detail))
    if isinstance(error, exceptions.Throttled):
        wait = getattr(error, "wait", None)
        return Throttled(retry_after=None if wait is None else int(wait) + 1)
    for theirs, ours in _OF_REST_FRAMEWORK.items():
        if isinstance(error, theirs):
            return ours()
    log.error("unexpected exception", exc_info=error)
    return ServerFault()


_OF_REST_FRAMEWORK: dict[type[exceptions.APIException], type[DomainError]] = {
    exceptions.ParseError: errors.BadRequest,
    exceptions.NotAuthenticated: errors.NotAuthenticated,
    exceptions.AuthenticationFailed: errors.NotAuthenticated,
    exceptions.PermissionDenied: errors.NotAllowed,
    exceptions.NotFound: errors.NotFound,
    exceptions.MethodNotAllowed: MethodNotAllowed,
    exceptions.NotAcceptable: NotAcceptable,
    exceptions.UnsupportedMediaType: MediaTypeRefused,
}


def _headers(error: DomainError) -> dict[str, str]:
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}


def _challenge(view: Any, request: Any, error: DomainError) -> str:
    # RFC 9110 section 15.5.2: a 401 always names a challenge.
    scheme = view.get_authenticate_header(request) if view is not None else None
    if error.code.startswith("proof."):
        reason = ', error="invalid_dpop_proof"'
    elif error.code.startswith("token."):
        reason = ', error="invalid_token"'
    else:
        reason = ""
    return f"{scheme}{reason}" if scheme else 'Session realm="V Pass"'


def _sqlstate(error: Exception) -> str | None:
    cause = error.__cause__
    return cause.pgcode if isinstance(cause, psycopg2.Error) else None
