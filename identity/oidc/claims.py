"""Names what goes over the wire: levels of assurance as `acr`, attributes as claims.

`acr` is one of `LEVELS`: urn:vpass:level:1 (a phone number), :2 (matched in the population
register), :3 (register and face, or in person). A scope is `openid` or the name of an attribute;
`CLAIMS` says under which name userinfo shows it: the registered one of OpenID Connect Core 5.1
where there is one.
"""

from collections.abc import Mapping
from typing import Any, Final

from identity.models import SHAREABLE

LEVELS: Final = {level: f"urn:vpass:level:{level}" for level in (1, 2, 3)}
CLAIMS: Final = {name: name for name in SHAREABLE} | {
    "real_name": "name",
    "birth_date": "birthdate",
    "sex": "gender",
    "phone": "phone_number",
}
SCOPES: Final = ("openid", *SHAREABLE)
# How the phone proved its key (RFC 8176), by the device's grade.
AMR: Final = {"hardware": "hwk", "software": "swk"}

_LEVEL_OF = {name: level for level, name in LEVELS.items()}


def level_needed(acr_values: str | None, claims: Any) -> int | None:
    """Return the least level that a request wants, 1 when it names none.

    `acr_values` is the parameter, `claims` the decoded parameter of that name; there, `acr` of the
    id_token may be asked for by `value` or `values`. Any one of the levels named is enough, so the
    lowest counts. None when only levels are named that we don't have.
    """
    named: list[Any] = (acr_values or "").split()
    id_token = claims.get("id_token") if isinstance(claims, Mapping) else None
    wanted = id_token.get("acr") if isinstance(id_token, Mapping) else None
    if isinstance(wanted, Mapping):
        values = wanted.get("values", [])
        named += [wanted.get("value"), *(values if isinstance(values, list) else [])]
    texts = [name for name in named if isinstance(name, str)]
    if not texts:
        return 1
    return min((_LEVEL_OF[name] for name in texts if name in _LEVEL_OF), default=None)
