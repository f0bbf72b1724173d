"""Cuts long lists into pages that stay right while rows are added: a cursor names the last row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import QueryDict
from rest_framework import serializers

from vpass.common.api.parsing import refused
from vpass.common.api.serializers import QuerySerializer, StrictSerializer, read_into

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR_CHARS = 400


class PageQuery(QuerySerializer):
    """The parameters of every list."""

    limit = serializers.IntegerField(
        min_value=1,
        max_value=MAX_LIMIT,
        default=DEFAULT_LIMIT,
        help_text=f"How many items to answer at most, 1 to {MAX_LIMIT}.",
    )
    cursor = serializers.CharField(
        required=False,
        max_length=MAX_CURSOR_CHARS,
        help_text="The `next` of the page before; good for this list and this caller only.",
    )


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Which page is asked for: at most `limit` rows after those with the values `after`."""

    limit: int
    after: list[Any] | None


def read_page_request(
    parameters: QueryDict, *, salt: str, query: type[PageQuery] = PageQuery
) -> PageRequest:
    """The page that a URL asks for; raises BadRequest, also for a cursor of another list or caller.

    `salt` names list and caller: cursors are signed with it. `query` says which other parameters
    the list takes.
    """
    asked = read_into(query, parameters)
    cursor = asked.get("cursor")
    if cursor is None:
        return PageRequest(limit=asked["limit"], after=None)
    try:
        after = signing.Signer(salt=f"vpass.page:{salt}").unsign_object(cursor)
    except (signing.BadSignature, ValueError) as error:
        raise refused("cursor", "invalid") from error
    if not isinstance(after, list):
        raise refused("cursor", "invalid")
    return PageRequest(limit=asked["limit"], after=after)


def cut_page(
    rows: QuerySet[Any],
    *,
    asked: PageRequest,
    order: Sequence[str],
    render: Callable[[Any], Mapping[str, Any]],
    salt: str,
) -> dict[str, Any]:
    """One page of `rows` as {"items": [...], "next": cursor or None}, in one SQL statement.

    `order` are model fields which together are unique, all rising or all falling ("-at", "-id");
    an index on them makes every page cost the same.
    """
    is_falling = order[0].startswith("-")
    if any(name.startswith("-") != is_falling for name in order):
        raise ValueError("all fields of a page's order go the same way")
    names = [name.lstrip("-") for name in order]
    chosen = rows.order_by(*order)
    if asked.after is not None:
        values = _typed(rows.model, names, asked.after)
        chosen = chosen.filter(_beyond(names, values, is_falling=is_falling))
    found = list(chosen[: asked.limit + 1])
    shown = found[: asked.limit]
    following = None
    if len(found) > asked.limit:
        last = [_plain(getattr(shown[-1], name)) for name in names]
        following = signing.Signer(salt=f"vpass.page:{salt}").sign_object(last)
    return {"items": [dict(render(row)) for row in shown], "next": following}


def page_serializer(item: type[serializers.Serializer[Any]]) -> type[StrictSerializer]:
    """The serializer of a page of `item`s, named after it, for the API's description."""
    name = item.__name__ + "Page"
    if name not in _page_serializers:
        members = {
            "__doc__": "One page of a list; `next` is null on the last one.",
            "items": item(many=True),
            "next": serializers.CharField(allow_null=True),
        }
        _page_serializers[name] = type(name, (StrictSerializer,), members)
    return _page_serializers[name]


_page_serializers: dict[str, type[StrictSerializer]] = {}


def _typed(model: type[Model], names: Sequence[str], values: Sequence[Any]) -> list[Any]:
    if len(values) != len(names) or None in values:
        raise refused("cursor", "invalid")
    try:
        fields: list[Any] = [model._meta.get_field(name) for name in names]
        return [each.to_python(value) for each, value in zip(fields, values, strict=True)]
    except (ValidationError, ValueError, TypeError) as error:
        raise refused("cursor", "invalid") from error


def _beyond(names: Sequence[str], values: Sequence[Any], *, is_falling: bool) -> Q:
    operator = "lt" if is_falling else "gt"
    beyond = Q()
    equal: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        beyond |= Q(**equal, **{f"{name}__{operator}": value})
        equal[name] = value
    # Said twice, so that an index on the first field bounds the search.
    return Q(**{f"{names[0]}__{operator}e": values[0]}) & beyond


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
