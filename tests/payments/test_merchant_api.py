"""What tills and phones send over HTTP: amounts, texts, and whose payment it is."""

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings

from identity import organisations
from identity.models import MachineKey, StateChange, TerminalEnrolment
from payments.models import Order, Transaction
from tests import city
from tests.parameters import stable_id
from tests.shop import MERCHANT, RESIDENT, Shop, asked, open_shop, signed
from vpass.common import clock, http_signatures, signing

pytestmark = pytest.mark.django_db(transaction=True)


# Amounts


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "min_value"),
        ("-1", "min_value"),
        ("5000001", "max_value"),
        ("1" + "0" * 30, "max_value"),
        ("-1" + "0" * 30, "min_value"),
        ("true", "wrong_type"),
        ("false", "wrong_type"),
        ("1.0", "wrong_type"),
        ("12.34", "wrong_type"),
        ("1e2", "wrong_type"),
        ('"100"', "wrong_type"),
        ('"１００"', "wrong_type"),
        ("null", "null"),
        ("[100]", "wrong_type"),
        ("{}", "wrong_type"),
        ("NaN", "not_json"),
        ("Infinity", "not_json"),
        ("1e400", "not_json"),
        ("１００", "not_json"),
        ("0100", "not_json"),
        ("+1", "not_json"),
        ("0x10", "not_json"),
    ],
)
@pytest.mark.parametrize("what", ["payment", "refund"])
def test_amount__not_a_whole_number_of_fen_in_bounds__400_and_nothing_happens(
    shop: Shop,
    payer: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    what: str,
    amount: str,
    code: str,
):
    paid = shop.pay(grant.code(at), at=at)
    body: dict[str, Any] = asked(grant.code(at)) | {"amount_fen": "AMOUNT"}
    path = f"{MERCHANT}/payments"
    if what == "refund":
        body = {"amount_fen": "AMOUNT", "reference": "R-1"}
        path = f"{path}/{paid.id}/refunds"
    raw = json.dumps(body).replace('"AMOUNT"', amount).encode()
    before = Transaction.objects.count()

    answer = shop.till.send("POST", path, raw, key=city.new_key())

    assert city.problem(answer) == (400, "request.invalid")
    field = "" if code == "not_json" else "amount_fen"
    assert answer.json()["errors"] == [{"field": field, "code": code}]
    assert (Transaction.objects.count(), Order.objects.count()) == (before, 1)


@pytest.mark.parametrize("amount_fen", [1, 100_000])
def test_amount__at_its_bounds__paid(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime, amount_fen: int
):
    answer = shop.till.pay(grant.code(at), amount_fen=amount_fen)

    assert (answer.status_code, answer.json()["captured_fen"]) == (201, amount_fen)


def test_amount__the_largest__waits_for_the_payer(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    answer = shop.till.pay(grant.code(at), amount_fen=5_000_000)

    assert (answer.status_code, answer.json()["state"]) == (201, "confirming")


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"title": ""}, [("title", "blank")]),
        ({"title": "x" * 101}, [("title", "max_length")]),
        ({"title": "a\nb"}, [("title", "control_character")]),
        ({"title": 5}, [("title", "wrong_type")]),
        ({"merchant_reference": "a b"}, [("merchant_reference", "invalid")]),
        ({"merchant_reference": "A-1\n"}, [("merchant_reference", "control_character")]),
        ({"merchant_reference": "单号"}, [("merchant_reference", "invalid")]),
        ({"merchant_reference": "x" * 65}, [("merchant_reference", "invalid")]),
        ({"currency": "CNY"}, [("currency", "unknown")]),
    ],
)
def test_payment__text_not_as_it_must_be__400(
    shop: Shop, changes: dict[str, Any], errors: list[tuple[str, str]]
):
    answer = shop.till.pay("VP1:X", **changes)

    assert city.problem(answer) == (400, "request.invalid")
    found = [(each["field"], each["code"]) for each in answer.json()["errors"]]
    assert set(errors) <= set(found)


# A payment's life over HTTP


def test_payment__large__asked_for_confirmed_shown_and_refunded(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    made = shop.till.pay(grant.code(at), amount_fen=150_000, title="自行车").json()
    (seen,) = payer.send("GET", f"{RESIDENT}/payments").json()["items"]

    assert (seen["id"], seen["state"], seen["amount_fen"], seen["title"]) == (
        made["id"], "confirming", 150_000, "自行车",
    )  # fmt: skip
    assert seen["payee"] == {"id": str(shop.merchant.id), "zh": "惠民超市", "en": "Books"}
    path = f"{RESIDENT}/payments/{made['id']}"
    order = Order.objects.get()
    word = {"confirmation": signed(payer, order, at=clock.now())}
    decided = payer.send("POST", f"{path}/confirmation", word, key=city.new_key())
    assert (decided.status_code, decided.json()) == (200, {"id": made["id"], "state": "captured"})
    shown = shop.till.send("GET", f"{MERCHANT}/payments/{made['id']}").json()
    assert (shown["state"], shown["captured_fen"]) == ("captured", 150_000)
    back = shop.till.refund(made["id"], amount_fen=150_000)
    assert (back.status_code, back.json()["payment_state"]) == (201, "refunded")
    assert payer.send("GET", path).json()["refunded_fen"] == 150_000
    wallet = payer.send("GET", f"{RESIDENT}/wallet").json()
    assert wallet["balance_fen"] == wallet["available_fen"] == 1_000_000


def test_payment__large__refused_by_the_payer_or_called_off_by_the_till(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    first, second = (
        shop.till.pay(grant.code(at), amount_fen=150_000).json()["id"] for _ in range(2)
    )

    refused = payer.send("POST", f"{RESIDENT}/payments/{first}/refusal", {}, key=city.new_key())
    cancelled = shop.till.send(
        "POST", f"{MERCHANT}/payments/{second}/cancellation", {}, key=city.new_key()
    )

    assert (refused.status_code, refused.json()["state"]) == (200, "failed")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = payer.send("POST", f"{RESIDENT}/payments/{second}/refusal", {}, key=city.new_key())
    assert city.problem(again) == (409, "order.not_waiting")


@pytest.mark.parametrize(
    ("body", "status"), [(None, 200), (b"{}", 200), (b'{"why":"x"}', 400), (b"[]", 400)]
)
def test_cancellation__body__nothing_or_an_empty_object(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime, body: Any, status: int
):
    made = shop.till.pay(grant.code(at), amount_fen=150_000).json()["id"]

    answer = shop.till.send(
        "POST", f"{MERCHANT}/payments/{made}/cancellation", body, key=city.new_key()
    )

    assert answer.status_code == status, answer.content


def test_payment__refused_for_want_of_money__409_names_the_failed_payment_again_and_again(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    body, key = asked(grant.code(at)), city.new_key()

    answers = [shop.till.send("POST", f"{MERCHANT}/payments", body, key=key) for _ in range(2)]

    for answer in answers:
        assert city.problem(answer) == (409, "ledger.insufficient_funds")
        assert answer.json()["payment_id"] == str(Order.objects.get().id)
    shown = shop.till.send("GET", f"{MERCHANT}/payments/{Order.objects.get().id}").json()
    assert (shown["state"], shown["reason"]) == ("failed", "ledger.insufficient_funds")


def test_payments__listed__newest_first_and_the_merchants_own_alone(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    made = [shop.till.pay(grant.code(at)).json()["id"] for _ in range(3)]
    foreign = other.till.pay(grant.code(at)).json()["id"]

    first = shop.till.send("GET", f"{MERCHANT}/payments?limit=2").json()
    second = shop.till.send("GET", f"{MERCHANT}/payments?limit=2&cursor={first['next']}").json()

    listed = [each["id"] for each in first["items"] + second["items"]]
    assert listed == made[::-1]
    assert second["next"] is None
    for path in (f"{MERCHANT}/payments/{foreign}", f"{MERCHANT}/payments/{uuid.uuid4()}"):
        assert city.problem(shop.till.send("GET", path)) == (404, "object.not_found")


def test_resident__anothers_payment__as_if_there_were_none(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    made = shop.till.pay(grant.code(at)).json()["id"]
    stranger = city.make_phone(1, at=at)

    assert stranger.send("GET", f"{RESIDENT}/payments").json() == {"items": [], "next": None}
    for each in (made, uuid.uuid4()):
        answer = stranger.send("GET", f"{RESIDENT}/payments/{each}")
        assert city.problem(answer) == (404, "object.not_found")


# A till's key


def till_key(
    code: str,
    private: Any,
    *,
    jwk: Any = None,
    key_id: str | None = None,
    nonce: str | None = None,
    **changes: Any,
) -> Any:
    """A browser's request to become a till; changes spoil it."""
    jwk = jwk or signing.jwk_of(private)
    raw = json.dumps({"enrolment_code": code, "jwk": jwk} | changes).encode()
    path = f"{MERCHANT}/till-keys"
    added = http_signatures.sign_request(
        http_signatures.Parts(
            method="POST",
            target_uri=settings.PUBLIC_URL + path,
            headers={"content-type": "application/json"},
            body=raw,
        ),
        key_id=key_id or signing.thumbprint(signing.jwk_of(private)),
        private=private,
        algorithm="ecdsa-p256-sha256",
        at=clock.now(),
        nonce=nonce or uuid.uuid4().hex,
    )
    return city.send("POST", path, raw, added)


class BrowserTill(city.Machine):
    """A till with a P-256 key."""

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        added = http_signatures.sign_request(
            http_signatures.Parts(method=method, target_uri=settings.PUBLIC_URL + path),
            key_id=self.key_id,
            private=self.private,
            algorithm="ecdsa-p256-sha256",
            at=clock.now(),
            nonce=uuid.uuid4().hex,
        )
        return city.send(method, path, None, added)


def code_for(shop: Shop, at: datetime) -> str:
    return organisations.issue_terminal_code(terminal=shop.till.terminal, actor="test", at=at)


def test_till_key__with_a_code__enrolled_and_the_former_key_retired(shop: Shop, at: datetime):
    private = signing.generate_p256()

    answer = till_key(code_for(shop, at), private)

    assert answer.status_code == 201, answer.content
    key_id = signing.thumbprint(signing.jwk_of(private))
    assert answer.json()["key_id"] == key_id
    assert answer.json()["machine"]["id"] == str(shop.till.terminal.id)
    till = BrowserTill(shop.till.terminal, key_id, private)
    assert till.send("GET", f"{MERCHANT}/payments").status_code == 200
    former = shop.till.send("GET", f"{MERCHANT}/payments")
    assert city.problem(former) == (401, "signature.key_unknown")
    assert StateChange.objects.get(object_kind="machine_key").event == "retire"


def test_till_key__code_used_before__refused(shop: Shop, at: datetime):
    code = code_for(shop, at)
    till_key(code, signing.generate_p256())
    keys = list(MachineKey.objects.values())

    answer = till_key(code, signing.generate_p256())

    assert city.problem(answer) == (422, "terminal.code_refused")
    assert list(MachineKey.objects.values()) == keys


def test_till_key__of_another_till__refused_and_the_code_still_good(shop: Shop, at: datetime):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    private = signing.generate_p256()
    till_key(code_for(other, at), private)
    code = code_for(shop, at)

    answer = till_key(code, private)

    assert city.problem(answer) == (409, "terminal.key_taken")
    assert TerminalEnrolment.objects.filter(used_at=None).count() == 1
    assert shop.till.send("GET", f"{MERCHANT}/payments").status_code == 200
    assert till_key(code, signing.generate_p256()).status_code == 201


def test_till_key__code_of_no_merchants_terminal__refused(shop: Shop, at: datetime):
    kiosk = city.make_terminal(city.make_organisation(), key_id="kiosk-1")
    code = organisations.issue_terminal_code(terminal=kiosk.terminal, actor="test", at=at)

    answer = till_key(code, signing.generate_p256())

    assert city.problem(answer) == (422, "terminal.code_refused")
    assert TerminalEnrolment.objects.get().used_at is None


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ({"jwk": {}}, (401, "signature.key_unknown")),
        ({"jwk": "x"}, (401, "signature.key_unknown")),
        ({"jwk": None}, (401, "signature.key_unknown")),
        ({"key_id": "till-1"}, (401, "signature.key_unknown")),
        ({"jwk": signing.jwk_of(signing.generate_p256())}, (401, "signature.key_unknown")),
        ({"more": 1}, (400, "request.invalid")),
    ],
    ids=stable_id,
)
def test_till_key__signed_by_no_key_of_the_body__refused(
    shop: Shop, at: datetime, spoil: dict[str, Any], expected: tuple[int, str]
):
    code, private = code_for(shop, at), signing.generate_p256()
    changes = dict(spoil)
    if "jwk" in changes:
        changes = {"jwk": changes["jwk"] or {"kty": "x"}}

    answer = till_key(code, private, **changes)

    assert city.problem(answer) == expected
    assert TerminalEnrolment.objects.get().used_at is None


def test_till_key__nonce_used_before__refused(shop: Shop):
    private, code, nonce = signing.generate_p256(), "A" * 16, uuid.uuid4().hex

    first, second = (till_key(code, private, nonce=nonce) for _ in range(2))

    assert city.problem(first) == (422, "terminal.code_refused")
    assert city.problem(second) == (401, "signature.replayed")
