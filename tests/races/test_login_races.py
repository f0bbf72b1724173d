"""A code gives tokens once, a refresh token too, and a counter's nonce takes one phone."""

import os
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from django.db.models import QuerySet

from identity import logins, reverse_scans
from identity.models import Login, LoginAccessToken, LoginRefreshToken, ReverseScan
from identity.oidc import engine
from tests import city, relying
from tests.together import together
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
AT_ONCE = 6


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often somebody may look is not what is tested here."""
    for module in (logins, reverse_scans):
        wide = type(module.LOOKS)(module.LOOKS.name, maximum=100_000, per=module.LOOKS.per)
        monkeypatch.setattr(module, "LOOKS", wide)


def code_for(site: relying.Site, phone: city.Phone, *, at: datetime) -> str:
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    assert relying.approve(phone, begun, at=at).status_code == 200
    return relying.code_of(browser.go_back(begun["id"]))


def statuses(send: Any) -> Counter[int]:
    return Counter(each.status_code for each in together(AT_ONCE, lambda _: send()))


def test_code__six_at_once__tokens_for_one_and_none_is_left_good(
    phone: city.Phone, patient: None, at: datetime
):
    site, tried, broken = relying.open_site(at=at), rounds(short=4), 0

    for _ in range(tried):
        code = code_for(site, phone, at=clock.now())
        seen = statuses(lambda code=code: site.exchange(code))
        login = Login.objects.latest("begun_at", "id")
        # A code that comes twice ends what the first one got: somebody else has it.
        alive = LoginAccessToken.objects.filter(login=login).count()
        broken += seen != {200: 1, 400: AT_ONCE - 1} or alive != 0 or login.state != "reused"

    tell("login-code-race", tried=tried, broken=broken)
    assert broken == 0


def test_code__looking_first_and_writing_then__tokens_more_than_once(
    phone: city.Phone, patient: None, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The guard off: the code is looked for, and marked as used afterwards."""
    site = relying.open_site(at=at)
    monkeypatch.setattr(logins, "lock", _unlocked)
    monkeypatch.setattr(engine.LoginValidator, "validate_code", _look_then_write)
    monkeypatch.setattr(logins, "sign_in", lambda login, at: None)

    most = 0
    for _ in range(5):
        code = code_for(site, phone, at=at)
        seen = statuses(lambda code=code: site.exchange(code))
        most = max(most, seen[200])
        if most > 1:
            break

    assert most > 1


def test_refresh_token__six_at_once__one_gets_new_ones_and_the_login_ends(
    phone: city.Phone, patient: None, at: datetime
):
    site, tried, broken = relying.open_site(at=at), rounds(short=4), 0

    for _ in range(tried):
        token = site.log_in(phone, at=clock.now())["refresh_token"]
        seen = statuses(lambda token=token: site.refresh(token))
        login = Login.objects.latest("begun_at", "id")
        alive = LoginRefreshToken.objects.filter(login=login, revoked=None).count()
        broken += seen != {200: 1, 400: AT_ONCE - 1} or alive != 0 or login.state != "reused"

    tell("login-refresh-race", tried=tried, broken=broken)
    assert broken == 0


def test_refresh_token__without_the_logins_lock__taken_more_than_once(
    phone: city.Phone, patient: None, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The guard off: each reads the token as unused, and the engine's own lock comes too late."""
    site, most = relying.open_site(at=at), 0
    monkeypatch.setattr(logins, "lock", _unlocked)

    for _ in range(5):
        token = site.log_in(phone, at=at)["refresh_token"]
        seen = statuses(lambda token=token: site.refresh(token))
        most = max(most, seen[200])
        if most > 1:
            break

    assert most > 1


def shown_nonce(counter: city.DeskBrowser, *, at: datetime) -> tuple[ReverseScan, str]:
    made = reverse_scans.show(
        caller=counter.caller, purpose=city.PURPOSE, case_number="WF-1", fields=None,
        idempotency_key=city.idempotency(counter.caller.scope), at=at,
    )  # fmt: skip
    return ReverseScan.objects.get(id=made.id), made.qr.partition("#counter=")[2]


def answer_together(
    phones: list[city.Phone], scan: ReverseScan, nonce: str, *, at: datetime
) -> Counter[str]:
    def one(place: int) -> Any:
        phone = phones[place]
        word = phone.word(
            f"/reverse-scans/{scan.id}/answer", typ=reverse_scans.TYPE, at=at, nonce=nonce,
            organisation=str(scan.organisation_id), desk=str(scan.desk_id), purpose=scan.purpose,
            fields=scan.fields, case_number=scan.case_number,
        )  # fmt: skip
        return reverse_scans.answer(
            caller=phone.caller, scan_id=scan.id, word=word,
            idempotency_key=city.idempotency(phone.caller.scope), at=at,
        )  # fmt: skip

    return Counter(type(each).__name__ for each in together(len(phones), one))


def test_nonce__six_phones_at_once__one_answer(
    counter: city.DeskBrowser, patient: None, at: datetime
):
    phones = [city.make_phone(place, at=at) for place in range(AT_ONCE)]
    tried, broken = rounds(short=8), 0

    for _ in range(tried):
        seen = answer_together(phones, *shown_nonce(counter, at=at), at=at)
        broken += seen != {"dict": 1, "ReverseScanOver": AT_ONCE - 1}

    tell("reverse-scan-race", tried=tried, broken=broken)
    assert broken == 0


def test_nonce__looking_first_and_writing_then__answered_more_than_once(
    counter: city.DeskBrowser, patient: None, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The guard off: whoever finds the nonce still shown writes an answer."""
    phones = [city.make_phone(place, at=at) for place in range(AT_ONCE)]
    monkeypatch.setattr(
        reverse_scans, "_ANSWER",
        "WITH found AS (SELECT id FROM identity_reversescan WHERE id = %(id)s AND state = 'shown'"
        " AND expires_at > %(at)s), slept AS (SELECT pg_sleep(0.05) FROM found)"
        " UPDATE identity_reversescan AS r SET state = 'answered', device_id = %(device)s,"
        " word = %(word)s, expires_at = %(collect_by)s FROM found, slept WHERE r.id = found.id"
        " RETURNING r.id",
    )  # fmt: skip

    most = 0
    for _ in range(5):
        seen = answer_together(phones, *shown_nonce(counter, at=at), at=at)
        most = max(most, seen["dict"])
        if most > 1:
            break

    assert most > 1


def _unlocked(login_id: Any) -> Login:
    return Login.objects.select_related("resident", "device").get(id=login_id)


def _look_then_write(
    self: engine.LoginValidator, client_id: str, code: str, client: Any, request: Any
) -> bool:
    found: QuerySet[Any] = engine.LoginCode.objects.filter(code=engine.hash_of(code), used_at=None)
    row = found.select_related("login__resident", "login__device").first()
    if row is None:
        return False
    found.update(used_at=self.at)
    request.code_row, request.login, request.scopes = row, row.login, row.scope.split()
    return True
