"""Answers for every secret of the program: from the environment, or made at first start.

Without `DATABASE_URL` (embedded mode) the secrets are random, made once, and kept in
`<state>/secrets.json`, readable by its owner only. With it (a site), each one has to come from the
environment and nothing has a default. `python -m vpass.secrets` prints a fresh set for a site.
"""

import base64
import binascii
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpass.common import signing

MACHINE_KEY_ID = "vpass-1"

# Public keys of the outside world; of these, the sandbox plays the owners.
_PARTNER_KEYS = {
    "register_public_key_pem": "REGISTER_PUBLIC_KEY",
    "bank_public_key_pem": "BANK_PUBLIC_KEY",
    "bank_next_public_key_pem": "BANK_NEXT_PUBLIC_KEY",
    "issuers_public_key_pem": "ISSUERS_PUBLIC_KEY",
}
_SANDBOX_KEYS = {"register_public_key_pem", "bank_public_key_pem", "issuers_public_key_pem"}
# Who checks faces, and who vouches for phones' keys (P-256 both). A site may have neither.
_PROVING = {
    "liveness_public_key_pem": "LIVENESS_PUBLIC_KEY",
    "liveness_subject_key": "LIVENESS_SUBJECT_KEY",
    "attestation_roots": "ATTESTATION_ROOTS",
}
# A site names its issuers, with a key each, in ISSUERS.
_NEEDED_KEYS = _SANDBOX_KEYS - {"issuers_public_key_pem"}

_IOT_SOURCE = re.compile(r"([a-z0-9-]{1,32}):([a-z]{1,32}):([A-Za-z0-9_-]{32,128})", re.ASCII)
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_SEALING_KEY = re.compile(r"([0-9a-f]{8}):([A-Za-z0-9+/]{43}=)", re.ASCII)


class SecretsMissing(RuntimeError):
    """The program cannot start: secrets are missing or malformed in the environment."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Secrets:
    """What the program must keep to itself.

    `sealing_keys` maps a key id (8 hex digits) to 32 bytes; `sealing_key_id` names the one that
    seals, the others only open. `lookup_key` and `pairwise_key` are 32 bytes each.
    `machine_private_key_pem` is V Pass's own Ed25519 key towards outside systems.
    `register_public_key_pem` and `bank_public_key_pem` are public, and stand here because they are
    made together with the rest; `bank_next_public_key_pem` is "" unless the bank changes its key,
    and `issuers_public_key_pem`, of the sandbox's issuers, is "" where a site names its own.
    `liveness_public_key_pem` (P-256) and `liveness_subject_key` belong to the face checking
    service, `attestation_roots` are the P-256 public keys of those who vouch for phones' keys, one
    after the other; "" without them.
    `iot_sources` has the dialect and the secret of each IoT platform that pushes to us, by name.
    """

    django_secret_key: str
    sealing_keys: Mapping[str, bytes]
    sealing_key_id: str
    lookup_key: bytes
    pairwise_key: bytes
    machine_key_id: str
    machine_private_key_pem: str
    metrics_token: str
    register_public_key_pem: str
    bank_public_key_pem: str
    bank_next_public_key_pem: str = ""
    issuers_public_key_pem: str = ""
    liveness_public_key_pem: str = ""
    liveness_subject_key: str = ""
    attestation_roots: str = ""
    iot_sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Secrets, sealing with {self.sealing_key_id}>"


def load(environ: Mapping[str, str], state_dir: Path) -> Secrets:
    """The secrets of this installation.

    Embedded mode makes `<state_dir>/secrets.json` when it is missing. Without REGISTER_URL the
    sandbox plays the outside world, and both sides' keys are laid in `<state_dir>/sandbox`; those
    that a folder made earlier lacks are added.
    Raises SecretsMissing, which names every missing or malformed variable, when a site's are not
    complete.
    """
    state_dir = Path(state_dir)
    if environ.get("DATABASE_URL"):
        found = _from_environment(environ)
    else:
        found = _from_file(state_dir / "secrets.json")
        for name, variable in _PARTNER_KEYS.items():
            if text := environ.get(variable):
                found[name] = _public_pem(text)
        if text := environ.get("IOT_SOURCES"):
            found["iot_sources"] = _iot_sources(text)
    if found.keys() & _SANDBOX_KEYS != _SANDBOX_KEYS:
        keys = _agree_with_sandbox(
            state_dir / "sandbox", machine_private_key_pem=found["machine_private_key_pem"]
        )
        found = {**keys, **found}
    found |= _proving(environ)
    if not environ.get("REGISTER_URL"):
        found = {**_proving(proving_of_sandbox(state_dir)), **found}
        found.setdefault("iot_sources", _iot_sources(iot_source_of_sandbox(state_dir)))
    return Secrets(**found)


def iot_source_of_sandbox(state_dir: Path) -> str:
    """The sandbox's IoT platform as IOT_SOURCES names it; its secret is made when it is missing."""
    path = Path(state_dir) / "sandbox" / "iot_secret.txt"
    if not path.exists():
        make_private_folder(path.parent)
        write_once(path, secrets.token_urlsafe(32))
    return f"sandbox:oceanconnect:{path.read_text('utf-8')}"


def proving_of_sandbox(state_dir: Path) -> dict[str, str]:
    """The sandbox's face checking service and maker of phones, as a site's variables name them.

    Their keys are made when they are missing.
    """
    folder = Path(state_dir) / "sandbox"
    make_private_folder(folder)
    publics = []
    for site in ("liveness", "phone_maker"):
        path = folder / f"{site}_private.pem"
        if not path.exists():
            write_once(path, signing.private_pem(signing.generate_p256()))
        private = signing.load_private(path.read_text("utf-8"))
        publics.append(signing.public_pem(private.public_key()))
    subject = folder / "liveness_subject_key.txt"
    if not subject.exists():
        write_once(subject, secrets.token_urlsafe(32))
    return {
        "LIVENESS_PUBLIC_KEY": publics[0],
        "LIVENESS_SUBJECT_KEY": subject.read_text("utf-8"),
        "ATTESTATION_ROOTS": publics[1],
    }


def of_sandbox(state_dir: Path, *, url: str) -> dict[str, str]:
    """What else of the sandbox at `url` a site's variables would name."""
    return {
        "IOT_SOURCES": iot_source_of_sandbox(state_dir),
        "LIVENESS_URL": f"{url}/liveness",
        **proving_of_sandbox(state_dir),
    }


def make_private_folder(path: Path) -> None:
    """Makes a folder whose files others cannot list.

    Root's may be crossed, because PostgreSQL, which refuses to run as root, keeps its data inside.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def write_once(path: Path, text: str) -> None:
    """Writes a file for its owner only, whole or not at all; the first of several writers wins."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _fresh() -> dict[str, Any]:
    sealing_key_id = secrets.token_hex(4)
    return {
        "django_secret_key": secrets.token_urlsafe(48),
        "sealing_keys": {sealing_key_id: _random_key()},
        "sealing_key_id": sealing_key_id,
        "lookup_key": _random_key(),
        "pairwise_key": _random_key(),
        "machine_key_id": MACHINE_KEY_ID,
        "machine_private_key_pem": signing.private_pem(signing.generate_ed25519()),
        "metrics_token": secrets.token_urlsafe(32),
    }


def _from_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        make_private_folder(path.parent)
        write_once(path, json.dumps(_fresh(), indent=1))
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    found["sealing_keys"] = {key: _key(value) for key, value in found["sealing_keys"].items()}
    for name in ("lookup_key", "pairwise_key"):
        found[name] = _key(found[name])
    return found


def _agree_with_sandbox(folder: Path, *, machine_private_key_pem: str) -> dict[str, str]:
    """Lays out the sandbox's keys and ours; returns the public halves of the sandbox's."""
    make_private_folder(folder)
    pairs = {"vpass": signing.load_ed25519_private(machine_private_key_pem)}
    for site in ("register", "bank", "issuers"):
        private = folder / f"{site}_private.pem"
        if not private.exists():
            write_once(private, signing.private_pem(signing.generate_ed25519()))
        pairs[site] = signing.load_ed25519_private(private.read_text("utf-8"))
    publics = {name: signing.public_pem(key.public_key()) for name, key in pairs.items()}
    for name, text in publics.items():
        path = folder / f"{name}_public.pem"
        if not path.exists() or path.read_text("utf-8") != text:
            path.unlink(missing_ok=True)
            write_once(path, text)
    return {
        "register_public_key_pem": publics["register"],
        "bank_public_key_pem": publics["bank"],
        "issuers_public_key_pem": publics["issuers"],
    }


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    missing: list[str] = []
    malformed: list[str] = []

    def read(name: str, parse: Callable[[str], Any]) -> Any:
        text = environ.get(name, "")
        if not text:
            missing.append(name)
            return None
        try:
            return parse(text)
        except (ValueError, signing.SignatureError):
            malformed.append(name)
            return None

    sealing_keys = read("SEALING_KEYS", _sealing_keys)
    found = {
        "django_secret_key": read("DJANGO_SECRET_KEY", _long_text),
        "lookup_key": read("LOOKUP_KEY", _key),
        "pairwise_key": read("PAIRWISE_KEY", _key),
        "machine_key_id": read("MACHINE_KEY_ID", str),
        "machine_private_key_pem": read("MACHINE_PRIVATE_KEY", _private_pem),
        "metrics_token": read("METRICS_TOKEN", _long_text),
    }
    if environ.get("REGISTER_URL"):
        # A real register beside an invented bank would turn play money into real money.
        read("BANK_URL", str)
        for name in sorted(_NEEDED_KEYS):
            found[name] = read(_PARTNER_KEYS[name], _public_pem)
        found["issuers_public_key_pem"] = ""
    if environ.get("IOT_SOURCES"):
        found["iot_sources"] = read("IOT_SOURCES", _iot_sources)
    if environ.get("BANK_NEXT_PUBLIC_KEY"):
        found["bank_next_public_key_pem"] = read("BANK_NEXT_PUBLIC_KEY", _public_pem)
    if missing or malformed:
        raise SecretsMissing(
            "DATABASE_URL is set, so every secret has to come from the environment."
            + (f" Missing: {', '.join(missing)}." if missing else "")
            + (f" Malformed: {', '.join(malformed)}." if malformed else "")
            + " `python -m vpass.secrets` prints a fresh set."
        )
    return {"sealing_keys": sealing_keys, "sealing_key_id": next(iter(sealing_keys)), **found}


def _proving(environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment says of face checks and phones' chips. Raises SecretsMissing."""
    found = {
        name: _with_line_breaks(environ[variable])
        for name, variable in _PROVING.items()
        if environ.get(variable)
    }
    for name, text in found.items():
        try:
            if name == "liveness_subject_key":
                _long_text(text)
            else:
                _judge_p256(text, is_one=name == "liveness_public_key_pem")
        except (ValueError, signing.SignatureError) as error:
            raise SecretsMissing(f"Malformed: {_PROVING[name]}.") from error
    return found


def _judge_p256(text: str, *, is_one: bool) -> None:
    """Return for one P-256 public key in PEM, or for several. Raises ValueError, SignatureError."""
    pems = _PEM.findall(text)
    if not pems or _PEM.sub("", text).strip() or (is_one and len(pems) != 1):
        raise ValueError("public keys in PEM")
    if not all(isinstance(signing.load_public(pem), signing.P256Public) for pem in pems):
        raise ValueError("P-256 public key")


def _sealing_keys(text: str) -> dict[str, bytes]:
    """`id:base64` items with commas between; the first seals, the others only open."""
    keys: dict[str, bytes] = {}
    for item in text.split(","):
        match = _SEALING_KEY.fullmatch(item.strip())
        if match is None or match[1] in keys:
            raise ValueError("sealing key")
        keys[match[1]] = _key(match[2])
    return keys


def _iot_sources(text: str) -> dict[str, tuple[str, str]]:
    """`name:dialect:secret` items with commas between; a secret has 32 to 128 characters."""
    sources: dict[str, tuple[str, str]] = {}
    for item in text.split(","):
        match = _IOT_SOURCE.fullmatch(item.strip())
        if match is None or match[1] in sources:
            raise ValueError("IoT source")
        sources[match[1]] = (match[2], match[3])
    return sources


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error
    if len(key) != 32:
        raise ValueError("32 bytes")
    return key


def _long_text(text: str) -> str:
    if len(text) < 32:
        raise ValueError("too short to be a secret")
    return text


def _private_pem(text: str) -> str:
    pem = _with_line_breaks(text)
    signing.load_ed25519_private(pem)
    return pem


def _public_pem(text: str) -> str:
    pem = _with_line_breaks(text)
    if not isinstance(signing.load_public(pem), signing.Ed25519Public):
        raise ValueError("Ed25519 public key")
    return pem


def _with_line_breaks(text: str) -> str:
    """Env files hold one line a value, so a PEM may be written with backslash-n in it."""
    return text.replace("\\n", "\n")


def fresh_environment() -> dict[str, str]:
    """A fresh set of a site's secrets, as the variables of its environment."""
    fresh = _fresh()
    key_id = fresh["sealing_key_id"]
    return {
        "DJANGO_SECRET_KEY": fresh["django_secret_key"],
        "SEALING_KEYS": f"{key_id}:{fresh['sealing_keys'][key_id]}",
        "LOOKUP_KEY": fresh["lookup_key"],
        "PAIRWISE_KEY": fresh["pairwise_key"],
        "MACHINE_KEY_ID": fresh["machine_key_id"],
        "MACHINE_PRIVATE_KEY": fresh["machine_private_key_pem"].strip().replace("\n", "\\n"),
        "METRICS_TOKEN": fresh["metrics_token"],
    }


if __name__ == "__main__":
    for name, value in fresh_environment().items():
        print(f"{name}={value}")
