"""Those outside who prove people: the register's own word, the face check, the maker of phones."""

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from vpass.sandbox.controls import add_control
from vpass.sandbox.keys import SigningKey
from vpass.sandbox.liveness import Liveness
from vpass.sandbox.phone_maker import PhoneMaker
from vpass.sandbox.register import Register
from vpass.sandbox.register_changes import RegisterChanges
from vpass.sandbox.signatures import Signatures


@dataclass(frozen=True)
class ProvingKeys:
    """The private keys in PEM, and the key by which people are named; without them, fresh ones."""

    liveness_key_id: str = "liveness-1"
    liveness_private_pem: bytes | None = None
    liveness_subject_key: str = ""
    phone_maker_private_pem: bytes | None = None

    @classmethod
    def read(cls, folder: Path, *, liveness_key_id: str) -> "ProvingKeys":
        """Those that lie in a folder."""

        def read(name: str) -> bytes | None:
            path = folder / name
            return path.read_bytes() if path.exists() else None

        return cls(
            liveness_key_id=liveness_key_id,
            liveness_private_pem=read("liveness_private.pem"),
            liveness_subject_key=(read("liveness_subject_key.txt") or b"").decode(),
            phone_maker_private_pem=read("phone_maker_private.pem"),
        )


class Proving:
    """The three of them."""

    def __init__(
        self, keys: ProvingKeys, *, register: Register, signatures: Signatures, vpass_url: str
    ) -> None:
        self.register_changes = RegisterChanges(
            register=register, signatures=signatures, vpass_url=vpass_url
        )
        self.liveness = Liveness(
            key=SigningKey(keys.liveness_private_pem),
            key_id=keys.liveness_key_id,
            subject_key=keys.liveness_subject_key,
            find_by=register.find_by,
        )
        self.phone_maker = PhoneMaker(SigningKey(keys.phone_maker_private_pem))

    def add_to(self, app: web.Application) -> None:
        """Their routes; the register's event and the next face check are for demonstrations."""
        add_control(app, "/register/control/changes", self.register_changes.control)
        add_control(app, "/liveness/v1/checks", self.liveness.check)
        add_control(app, "/liveness/control/next", self.liveness.control)
        add_control(app, "/phone-maker/v1/attestations", self.phone_maker.vouch)
