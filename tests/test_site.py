"""`make test-site` says what it lacks, before a single test runs."""

import pytest

from tests import site
from tests.engines import TestDatabase


@pytest.fixture
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in site.NEEDED:
        monkeypatch.delenv(name, raising=False)


def test_site__nothing_given__says_how(no_site: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.main() == 2

    said = capsys.readouterr().out
    assert "GRANT SET ON PARAMETER session_replication_role TO vpass_owner" in said
    assert [line.strip() for line in said.splitlines()[-3:]] == [
        "DATABASE_URL is not set",
        "DATABASE_OWNER_URL is not set",
        "REDIS_URL is not set",
    ]


def test_site__unfit_engines__each_reason_named(
    django_db_setup: TestDatabase, no_site: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", django_db_setup.owner_url)
    monkeypatch.setenv("DATABASE_OWNER_URL", django_db_setup.url)
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")

    found = site.missing()

    assert "DATABASE_URL: must be neither superuser nor owner of the schema" in found
    assert any(each.startswith("DATABASE_OWNER_URL: has no CREATE") for each in found)
    assert any(each.startswith("REDIS_URL does not connect") for each in found)


def test_site__database_not_for_tests__refused(
    no_site: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        monkeypatch.setenv(name, "postgresql://nobody@127.0.0.1:1/city")
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/redis.sock")

    assert "the database 'city' has no `test` in its name" in site.missing()
