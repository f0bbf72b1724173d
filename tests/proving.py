"""Who proves people outside, in this process: the sandbox's face checks and maker of phones."""

import asyncio
from functools import cache
from typing import Any

from django.conf import settings

from tests import city
from vpass.common import signing
from vpass.sandbox.keys import SigningKey
from vpass.sandbox.liveness import Liveness
from vpass.sandbox.phone_maker import PhoneMaker
from vpass.sandbox.proving import ProvingKeys


@cache
def keys() -> ProvingKeys:
    """The keys whose public halves the settings have."""
    return ProvingKeys.read(settings.STATE_DIR / "sandbox", liveness_key_id="liveness-1")


@cache
def checking_service() -> Liveness:
    """The face checking service, before whose camera stand the invented people."""
    return Liveness(
        key=SigningKey(keys().liveness_private_pem),
        key_id="liveness-1",
        subject_key=keys().liveness_subject_key,
        find_by=lambda is_meant: next(filter(is_meant, city.PEOPLE), None),
    )


@cache
def phone_maker() -> PhoneMaker:
    """The maker whose root the settings trust."""
    return PhoneMaker(SigningKey(keys().phone_maker_private_pem))


def look(begun: Any, mode: str = "", **changes: str) -> str:
    """What the service signs for a check as it was begun; `mode` is one of its own."""
    service = checking_service()
    asked = {name: begun[name] for name in ("challenge", "subject", "audience")} | changes

    async def work() -> str:
        if mode:
            await service.control({"mode": mode})
        return str((await service.check(asked))["result"])

    return asyncio.run(work())


def vouch(private: Any, challenge: str, fault: str = "") -> list[str]:
    """The chain for a key, the leaf first."""
    asked = {"public_key": signing.jwk_of(private), "challenge": challenge, "fault": fault}
    return asyncio.run(phone_maker().vouch(asked))["chain"]
