"""Fixtures for every test: the run's own engines and database, and a whole running stack."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connections
from django.test import TransactionTestCase
from django.test.client import ClientHandler

from tests import template
from tests.engines import (
    TestDatabase,
    TestEngines,
    engines_key,
    remove_state,
    site_free_environment,
)
from tests.order import put_long_first
from tests.order import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.outside import sandbox as sandbox
from tests.outside import sandbox_of_own as sandbox_of_own
from tests.outside import sandbox_process as sandbox_process
from tests.program_log import program_log as program_log
from tests.twins import give_chances
from vpass import supervisor
from vpass.secrets import make_private_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In which order the tests come, and which of them have several chances."""
    put_long_first(items)
    give_chances(items)


@pytest.fixture(scope="session")
def engines(request: pytest.FixtureRequest) -> TestEngines:
    """The engines of this run; `.start()` gives their addresses."""
    return request.config.stash[engines_key]


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, engines: TestEngines
) -> Iterator[TestDatabase]:
    """The migrated database, used as the application's role; replaces pytest-django's own."""
    database = engines.database()
    patch = pytest.MonkeyPatch()
    # Django would TRUNCATE as the application's role, which has no right to.
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _self: database.restore())
    yield database
    patch.undo()
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture(scope="session")
def owner_url(django_db_setup: TestDatabase) -> str:
    """The test database for the owner of the schema."""
    return django_db_setup.owner_url


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Argon2 at its least: a seeded city has many log-ins, and each would take a tenth of a second.

    Programs that run as processes of their own hash in full.
    """
    patch = pytest.MonkeyPatch()
    for name, value in {"time_cost": 1, "memory_cost": 8, "parallelism": 1}.items():
        patch.setattr(Argon2PasswordHasher, name, value)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def shared_middleware() -> Iterator[None]:
    """Test clients share one chain of middleware, as a server's requests do.

    Each would load its own, and WhiteNoise look at every static file for it: half of a test's time.
    """
    load, loaded = ClientHandler.load_middleware, {}

    def share(handler: ClientHandler) -> None:
        chosen = tuple(settings.MIDDLEWARE)
        if chosen not in loaded:
            load(handler)
            loaded[chosen] = {
                name: value for name, value in vars(handler).items() if name[0] == "_"
            }
        vars(handler).update(loaded[chosen])

    patch = pytest.MonkeyPatch()
    patch.setattr(ClientHandler, "load_middleware", share)
    yield
    patch.undo()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty state folder which PostgreSQL's system user may cross; stopped and removed after."""
    folder = Path(tempfile.mkdtemp(prefix="vpass-state-"))
    make_private_folder(folder)
    yield folder
    remove_state(folder)


@pytest.fixture(scope="session")
def stack() -> Iterator[supervisor.Run]:
    """The whole program as `make up` runs it, on engines and ports of its own."""
    folder = Path(tempfile.mkdtemp(prefix="vpass-stack-"))
    make_private_folder(folder)
    template.lay(folder)
    try:
        with supervisor.stack(state_dir=folder, environ=site_free_environment(folder)) as run:
            yield run
    finally:
        remove_state(folder)
