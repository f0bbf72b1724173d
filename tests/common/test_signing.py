"""Signatures have one form; tokens are read strictly and judged at the moment passed."""

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from vpass.common import signing
from vpass.common.encodings import b64url_decode, b64url_encode

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
SECONDS = int(AT.timestamp())

# RFC 6979 appendix A.2.5: P-256, SHA-256, message "sample". Its s is in the upper half.
RFC6979_X = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
RFC6979_Y = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
RFC6979_R = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
RFC6979_S = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"

# RFC 9449 sections 4.2 and 6.1: the key of the examples and its thumbprint.
RFC9449_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
}
RFC9449_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC9449_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo"
    "UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW"
    "clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0"
    "dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-"
    "FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)

# RFC 8032 section 7.1, test 2.
ED25519_PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
ED25519_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


@pytest.fixture(scope="module")
def key():
    return signing.generate_p256()


def token_of(key, *, header=None, claims=None, sign=signing.es256_sign):
    """A token made by hand, so that it may be as wrong as the test wants."""
    header_json = header if isinstance(header, bytes) else json.dumps(header).encode()
    claims_json = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64url_encode(header_json)}.{b64url_encode(claims_json)}"
    return f"{signed}.{b64url_encode(sign(key, signed.encode()))}"


def reason_of(token, key, **options):
    with pytest.raises(signing.BadToken) as caught:
        signing.decode_jws(token, key.public_key(), **{"typ": "test+jwt", "at": AT} | options)
    return caught.value.reason


HEADER = {"alg": "ES256", "typ": "test+jwt"}


def test_es256_verify__rfc_6979_vector__only_its_low_form():
    public = signing.public_from_point(b"\x03" + bytes.fromhex(RFC6979_X))
    assert public.public_numbers().y == int(RFC6979_Y, 16)
    r, high = bytes.fromhex(RFC6979_R), int(RFC6979_S, 16)

    assert signing.es256_verify(public, b"sample", r + (N - high).to_bytes(32))
    assert not signing.es256_verify(public, b"sample", r + high.to_bytes(32))
    assert not signing.es256_verify(public, b"Sample", r + (N - high).to_bytes(32))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=64))
def test_es256_sign__any_data__low_and_verifiable(data):
    key = signing.generate_p256()

    signature = signing.es256_sign(key, data)

    assert len(signature) == 64
    assert int.from_bytes(signature[32:]) <= N // 2
    assert signing.es256_verify(key.public_key(), data, signature)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: b"",
        lambda s: s[:-1],
        lambda s: s + b"\0",
        lambda s: bytes(64),
        lambda s: bytes(32) + s[32:],
        lambda s: s[:32] + bytes(32),
        lambda s: N.to_bytes(32) + s[32:],
        lambda s: s[:32] + N.to_bytes(32),
        lambda s: b"\xff" * 64,
        lambda s: s[:32] + (N - int.from_bytes(s[32:])).to_bytes(32),
        lambda s: bytes([s[0] ^ 1]) + s[1:],
    ],
)
def test_es256_verify__spoilt_signature__false(key, spoil):
    signature = signing.es256_sign(key, b"data")

    assert signing.es256_verify(key.public_key(), b"data", spoil(signature)) is False


def test_public_point__round_trip(key):
    point = signing.public_point(key)

    assert len(point) == 33
    assert signing.public_point(signing.public_from_point(point)) == point


@pytest.mark.parametrize(
    "point",
    [
        b"",
        bytes(33),
        b"\x04" + bytes(64),
        b"\x02" + b"\xff" * 32,
        b"\x02" + (5).to_bytes(32)[:-1],
        b"\x05" + (5).to_bytes(32),
        # 0xFFFFFFFF00000001…FF + 5: not reduced, though its residue lies on the curve
        b"\x02" + (2**256 - 2**224 + 2**192 + 2**96 - 1 + 5).to_bytes(32),
        b"\x02" + (7).to_bytes(32),
    ],
)
def test_public_from_point__no_point__refused(point):
    with pytest.raises(signing.BadKey):
        signing.public_from_point(point)


def test_thumbprint__rfc_9449_key():
    public = signing.public_from_jwk(RFC9449_JWK)

    assert signing.thumbprint(RFC9449_JWK) == RFC9449_THUMBPRINT
    assert signing.jwk_of(public) == RFC9449_JWK


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": None},
        {"x": RFC9449_JWK["x"] + "="},
        {"x": "AA"},
        {"x": b64url_encode(b"\0" + b64url_decode(RFC9449_JWK["x"]))},
        {"x": b64url_encode(b"\xff" * 32)},
        {"y": RFC9449_JWK["x"]},
        {"d": "AA"},
        {"kid": "1"},
        {"alg": "ES256"},
    ],
)
def test_public_from_jwk__anything_but_the_four_members__refused(change):
    with pytest.raises(signing.BadKey):
        signing.public_from_jwk(RFC9449_JWK | change)


def test_public_from_jwk__no_mapping_or_member_missing__refused():
    for jwk in (None, [], "x", {}, {"kty": "EC", "crv": "P-256", "x": RFC9449_JWK["x"]}):
        with pytest.raises(signing.BadKey):
            signing.public_from_jwk(jwk)


def test_load_private__pem_and_der__same_key(key):
    for text in (signing.private_der(key), signing.private_pem(key)):
        assert signing.public_point(signing.load_private(text)) == signing.public_point(key)


def test_load_private__other_kinds__refused():
    others = [signing.generate_ed25519(), ec.generate_private_key(ec.SECP384R1())]
    for other in [signing.private_der(k) for k in others] + [b"", b"nonsense", "-----BEGIN X"]:
        with pytest.raises(signing.BadKey):
            signing.load_private(other)


def test_load_public__pem_of_both_kinds__read(key):
    edwards = signing.generate_ed25519()

    assert signing.load_public(signing.public_pem(key.public_key())) == key.public_key()
    assert signing.load_public(signing.public_pem(edwards.public_key())) == edwards.public_key()
    rsa_public = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(signing.BadKey, match="wrong_kind"):
        signing.load_public(signing.public_pem(rsa_public))
    with pytest.raises(signing.BadKey, match="malformed"):
        signing.load_public("nonsense")


def test_ed25519_verify__rfc_8032_vector():
    public = signing.ed25519_from_bytes(bytes.fromhex(ED25519_PUBLIC))
    signature = bytes.fromhex(ED25519_SIGNATURE)

    assert signing.ed25519_verify(public, b"\x72", signature)
    assert not signing.ed25519_verify(public, b"\x73", signature)
    assert not signing.ed25519_verify(public, b"\x72", signature + b"\0")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not signing.ed25519_verify(
        public, b"\x72", signature[:32] + scalar.to_bytes(32, "little")
    )


def test_ed25519__round_trip():
    private = signing.generate_ed25519()
    again = signing.load_ed25519_private(signing.private_pem(private))

    signature = signing.ed25519_sign(again, b"data")

    assert signing.ed25519_verify(private.public_key(), b"data", signature)
    with pytest.raises(signing.BadKey):
        signing.load_ed25519_private(signing.private_pem(signing.generate_p256()))


def test_verification_key__algorithm_is_pinned(key):
    edwards = signing.generate_ed25519()
    pinned = signing.VerificationKey("ES256", key.public_key())
    swapped = signing.VerificationKey("Ed25519", key.public_key())
    other = signing.VerificationKey("Ed25519", edwards.public_key())
    signature = signing.es256_sign(key, b"data")

    assert pinned.verify(b"data", signature)
    assert not swapped.verify(b"data", signature)
    assert not other.verify(b"data", signature)
    assert other.verify(b"data", signing.ed25519_sign(edwards, b"data"))


def test_verification_key__bytes_round_trip(key):
    for algorithm, public in (
        ("ES256", key.public_key()),
        ("Ed25519", signing.generate_ed25519().public_key()),
    ):
        made = signing.VerificationKey(algorithm, public)
        assert signing.VerificationKey.from_bytes(algorithm, made.to_bytes()) == made
    with pytest.raises(signing.BadKey):
        signing.VerificationKey.from_bytes("RS256", b"")


def test_decode_jws__own_token__claims_back(key):
    claims = {"aud": "a", "iat": SECONDS, "exp": SECONDS + 60, "city": "潍坊"}
    token = signing.encode_jws(claims, key, typ="test+jwt", kid="k1", jwk=signing.jwk_of(key))

    assert signing.jws_header(token) == {
        "alg": "ES256",
        "typ": "test+jwt",
        "kid": "k1",
        "jwk": signing.jwk_of(key),
    }
    decoded = signing.decode_jws(
        token, key.public_key(), typ="test+jwt", audience="a", at=AT, required=("exp", "iat")
    )
    assert decoded == claims
    # Another library reads the same token.
    options = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, key.public_key(), ["ES256"], options, audience="a") == claims


def test_decode_jws__rfc_9449_proof__only_its_low_form():
    public = signing.public_from_jwk(signing.jws_header(RFC9449_PROOF)["jwk"])
    at = datetime.fromtimestamp(1562262616, tz=UTC)
    signed, _, signature = RFC9449_PROOF.rpartition(".")
    raw = b64url_decode(signature)
    low = b64url_encode(raw[:32] + (N - int.from_bytes(raw[32:])).to_bytes(32))

    claims = signing.decode_jws(f"{signed}.{low}", public, typ="dpop+jwt", at=at)

    assert claims["htu"] == "https://server.example.com/token"
    with pytest.raises(signing.BadToken, match="signature_invalid"):
        signing.decode_jws(RFC9449_PROOF, public, typ="dpop+jwt", at=at)


def test_decode_jws__high_s__refused(key):
    def sign_high(private, data):
        r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + max(s, N - s).to_bytes(32)

    assert reason_of(token_of(key, header=HEADER, claims={}, sign=sign_high), key) == (
        "signature_invalid"
    )


def test_decode_jws__other_key__refused(key):
    token = signing.encode_jws({}, signing.generate_p256(), typ="test+jwt")

    assert reason_of(token, key) == "signature_invalid"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER | {"typ": "other+jwt"}, "typ_wrong"),
        (HEADER | {"typ": "TEST+JWT"}, "typ_wrong"),
        ({"alg": "ES256"}, "typ_wrong"),
        (HEADER | {"alg": "none"}, "algorithm_refused"),
        (HEADER | {"alg": "None"}, "algorithm_refused"),
        (HEADER | {"alg": "HS256"}, "algorithm_refused"),
        (HEADER | {"alg": "es256"}, "algorithm_refused"),
        (HEADER | {"alg": ["ES256"]}, "algorithm_refused"),
        ({"typ": "test+jwt"}, "algorithm_refused"),
        (HEADER | {"crit": []}, "header_refused"),
        (HEADER | {"crit": ["b64"], "b64": False}, "header_refused"),
        (HEADER | {"jku": "https://evil.example"}, "header_refused"),
        (HEADER | {"x5u": "https://evil.example"}, "header_refused"),
        (HEADER | {"x5c": []}, "header_refused"),
        (HEADER | {"kid": 1}, "malformed"),
        (HEADER | {"jwk": "x"}, "malformed"),
        (b'{"alg":"none","alg":"ES256","typ":"test+jwt"}', "malformed"),
        (b"[]", "malformed"),
    ],
)
def test_decode_jws__hostile_header__refused(key, header, reason):
    assert reason_of(token_of(key, header=header, claims={}), key) == reason


@pytest.mark.parametrize(
    "claims",
    [
        b'{"sub":"a","sub":"b"}',
        b'{"a":NaN}',
        b"[]",
        b"null",
        b'"x"',
        b'{"a":"\\ud800"}',
        b"{}x",
        b"\xff",
    ],
)
def test_decode_jws__ambiguous_claims__refused(key, claims):
    assert reason_of(token_of(key, header=HEADER, claims=claims), key) == "malformed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t + "=",
        lambda t: t + "==",
        lambda t: t + "\n",
        lambda t: " " + t,
        lambda t: t + ".",
        lambda t: "." + t,
        lambda t: t.rsplit(".", 1)[0],
        lambda t: t.rsplit(".", 1)[0] + ".",
        lambda t: t.replace(".", "..", 1),
        lambda t: t[:-1] + ("B" if t[-1] == "A" else "ABCDEFGHIJKLMNOP".replace(t[-1], "")[1]),
        lambda t: "",
        lambda t: t.encode(),
        lambda t: None,
        lambda t: "A" * 8193 + t,
        lambda t: t.replace(t[5], "é", 1),
    ],
)
def test_decode_jws__text_not_canonical__refused(key, spoil):
    token = signing.encode_jws({}, key, typ="test+jwt")

    assert reason_of(spoil(token), key) in {"malformed", "signature_invalid"}


def test_decode_jws__stray_padding_which_pyjwt_takes__refused(key):
    header, claims, signature = signing.encode_jws({"a": 1}, key, typ="test+jwt").split(".")
    token = f"{header}.{claims}.{signature}=="
    assert jwt.decode(token, key.public_key(), ["ES256"]) == {"a": 1}

    assert reason_of(token, key) == "malformed"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": SECONDS - 29}, None),
        ({"exp": SECONDS - 30}, "expired"),
        ({"iat": SECONDS + 30}, None),
        ({"iat": SECONDS + 31}, "not_yet_valid"),
        ({"nbf": SECONDS + 30}, None),
        ({"nbf": SECONDS + 31}, "not_yet_valid"),
        ({"exp": "soon"}, "claim_malformed"),
        ({"exp": None}, "claim_malformed"),
        ({"exp": True}, "claim_malformed"),
        ({"exp": 1e12}, "claim_malformed"),
        ({"exp": 10**30}, "claim_malformed"),
        ({"iat": -1}, "claim_malformed"),
    ],
)
def test_decode_jws__times__judged_at_the_moment_passed(key, claims, reason):
    token = token_of(key, header=HEADER, claims=claims)

    if reason is None:
        assert signing.decode_jws(token, key.public_key(), typ="test+jwt", at=AT) == claims
    else:
        assert reason_of(token, key) == reason


def test_decode_jws__leeway_none__exact_second(key):
    token = token_of(key, header=HEADER, claims={"exp": SECONDS})
    before = AT - timedelta(seconds=1)

    assert signing.decode_jws(token, key.public_key(), typ="test+jwt", at=before, leeway_s=0)
    assert reason_of(token, key, leeway_s=0) == "expired"


@pytest.mark.parametrize(
    ("claims", "audience", "reason"),
    [
        ({"aud": "a"}, "a", None),
        ({"aud": ["b", "a"]}, "a", None),
        ({"aud": "a"}, "b", "audience_wrong"),
        ({"aud": []}, "a", "audience_wrong"),
        ({"aud": {"a": 1}}, "a", "audience_wrong"),
        ({"aud": "abc"}, "b", "audience_wrong"),
        ({}, "a", "audience_wrong"),
        ({"aud": "a"}, None, "audience_wrong"),
        ({"aud": None}, None, "audience_wrong"),
        ({}, None, None),
    ],
)
def test_decode_jws__audience(key, claims, audience, reason):
    token = token_of(key, header=HEADER, claims=claims)

    if reason is None:
        public = key.public_key()
        assert signing.decode_jws(token, public, typ="test+jwt", audience=audience, at=AT) == claims
    else:
        assert reason_of(token, key, audience=audience) == reason


def test_decode_jws__required_claim_missing__refused(key):
    token = token_of(key, header=HEADER, claims={"jti": None})

    assert reason_of(token, key, required=("jti",)) == "claim_missing"
    assert reason_of(token, key, required=("exp",)) == "claim_missing"
