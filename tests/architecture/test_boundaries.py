"""What import contracts cannot say: third-party libraries stay in their places, and nothing unfinished is left."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "soc").rglob("*.py"))

PLACES = {
    "kafka": ("soc/adapters/kafka",),
    "elasticsearch": ("soc/adapters/elastic",),
    "elastic_transport": ("soc/adapters/elastic",),
    "sqlite3": ("soc/adapters/sqlite",),
    "click": ("soc/cli/",),
    "rich": ("soc/cli/",),
    "starlette": ("soc/adapters/http",),
    "uvicorn": ("soc/adapters/http",),
    "sigma": ("soc/rules/",),
    "prometheus_client": ("soc/adapters/metrics",),
    "docx": ("soc/reports/",),
    "docxtpl": ("soc/reports/",),
    "fpdf": ("soc/reports/",),
    "jinja2": ("soc/reports/",),
    "lxml": ("soc/reports/",),
    "structlog": ("soc/telemetry.py",),
    "pydantic_settings": ("soc/config_files.py",),
    "gettext": ("soc/i18n.py",),
}
"""Library → the only places that may import it."""


def imports(path: Path) -> Iterator[str]:
    """The top names of everything that a module imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("library", sorted(PLACES))
def test_a_library_stays_in_its_place(library: str) -> None:
    """One place knows a library; everything else knows ports."""
    strays = [str(path.relative_to(ROOT)) for path in MODULES if library in imports(path) and not str(path.relative_to(ROOT)).startswith(PLACES[library])]
    assert strays == []


def test_only_bootstrap_imports_adapters() -> None:
    """The composition root is the one place that knows which adapter there is."""
    strays = []
    for path in MODULES:
        name = str(path.relative_to(ROOT))
        if name.startswith("soc/adapters/") or name == "soc/bootstrap.py":
            continue
        if re.search(r"^\s*(?:from|import) soc\.adapters", path.read_text(encoding="utf-8"), re.MULTILINE):
            strays.append(name)
    assert strays == []


def test_the_model_needs_no_adapter_and_no_client() -> None:
    """Importing ports and model in a fresh interpreter loads no client library."""
    code = "import sys, soc.ports, soc.model.alert, soc.ingest.parser; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"kafka", "elasticsearch", "sqlite3", "click", "rich", "soc.adapters"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is(path: Path) -> None:
    """Every module has a docstring, annotations from __future__, and no note to do it later."""
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        pytest.fail("an empty module")
    assert ast.get_docstring(ast.parse(text))
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


def test_broad_excepts_are_few() -> None:
    """Each has its reason on the line; data problems are handled where they are known."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"except Exception\b", line) and not re.search(r"# noqa: BLE001 - \w|#  ?\w", line)
    ]
    assert found == []


def test_print_stays_out() -> None:
    """Nothing writes to stdout but the command line."""
    strays = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if "soc/cli/" not in str(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert strays == []


def test_requirement_files_name_no_index() -> None:
    """Every requirement is pinned by version and hash; where it comes from is the site's business."""
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^\s*--?(index|extra-index|find-links|trusted|i |f )", text, re.MULTILINE)
        pins = re.findall(r"^[a-zA-Z0-9._-]+(?:\[[^\]]+\])?(==\S+)?.*\\\n(    --hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)
        assert pins
        assert all(version and digest for version, digest in pins)
