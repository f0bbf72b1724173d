"""Serves the pages people use, and what makes the phone's one installable."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.views.generic import RedirectView, TemplateView

STATIC = settings.BASE_DIR / "templates" / "static"
PHONE_PATH = "/phone/"
# All that the phone page loads, so that it opens without network.
SHELL_PATTERNS = ("vpass.css", "icons/*", "js/common/*.js", "js/phone/*.js", "vendor/qr/index.js")


class Page(TemplateView):
    """A page that is asked for afresh on each visit and may use no more than it needs."""

    permissions = "camera=(), microphone=(), geolocation=()"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the address which proofs of possession name."""
        return super().get_context_data(**kwargs, public_url=settings.PUBLIC_URL)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, with the headers that all pages share."""
        response = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "no-cache"
        response["Permissions-Policy"] = self.permissions
        return response


class PhonePage(Page):
    """The resident's wallet: enrolment, the rotating code, paying, the access log."""

    template_name = "phone/index.html"
    permissions = "camera=(self), microphone=(), geolocation=()"


class PayLink(RedirectView):
    """Where a payment link leads in a browser: to the phone's page, which asks and pays."""

    url = PHONE_PATH + "#pay=%(reference)s.%(tag)s"
    http_method_names = ["get", "head"]


class CounterPage(Page):
    """The clerk's page: desk enrolment, sign-in, scanning."""

    template_name = "counter/index.html"
    permissions = "camera=(self), microphone=(), geolocation=()"


class TillPage(Page):
    """A shop's till: enrolment, amount, scanning, refunds."""

    template_name = "till/index.html"
    permissions = "camera=(self), microphone=(), geolocation=()"


class OperationsPage(Page):
    """The operators' desk: what runs, what waits, dead letters."""

    template_name = "desk/operations.html"


class CityPage(Page):
    """The city's day in large figures, for a screen on the wall."""

    template_name = "dashboard/city.html"


class LoginPage(Page):
    """Where a relying party sends a browser: a QR code, a number, and a link to the phone page."""

    template_name = "login/authorize.html"


class PhoneManifest(Page):
    """What a phone needs to know to install the page."""

    template_name = "phone/manifest.webmanifest"
    content_type = "application/manifest+json"


class PhoneServiceWorker(Page):
    """The script which keeps the phone page's shell for use without network."""

    template_name = "phone/service-worker.js"
    content_type = "text/javascript"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the shell's addresses and its version."""
        if settings.DEBUG:
            shell_version.cache_clear()
        urls = [PHONE_PATH, PHONE_PATH + "manifest.webmanifest", *map(static, shell_files())]
        return super().get_context_data(**kwargs, shell=urls, version=shell_version())

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Allow the script to serve its own folder and nothing beyond."""
        response = super().render_to_response(context, **kwargs)
        response["Service-Worker-Allowed"] = PHONE_PATH
        return response


def shell_files() -> list[str]:
    """Return the static names of the shell, in order."""
    found = (path for pattern in SHELL_PATTERNS for path in STATIC.glob(pattern))
    return sorted(path.relative_to(STATIC).as_posix() for path in found)


@cache
def shell_version() -> str:
    """Return a name for this exact shell: it changes with any byte of it."""
    digest = sha256()
    for name in shell_files():
        digest.update(name.encode() + b"\0" + sha256(Path(STATIC / name).read_bytes()).digest())
    for name in ("phone/index.html", "phone/manifest.webmanifest"):
        digest.update(render_to_string(name, {"public_url": settings.PUBLIC_URL}).encode())
    return digest.hexdigest()[:16]
