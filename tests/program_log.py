"""The log as the program itself writes it, whatever ran in this process before."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from vpass.common import observability


@pytest.fixture
def program_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that the program logs from here on; pytest's own handlers go on catching."""
    written = io.StringIO()
    root = logging.getLogger()
    kept = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("django.request", "django.server")}
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)  # put back at the end
    observability.configure_logging()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    root.handlers = [*kept[0], handler]
    yield written
    structlog.reset_defaults()
    root.handlers, root.level = kept
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
