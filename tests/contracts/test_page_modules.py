"""Every module of the pages imports only what is there; no browser is needed to see it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "templates" / "static").glob("**/*.js"))
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']+)["']""")
NAMES = re.compile(r"""^import \{([^}]+)\} from ["'](\.[^"']+)["']""", re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)


def test_imports__of_every_module__found():
    imported = [
        (module, name) for module in MODULES for name in IMPORT.findall(module.read_text("utf-8"))
    ]

    assert len(imported) > 100
    assert [
        f"{module.relative_to(ROOT)}: {name}"
        for module, name in imported
        if not (module.parent / name).is_file()
    ] == []


def test_imports__of_our_modules__are_exported_there():
    missing = []
    for module in MODULES:
        for names, source in NAMES.findall(module.read_text("utf-8")):
            exported = set(EXPORT.findall((module.parent / source).read_text("utf-8")))
            wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
            if "vendor" not in source and "vendor" not in module.parts and wanted - exported:
                missing.append((str(module.relative_to(ROOT)), source, wanted - exported))

    assert missing == []
