"""The city's keys live in order: published before they sign, kept until what they signed has
lapsed."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import codes, grants, keys
from identity.models import SigningKey, StateChange
from tests import city
from tests.statements import statements
from tests.together import together
from vpass.common import signing

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
SWITCH = START + keys.SIGNS_FOR
MOMENT = timedelta(microseconds=1)


def by_state() -> dict[str, bytes]:
    return {key.state: bytes(key.id) for key in SigningKey.objects.exclude(state="retired")}


def published() -> set[str]:
    return {key["kid"] for key in keys.public_key_set()["keys"]}


def test_rotate__first_time__one_current_and_one_next():
    keys.rotate(at=START)

    assert set(by_state()) == {"current", "next"}
    assert published() == {key_id.hex() for key_id in by_state().values()}


def test_rotate__nothing_due__changes_nothing():
    keys.rotate(at=START)
    before = list(SigningKey.objects.order_by("id").values())

    for moment in (START, START + timedelta(days=1), SWITCH - MOMENT):
        keys.rotate(at=moment)

    assert list(SigningKey.objects.order_by("id").values()) == before


def test_rotate__whole_life__next_current_previous_retired():
    keys.rotate(at=START)
    first = by_state()

    keys.rotate(at=SWITCH)

    second = by_state()
    assert second["previous"] == first["current"]
    assert second["current"] == first["next"]
    assert second["next"] not in first.values()
    assert len(published()) == 3
    keys.rotate(at=SWITCH + keys.KEEP_AFTER - MOMENT)
    assert by_state() == second
    keys.rotate(at=SWITCH + keys.KEEP_AFTER)
    assert set(by_state()) == {"current", "next"}
    assert bytes(SigningKey.objects.get(state="retired").id) == first["current"]
    assert first["current"].hex() not in published()
    events = StateChange.objects.filter(object_kind="signing_key").order_by("id")
    assert [(event.event, event.object_id) for event in events] == [
        ("activate", first["current"].hex()),
        ("supersede", first["current"].hex()),
        ("activate", first["next"].hex()),
        ("retire", first["current"].hex()),
    ]


def test_rotate__next_not_published_long_enough__waits():
    keys.rotate(at=START)
    SigningKey.objects.filter(state="next").update(published_at=SWITCH)

    keys.rotate(at=SWITCH + keys.PUBLISH_AHEAD - MOMENT)
    assert set(by_state()) == {"current", "next"}
    keys.rotate(at=SWITCH + keys.PUBLISH_AHEAD)
    assert set(by_state()) == {"current", "next", "previous"}


def test_rotate__ten_at_once__one_step():
    keys.rotate(at=START)

    together(10, lambda _: keys.rotate(at=SWITCH))

    assert set(by_state()) == {"current", "next", "previous"}
    assert SigningKey.objects.count() == 3


def test_rotate__a_year_of_hourly_runs__never_an_unknown_key():
    moment = START
    keys.rotate(at=moment)
    signed: list[tuple[datetime, bytes]] = []
    for _ in range(0, 24 * 100, 6):
        moment += timedelta(hours=6)
        known = {bytes(key.id) for key in SigningKey.objects.exclude(state="retired")}
        keys.rotate(at=moment)
        current = by_state()["current"]
        assert current in known, "a key signed which nobody could have read"
        signed.append((moment, current))
        still_good = {key_id for at, key_id in signed if moment - at < grants.GRANT_LIFE}
        assert still_good <= set(by_state().values())

    assert len({key_id for _, key_id in signed}) == 4


def test_keep_after__covers_the_longest_grant():
    assert keys.KEEP_AFTER > grants.GRANT_LIFE + keys.KEY_SET_CACHE
    assert keys.PUBLISH_AHEAD > keys.KEY_SET_CACHE


def test_current_signer__first_use__makes_the_first_key():
    signer = keys.current_signer(at=START)

    row = SigningKey.objects.get(state="current")
    assert signer.key_id == bytes(row.id)
    assert signing.public_point(signer.private) == bytes(row.point)


def test_current_signer__within_a_minute__no_statement():
    keys.current_signer(at=START)

    with statements() as sent:
        keys.current_signer(at=START + timedelta(seconds=59))
    assert sent == []
    with statements() as sent:
        keys.current_signer(at=START + timedelta(seconds=60))
    assert len(sent) == 1


def test_current_signer__after_another_process_rotated__follows_within_a_minute():
    keys.current_signer(at=START)
    following = by_state()["next"]
    kept = dict(vars(keys._known))
    keys.rotate(at=SWITCH)
    vars(keys._known).update(kept | {"read_at": SWITCH})  # as a process that did not rotate

    assert keys.current_signer(at=SWITCH + timedelta(seconds=59)).key_id != following
    assert keys.current_signer(at=SWITCH + timedelta(seconds=60)).key_id == following


def test_verification_key__unknown_id__looked_up_once_a_minute_at_most():
    keys.rotate(at=START)
    known = by_state()["current"]
    keys.verification_key(known, at=START)

    with statements() as sent:
        for second in range(60):
            assert keys.verification_key(b"\0\0\0\0", at=START + timedelta(seconds=second)) is None
    assert sent == []
    with statements() as sent:
        for second in range(60, 120):
            assert keys.verification_key(b"\0\0\0\0", at=START + timedelta(seconds=second)) is None
    assert len(sent) == 1


def test_verification_key__known_id__no_statement_for_five_minutes():
    keys.rotate(at=START)
    known = by_state()["current"]
    keys.verification_key(known, at=START)

    with statements() as sent:
        for second in range(0, 300, 10):
            assert keys.verification_key(known, at=START + timedelta(seconds=second)) is not None
    assert sent == []


def test_verification_key__clock_stepped_back__reads_again():
    keys.rotate(at=START)
    keys.verification_key(by_state()["current"], at=START)

    with statements() as sent:
        keys.verification_key(by_state()["current"], at=START - timedelta(hours=1))
    assert len(sent) == 1 + 1  # by_state's own


def test_old_key__verifies_until_retired_and_then_no_more(
    counter: city.DeskBrowser, phone: city.Phone
):
    keys.rotate(at=START)
    moment = SWITCH - timedelta(minutes=1)
    held = phone.grant(at=moment)
    keys.rotate(at=SWITCH)
    fresh = phone.grant(at=SWITCH + timedelta(minutes=2))
    assert codes.code_format.decode_grant(held.encoded).kid == by_state()["previous"]
    assert codes.code_format.decode_grant(fresh.encoded).kid == by_state()["current"]

    def redeem(grant: city.HeldGrant, at: datetime) -> codes.Scan:
        return codes.redeem_code(
            caller=counter.caller, code=grant.code(at), purpose=city.PURPOSE, case_number=None,
            idempotency_key=city.idempotency(counter.caller.scope), at=at,
        )  # fmt: skip

    expires_at = codes.code_format.decode_grant(held.encoded).claims.expires_at
    last = datetime.fromtimestamp(expires_at - 1, tz=UTC)
    keys.rotate(at=last)
    assert redeem(held, last).level == redeem(fresh, last).level == 2
    gone = SWITCH + keys.KEEP_AFTER
    keys.rotate(at=gone)
    assert keys.verification_key(codes.code_format.decode_grant(held.encoded).kid, at=gone) is None


def test_public_key_set__only_public_halves():
    keys.rotate(at=START)

    for key in keys.public_key_set()["keys"]:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        row = SigningKey.objects.get(id=bytes.fromhex(key["kid"]))
        jwk = {name: key[name] for name in ("kty", "crv", "x", "y")}
        assert signing.public_point(signing.public_from_jwk(jwk)) == bytes(row.point)


def test_key_set__over_http__cached_for_five_minutes():
    keys.rotate(at=START)

    answer = city.send("GET", "/.well-known/vpass-keys.json", None, {})

    assert answer.json() == keys.public_key_set()
    assert answer["Cache-Control"] == "public, max-age=300"


def test_signing_key__two_current__refused_by_the_database():
    keys.rotate(at=START)

    with pytest.raises(Exception, match="signing_key_one_current"):
        SigningKey.objects.filter(state="next").update(state="current")
