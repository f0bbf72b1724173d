"""What a problem says, in both languages, and which codes exist."""

import pytest

from vpass.common import errors


class KettleEmpty(errors.DomainError):
    """The kettle is empty.

    Only the first line is the title.
    """

    code = "test_kettle.empty"
    status = 409
    title_zh = "水壶是空的"


def test_problem__english_reader__whole_body():
    error = KettleEmpty(retry_after=3, litres=0)

    body = errors.problem(error, request_id="req-1", language="en")

    assert body == {
        "type": "/problems#test_kettle.empty",
        "title": "The kettle is empty",
        "title_zh": "水壶是空的",
        "status": 409,
        "code": "test_kettle.empty",
        "detail": "The kettle is empty",
        "request_id": "req-1",
        "litres": 0,
    }
    assert error.retry_after == 3
    assert str(error) == "The kettle is empty"


def test_problem__chinese_reader__detail_in_chinese():
    body = errors.problem(KettleEmpty(), request_id="req-1", language="zh-CN")

    assert body["detail"] == "水壶是空的"


def test_problem__detail_given__kept():
    body = errors.problem(KettleEmpty("Fill it first."), request_id="r", language="zh")

    assert body["detail"] == "Fill it first."


def test_problem__field_errors__stand_beside():
    error = errors.BadRequest(errors=[{"field": "phone", "code": "unknown"}])

    body = errors.problem(error, request_id="r", language="en")

    assert body["errors"] == [{"field": "phone", "code": "unknown"}]


def test_domain_error__member_with_a_meaning__refused():
    with pytest.raises(TypeError, match="status"):
        KettleEmpty(status=200)


@pytest.mark.parametrize("code", ["empty", "Kettle.empty", "kettle.", "kettle empty.x", ""])
def test_domain_error__malformed_code__class_refused(code):
    with pytest.raises(TypeError, match="malformed"):
        type("Odd", (errors.DomainError,), {"code": code, "title_zh": "", "__doc__": "Odd."})


def test_domain_error__code_without_chinese_title__class_refused():
    with pytest.raises(TypeError, match="both languages"):
        type("Odd", (errors.DomainError,), {"code": "test_kettle.odd", "__doc__": "Odd."})


def test_all_problem_codes__holds_the_common_ones():
    codes = errors.all_problem_codes()

    assert codes["test_kettle.empty"] is KettleEmpty
    assert {
        code: codes[code].status for code in codes if codes[code].__module__ == errors.__name__
    } == {
        "request.invalid": 400,
        "caller.not_authenticated": 401,
        "caller.not_allowed": 403,
        "object.not_found": 404,
        "object.conflict": 409,
        "request.refused": 400,
        "service.unavailable": 503,
    }
    assert list(codes) == sorted(codes)
