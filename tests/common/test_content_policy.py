"""What a page may load is said in every answer."""

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from vpass.common.content_policy import HEADER, ContentPolicyMiddleware


@pytest.mark.parametrize("own", [None, "default-src 'none'"])
def test_answer__without_a_policy_of_its_own__has_that_of_the_settings(own: str | None):
    answer = HttpResponse(headers={} if own is None else {HEADER: own})

    said = ContentPolicyMiddleware(lambda request: answer)(HttpRequest())[HEADER]

    if own is not None:
        assert said == own
        return
    told = dict(part.strip().split(" ", 1) for part in said.split(";"))
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert told == {name: " ".join(sources) for name, sources in directives.items()}
