"""Outside services are asked with care: whom, from where, how often, and what is believed."""

import threading
import time
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction

from tests.outside import OutsideWorld
from vpass.common import clock, http_exchange, outgoing, signing
from vpass.common.http_exchange import Received
from vpass.common.outgoing import (
    Circuit,
    Peer,
    PeerAnswerInvalid,
    PeerRefused,
    PeerUnavailable,
)
from vpass.common.signature_headers import (
    byte_sequence,
    content_digest,
    write_headers,
    write_parameters,
)
from vpass.common.signing import VerificationKey

TIE = '"signature";req;key="vpass"'
QUESTION = {
    "request_id": "0e6f3a53-9c9b-4a3e-8a0f-6a5b6f0f8b11",
    "real_name": "无此人",
    "id_number": "370702199001019910",
}
NO_MATCH = {"request_id": QUESTION["request_id"], "matched": False}


@pytest.fixture
def peer(sandbox: OutsideWorld) -> Peer:
    return Peer(
        name="register",
        base_url=f"{sandbox.url}/register",
        label="register",
        key_id="register-1",
        key=VerificationKey(
            "Ed25519", signing.load_public(django_settings.REGISTER_PUBLIC_KEY_PEM)
        ),
    )


def ask(peer: Peer, **changes: Any) -> dict[str, Any]:
    call = {"expected": 200, "read": dict, "at": clock.now(), **changes}
    return peer.post("/v1/matches", QUESTION, **call)


def fail(peer: Peer, sandbox: OutsideWorld, *, times: int) -> None:
    sandbox.breaks("register", "http_500", count=times)
    for _ in range(times):
        with pytest.raises(PeerUnavailable):
            ask(peer)


# Whom


@pytest.mark.parametrize(
    "url",
    [
        "https://register.example",
        "https://register.example:8443/api/v2",
        "http://127.0.0.1:8100/register",
        "http://localhost:8100",
        "http://[::1]:8100/register",
    ],
)
def test_peer__good_base_url__taken(url: str):
    assert Peer(name="register", base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "register.example",
        "http://register.example",
        "http://10.0.0.1:8100",
        "http://127.0.0.1.evil.example",
        "https://user:word@register.example",
        "https://register.example/",
        "https://register.example?x=1",
        "https://register.example#x",
        "https://register.example/../x y",
        "https://REGISTER.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://",
    ],
)
def test_peer__any_other_base_url__refused_at_once(url: str):
    with pytest.raises(ValueError, match="register"):
        Peer(name="register", base_url=url)


@pytest.mark.parametrize(
    "path", ["", "v1", "//evil.example/", "/v1/", "/v1?x", "/../v1", "@evil.example/v1", "/v1\r\n"]
)
def test_post__path_that_no_protocol_has__refused(path: str):
    peer = Peer(name="register", base_url="http://127.0.0.1:9")

    with pytest.raises(ValueError, match="constant"):
        peer.post(path, {}, expected=200, read=dict, at=clock.now())


# From where


@pytest.mark.django_db(transaction=True)
def test_post__within_a_transaction__programming_error(sandbox: OutsideWorld, peer: Peer):
    before = sandbox.read("/register/journal")

    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        ask(peer)

    assert sandbox.read("/register/journal") == before
    assert ask(peer) == NO_MATCH


# What is believed


def test_post__good_answer__read(peer: Peer):
    assert ask(peer) == NO_MATCH
    assert ask(peer, read=lambda answer: answer["matched"]) is False


def test_post__reader_refuses_the_form__invalid_and_counted(peer: Peer):
    def read(answer: dict[str, Any]) -> None:
        raise PeerAnswerInvalid("shape")

    with pytest.raises(PeerAnswerInvalid):
        ask(peer, read=read)

    assert peer.circuit.failures == 1


def test_post__another_good_status_than_expected__invalid(peer: Peer):
    with pytest.raises(PeerAnswerInvalid) as caught:
        ask(peer, expected=202)

    assert caught.value.reason == "status_200"


def test_post__peer_refuses__says_its_status_and_is_no_failure(peer: Peer):
    fail_first = Circuit(failures=3)
    peer = Peer(**{**vars(peer), "circuit": fail_first})

    with pytest.raises(PeerRefused) as caught:
        peer.post("/v1/matches", {"wrong": 1}, expected=200, read=dict, at=clock.now())

    assert caught.value.answered == 400
    assert fail_first.failures == 0


@pytest.mark.parametrize("seconds", [7, 60])
def test_post__too_many__nobody_asks_for_as_long_as_it_says(
    sandbox: OutsideWorld, peer: Peer, seconds: int, monkeypatch: pytest.MonkeyPatch
):
    moment = [1_000.0]
    monkeypatch.setattr(outgoing.time, "monotonic", lambda: moment[0])
    sandbox.breaks("register", "too_many", seconds=seconds)
    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)
    assert (caught.value.reason, caught.value.retry_after) == ("status_429", seconds)
    before = sandbox.read("/register/journal")

    moment[0] += seconds - 0.5
    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)

    assert (caught.value.reason, caught.value.retry_after) == ("told_to_wait", 1)
    assert caught.value.was_sent is False
    assert sandbox.read("/register/journal") == before
    moment[0] += 0.5
    assert ask(peer) == NO_MATCH


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("90", 60), ("0", 0), ("-1", 10), ("soon", 10), ("٣", 10)]
)
def test_retry_after__only_whole_seconds_within_bounds(header: str, seconds: int):
    assert outgoing._retry_after({"retry-after": header}) == seconds
    assert outgoing._retry_after({}) == 10


def test_post__signed_by_another_key__invalid(sandbox: OutsideWorld, peer: Peer):
    other = VerificationKey("Ed25519", signing.generate_ed25519().public_key())

    with pytest.raises(PeerAnswerInvalid) as caught:
        ask(Peer(**{**vars(peer), "key": other}))
    assert caught.value.reason == "signature.invalid"

    with pytest.raises(PeerAnswerInvalid) as caught:
        ask(Peer(**{**vars(peer), "key_id": "register-2"}))
    assert caught.value.reason == "signature.key_unknown"


def test_post__same_answer_twice_on_the_wire__read_once(sandbox: OutsideWorld, peer: Peer):
    sandbox.breaks("register", "duplicate")

    assert ask(peer) == NO_MATCH
    assert ask(peer) == NO_MATCH


def test_post__problem_details__tell_nothing_of_the_peer(peer: Peer, sandbox: OutsideWorld):
    sandbox.breaks("register", "reset")

    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)

    assert caught.value.members == {}
    assert caught.value.detail is None
    assert str(caught.value) == "An outside service cannot be reached right now"


@pytest.mark.parametrize("changes", [{"nonce": "q9Yw3nT0aLk2sVx8"}, {"algorithm": None}])
def test_verify__answer_with_another_set_of_parameters__invalid(changes: dict[str, Any]):
    private = signing.generate_ed25519()
    peer = Peer(
        name="register",
        base_url="https://register.example",
        label="register",
        key_id="register-1",
        key=VerificationKey("Ed25519", private.public_key()),
    )
    question = f"vpass={byte_sequence(b'q' * 64)}"

    def answered(**given: Any) -> Received:
        headers = {"content-type": "application/json", "content-digest": content_digest(b"{}")}
        components = ['"@status"', '"content-digest"', '"content-type"', TIE]
        said = {"nonce": None, "algorithm": "ed25519"} | given
        without_alg = said["algorithm"] is None
        parameters = write_parameters(
            components,
            created=clock.now(),
            key_id="register-1",
            nonce=said["nonce"],
            algorithm=said["algorithm"] or "ed25519",
        )
        if without_alg:
            parameters = parameters.replace(';alg="ed25519"', "")
        values = ["200", headers["content-digest"], "application/json", byte_sequence(b"q" * 64)]
        lines = [f"{name}: {value}" for name, value in zip(components, values, strict=True)]
        base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
        signed = write_headers(
            label="register",
            parameters=parameters,
            signature=signing.ed25519_sign(private, base),
        )
        return Received(200, headers | {n.lower(): v for n, v in signed.items()}, b"{}")

    peer._verify(answered(), question=question, at=clock.now())

    with pytest.raises(PeerAnswerInvalid) as caught:
        peer._verify(answered(**changes), question=question, at=clock.now())
    assert caught.value.reason == "parameters"


# How often


def test_bounds__as_the_protocol_pages_say():
    assert (http_exchange.CONNECT_TIMEOUT_S, http_exchange.READ_TIMEOUT_S) == (1.0, 3.0)
    assert (http_exchange.DEADLINE_S, http_exchange.MAX_ANSWER_BYTES) == (5.0, 65_536)
    assert (outgoing.FAILURES_TO_OPEN, outgoing.OPEN_FOR_S) == (5, 10.0)
    assert outgoing.MAX_RETRY_AFTER_S == 60


def test_circuit__ten_seconds__to_the_moment(monkeypatch: pytest.MonkeyPatch):
    moment = [500.0]
    monkeypatch.setattr(outgoing.time, "monotonic", lambda: moment[0])
    circuit = Circuit()
    assert [circuit.note(is_success=False) for _ in range(5)] == [False] * 4 + [True]

    moment[0] = 509.9
    with pytest.raises(PeerUnavailable):
        circuit.admit()
    moment[0] = 510.0
    circuit.admit()  # the probe
    with pytest.raises(PeerUnavailable):
        circuit.admit()  # everybody else, while it is on its way

    assert circuit.note(is_success=True) is True
    circuit.admit()
    circuit.admit()


def test_circuit__five_failures_in_a_row__opens_and_is_not_asked(sandbox: OutsideWorld, peer: Peer):
    fail(peer, sandbox, times=4)
    assert ask(peer) == NO_MATCH  # a good answer forgets the failures before it
    fail(peer, sandbox, times=5)
    before = sandbox.read("/register/journal")
    started = time.monotonic()

    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)

    assert time.monotonic() - started < 0.1
    assert caught.value.was_sent is False
    assert caught.value.reason == "circuit_open"
    assert 9 <= (caught.value.retry_after or 0) <= 10
    assert sandbox.read("/register/journal") == before


def test_circuit__after_its_time__one_probe_decides(
    sandbox: OutsideWorld, peer: Peer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outgoing, "OPEN_FOR_S", 0.3)
    fail(peer, sandbox, times=5)

    time.sleep(0.35)
    fail(peer, sandbox, times=1)  # the probe fails, so it stays open
    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)
    assert caught.value.reason == "circuit_open"

    time.sleep(0.35)
    assert ask(peer) == NO_MATCH  # the probe is answered, so it closes
    assert ask(peer) == NO_MATCH
    assert peer.circuit.failures == 0


def test_circuit__many_at_once_after_its_time__one_is_let_through(
    monkeypatch: pytest.MonkeyPatch,
):
    circuit = Circuit(failures=5, open_until=time.monotonic() - 1)
    together = threading.Barrier(20)
    let_through: list[bool] = []

    def try_it() -> None:
        together.wait(10)
        try:
            circuit.admit()
        except PeerUnavailable:
            let_through.append(False)
        else:
            let_through.append(True)

    threads = [threading.Thread(target=try_it) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert let_through.count(True) == 1
    assert len(let_through) == 20


def test_circuit__invalid_answers__open_it_too(sandbox: OutsideWorld, peer: Peer):
    sandbox.breaks("register", "bad_signature", count=5)
    for _ in range(5):
        with pytest.raises(PeerAnswerInvalid):
            ask(peer)

    with pytest.raises(PeerUnavailable) as caught:
        ask(peer)

    assert caught.value.reason == "circuit_open"


def test_circuit__one_peer_fails__the_other_is_asked(sandbox: OutsideWorld, peer: Peer):
    fail(peer, sandbox, times=5)

    other = Peer(**{**vars(peer), "circuit": Circuit()})

    assert ask(other) == NO_MATCH
