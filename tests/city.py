"""A small city for tests: its organisations, people, phones, scanners, and how each of them
calls."""

import json
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.test import Client

from identity import code_format, devices, grants
from identity.models import (
    Desk,
    Device,
    Entitlement,
    MachineKey,
    Organisation,
    Resident,
    Staff,
    StaffSession,
    Terminal,
)
from identity.register import RegisteredEnterprise, RegisteredPerson
from vpass.common import clock, http_signatures, key_proofs, signing
from vpass.common.callers import Caller
from vpass.common.encodings import b64url_decode, b64url_encode
from vpass.common.http_signatures import Parts
from vpass.common.idempotency import IdempotencyKey
from vpass.common.sealed_fields import lookup_hash
from vpass.sandbox import population
from vpass.sandbox.portraits import portrait

PEOPLE = population.people()
PURPOSE = "residence-permit"
FIELDS = ["real_name", "id_last4", "over_18"]
RESIDENT = "/api/resident/v1"
COUNTER = "/api/counter/v1"
TERMINAL = "/api/terminal/v1"


def new_key() -> str:
    """An idempotency key that nobody used."""
    return uuid.uuid4().hex


def idempotency(scope: str, key: str | None = None, digest: bytes = b"\1" * 32) -> IdempotencyKey:
    """An idempotency key as the edge would make it."""
    return IdempotencyKey(caller=scope, key=key or new_key(), digest=digest)


def key_proof(private: Any, *, method: str, path: str, token: str | None, **changes: Any) -> str:
    """A DPoP or Desk-Proof header; `changes` replace claims."""
    claims = {
        "jti": uuid.uuid4().hex,
        "htm": method,
        "htu": settings.PUBLIC_URL + path.partition("?")[0],
        "iat": int(clock.now().timestamp()),
    }
    if token is not None:
        claims["ath"] = b64url_encode(key_proofs.token_hash(token))
    return signing.encode_jws(
        claims | changes, private, typ="dpop+jwt", jwk=signing.jwk_of(private)
    )


def send(method: str, path: str, body: Any, headers: dict[str, str], **cookies: str) -> Any:
    """The answer of the whole program, middleware included, to one request."""
    client = Client(headers=headers)
    for name, value in cookies.items():
        client.cookies[name.replace("_", "-")] = value
    if body is None:
        return client.generic(method, path)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(method, path, raw, content_type="application/json")


@dataclass
class HeldGrant:
    """A grant in a phone: its bytes, and the fresh key that signs codes."""

    encoded: bytes
    private: Any

    def code(
        self, at: datetime, *, scenes: int = code_format.ALL_SCENES, nonce: bytes | None = None
    ) -> str:
        """The code the phone shows at a moment."""
        return code_format.present(
            self.encoded,
            private=self.private,
            issued_at=int(at.timestamp()),
            scenes=scenes,
            nonce=nonce or secrets.token_bytes(6),
        )

    @property
    def handle(self) -> bytes:
        """The 16 bytes that name the grant."""
        return code_format.decode_grant(self.encoded).claims.handle


@dataclass
class Phone:
    """A phone with its key; after enrolment with its account and token."""

    key: Any = field(default_factory=signing.generate_p256)
    device: Device | None = None
    token: str | None = None

    @property
    def thumbprint(self) -> str:
        return signing.thumbprint(signing.jwk_of(self.key))

    @property
    def caller(self) -> Caller:
        assert self.device is not None
        resident = Resident.objects.get(id=self.device.resident_id)
        return Caller(
            kind="resident",
            id=resident.id,
            key_id=self.thumbprint,
            resident_id=resident.id,
            device_id=self.device.id,
            level=resident.level,
        )

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Any:
        """Send a request as the phone does, with token if it has one."""
        found = {"DPoP": key_proof(self.key, method=method, path=path, token=self.token)}
        if self.token is not None:
            found["Authorization"] = f"DPoP {self.token}"
        if key is not None:
            found["Idempotency-Key"] = key
        return send(method, path, body, found | headers)

    def word(self, path: str, *, typ: str, at: datetime, by: Any = None, **claims: Any) -> str:
        """What the phone signs over what it has shown, for the residents' route `path`."""
        whole = {
            "aud": settings.PUBLIC_URL + RESIDENT + path,
            "iat": int(at.timestamp()),
            "jti": uuid.uuid4().hex,
        } | claims
        return signing.encode_jws(whole, by or self.key, typ=typ)

    def grant_request(self, fresh: Any, *, at: datetime, by: Any = None, **changes: Any) -> str:
        """The JWS by which the phone asks for a grant; `changes` replace claims."""
        claims = {
            "aud": settings.PUBLIC_URL + grants.GRANTS_PATH,
            "iat": int(at.timestamp()),
            "jti": uuid.uuid4().hex,
            "cnf": {"jwk": signing.jwk_of(fresh)},
        } | changes
        return signing.encode_jws(claims, by or self.key, typ=grants.REQUEST_TYPE)

    def assertion(self, *, at: datetime, by: Any = None, **changes: Any) -> str:
        """The JWS by which the phone asks for a token; `changes` replace claims."""
        claims = {
            "iss": self.thumbprint,
            "sub": self.thumbprint,
            "aud": settings.PUBLIC_URL + devices.TOKENS_PATH,
            "iat": int(at.timestamp()),
            "jti": uuid.uuid4().hex,
        } | changes
        return signing.encode_jws(claims, by or self.key, typ=devices.ASSERTION_TYPE)

    def grant(self, *, at: datetime, **changes: Any) -> HeldGrant:
        """A fresh grant, issued by the city; `changes` replace claims of the request."""
        fresh = signing.generate_p256()
        issued = grants.issue_grant(
            caller=self.caller,
            request_jws=self.grant_request(fresh, at=at, **changes),
            idempotency_key=idempotency(self.caller.scope),
            at=at,
        )
        return HeldGrant(b64url_decode(issued.grant), fresh)


@dataclass
class DeskBrowser:
    """The browser of a desk with its enrolled key, and perhaps a clerk signed in."""

    desk: Desk
    key: Any
    staff: Staff | None = None
    token: str | None = None

    @property
    def caller(self) -> Caller:
        assert self.staff is not None
        return Caller(
            kind="staff",
            id=self.staff.id,
            key_id=str(self.desk.key_thumbprint),
            organisation_id=self.desk.organisation_id,
            desk_id=self.desk.id,
            scene=self.desk.scene,
            staff_id=self.staff.id,
        )

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Any:
        """Send a request as the desk's browser does."""
        found = {"Desk-Proof": key_proof(self.key, method=method, path=path, token=self.token)}
        if key is not None:
            found["Idempotency-Key"] = key
        cookies = {} if self.token is None else {"vpass_staff": self.token}
        return send(method, path, body, found | headers, **cookies)

    def scan(self, code: str, *, key: str | None = None, **changes: Any) -> Any:
        """Scan a code over HTTP."""
        body = {"code": code, "purpose": PURPOSE, "case_number": "WF-1"} | changes
        return self.send("POST", f"{COUNTER}/scans", body, key=key or new_key())


@dataclass
class Machine:
    """A terminal with the key it signs its requests by."""

    terminal: Terminal
    key_id: str
    private: Any

    @property
    def caller(self) -> Caller:
        return Caller(
            kind="department" if self.terminal.scene == "department" else "terminal",
            id=self.terminal.id,
            key_id=self.key_id,
            organisation_id=self.terminal.organisation_id,
            scene=self.terminal.scene,
        )

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Any:
        """Send a request as the terminal does."""
        raw = (
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        signed = {} if not raw else {"content-type": "application/json"}
        if key is not None:
            signed["idempotency-key"] = key
        added = http_signatures.sign_request(
            Parts(
                method=method,
                target_uri=settings.PUBLIC_URL + path,
                headers=signed,
                body=raw,
            ),
            key_id=self.key_id,
            private=self.private,
            algorithm="ed25519",
            at=clock.now(),
            nonce=uuid.uuid4().hex,
        )
        signed.pop("content-type", None)
        return send(method, path, raw or None, signed | added | headers)

    def scan(self, code: str, *, key: str | None = None, **changes: Any) -> Any:
        """Scan a code over HTTP."""
        body = {"code": code, "purpose": PURPOSE, "case_number": None} | changes
        return self.send("POST", f"{TERMINAL}/scans", body, key=key or new_key())


class StubRegister:
    """The contract of a register, answering from the invented people; `asked` counts questions."""

    def __init__(self) -> None:
        self.asked = 0

    def match(self, *, real_name: str, id_number: str, at: datetime) -> RegisteredPerson | None:
        self.asked += 1
        for person in PEOPLE:
            if (person.real_name, person.id_number) == (real_name, id_number):
                if person.is_living:
                    return RegisteredPerson(person.census_id, person.birth_date, person.sex)
                return None
        return None

    def child(
        self, *, real_name: str, id_number: str, child_name: str, child_id_number: str, at: datetime
    ) -> RegisteredPerson | None:
        self.asked += 1
        for place, person in enumerate(PEOPLE):
            child = population.child_of(place)
            if (person.real_name, person.id_number) == (real_name, id_number) and (
                child.real_name, child.id_number
            ) == (child_name, child_id_number):  # fmt: skip
                return RegisteredPerson(child.census_id, child.birth_date, child.sex)
        return None

    def photo(self, *, real_name: str, id_number: str, at: datetime) -> bytes | None:
        self.asked += 1
        for person in PEOPLE:
            if (person.real_name, person.id_number) == (real_name, id_number):
                return portrait(person.census_id)
        return None

    def enterprise(
        self, *, real_name: str, id_number: str, credit_code: str, at: datetime
    ) -> RegisteredEnterprise | None:
        self.asked += 1
        for place, person in enumerate(PEOPLE):
            firm = population.enterprise_of(place)
            if (person.real_name, person.id_number) == (real_name, id_number) and (
                firm.credit_code == credit_code
            ):
                return RegisteredEnterprise(firm.credit_code, firm.name)
        return None


def make_organisation(name: str = "潍坊市政务服务中心", **changes: Any) -> Organisation:
    """An organisation that may see FIELDS at its desks for PURPOSE."""
    organisation = Organisation.objects.create(
        **{"kind": "hall", "name_zh": name, "name_en": "Weifang Hall"} | changes
    )
    Entitlement.objects.create(
        organisation=organisation,
        scene="id",
        purpose=PURPOSE,
        purpose_zh="办理居住证",
        purpose_en="Residence permit",
        attributes=FIELDS,
    )
    return organisation


def make_desk(organisation: Organisation, *, name: str = "1号窗口") -> DeskBrowser:
    """A desk whose browser holds an enrolled key."""
    key = signing.generate_p256()
    desk = Desk.objects.create(
        organisation=organisation,
        name_zh=name,
        name_en="Desk",
        key_point=signing.public_point(key),
        key_thumbprint=signing.thumbprint(signing.jwk_of(key)),
    )
    return DeskBrowser(desk, key)


def sign_in_clerk(browser: DeskBrowser, *, username: str = "clerk", at: datetime) -> DeskBrowser:
    """A clerk at a desk, without password: the session is there as sign-in leaves it."""
    from django.contrib.auth.models import User

    user = User.objects.create(username=username)
    browser.staff = Staff.objects.create(user=user, organisation=browser.desk.organisation)
    browser.token = secrets.token_urlsafe(32)
    StaffSession.objects.create(
        token_hash=key_proofs.token_hash(browser.token),
        staff=browser.staff,
        desk=browser.desk,
        created_at=at,
        expires_at=at + settings.STAFF_SESSION_LIFE,
    )
    return browser


def make_terminal(
    organisation: Organisation, *, scene: str = "id", key_id: str = "kiosk-1"
) -> Machine:
    """A terminal with an active key."""
    private = signing.generate_ed25519()
    terminal = Terminal.objects.create(
        organisation=organisation, scene=scene, name_zh="自助机", name_en="Kiosk"
    )
    MachineKey.objects.create(
        id=key_id,
        terminal=terminal,
        algorithm="Ed25519",
        public_key=signing.ed25519_public_bytes(private),
    )
    return Machine(terminal, key_id, private)


def make_department(organisation: Organisation, *, key_id: str = "department-1") -> Machine:
    """The system of a department, which opens case shares."""
    return make_terminal(organisation, scene="department", key_id=key_id)


def make_phone(index: int = 0, *, level: int = 2, at: datetime) -> Phone:
    """The enrolled phone of one of PEOPLE, with an access token."""
    person = PEOPLE[index]
    proven = {}
    if level >= 2:
        proven = {
            "level": level,
            "real_name": person.real_name,
            "id_number": person.id_number,
            "id_number_hash": lookup_hash("id_number", person.id_number),
            "census_hash": lookup_hash("census", person.census_id),
        }
    resident = Resident.objects.create(
        phone=person.phone, phone_hash=lookup_hash("phone", person.phone), created_at=at, **proven
    )
    phone = Phone()
    phone.device = devices.bind_device(
        resident=resident,
        point=signing.public_point(phone.key),
        thumbprint=phone.thumbprint,
        at=at,
    )
    phone.token = devices.issue_token(device=phone.device, at=at).access_token
    return phone


def digest_of(*parts: bytes) -> bytes:
    """32 bytes that differ where the parts do."""
    return sha256(b"|".join(parts)).digest()


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a problem answer, whose form is checked on the way."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"] and body["title_zh"] and body["request_id"]
    return answer.status_code, body["code"]
