"""Pages of long lists: right while rows are added, and cursors good for one list and caller."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from tests.statements import statements
from vpass.common.api import Audience, Endpoint, pages
from vpass.common.api.pages import PageRequest
from vpass.common.errors import BadRequest

requests = APIRequestFactory()


def _rows() -> QuerySet[ContentType]:
    return ContentType.objects.filter(app_label="pages")


def _fill(count: int) -> None:
    # All share the first field of the order, so that the second decides.
    ContentType.objects.bulk_create(
        ContentType(app_label="pages", model=f"m{number:03}") for number in range(count)
    )


class Types(Endpoint):
    audience = Audience.PUBLIC
    order: tuple[str, ...] = ("-app_label", "-id")

    def get(self, request: Request) -> Response:
        return self.page(_rows(), render=lambda row: {"model": row.model}, order=self.order)


class Others(Types):
    pass


class Rising(Types):
    order = ("app_label", "id")


def _get(endpoint: type[Endpoint], **query: Any) -> Any:
    return endpoint.as_view()(requests.get("/x", query))


def _walk(endpoint: type[Endpoint], *, limit: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = _get(endpoint, **query).data
        found.append([item["model"] for item in page["items"]])
        cursor = page["next"]
        if cursor is None:
            return found


@pytest.mark.django_db
@pytest.mark.parametrize(("endpoint", "is_falling"), [(Types, True), (Rising, False)])
def test_page__walked_to_the_end__every_row_once(endpoint: type[Endpoint], is_falling: bool):
    _fill(7)

    found = _walk(endpoint, limit=3)

    expected = [f"m{number:03}" for number in range(7)]
    assert [len(page) for page in found] == [3, 3, 1]
    assert [model for page in found for model in page] == (
        expected[::-1] if is_falling else expected
    )


@pytest.mark.django_db
def test_page__exactly_full__no_next():
    _fill(3)

    assert _walk(Types, limit=3) == [["m002", "m001", "m000"]]


@pytest.mark.django_db
def test_page__rows_added_meanwhile__none_twice():
    _fill(4)
    first = _get(Types, limit=2).data
    ContentType.objects.create(app_label="pages", model="newer")

    second = _get(Types, limit=2, cursor=first["next"]).data

    assert [item["model"] for item in second["items"]] == ["m001", "m000"]


@pytest.mark.django_db
def test_page__any__one_statement():
    _fill(4)
    cursor = _get(Types, limit=2).data["next"]

    with statements() as sent:
        _get(Types, limit=2, cursor=cursor)

    assert len(sent) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ({"limit": "0"}, "limit", "min_value"),
        ({"limit": "101"}, "limit", "max_value"),
        ({"limit": "x"}, "limit", "invalid"),
        ({"limit": ["1", "2"]}, "limit", "repeated"),
        ({"cursor": "x"}, "cursor", "invalid"),
        ({"cursor": "a:b"}, "cursor", "invalid"),
        ({"cursor": "x" * 500}, "cursor", "max_length"),
        ({"offset": "5"}, "offset", "unknown"),
    ],
)
def test_page__bad_parameters__400(query: dict[str, Any], field: str, code: str):
    response = _get(Types, **query)

    assert response.status_code == 400
    assert response.data["errors"] == [{"field": field, "code": code}]


@pytest.mark.django_db
def test_page__cursor_of_another_list__refused():
    _fill(4)
    cursor = _get(Types, limit=2).data["next"]

    assert _get(Others, cursor=cursor).status_code == 400
    assert _get(Types, cursor=cursor[:-1] + ("A" if cursor[-1] != "A" else "B")).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("after", [[], ["pages"], ["pages", "x"], ["pages", [1]], ["pages", None]])
def test_cut_page__cursor_that_does_not_fit__refused(after: list[Any]):
    asked = PageRequest(limit=5, after=after)

    with pytest.raises(BadRequest):
        pages.cut_page(
            _rows(), asked=asked, order=("app_label", "id"), render=lambda row: {}, salt="s"
        )


def test_cut_page__mixed_directions__programming_error():
    with pytest.raises(ValueError, match="same way"):
        pages.cut_page(
            _rows(),
            asked=PageRequest(limit=5, after=None),
            order=("-app_label", "id"),
            render=lambda row: {},
            salt="s",
        )


def test_plain__moments__come_back_as_they_were():
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=123456)

    assert datetime.fromisoformat(pages._plain(at)) == at


def test_page_serializer__same_item__same_class():
    class Thing(serializers.Serializer[Any]):
        name = serializers.CharField()

    first = pages.page_serializer(Thing)

    assert first is pages.page_serializer(Thing)
    assert first.__name__ == "ThingPage"
    assert set(first().fields) == {"items", "next"}
