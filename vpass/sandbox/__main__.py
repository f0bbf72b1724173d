"""Starts the sandbox and keeps it until it is told to stop."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from vpass.sandbox.server import HOST, Sandbox


async def run(*, folder: Path, port: int, caller_key_id: str, register_key_id: str) -> None:
    """Serves until SIGTERM or SIGINT; `port` 0 takes any free one."""
    sandbox = Sandbox(
        caller_key_id=caller_key_id,
        caller_public_pem=(folder / "vpass_public.pem").read_bytes(),
        register_key_id=register_key_id,
        register_private_pem=(folder / "register_private.pem").read_bytes(),
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


def main() -> int:
    """Reads the environment and runs; 2 when something is missing there."""
    folder = os.environ.get("VPASS_SANDBOX_DIR", "")
    port = os.environ.get("VPASS_SANDBOX_PORT", "0")
    if not folder or not port.isdecimal():
        print("the sandbox needs VPASS_SANDBOX_DIR, and a number as its port", file=sys.stderr)
        return 2
    asyncio.run(
        run(
            folder=Path(folder),
            port=int(port),
            caller_key_id=os.environ.get("VPASS_SANDBOX_CALLER_KEY_ID", "vpass-1"),
            register_key_id=os.environ.get("VPASS_SANDBOX_REGISTER_KEY_ID", "register-1"),
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
