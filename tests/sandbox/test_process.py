"""The sandbox as a program: what it needs, what it says, how it ends, and what it must not know."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "vpass" / "sandbox"
PROGRAM = [sys.executable, "-m", "vpass.sandbox"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("register_private", "bank_private", "issuers_private", "vpass_public"):
        name = f"{name}.pem"
        (tmp_path / name).write_bytes((settings.STATE_DIR / "sandbox" / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_program__starts_says_where_and_ends_cleanly(folder: Path, end: signal.Signals):
    environ = {**os.environ, "VPASS_SANDBOX_DIR": str(folder)}
    environ.pop("VPASS_SANDBOX_PORT", None)
    process = subprocess.Popen(PROGRAM, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        note = json.loads((folder / "sandbox.json").read_text("utf-8"))

        process.send_signal(end)
        code = process.wait(10)
    finally:
        process.kill()
        process.communicate()

    assert line == note
    assert line["pid"] == process.pid
    assert line["url"] == f"http://127.0.0.1:{line['port']}"
    assert line["register_url"] == f"{line['url']}/register"
    assert line["sms_url"] == f"{line['url']}/sms"
    assert line["bank_url"] == f"{line['url']}/bank"
    assert line["issuers_url"] == f"{line['url']}/issuers"
    assert code == 0
    assert not (folder / "sandbox.json").exists()


def test_program__without_its_folder__says_so_and_ends():
    environ = {name: value for name, value in os.environ.items() if "SANDBOX" not in name}

    done = subprocess.run(
        PROGRAM, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert "VPASS_SANDBOX_DIR" in done.stderr


def test_program__loads_nothing_of_the_program_it_talks_to():
    code = (
        "import sys, vpass.sandbox.__main__;"
        "print(*(name for name in sys.modules if name.split('.')[0] in"
        " {'django', 'identity', 'cards', 'payments', 'services', 'jwt', 'cbor2'}"
        " or name.startswith('vpass.') and not name.startswith('vpass.sandbox')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_modules__import_no_cryptography_of_their_own():
    imported = set()
    for path in SANDBOX.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])

    assert imported & {"cryptography", "jwt", "cbor2", "django"} == set()
