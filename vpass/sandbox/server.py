"""Serves the sandbox: checks, lets a site answer, signs, and spoils what the switch says."""

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from vpass.sandbox import faults
from vpass.sandbox.bank import Bank
from vpass.sandbox.bank_books import Books
from vpass.sandbox.bank_courier import Courier
from vpass.sandbox.biller import Biller
from vpass.sandbox.controls import HOST as HOST
from vpass.sandbox.controls import JSON
from vpass.sandbox.controls import json_answer as _json
from vpass.sandbox.controls import only_from_here as _only_from_here
from vpass.sandbox.faults import Fault, Switch, json_bytes
from vpass.sandbox.iot_platform import IotPlatform
from vpass.sandbox.issuers import Issuers
from vpass.sandbox.proving import Proving, ProvingKeys
from vpass.sandbox.register import Register
from vpass.sandbox.relying_party import RelyingSites
from vpass.sandbox.signatures import Question, SignatureRefused, Signatures
from vpass.sandbox.sites import MAX_BODY_BYTES, Answer, Site, read_object, refusal
from vpass.sandbox.sms import Sms

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Exchange:
    """Serves the protocol routes of one site."""

    def __init__(self, *, site: Site, signatures: Signatures, switch: Switch) -> None:
        self.site = site
        self.base_url = ""  # known when the port is
        self._signatures = signatures
        self._switch = switch
        self._last_signed: tuple[dict[str, str], bytes] | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request and its answer, as the protocol wants it or as the switch says."""
        fault = self._switch.take(self.site.name)
        body = await request.read()
        if fault is None:
            return self._plain(*self._right_answer(request, body))
        if fault.mode == "reset":
            faults.reset(request)
            return web.Response()
        if fault.mode == "http_500":
            return self._plain(500, JSON, json_bytes({"error": "out_of_order"}))
        if fault.mode == "too_many":
            headers = {**JSON, "Retry-After": str(int(fault.seconds))}
            return self._plain(429, headers, json_bytes({"error": "too_many"}))
        if fault.mode == "redirect":
            return self._plain(302, {"Location": f"{self.base_url}/elsewhere"}, b"")
        if fault.mode == "huge":
            return await self._huge(request, fault)
        return await self._spoiled(request, body, fault)

    async def _spoiled(self, request: web.Request, body: bytes, fault: Fault) -> web.StreamResponse:
        question = self._question(request)
        earlier = self._last_signed
        answer = self._work(request, question, body)
        headers, data = self._finished(question, answer)
        if fault.mode == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.mode == "nonsense" and answer.status < 300:
            data = faults.nonsense(str(fault.variant), answer.members)
            answer = Answer(200, {})
            headers = self._signed(question, 200, data)
        elif fault.mode == "bad_signature":
            headers, data = self._badly_signed(question, answer, str(fault.variant))
        elif fault.mode == "unsigned":
            headers = dict(JSON)
        elif fault.mode == "replayed" and earlier is not None:
            headers, data = earlier
        elif fault.mode == "lost_reply":
            await faults.send_raw(request, b"")
        elif fault.mode == "truncated":
            whole = faults.raw_message(answer.status, headers, data)
            await faults.send_raw(request, whole[: -len(data) // 2])
        elif fault.mode == "trickle":
            whole = faults.raw_message(answer.status, headers, data)
            await faults.send_raw(request, whole, seconds_a_byte=fault.seconds)
        elif fault.mode == "duplicate":
            second = self._answer(request, body)
            twice = faults.raw_message(answer.status, headers, data) + faults.raw_message(
                second.status, *self._finished(question, second)
            )
            await faults.send_raw(request, twice)
        return self._plain(answer.status, headers, data)

    def _right_answer(
        self, request: web.Request, body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        question = self._question(request)
        answer = self._work(request, question, body)
        headers, data = self._finished(question, answer)
        if answer.status == 200 and self.site.signs_answers:
            self._last_signed = (headers, data)
        return answer.status, headers, data

    def _question(self, request: web.Request) -> Question:
        # From the configured address, never from the Host header: that is the sender's to choose.
        path = request.raw_path.removeprefix(f"/{self.site.name}")
        return Question(request.method, self.base_url + path, request.headers)

    def _work(self, request: web.Request, question: Question, body: bytes) -> Answer:
        try:
            self._signatures.check(question, body=body)
        except SignatureRefused as error:
            self.site.refused()
            return refusal(401, error.code)
        return self._answer(request, body)

    def _answer(self, request: web.Request, body: bytes) -> Answer:
        if request.headers.getall("Content-Type", []) != ["application/json"]:
            return refusal(415, "media_type")
        if len(body) > MAX_BODY_BYTES:
            return refusal(413, "too_large")
        try:
            members = read_object(body)
        except (ValueError, RecursionError):
            return refusal(400, "malformed")
        route = request.path.removeprefix(f"/{self.site.name}")
        return self.site.answer(route=route, members=members)

    def _finished(self, question: Question, answer: Answer) -> tuple[dict[str, str], bytes]:
        data = json_bytes(dict(answer.members))
        if answer.status == 200 and self.site.signs_answers:
            return self._signed(question, answer.status, data), data
        return {**JSON, **answer.headers}, data

    def _signed(self, question: Question, status: int, data: bytes, **wrong: Any) -> dict[str, str]:
        if not self.site.signs_answers:
            return dict(JSON)
        return dict(
            self._signatures.sign(
                status=status, headers=JSON, body=data, question=question, **wrong
            )
        )

    def _badly_signed(
        self, question: Question, answer: Answer, variant: str
    ) -> tuple[dict[str, str], bytes]:
        data = json_bytes(dict(answer.members))
        ways: dict[str, dict[str, Any]] = {
            "old": {"created_ago_s": 600},
            "early": {"created_ago_s": -600},
            "key_id": {"key_id": "stranger-1"},
            "not_tied": {"is_tied": False},
        }
        headers = self._signed(question, answer.status, data, **ways.get(variant, {}))
        if variant == "digest":
            data = data.replace(b"F", b"M") + b" "
        if variant == "flipped" and "Signature" in headers:
            start, _, end = headers["Signature"].partition("=:")
            headers["Signature"] = f"{start}=:{'B' if end[0] == 'A' else 'A'}{end[1:]}"
        if variant == "two" and "Signature" in headers:
            for name in ("Signature", "Signature-Input"):
                headers[name] += ", second" + headers[name].removeprefix(self.site.name)
        return headers, data

    def _plain(self, status: int, headers: Mapping[str, str], data: bytes) -> web.Response:
        response = web.Response(status=status, headers=headers, body=data)
        response.force_close()
        return response

    async def _huge(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        response = web.StreamResponse(headers=JSON)
        response.force_close()
        if fault.variant == "length":
            response.content_length = faults.HUGE_BYTES
        await response.prepare(request)
        block = b'{"filler":"' + b"x" * (65_536 - 11)
        for _ in range(faults.HUGE_BYTES // len(block)):
            await response.write(block)
        return response


class Sandbox:
    """All sites in one program."""

    def __init__(
        self,
        *,
        caller_key_id: str,
        caller_public_pem: bytes,
        register_key_id: str,
        register_private_pem: bytes,
        bank_key_id: str,
        bank_private_pem: bytes,
        issuers_key_id: str,
        issuers_private_pem: bytes,
        bank_books: Path,
        bank_books_after_s: float,
        vpass_url: str,
        iot_secret: str = "",
        proving_keys: ProvingKeys | None = None,
    ) -> None:
        self.switch = Switch(
            sites=frozenset({"register", "sms", "bank", "bank_notices", "issuers"}),
            modes_of={"bank_notices": faults.NOTICE_MODES},
        )

        def signatures(label: str, *, key_id: str, private_pem: bytes) -> Signatures:
            return Signatures(
                caller_key_id=caller_key_id,
                caller_public_pem=caller_public_pem,
                own_key_id=key_id,
                own_private_pem=private_pem,
                label=label,
            )

        of_register = signatures(
            "register", key_id=register_key_id, private_pem=register_private_pem
        )
        # The gateway signs nothing; it only checks.
        of_sms = signatures("sms", key_id=register_key_id, private_pem=register_private_pem)
        of_bank = signatures("bank", key_id=bank_key_id, private_pem=bank_private_pem)
        of_issuers = signatures("issuer", key_id=issuers_key_id, private_pem=issuers_private_pem)
        self.register = Register()
        self.sms = Sms()
        self.bank = Bank(
            books=Books(bank_books),
            courier=Courier(signatures=of_bank, switch=self.switch),
            books_after_s=bank_books_after_s,
            vpass_url=vpass_url,
        )
        self.issuers = Issuers()
        self.iot = IotPlatform(vpass_url=vpass_url, secret=iot_secret)
        self.proving = Proving(
            proving_keys or ProvingKeys(),
            register=self.register,
            signatures=of_register,
            vpass_url=vpass_url,
        )
        self.sites = RelyingSites(
            vpass_url=vpass_url, registrations=bank_books.with_name("relying_parties.json")
        )
        self.biller = Biller(
            vpass_url=vpass_url,
            caller_key_id=caller_key_id,
            caller_public_pem=caller_public_pem,
        )
        sites: tuple[tuple[Site, Signatures], ...] = (
            (self.register, of_register),
            (self.sms, of_sms),
            (self.bank, of_bank),
            (self.issuers, of_issuers),
        )
        self.exchanges = [
            Exchange(site=site, signatures=with_keys, switch=self.switch)
            for site, with_keys in sites
        ]

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(middlewares=[_plain_refusals], client_max_size=4 * MAX_BODY_BYTES)
        for exchange in self.exchanges:
            for route in exchange.site.routes:
                app.router.add_post(f"/{exchange.site.name}{route}", exchange.serve)
        app.router.add_get("/register/demo-people", self._demo_people)
        app.router.add_get("/register/demo-families", self._demo_families)
        app.router.add_get("/register/journal", self._journal)
        app.router.add_get("/sms/v1/inbox/{number}", self._inbox)
        app.router.add_get("/bank/control/{what}", self._told(self._ask_bank))
        app.router.add_get("/bank/control/{what}/{which}", self._told(self._ask_bank))
        app.router.add_post("/bank/control/{what}", self._told(self._ask_bank))
        app.router.add_get("/issuers/demo-cards/{place:[0-9]{1,5}}", self._demo_cards)
        app.router.add_get("/issuers/journal", self._issuers_journal)
        app.router.add_post("/iot/control/{what}", self._told(self.iot.control))
        app.router.add_post("/biller/control/{what}", self._told(self.biller.control))
        self.proving.add_to(app)
        app.router.add_routes(self.sites.routes())
        app.cleanup_ctx.append(self._bank_at_work)
        app.router.add_get("/faults", self._faults)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        return app

    def settle_at(self, url: str) -> None:
        """Tells every site the address it is reached at, which the signatures cover."""
        for exchange in self.exchanges:
            exchange.base_url = f"{url}/{exchange.site.name}"
        self.sites.base_url = url

    async def _demo_people(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        if not request.query:
            return _json(self.register.demo_people())
        try:
            first, count = int(request.query["from"]), int(request.query["count"])
            return _json(self.register.some_people(first=first, count=count))
        except (KeyError, ValueError):
            return _json({"error": "malformed"}, status=400)

    async def _demo_families(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        try:
            return _json(self.register.some_family(place=int(request.query["of"])))
        except (KeyError, ValueError):
            return _json({"error": "malformed"}, status=400)

    async def _journal(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        return _json(self.register.journal())

    async def _inbox(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        return _json({"items": self.sms.inbox(request.match_info["number"])})

    async def _demo_cards(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        try:
            return _json(self.issuers.demo_cards(int(request.match_info["place"])))
        except LookupError:
            return _json({"error": "not_found"}, status=404)

    async def _issuers_journal(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        return _json(self.issuers.journal())

    async def _ask_bank(self, **asked: Any) -> dict[str, Any]:
        return self.bank.control(**asked)

    def _told(self, control: Callable[..., Awaitable[dict[str, Any]]]) -> Handler:
        """A route by which a demonstration tells one of the outside systems what to do."""

        async def handle(request: web.Request) -> web.StreamResponse:
            _only_from_here(request)
            members: dict[str, Any] | None = None
            try:
                if request.method == "POST":
                    if request.content_type != "application/json":
                        return _json({"error": "media_type"}, status=415)
                    members = read_object(await request.read())
                return _json(await control(members=members, **request.match_info))
            except LookupError:
                return _json({"error": "not_found"}, status=404)
            except (ValueError, RecursionError) as error:
                return _json({"error": "malformed", "detail": str(error)}, status=400)

        return handle

    async def _bank_at_work(self, _app: web.Application) -> AsyncIterator[None]:
        work = asyncio.create_task(self.bank.work())
        work.add_done_callback(_die_with)
        yield
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        self.bank.close()

    async def _faults(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        return _json({"faults": self.switch.waiting()})

    async def _add_fault(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        # A page in a browser could post a form here, but not this content type.
        if request.content_type != "application/json":
            return _json({"error": "media_type"}, status=415)
        try:
            fault = self.switch.add(read_object(await request.read()))
        except (ValueError, TypeError, RecursionError) as error:
            return _json({"error": "malformed", "detail": str(error)}, status=400)
        return _json(fault.as_json())

    async def _clear_faults(self, request: web.Request) -> web.Response:
        _only_from_here(request)
        self.switch.clear()
        return _json({"faults": []})


def _die_with(work: asyncio.Task[None]) -> None:
    """A bank that answers but no longer gives notice would be worse than none."""
    if not work.cancelled() and (error := work.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


@web.middleware
async def _plain_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    codes = {403: "not_allowed", 404: "not_found", 405: "method", 413: "too_large"}
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": codes.get(error.status, "malformed")}, status=error.status)
