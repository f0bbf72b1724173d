"""Secrets: made once where we are at home, demanded where we are not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vpass import secrets
from vpass.common import signing

SITE = {"DATABASE_URL": "postgresql://site/vpass"}


def test_load__embedded_twice__same_secrets_kept_private(tmp_path: Path) -> None:
    first = secrets.load({}, tmp_path / "state")
    second = secrets.load({}, tmp_path / "state")

    assert first == second
    assert len(first.sealing_keys[first.sealing_key_id]) == 32
    assert len(first.sealing_key_id) == 8
    assert (len(first.lookup_key), len(first.pairwise_key)) == (32, 32)
    assert (tmp_path / "state" / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o066 == 0


def test_load__two_folders__nothing_shared(tmp_path: Path) -> None:
    one = secrets.load({}, tmp_path / "one")
    other = secrets.load({}, tmp_path / "other")

    for name in ("django_secret_key", "lookup_key", "pairwise_key", "machine_private_key_pem"):
        assert getattr(one, name) != getattr(other, name)


def test_load__ten_first_starts_at_once__one_set(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vpass import secrets;"
        "print(secrets.load({}, Path(sys.argv[1])).django_secret_key)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "state")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]

    seen = {process.communicate(timeout=60)[0] for process in started}

    assert len(seen) == 1
    assert seen != {""}


def test_load__sandbox_folder__holds_both_sides_keys(tmp_path: Path) -> None:
    found = secrets.load({}, tmp_path)

    register = signing.load_ed25519_private((tmp_path / "sandbox/register_private.pem").read_text())
    bank = signing.load_ed25519_private((tmp_path / "sandbox/bank_private.pem").read_text())
    machine = signing.load_ed25519_private(found.machine_private_key_pem)
    assert found.register_public_key_pem == signing.public_pem(register.public_key())
    assert (tmp_path / "sandbox/register_public.pem").read_text() == found.register_public_key_pem
    assert found.bank_public_key_pem == signing.public_pem(bank.public_key())
    assert (tmp_path / "sandbox/bank_public.pem").read_text() == found.bank_public_key_pem
    assert found.bank_public_key_pem != found.register_public_key_pem
    assert (tmp_path / "sandbox/issuers_public.pem").read_text() == found.issuers_public_key_pem
    assert (tmp_path / "sandbox/vpass_public.pem").read_text() == signing.public_pem(
        machine.public_key()
    )


def test_load__folder_from_before_the_bank__its_keys_added_the_others_kept(tmp_path: Path) -> None:
    first = secrets.load({}, tmp_path)
    for name in ("bank_private.pem", "bank_public.pem"):
        (tmp_path / "sandbox" / name).unlink()

    second = secrets.load({"REGISTER_PUBLIC_KEY": first.register_public_key_pem}, tmp_path)

    assert second.register_public_key_pem == first.register_public_key_pem
    assert second.bank_public_key_pem != first.bank_public_key_pem
    assert (tmp_path / "sandbox/bank_public.pem").read_text() == second.bank_public_key_pem
    assert (tmp_path / "sandbox/bank_private.pem").stat().st_mode & 0o777 == 0o600


def test_load__site_without_secrets__refuses_and_names_each(tmp_path: Path) -> None:
    with pytest.raises(secrets.SecretsMissing) as caught:
        secrets.load({**SITE, "REGISTER_URL": "https://register.example"}, tmp_path)

    partners = ("REGISTER_PUBLIC_KEY", "BANK_URL", "BANK_PUBLIC_KEY")
    for name in (*secrets.fresh_environment(), *partners):
        assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(secrets.fresh_environment()))
def test_load__site_lacks_one__refuses_and_names_it(tmp_path: Path, name: str) -> None:
    environ = {**SITE, **secrets.fresh_environment()}
    del environ[name]

    with pytest.raises(secrets.SecretsMissing, match=f"Missing: {name}"):
        secrets.load(environ, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEALING_KEYS", "1a2b3c4d:short"),
        ("SEALING_KEYS", "1A2B3C4D:" + "A" * 43 + "="),
        ("SEALING_KEYS", ",".join(["1a2b3c4d:" + "A" * 43 + "="] * 2)),
        ("LOOKUP_KEY", "A" * 43),
        ("PAIRWISE_KEY", "AAAA"),
        ("DJANGO_SECRET_KEY", "short"),
        ("METRICS_TOKEN", "short"),
        ("MACHINE_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----"),
    ],
)
def test_load__site_gives_malformed__refuses_without_showing_it(
    tmp_path: Path, name: str, value: str
) -> None:
    environ = {**SITE, **secrets.fresh_environment(), name: value}

    with pytest.raises(secrets.SecretsMissing, match=f"Malformed: {name}") as caught:
        secrets.load(environ, tmp_path)

    assert value not in str(caught.value)


def test_load__site_with_all__taken_from_environment(tmp_path: Path) -> None:
    environ = {**SITE, **secrets.fresh_environment()}
    old_key = "00000001:" + "A" * 43 + "="
    environ["SEALING_KEYS"] += "," + old_key

    found = secrets.load(environ, tmp_path)

    assert found.django_secret_key == environ["DJANGO_SECRET_KEY"]
    assert found.sealing_key_id == environ["SEALING_KEYS"][:8]
    assert found.sealing_keys["00000001"] == bytes(32)
    assert not (tmp_path / "secrets.json").exists()


def test_load__site_names_its_partners__their_keys_are_used(tmp_path: Path) -> None:
    names = ("REGISTER_PUBLIC_KEY", "BANK_PUBLIC_KEY", "BANK_NEXT_PUBLIC_KEY")
    keys = {name: signing.public_pem(signing.generate_ed25519().public_key()) for name in names}
    environ = {**SITE, **secrets.fresh_environment(), "REGISTER_URL": "https://register.example"}
    environ["BANK_URL"] = "https://bank.example"
    environ |= {name: key.replace("\n", "\\n") for name, key in keys.items()}

    found = secrets.load(environ, tmp_path)

    assert found.register_public_key_pem == keys["REGISTER_PUBLIC_KEY"]
    assert found.bank_public_key_pem == keys["BANK_PUBLIC_KEY"]
    assert found.bank_next_public_key_pem == keys["BANK_NEXT_PUBLIC_KEY"]
    assert found.issuers_public_key_pem == ""
    assert not (tmp_path / "sandbox").exists()


def test_repr__shows_no_secret(tmp_path: Path) -> None:
    shown = repr(secrets.load({}, tmp_path))

    kept = json.loads((tmp_path / "secrets.json").read_text())
    assert kept["django_secret_key"] not in shown
    assert kept["lookup_key"] not in shown


def test_load__iot_sources__the_sandboxs_own_unless_told(tmp_path: Path) -> None:
    found = secrets.load({}, tmp_path).iot_sources
    secret = (tmp_path / "sandbox/iot_secret.txt").read_text()
    told = f"weifang:oceanconnect:{'w' * 32},other:oceanconnect:{'o' * 32}"

    assert found == {"sandbox": ("oceanconnect", secret)}
    assert len(secret) >= 43
    assert (tmp_path / "sandbox/iot_secret.txt").stat().st_mode & 0o777 == 0o600
    assert secrets.load({}, tmp_path).iot_sources == found
    assert secrets.load({"IOT_SOURCES": told}, tmp_path).iot_sources == {
        "weifang": ("oceanconnect", "w" * 32),
        "other": ("oceanconnect", "o" * 32),
    }
    passed_on = {"IOT_SOURCES": secrets.iot_source_of_sandbox(tmp_path)}
    assert secrets.load(passed_on, tmp_path).iot_sources == found


def test_load__site_with_a_register_and_no_iot_platform__nobody_may_push(tmp_path: Path) -> None:
    public = secrets.load({}, tmp_path / "other").register_public_key_pem
    partners = {
        "REGISTER_URL": "https://register.example",
        "REGISTER_PUBLIC_KEY": public,
        "BANK_URL": "https://bank.example",
        "BANK_PUBLIC_KEY": public,
    }

    found = secrets.load({**SITE, **secrets.fresh_environment(), **partners}, tmp_path)

    assert found.iot_sources == {}


@pytest.mark.parametrize(
    "text", ["weifang", "weifang:oceanconnect:short", "W:oceanconnect:" + "w" * 32,
             ",".join(["weifang:oceanconnect:" + "w" * 32] * 2)],
)  # fmt: skip
def test_load__site_gives_malformed_iot_sources__refuses(tmp_path: Path, text: str) -> None:
    environ = {**SITE, **secrets.fresh_environment(), "IOT_SOURCES": text}

    with pytest.raises(secrets.SecretsMissing, match="Malformed: IOT_SOURCES") as caught:
        secrets.load(environ, tmp_path)

    assert text not in str(caught.value)


def test_load__first_start__face_checks_and_phones_have_keys_of_the_sandbox(tmp_path: Path) -> None:
    found, again = secrets.load({}, tmp_path), secrets.load({}, tmp_path)

    for name, site in (
        ("liveness_public_key_pem", "liveness"),
        ("attestation_roots", "phone_maker"),
    ):
        private = signing.load_private((tmp_path / f"sandbox/{site}_private.pem").read_text())
        assert getattr(found, name) == signing.public_pem(private.public_key())
    assert len(found.liveness_subject_key) >= 32
    assert found == again


def test_load__site_without_face_checks__none(tmp_path: Path) -> None:
    key = signing.public_pem(signing.generate_ed25519().public_key())
    environ = {
        **SITE,
        **secrets.fresh_environment(),
        "REGISTER_URL": "https://register.example",
        "REGISTER_PUBLIC_KEY": key,
        "BANK_URL": "https://bank.example",
        "BANK_PUBLIC_KEY": key,
    }

    found = secrets.load(environ, tmp_path)

    assert (found.liveness_public_key_pem, found.attestation_roots) == ("", "")
    root = signing.public_pem(signing.generate_p256().public_key())
    roots = {"ATTESTATION_ROOTS": (root * 2).replace("\n", "\\n")}
    assert secrets.load(environ | roots, tmp_path).attestation_roots == root * 2
    for name, value in (
        ("LIVENESS_PUBLIC_KEY", key),
        ("LIVENESS_PUBLIC_KEY", "nonsense"),
        ("LIVENESS_PUBLIC_KEY", root + root),
        ("ATTESTATION_ROOTS", key),
        ("ATTESTATION_ROOTS", root + "and more"),
        ("ATTESTATION_ROOTS", root + key),
        ("LIVENESS_SUBJECT_KEY", "short"),
    ):
        with pytest.raises(secrets.SecretsMissing, match=f"Malformed: {name}"):
            secrets.load(environ | {name: value}, tmp_path)
