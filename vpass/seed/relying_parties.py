"""The demo city's web sites where residents log in; the sandbox plays them."""

import json
from datetime import datetime
from pathlib import Path

from django.conf import settings

from identity import logins, relying_parties
from identity.models import Entitlement, Organisation, RelyingParty
from vpass.secrets import make_private_folder, write_once
from vpass.seed.people import open_organisation

SITES = {
    "library": (
        ("潍坊市图书馆", "Weifang Library"),
        ("reader", "读者服务", "Readers' services", ["real_name", "over_18"]),
        "读者之家",
    ),
    "tourism": (
        ("潍坊市文化旅游局", "Weifang Tourism Bureau"),
        ("visitor-pass", "旅游年卡", "Visitors' pass", ["real_name", "over_18", "over_65"]),
        "鸢都旅游年卡",
    ),
}
REGISTRATIONS = "relying_parties.json"


def open_sites(city: Organisation, *, state_dir: Path, at: datetime) -> None:
    """Two organisations with a web site each; their secrets go where the sandbox finds them."""
    secrets = {}
    for name, ((name_zh, name_en), purpose, title) in SITES.items():
        organisation = open_organisation(
            city, "department", name_zh, name_en, [purpose], scene=logins.SCENE
        )
        Entitlement.objects.filter(organisation=organisation).update(may_ask=["phone"])
        registered = relying_parties.register(
            organisation=organisation,
            name=title,
            purpose=purpose[0],
            redirect_uris=[_address(name, "callback")],
            post_logout_redirect_uris=[_address(name, "me")],
            actor="seed",
            at=at,
        )
        secrets[name] = {
            "client_id": registered.relying_party.client_id,
            "client_secret": registered.client_secret,
        }
    folder = state_dir / "sandbox"
    make_private_folder(folder)
    (folder / REGISTRATIONS).unlink(missing_ok=True)
    write_once(folder / REGISTRATIONS, json.dumps(secrets))


def point_at_sandbox() -> None:
    """Follow the sandbox to the port it has today."""
    for name, (_, (purpose, *_), title) in SITES.items():
        RelyingParty.objects.filter(name=title, purpose=purpose).update(
            redirect_uris=_address(name, "callback"),
            post_logout_redirect_uris=_address(name, "me"),
        )


def _address(name: str, page: str) -> str:
    return f"{settings.RELYING_SITES_URL}/{name}/{page}"
