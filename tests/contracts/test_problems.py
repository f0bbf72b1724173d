"""Every problem code is single, speaks both languages, and has a status that fits."""

import re
from http import HTTPStatus

import pytest

import vpass.urls  # noqa: F401  loads every endpoint with its errors
from vpass.common.errors import DomainError, all_problem_codes

HAN = re.compile(r"[\u4e00-\u9fff]")


def ours() -> dict[str, type[DomainError]]:
    found = all_problem_codes()
    return {code: error for code, error in found.items() if not error.__module__.startswith("test")}


def test_codes__each_belongs_to_one_class():
    assert len(ours()) >= 60


@pytest.mark.parametrize("code", sorted(ours()))
def test_problem__both_languages_and_a_status(code: str):
    error = ours()[code]

    assert HAN.search(error.title_zh), code
    assert not HAN.search(error.title()) and error.title()[0].isupper(), code
    assert error.title_zh[-1] not in "。." and error.title()[-1] != ".", code
    assert 400 <= HTTPStatus(error.status) < 600, code
    assert len(error.title()) <= 120, code
