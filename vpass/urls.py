"""Every route of the program, by audience."""

from django.urls import path

from identity.api import counter, public, resident, terminal
from vpass import pages
from vpass.common import health
from vpass.common.api import problems

handler400 = problems.bad_request
handler403 = problems.not_allowed
handler404 = problems.not_found
handler500 = problems.server_fault

_RESIDENT = "api/resident/v1/"
_COUNTER = "api/counter/v1/"
_TERMINAL = "api/terminal/v1/"

urlpatterns = [
    # Pages
    path("phone/", pages.PhonePage.as_view()),
    path("phone/manifest.webmanifest", pages.PhoneManifest.as_view()),
    path("phone/service-worker.js", pages.PhoneServiceWorker.as_view()),
    path("counter/", pages.CounterPage.as_view()),
    # Operations
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    # Anybody
    path(".well-known/vpass-keys.json", public.KeySet.as_view()),
    # Residents' phones
    path(f"{_RESIDENT}enrolments", resident.Enrolments.as_view()),
    path(f"{_RESIDENT}enrolments/<uuid:enrolment_id>/phone-proof", resident.PhoneProofs.as_view()),
    path(f"{_RESIDENT}tokens", resident.Tokens.as_view()),
    path(f"{_RESIDENT}identity-proofs", resident.IdentityProofs.as_view()),
    path(f"{_RESIDENT}me", resident.Me.as_view()),
    path(f"{_RESIDENT}grants", resident.Grants.as_view()),
    path(f"{_RESIDENT}access-log", resident.AccessLog.as_view()),
    path(f"{_RESIDENT}access-log/<uuid:line_id>", resident.AccessLogLine.as_view()),
    # Counters
    path(f"{_COUNTER}desk-keys", counter.DeskKeys.as_view()),
    path(f"{_COUNTER}sessions", counter.Sessions.as_view()),
    path(f"{_COUNTER}sessions/current", counter.CurrentSession.as_view()),
    path(f"{_COUNTER}scans", counter.CounterScans.as_view()),
    # Terminals
    path(f"{_TERMINAL}scans", terminal.TerminalScans.as_view()),
]
