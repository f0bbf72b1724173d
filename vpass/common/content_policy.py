"""Says in every answer what its page may load (Content-Security-Policy, CSP level 3)."""

from collections.abc import Callable

from csp.utils import build_policy
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"


class ContentPolicyMiddleware:
    """Gives every answer the policy of the settings, unless it has one of its own.

    It is the same for all, so it is put together once; django-csp's own middleware does it twice
    for each answer.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(HEADER, self.policy)
        return response
