"""A scanner which decides without network: it fetches its bundle and lists, and keeps them.

It knows of the program only what docs/offline.md and docs/status-list.md tell.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from identity.offline import Decision, Scanner, read_bundle
from vpass.common import clock, http_signatures, signing
from vpass.common.encodings import b64url_encode
from vpass.common.http_signatures import Parts
from vpass.day.actors import TERMINAL, Kiosk
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
            data = self.kiosk.transport.send("GET", path, headers={}).expect_raw(200)
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
        transport = self.kiosk.transport
        headers = http_signatures.sign_request(
            Parts(
                method="GET",
                target_uri=transport.public_url + TERMINAL + path,
                headers={},
                body=b"",
            ),
            key_id=self.kiosk.key_id,
            private=self.kiosk.private,
            algorithm="ed25519",
            at=clock.now(),
            nonce=secrets.token_urlsafe(18),
        )
        return transport.send("GET", TERMINAL + path, headers=headers)
