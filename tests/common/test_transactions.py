"""Some work belongs inside a transaction, some outside."""

import pytest
from django.db import transaction

from vpass.common import transactions


@pytest.mark.django_db
def test_require_autocommit__only_the_tests_own_block__passes():
    transactions.require_autocommit("a limit")

    with transaction.atomic(), pytest.raises(RuntimeError, match="a limit"):
        transactions.require_autocommit("a limit")


@pytest.mark.django_db(transaction=True)
def test_require_transaction__outside__refused():
    with pytest.raises(RuntimeError, match="an event"):
        transactions.require_transaction("an event")
    with transaction.atomic():
        transactions.require_transaction("an event")
        assert transactions.is_in_transaction()
    assert not transactions.is_in_transaction()
