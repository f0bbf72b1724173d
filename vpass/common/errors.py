"""Names what can go wrong, and writes it as RFC 9457 problem details in both languages."""

import re
from typing import Any, ClassVar

_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")

RESERVED_MEMBERS = frozenset(
    {"type", "title", "title_zh", "status", "code", "detail", "instance", "request_id"}
)


class DomainError(Exception):
    """The request cannot be carried out.

    Subclasses stand beside the function which raises them. They set `code` (stable, for programs),
    `status` (HTTP) and `title_zh`; the first line of their docstring is the English title.

    `detail` says more about this one case, `retry_after` is in whole seconds, and the other
    members are JSON values a program can act on. None of them may hold personal data.
    """

    code: ClassVar[str] = "request.refused"
    status: ClassVar[int] = 400
    title_zh: ClassVar[str] = "请求无法处理"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "code" not in cls.__dict__:
            return
        if not _CODE.fullmatch(cls.code):
            raise TypeError(f"{cls.__qualname__}: malformed problem code {cls.code!r}")
        if "title_zh" not in cls.__dict__ or not (cls.__doc__ or "").strip():
            raise TypeError(f"{cls.__qualname__}: a problem code needs its title in both languages")

    def __init__(
        self, detail: str | None = None, *, retry_after: int | None = None, **members: Any
    ) -> None:
        if taken := RESERVED_MEMBERS & members.keys():
            raise TypeError(f"problem members already have a meaning: {sorted(taken)}")
        super().__init__(detail or self.title())
        self.detail = detail
        self.retry_after = retry_after
        self.members = members

    @classmethod
    def title(cls) -> str:
        """The English title: the first line of the docstring, without its full stop."""
        return (cls.__doc__ or cls.code).strip().splitlines()[0].rstrip(".")


class BadRequest(DomainError):
    """The request is not valid."""

    code = "request.invalid"
    status = 400
    title_zh = "请求内容无效"


class NotAuthenticated(DomainError):
    """The caller is not authenticated."""

    code = "caller.not_authenticated"
    status = 401
    title_zh = "调用方未通过身份验证"


class NotAllowed(DomainError):
    """The caller may not do this."""

    code = "caller.not_allowed"
    status = 403
    title_zh = "调用方无权进行此操作"


class NotFound(DomainError):
    """There is no such object.

    Another's object is answered with this as well, so that nobody learns what exists.
    """

    code = "object.not_found"
    status = 404
    title_zh = "未找到该对象"


class Conflict(DomainError):
    """The object's present state does not allow this."""

    code = "object.conflict"
    status = 409
    title_zh = "对象当前状态不允许此操作"


class Unavailable(DomainError):
    """The service cannot answer at present."""

    code = "service.unavailable"
    status = 503
    title_zh = "服务暂时不可用"


def problem(error: DomainError, *, request_id: str, language: str) -> dict[str, Any]:
    """The RFC 9457 body of `error`, as JSON values.

    `title` is always English and `title_zh` always Chinese; `detail` falls back to the title in
    the reader's `language` ("zh..." or anything else for English). Members of the error, such as
    `errors` (a list of {"field", "code"}), stand beside the standard ones.
    """
    is_chinese = language.lower().startswith("zh")
    body: dict[str, Any] = {
        "type": f"/problems#{error.code}",
        "title": error.title(),
        "title_zh": error.title_zh,
        "status": error.status,
        "code": error.code,
        "detail": error.detail or (error.title_zh if is_chinese else error.title()),
        "request_id": request_id,
    }
    return body | error.members


def all_problem_codes() -> dict[str, type[DomainError]]:
    """Every problem code of the classes loaded so far, in order; raises when two share one."""
    found: dict[str, type[DomainError]] = {}
    waiting: list[type[DomainError]] = [DomainError]
    while waiting:
        error_class = waiting.pop()
        waiting.extend(error_class.__subclasses__())
        if "code" not in error_class.__dict__:
            continue
        other = found.setdefault(error_class.code, error_class)
        if other is not error_class:
            raise ValueError(f"problem code {error_class.code} belongs to two classes")
    return dict(sorted(found.items()))
