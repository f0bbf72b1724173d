"""The pages' modules against the program they speak to: bytes, codes, proofs, words."""

import io
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import base45
import cbor2
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page
from stdnum.cn import ric

from identity import code_format
from tests.browser.conftest import ROOT, STATIC
from vpass.common import http_signatures, signing

VECTORS = json.loads((ROOT / "tests/identity/vectors/codes.json").read_text("utf-8"))
PHONE_KEY = bytes.fromhex(VECTORS["test_private_keys"]["phone 1"])

IMPORTS = """
const load = (name) => import(`/static/js/${name}.js`);
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
"""


def run(page: Page, script: str, given: Any = None) -> Any:
    """What the body of an async function in the page returns; `given` is its argument."""
    return page.evaluate(f"async (given) => {{ {IMPORTS} {script} }}", given)


def test_encode_base45__rfc_9285_examples__same_text(modules: Page) -> None:
    examples = {
        b"AB": "BB8",
        b"Hello!!": "%69 VD92EX0",
        b"base-45": "UJCLQE7W581",
        b"ietf!": "QED8WEX0",
    }

    for data, text in examples.items():
        script = 'return (await load("common/base45")).encodeBase45(unhex(given))'
        assert run(modules, script, data.hex()) == text


def test_encode_base45__every_length__read_by_the_library(modules: Page) -> None:
    for length in range(12):
        data = bytes(255 - number * 7 for number in range(length))

        text = run(
            modules, 'return (await load("common/base45")).encodeBase45(unhex(given))', data.hex()
        )

        assert base45.b45decode(text) == data


def test_encode__numbers_bytes_texts_lists_maps__spelt_as_cbor2_does(modules: Page) -> None:
    numbers = [0, 23, 24, 255, 256, 65535, 65536, 2**31, 2**32 - 1]
    script = """
    const { encode } = await load("common/cbor");
    const whole = [given, new Uint8Array(30), "潍坊", new Map([[12, 1], [6, [new Map()]]])];
    return hex(encode(whole));
    """

    written = bytes.fromhex(run(modules, script, numbers))

    assert written == cbor2.dumps([numbers, bytes(30), "潍坊", {6: [{}], 12: 1}])


@pytest.mark.parametrize("item", ["-1", "1.5", "2 ** 32", "null", "true", "{}"])
def test_encode__what_codes_never_hold__refused(modules: Page, item: str) -> None:
    script = f"""
    const {{ encode }} = await load("common/cbor");
    try {{ return encode({item}).length; }} catch (error) {{ return error.name; }}
    """

    assert run(modules, script) == "TypeError"


def test_with_low_s__both_forms__the_low_one(modules: Page) -> None:
    private = signing.generate_p256()
    low = signing.es256_sign(private, b"data")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    high = low[:32] + (order - int.from_bytes(low[32:])).to_bytes(32)
    script = 'return hex((await load("common/keys")).withLowS(unhex(given)))'

    assert run(modules, script, low.hex()) == low.hex()
    assert run(modules, script, high.hex()) == low.hex()


def test_generate_key__private_part__cannot_be_taken_out(modules: Page) -> None:
    script = """
    const key = await (await load("common/keys")).generateKey();
    const taken = await crypto.subtle.exportKey("jwk", key.privateKey).catch((error) => error.name);
    return { taken, jwk: key.jwk, thumbprint: key.thumbprint, usages: key.privateKey.usages };
    """

    key = run(modules, script)

    assert key["taken"] == "InvalidAccessError"
    assert key["usages"] == ["sign"]
    assert key["thumbprint"] == signing.thumbprint(key["jwk"])


MAKE_CODES = """
const { makeCode } = await load("common/code");
const { key: jwk, grant, issuedAt, scenes, nonce, count } = given;
const curve = { name: "ECDSA", namedCurve: "P-256" };
const privateKey = await crypto.subtle.importKey("jwk", jwk, curve, false, ["sign"]);
const made = [];
for (let number = 0; number < count; number += 1) {
  const options = { grant: unhex(grant), privateKey, issuedAt, scenes };
  made.push(await makeCode(nonce ? { ...options, nonce: unhex(nonce) } : options));
}
return made;
"""


def private_jwk(private: signing.P256Private) -> dict[str, str]:
    number = private.private_numbers().private_value
    return signing.jwk_of(private) | {"d": signing.b64url_encode(number.to_bytes(32))}


def test_make_code__fifty_codes__each_accepted_and_none_alike(modules: Page) -> None:
    city, phone, at = signing.generate_p256(), signing.generate_p256(), int(time.time())
    claims = code_format.GrantClaims(
        issuer="weifang",
        expires_at=at + 86_400,
        handle=bytes(range(16)),
        public_point=signing.public_point(phone),
        status_index=1,
        rights=code_format.Rights(
            bus=code_format.BusRight(concession_class=3, card_reference=b"12345678"),
            door_groups=(1, 70_000),
        ),
    )
    grant = code_format.encode_grant(claims, kid=b"test", private=city)
    given = {
        "key": private_jwk(phone),
        "grant": grant.hex(),
        "issuedAt": at,
        "scenes": 61,
        "count": 50,
    }

    texts = run(modules, MAKE_CODES, given)

    assert len(set(texts)) == 50
    for text in texts:
        code = code_format.read_code(text)
        code_format.check_code(code, key=city.public_key(), at=at, issuer="weifang")
        assert code.grant == claims
        assert not code.presentation.allows("pay")
        assert code.presentation.allows("bus")


def test_make_code__golden_vector__same_code_but_for_its_signature(modules: Page) -> None:
    golden = VECTORS["good"][0]
    expected = code_format.read_code(golden["text"])
    x = signing.jwk_of(signing.public_from_point(expected.grant.public_point))
    given = {
        "key": x | {"d": signing.b64url_encode(PHONE_KEY)},
        "grant": expected.grant_bytes.hex(),
        "issuedAt": golden["presentation"]["issued_at"],
        "scenes": golden["presentation"]["scenes"],
        "nonce": golden["presentation"]["nonce"],
        "count": 1,
    }

    (text,) = run(modules, MAKE_CODES, given)

    code = code_format.read_code(text)
    assert code.jti.hex() == golden["jti"]
    assert code.signed_bytes == expected.signed_bytes
    city = next(key for key in VECTORS["key_set"]["keys"] if key["kid"] == golden["kid"])
    public = signing.public_from_jwk({name: city[name] for name in ("kty", "crv", "x", "y")})
    code_format.check_code(code, key=public, at=golden["at"], issuer="weifang")


def test_draw_qr__longest_code__read_back_from_the_pixels(modules: Page) -> None:
    text = max((golden["text"] for golden in VECTORS["good"]), key=len)
    script = """
    const { drawQr } = await load("common/qr_picture");
    const canvas = document.createElement("canvas");
    document.body.style.margin = 0;
    document.body.append(canvas);
    drawQr(canvas, given, 340);
    """

    run(modules, script, text)
    picture = Image.open(io.BytesIO(modules.locator("canvas").screenshot()))
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)

    assert found.text == text
    assert found.ec_level == "M"
    # The quiet zone of four modules is part of the picture.
    assert picture.convert("L").crop((0, 0, picture.width, 16)).getextrema() == (255, 255)


def test_read_picture__drawn_code__read_back_and_nothing_in_a_blank_one(modules: Page) -> None:
    script = """
    const { drawQr } = await load("common/qr_picture");
    const { readPicture } = await load("scanning/pictures");
    const canvas = document.createElement("canvas");
    drawQr(canvas, given, 340);
    const picture = await new Promise((resolve) => canvas.toBlob(resolve));
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    const blank = await new Promise((resolve) => canvas.toBlob(resolve));
    return Promise.all([picture, blank, new Blob(["x"])].map(readPicture));
    """
    text = VECTORS["good"][0]["text"]

    assert run(modules, script, text) == [text, None, None]


def test_draw_bars__every_pair_of_digits__read_back_from_the_pixels(modules: Page) -> None:
    script = """
    const { barsOf, drawBars } = await load("common/bar_picture");
    document.body.replaceChildren(...given.map((digits) => {
      const canvas = document.createElement("canvas");
      canvas.style.display = "block";
      drawBars(canvas, digits, 340, 40);
      return canvas;
    }));
    return given.map((digits) => barsOf(digits).reduce((sum, each) => sum + each, 0));
    """
    pairs = [f"{number:02}" for number in range(100)]
    checks = [f"8600000000000000{pair}" for pair in (70, 93, 13)]  # the check symbols 100 to 102
    codes = ["".join(pairs[at : at + 9]).ljust(18, "7") for at in range(0, 100, 9)] + checks

    widths = run(modules, script, codes)
    picture = Image.open(io.BytesIO(modules.screenshot(full_page=True)))
    found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.Code128)

    assert {each.text for each in found} == set(codes)
    assert set(widths) == {11 * 11 + 13}  # start, nine pairs, the check symbol, and the stop
    margins = [picture.convert("L").crop((x, 0, x + 10, 40)).getextrema() for x in (0, 298)]
    assert margins == [(255, 255)] * 2


def test_make_proof__with_and_without_token__as_rfc_9449_says(modules: Page) -> None:
    script = """
    const { makeProof, tokenHash } = await load("common/proofs");
    const key = await (await load("common/keys")).generateKey();
    const common = { key, method: "POST", url: "https://city.test/x", issuedAt: given };
    const ath = await tokenHash("token");
    const bound = await makeProof({ ...common, ath });
    return { jwk: key.jwk, bare: await makeProof(common), bound };
    """
    at = datetime.now(UTC)

    made = run(modules, script, int(at.timestamp()))

    public = signing.public_from_jwk(made["jwk"])
    bare, bound = (
        signing.decode_jws(
            made[name], public, typ="dpop+jwt", at=at, required=("jti", "htm", "htu", "iat")
        )
        for name in ("bare", "bound")
    )
    assert signing.jws_header(made["bare"]) == {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": made["jwk"],
    }
    assert "ath" not in bare
    assert (bare["htm"], bare["htu"]) == ("POST", "https://city.test/x")
    assert bound["ath"] == "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A"
    assert bare["jti"] != bound["jti"]


def test_sign_request__with_and_without_a_body__the_program_reads_it(modules: Page) -> None:
    script = """
    const { generateKey } = await load("common/keys");
    const { signRequest } = await load("common/http_signatures");
    const key = await generateKey();
    const common = { key, url: "https://city.test/x?y=1", issuedAt: given };
    const text = '{"title":"风筝"}';
    const bare = await signRequest({ ...common, method: "GET" });
    const full = await signRequest({ ...common, method: "POST", text, idempotencyKey: "key-1234" });
    return { jwk: key.jwk, thumbprint: key.thumbprint, bare, full, text };
    """
    at = datetime.now(UTC)

    made = run(modules, script, int(at.timestamp()))

    key = signing.VerificationKey("ES256", signing.public_from_jwk(made["jwk"]))
    for name, method, others, body in (
        ("bare", "GET", {}, b""),
        (
            "full",
            "POST",
            {"content-type": "application/json", "idempotency-key": "key-1234"},
            made["text"].encode(),
        ),
    ):
        headers = {each.lower(): value for each, value in made[name].items()} | others
        parts = http_signatures.Parts(
            method=method, target_uri="https://city.test/x?y=1", headers=headers, body=body
        )
        found = http_signatures.verify_request(parts, find_key={made["thumbprint"]: key}.get, at=at)
        assert found.key_id == made["thumbprint"]


def test_money__typed_and_shown__to_the_fen(modules: Page) -> None:
    script = """
    const { parseYuan, yuan } = await load("common/money");
    return { read: given.map(parseYuan), shown: [0, 5, 123456789, -50].map((fen) => yuan(fen)) };
    """
    typed = ["12.34", "12", "12.", "0.1", "１２．５", "¥1,234.50", "", ".5", "1.234", "-1", "1e3"]

    told = run(modules, script, typed)

    assert told["read"] == [1234, 1200, 1200, 10, 1250, 123450, None, None, None, None, None]
    assert told["shown"] == ["¥0.00", "¥0.05", "¥1,234,567.89", "−¥0.50"]


def test_clock__answers_of_another_hour__set_it_and_stay(modules: Page) -> None:
    script = """
    const { makeClock } = await load("common/clock");
    const heard = [];
    const clock = makeClock({ onChange: (offset) => heard.push(offset) });
    const at = Date.now();
    const ahead = new Date(at + 3600_000).toISOString();
    const first = clock.learn(ahead, at, at + 20);
    const again = clock.learn(ahead, at, at + 20);
    const slow = clock.learn(new Date(at).toISOString(), at, at + 20_000);
    const nothing = clock.learn(null, at, at);
    return { first, again, slow, nothing, heard: heard.length, off: clock.offset() };
    """

    told = run(modules, script)

    assert (told["first"], told["again"], told["slow"], told["nothing"]) == (
        True,
        False,
        False,
        False,
    )
    assert told["heard"] == 1
    assert abs(told["off"] - 3_600_000) < 1000


def test_is_id_number__many_numbers__judged_as_stdnum_does(modules: Page) -> None:
    stems = [f"3707021980{number:07d}" for number in range(101_001, 101_031)]
    numbers = [stem + digit for stem in stems for digit in "0123456789X"]
    script = """
    const { isIdNumber } = await load("phone/enrolment");
    return given.filter(isIdNumber);
    """

    right = run(modules, script, [*numbers, "", "37070219800101001", "070702198001010010"])

    assert right == [number for number in numbers if ric.calc_check_digit(number) == number[-1]]


def test_clean_code__what_keyboards_make_of_a_scan__the_code_again(modules: Page) -> None:
    text = VECTORS["good"][0]["text"]
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter > " " else "\u3000" for letter in text)
    script = 'const { cleanCode } = await load("common/code"); return given.map(cleanCode)'

    assert run(modules, script, [text.lower(), wide, f" {text}\r\n"]) == [text] * 3


def test_strings__every_text_of_the_pages__in_both_languages(modules: Page) -> None:
    strings = run(modules, 'return (await load("common/strings")).STRINGS')
    sources = [*ROOT.glob("templates/*.html"), *ROOT.glob("templates/*/index.html")]
    named = {
        key
        for source in sources
        for key in re.findall(r'data-t(?:-label)?="([^"]+)"', source.read_text("utf-8"))
    }
    for module in STATIC.glob("js/*/*.js"):
        named.update(re.findall(r'\bt\("([^"]+)"', module.read_text("utf-8")))

    assert named - strings.keys() == set()
    for key, (chinese, english) in strings.items():
        assert chinese
        assert english
        # Only the switch speaks the language it leads to.
        assert key.startswith("app.language") or not re.search(r"[\u3400-\u9fff]", english), key
        assert set(re.findall(r"{\w+}", chinese)) == set(re.findall(r"{\w+}", english))
