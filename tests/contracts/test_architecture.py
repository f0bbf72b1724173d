"""The import contract of pyproject.toml holds, has no exceptions, and bites."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("vpass", "identity", "cards", "payments", "services")
# Who may name the tables of postings: what defines them, what writes, reads and proves them.
LEDGER_HOMES = (
    "payments/models",
    "payments/migrations",
    "payments/ledger.py",
    "payments/queries.py",
    "payments/proof.py",
    "payments/seals.py",
)
LEDGER_NAMES = re.compile(
    r"\bpayments_(?:posting|transaction|balance)\b"
    r"|\b(?:Posting|Transaction|Balance)\b"
    r"|\b(?:posting|transaction|balance)_set\b"
    r"|\bAccountLine\.",  # the annotation of queries, used as the table
    re.ASCII,
)
LINT = (
    "import sys; from importlinter.cli import lint_imports_command;"
    " sys.argv = ['lint-imports', '--no-cache']; lint_imports_command()"
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program's modules in a folder where they may be spoilt."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    return folder


def test_contracts__as_the_program_stands__all_kept():
    done = lint(ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


def test_contracts__no_exceptions():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

    assert linter["exclude_type_checking_imports"] is False
    for contract in linter["contracts"]:
        exceptions = {name for name in contract if "ignore" in name}
        assert not exceptions, f"{contract['name']} has {exceptions}"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("vpass/common/clock.py", "import identity.states", "Each floor"),
        ("vpass/common/clock.py", "import vpass.seed", "Each floor"),
        ("identity/codes.py", "import cards", "Each floor"),
        ("cards/__init__.py", "import payments", "Each floor"),
        ("payments/__init__.py", "import services", "Each floor"),
        ("services/__init__.py", "import vpass.operations", "Each floor"),
        ("vpass/operations/letters.py", "import vpass.seed", "Each floor"),
        ("identity/states.py", "import identity.models", "Inside identity"),
        ("identity/models/people.py", "import identity.queries", "Inside identity"),
        ("identity/queries.py", "import identity.keys", "Inside identity"),
        ("identity/keys.py", "import identity.tasks", "Inside identity"),
        ("identity/tasks.py", "import identity.api.public", "Inside identity"),
        ("identity/stray.py", "", "Inside identity"),
        ("cards/standing.py", "import cards.models", "Inside cards"),
        ("cards/stray.py", "", "Inside cards"),
        ("cards/types/bus.py", "import cards.types.bank", "Card types are independent"),
        ("payments/states.py", "import payments.models", "Inside payments"),
        ("payments/models/orders.py", "import payments.queries", "Inside payments"),
        ("payments/queries.py", "import payments.ledger", "Inside payments"),
        ("payments/ledger.py", "import payments.payouts", "Inside payments"),
        ("payments/proof.py", "import payments.ledger", "Inside payments"),
        ("payments/payouts.py", "import payments.funding", "Inside payments"),
        ("payments/orders.py", "import payments.settlement.windows", "Inside payments"),
        ("payments/settlement/windows.py", "import payments.proposals", "Inside payments"),
        ("payments/refunds.py", "import payments.statements", "Inside payments"),
        ("payments/proposals.py", "import payments.tasks", "Inside payments"),
        ("payments/stray.py", "", "Inside payments"),
        ("services/iot/states.py", "import services.iot.models", "Inside the IoT city"),
        ("services/iot/models.py", "import services.iot.intake", "Inside the IoT city"),
        ("services/iot/intake.py", "import services.iot.drain", "Inside the IoT city"),
        ("services/iot/twins.py", "import services.iot.applications", "Inside the IoT city"),
        ("services/iot/drain.py", "import services.iot.tasks", "Inside the IoT city"),
        ("services/iot/stray.py", "", "Inside the IoT city"),
        (
            "services/iot/dialects/other.py",
            "import services.iot.dialects.oceanconnect",
            "The platforms'",
        ),
        (
            "services/iot/applications/other.py",
            "import services.iot.applications.parking",
            "The city applications",
        ),
        ("payments/orders.py", "from payments.models.ledger import Posting", "The ledger's"),
        ("vpass/seed/__init__.py", "import payments.models.ledger", "The ledger's"),
        ("cards/__init__.py", "import identity.api.public", "Only the routes"),
        ("vpass/seed/__init__.py", "import identity.tasks", "Only the routes"),
        ("vpass/seed/__init__.py", "import vpass.common.tasks", "Only the routes"),
        ("vpass/seed/__init__.py", "import vpass.operations.api", "Only the routes"),
        ("identity/keys.py", "import cryptography.hazmat", "Cryptography"),
        ("identity/devices.py", "import jwt", "Cryptography"),
        ("vpass/seed/__init__.py", "import cbor2", "Cryptography"),
        ("identity/code_format.py", "import django.conf", "The code's format"),
        ("identity/code_claims.py", "import vpass.common.models", "The code's format"),
        ("vpass/sandbox/sms.py", "import vpass.common.signing", "The sandbox"),
        ("vpass/sandbox/sms.py", "import identity.states", "The sandbox"),
        ("vpass/seed/__init__.py", "import vpass.sandbox.population", "Nothing of ours"),
    ],
)
def test_contracts__one_wrong_import__broken(copied: Path, module: str, line: str, broken: str):
    spoilt = copied / module
    kept = spoilt.read_text() if spoilt.exists() else None
    try:
        spoilt.write_text(f"{kept or ''}\n{line}\n")
        done = lint(copied)
    finally:
        if kept is None:
            spoilt.unlink()
        else:
            spoilt.write_text(kept)

    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(text.startswith(broken) for text in verdicts), done.stdout


def test_code_format__in_a_process_of_its_own__loads_no_django():
    script = (
        "import sys, identity.code_format;"
        "print(sorted(n for n in sys.modules"
        " if n.partition('.')[0] in ('django', 'rest_framework', 'psycopg2', 'celery')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_modules__none_past_four_hundred_lines(package: str):
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
        and (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}


def test_pages__what_a_module_imports__is_there():
    """A page whose module is missing shows nothing at all, and no tool of ours would say so."""
    folder = ROOT / "templates" / "static" / "js"

    lost = [
        f"{path.relative_to(folder)}: {named}"
        for path in folder.rglob("*.js")
        for named in re.findall(r'from "(\.[^"]+)"', path.read_text(encoding="utf-8"))
        if not (path.parent / named).exists()
    ]

    assert lost == []


def strangers_to_the_ledger(folder: Path) -> dict[str, list[str]]:
    """Each module outside of LEDGER_HOMES that names a table of postings, and what it says."""
    found = {}
    for path in (path for package in PACKAGES for path in (folder / package).rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        at_home = any(name == home or name.startswith(f"{home}/") for home in LEDGER_HOMES)
        if not at_home and (said := LEDGER_NAMES.findall(path.read_text(encoding="utf-8"))):
            found[name] = said
    return found


def test_postings__only_ledger_queries_and_proof_name_their_tables():
    assert all((ROOT / home).exists() for home in LEDGER_HOMES)

    assert strangers_to_the_ledger(ROOT) == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("payments/orders.py", "from payments.models import Posting"),
        ("payments/settlement/netting.py", "from payments.models import Window, Transaction"),
        ("payments/api/finance.py", "models.Balance.objects.all()"),
        ("payments/statements.py", "AccountLine.objects.all()"),
        ("vpass/seed/__init__.py", "SQL = 'SELECT * FROM payments_balance'"),
        ("services/__init__.py", "apps.get_model('payments', 'Posting')"),
        ("identity/history.py", "account.balance_set.update(posted_fen=0)"),
    ],
)
def test_postings__named_elsewhere__found(copied: Path, module: str, line: str):
    spoilt = copied / module
    kept = spoilt.read_text()
    try:
        spoilt.write_text(f"{kept}\n{line}\n")
        found = strangers_to_the_ledger(copied)
    finally:
        spoilt.write_text(kept)

    assert list(found) == [module]
