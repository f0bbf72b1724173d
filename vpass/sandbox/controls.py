"""Routes beside the protocols: JSON in and out, and only from the same machine."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from vpass.sandbox.faults import json_bytes
from vpass.sandbox.sites import read_object

HOST = "127.0.0.1"
JSON = {"Content-Type": "application/json"}

Control = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


def add_control(app: web.Application, path: str, control: Control) -> None:
    """Answers POSTs to `path` with what `control` makes of their members.

    It raises LookupError (404) and ValueError (400) to refuse.
    """

    async def serve(request: web.Request) -> web.Response:
        only_from_here(request)
        # A page in a browser could post a form here, but not this content type.
        if request.content_type != "application/json":
            return json_answer({"error": "media_type"}, status=415)
        try:
            return json_answer(await control(read_object(await request.read())))
        except LookupError:
            return json_answer({"error": "not_found"}, status=404)
        except (ValueError, RecursionError) as error:
            return json_answer({"error": "malformed", "detail": str(error)}, status=400)

    app.router.add_post(path, serve)


def json_answer(value: Any, *, status: int = 200) -> web.Response:
    """An answer of JSON."""
    return web.Response(status=status, body=json_bytes(value), headers=JSON)


def only_from_here(request: web.Request) -> None:
    """Refuses what comes from another machine, or through a name of somebody else's."""
    try:
        is_local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        is_local = False
    # The Host check keeps out pages whose name was pointed at this machine.
    if not is_local or request.host.rpartition(":")[0] not in (HOST, "localhost"):
        raise web.HTTPForbidden
