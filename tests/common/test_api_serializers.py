"""One serializer reads for all requests."""

import pytest
from rest_framework import serializers

from tests.together import together
from vpass.common.api import StrictSerializer
from vpass.common.api.serializers import read_into
from vpass.common.errors import BadRequest


class Greeting(StrictSerializer):
    name = serializers.CharField(max_length=8)
    times = serializers.IntegerField(min_value=1, default=1)


def test_read__a_refusal_between__nothing_of_it_is_left():
    assert read_into(Greeting, {"name": "Li", "times": 2}) == {"name": "Li", "times": 2}
    with pytest.raises(BadRequest) as caught:
        read_into(Greeting, {"name": "far too long", "times": "2", "more": 1})

    assert caught.value.members["errors"] == [
        {"field": "more", "code": "unknown"},
        {"field": "times", "code": "wrong_type"},
    ]
    assert read_into(Greeting, {"name": "Wu"}) == {"name": "Wu", "times": 1}


def test_read__many_at_once__each_gets_its_own():
    found = together(
        16, lambda n: [read_into(Greeting, {"name": f"n{n}-{i}"})["name"] for i in range(50)]
    )

    assert found == [[f"n{n}-{i}" for i in range(50)] for n in range(16)]
