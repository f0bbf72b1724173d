"""Starts the sandbox and keeps it until it is told to stop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from vpass.sandbox.proving import ProvingKeys
from vpass.sandbox.server import HOST, Sandbox


async def run(*, folder: Path, port: int, environ: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT; `port` 0 takes any free one."""
    sandbox = Sandbox(
        caller_key_id=environ.get("VPASS_SANDBOX_CALLER_KEY_ID", "vpass-1"),
        caller_public_pem=(folder / "vpass_public.pem").read_bytes(),
        register_key_id=environ.get("VPASS_SANDBOX_REGISTER_KEY_ID", "register-1"),
        register_private_pem=(folder / "register_private.pem").read_bytes(),
        bank_key_id=environ.get("VPASS_SANDBOX_BANK_KEY_ID", "bank-1"),
        bank_private_pem=(folder / "bank_private.pem").read_bytes(),
        issuers_key_id=environ.get("VPASS_SANDBOX_ISSUERS_KEY_ID", "issuers-1"),
        issuers_private_pem=(folder / "issuers_private.pem").read_bytes(),
        bank_books=folder / "bank.sqlite3",
        bank_books_after_s=float(environ.get("VPASS_SANDBOX_BANK_BOOKS_AFTER_S", "2")),
        vpass_url=environ.get("VPASS_URL", "").rstrip("/"),
        iot_secret=_text_in(folder / "iot_secret.txt"),
        proving_keys=ProvingKeys.read(
            folder, liveness_key_id=environ.get("VPASS_SANDBOX_LIVENESS_KEY_ID", "liveness-1")
        ),
    )
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    # Handlers that only wait for a caller who has left are not waited for.
    runner = web.AppRunner(
        sandbox.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
    )
    await runner.setup()
    note = folder / "sandbox.json"
    try:
        await web.TCPSite(runner, HOST, port).start()
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        sandbox.settle_at(url)
        line = json.dumps(
            {
                "url": url,
                "port": runner.addresses[0][1],
                "pid": os.getpid(),
                "register_url": f"{url}/register",
                "sms_url": f"{url}/sms",
                "bank_url": f"{url}/bank",
                "issuers_url": f"{url}/issuers",
                "liveness_url": f"{url}/liveness",
            }
        )
        unfinished = note.with_suffix(".json.new")
        unfinished.write_text(line, "utf-8")
        unfinished.replace(note)
        print(line, flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()
        note.unlink(missing_ok=True)


def _text_in(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def main() -> int:
    """Reads the environment and runs; 2 when something is missing there."""
    folder = os.environ.get("VPASS_SANDBOX_DIR", "")
    port = os.environ.get("VPASS_SANDBOX_PORT", "0")
    if not folder or not port.isdecimal():
        print("the sandbox needs VPASS_SANDBOX_DIR, and a number as its port", file=sys.stderr)
        return 2
    asyncio.run(run(folder=Path(folder), port=int(port), environ=os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
