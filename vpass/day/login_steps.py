"""The day goes on: the resident logs in at web sites with V Pass, and ends it from the phone."""

from vpass.day.checks import eventually, present, same
from vpass.day.login_actors import Approver, SiteBrowser
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import fetch_grant
from vpass.day.transport import Unexpected

TRIES = 3
NO_ANSWER = {"error": "no_answer"}

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("Logs in at the library's site; the site verifies the id_token", needs=(fetch_grant,))
def log_in(day: Day) -> str:
    browser = _browser(day, "library")
    me = _log_in(day, browser)
    if me["name"] != present(day.resident).real_name:
        raise Unexpected("the site was told another name")
    day.logins.subject = me["sub"]
    line = day.phone.access_log().expect(200)["items"][0]
    same(
        "the line in the log", (line["scene"], line["fields"]), ("login", ["over_18", "real_name"])
    )
    return f"{me['acr']}, {', '.join(me['amr'])}"


@step("Another site knows the same person by another name", needs=(log_in,))
def log_in_elsewhere(day: Day) -> str:
    me = _log_in(day, _browser(day, "tourism"))
    if me["sub"] == day.logins.subject:
        raise Unexpected("two sites know a person by one name")
    return f"two subjects of {len(me['sub'])} characters"


@step("Ended on the phone: the site's tokens are worthless at once", needs=(log_in,))
def end_login(day: Day) -> str:
    browser, approver = day.logins.browsers["library"], Approver(day.phone)
    same("before", browser.me()["sub"], day.logins.subject)
    own = next(
        each
        for each in approver.logins().expect(200)["items"]
        if each["id"] == day.logins.ids["library"]
    )
    same("state", own["state"], "signed_in")
    approver.end(own["id"]).expect(200)
    afterwards = eventually(
        day, "the site is answered", browser.refresh, until=lambda told: told != NO_ANSWER
    )
    same("afterwards", afterwards, {"error": "invalid_grant"})
    return str(afterwards["error"])


def _browser(day: Day, site: str) -> SiteBrowser:
    browser = SiteBrowser(day.transport, day.outside, site)
    day.logins.browsers[site] = browser
    return browser


def _log_in(day: Day, browser: SiteBrowser) -> dict[str, str]:
    """The whole way through the phone; what the site then knows.

    A site that got no answer has its visitor begin anew.
    """
    for _ in range(TRIES):
        me = _log_in_once(day, browser)
        if "sub" in me:
            return me
        if me not in (NO_ANSWER, {"error": "login.over"}):
            break
    raise Unexpected(f"the site says {me}")


def _log_in_once(day: Day, browser: SiteBrowser) -> dict[str, str]:
    approver = Approver(day.phone)
    begun = browser.open_login().expect(201)
    shown = approver.look(begun["handle"]).expect(200)
    same("what the phone shows", shown["id"], begun["id"])
    approver.approve(shown, number=begun["number"]).expect(200)
    day.logins.ids[browser.site] = begun["id"]
    me: dict[str, str] = browser.go_back(begun["id"])
    return me
