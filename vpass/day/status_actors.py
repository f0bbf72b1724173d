"""A scanner which decides without network: it fetches its bundle and lists, and keeps them.

It knows of the program only what docs/offline.md and docs/status-list.md tell.
"""

from dataclasses import dataclass
from hashlib import sha256

from identity.offline import Decision, Scanner, read_bundle
from vpass.common import clock, signing
from vpass.common.encodings import b64url_encode
from vpass.day.actors import TERMINAL, Kiosk, send_signed
from vpass.day.transport import Reply, Unexpected


@dataclass
class OfflineScanner:
    """A kiosk's memory of keys, rules, lists and seen codes."""

    kiosk: Kiosk
    terminal_id: str
    scanner: Scanner | None = None

    def fetch(self, key_set: list[dict[str, str]]) -> int:
        """Fetches the bundle, and each list whose digest is new; returns how many were."""
        keys = {
            bytes.fromhex(jwk["kid"]): signing.public_from_jwk(
                {name: jwk[name] for name in ("kty", "crv", "x", "y")}
            )
            for jwk in key_set
        }
        at = clock.now()
        bundle = read_bundle(
            self._ask("/scanner-bundle").expect(200)["bundle"],
            keys=keys,
            terminal_id=self.terminal_id,
            at=at,
        )
        held = {} if self.scanner is None else self.scanner.bundle.lists
        if self.scanner is None:
            self.scanner = Scanner(bundle)
        self.scanner.bundle = bundle
        changed = [each for each, digest in bundle.lists.items() if held.get(each) != digest]
        for number in changed:
            path = bundle.lists_at.removeprefix(self.kiosk.transport.public_url) + str(number)
            data = self._fetch(path).expect_raw(200)
            # Another one by now: the next bundle names it.
            if b64url_encode(sha256(data).digest()) == bundle.lists[number]:
                self.scanner.load_list(number, data, at=int(clock.now().timestamp()))
        return len(changed)

    def decide(self, code: str) -> Decision:
        """What the scanner says to a code, alone."""
        if self.scanner is None:
            raise Unexpected("the scanner has no bundle")
        return self.scanner.decide(code, at=int(clock.now().timestamp()))

    def _ask(self, path: str) -> Reply:
        return send_signed(
            self.kiosk.transport,
            "GET",
            TERMINAL + path,
            None,
            key=None,
            key_id=self.kiosk.key_id,
            private=self.kiosk.private,
        )

    def _fetch(self, path: str) -> Reply:
        transport = self.kiosk.transport
        return transport.patience.ask(
            lambda: transport.send("GET", path, headers={}), is_repeatable=True
        )
