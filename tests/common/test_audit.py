"""What staff did is written with the work and can be read back."""

from datetime import UTC, datetime

import pytest
from django.db import transaction

from tests.statements import statements
from vpass.common import audit, observability
from vpass.common.models import AuditEvent

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
LINE = {
    "actor": "staff:1",
    "action": "desk.suspend",
    "subject": "desk:2",
    "detail": {"state": "suspended"},
}


@pytest.mark.django_db(transaction=True)
def test_record__one_statement__whole_line():
    with observability.as_request("request-0001"), statements() as sent:
        audit.record(**LINE, at=AT)

    assert len(sent) == 1
    row = AuditEvent.objects.get()
    assert (row.at, row.actor, row.action, row.subject) == (AT, "staff:1", "desk.suspend", "desk:2")
    assert (row.detail, row.request_id) == ({"state": "suspended"}, "request-0001")


@pytest.mark.django_db(transaction=True)
def test_record__work_rolls_back__no_line():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        audit.record(**LINE, at=AT)
        raise ZeroDivisionError

    assert AuditEvent.objects.count() == 0
