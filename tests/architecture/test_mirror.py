"""A reader finds the tests of a module by its path: `soc/a/b.py` → `tests/a/test_b.py`, or where the tables below say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "soc").rglob("*.py") if path.name not in {"__init__.py", "__main__.py"})

TOGETHER = {
    "soc/adapters/elastic": "the parts of one store, which the contract suite of stores asks as a whole",
    "soc/adapters/files": "the parts of one source",
    "soc/adapters/kafka": "the parts of one source and one sink",
    "soc/adapters/smtp": "the parts of one messenger",
    "soc/adapters/spool": "the parts of one spool",
    "soc/adapters/sqlite": "the parts of one store, which the contract suite of stores asks as a whole",
    "soc/adapters/syslog": "the parts of one receiver",
    "soc/cli": "commands are tried as users type them: test_commands.py by name, test_cli.py all of them",
    "soc/ingest/parsers": "a parser is a folder with samples; its tests stand in a folder of its name",
    "soc/intel": "the parts of one list: what is found, what is never blocked, what is written",
    "soc/incidents": "the parts of one incident: workflow, fold, classes and clocks",
    "soc/organization": "the parts of one registry",
    "soc/model/query": "the parts of one language: what a text means is asked of all of them",
    "soc/reports": "the parts of one document: its facts, fields, text and template",
    "soc/rules": "the parts of one engine, each rule case asks them all",
}
"""Packages whose modules are parts of one thing: those without a file of their own are tested in the package's folder."""

ELSEWHERE = {
    "soc/adapters/keys.py": "tests/cli/test_audit.py",
    "soc/adapters/memory.py": "tests/contracts/test_store.py",
    "soc/adapters/memory_journal.py": "tests/contracts/test_journal.py",
    "soc/application/alert_observables.py": "tests/cli/test_intel.py",
    "soc/application/alerts.py": "tests/cli/test_commands.py",
    "soc/application/app.py": "tests/application/test_pipelines.py",
    "soc/application/deadletters.py": "tests/cli/test_commands.py",
    "soc/application/demo/play.py": "tests/cli/test_commands.py",
    "soc/application/demo/scenarios.py": "tests/e2e/test_scenes.py",
    "soc/application/demo/traffic.py": "tests/ingest/test_pipeline.py",
    "soc/application/lists.py": "tests/contracts/test_lists.py",
    "soc/model/projection.py": "tests/contracts/test_lists.py",
    "soc/triage/listing.py": "tests/contracts/test_lists.py",
    "soc/triage/standing.py": "tests/contracts/test_lists.py",
    "soc/application/doctor.py": "tests/cli/test_commands.py",
    "soc/application/exceptions.py": "tests/cli/test_rule_life.py",
    "soc/application/rule_stats.py": "tests/cli/test_rule_life.py",
    "soc/application/rules_reload.py": "tests/application/test_reload.py",
    "soc/application/ruleset.py": "tests/application/test_reload.py",
    "soc/application/shadow.py": "tests/cli/test_rule_life.py",
    "soc/application/verdicts.py": "tests/cli/test_rule_life.py",
    "soc/application/dossier.py": "tests/incidents/test_dossier.py",
    "soc/application/evidence.py": "tests/incidents/test_evidence.py",
    "soc/application/events.py": "tests/cli/test_commands.py",
    "soc/application/incident_mail.py": "tests/cli/test_register.py",
    "soc/application/intel.py": "tests/cli/test_intel.py",
    "soc/application/incidents.py": "tests/incidents/test_workflow.py",
    "soc/application/notices.py": "tests/incidents/test_notices.py",
    "soc/application/ingest.py": "tests/application/test_pipelines.py",
    "soc/application/reclassify.py": "tests/cli/test_commands.py",
    "soc/application/redrive.py": "tests/application/test_pipelines.py",
    "soc/application/rules_choice.py": "tests/application/test_rules_backtest.py",
    "soc/application/policies_defects.py": "tests/application/test_policies.py",
    "soc/application/policies_effects.py": "tests/application/test_policies.py",
    "soc/application/policies_match.py": "tests/application/test_policies.py",
    "soc/application/policies_people.py": "tests/application/test_policies.py",
    "soc/application/policies_set.py": "tests/application/test_policies.py",
    "soc/application/registry.py": "tests/cli/test_registry.py",
    "soc/application/recipients.py": "tests/application/test_roster.py",
    "soc/application/reminders.py": "tests/application/test_duties.py",
    "soc/application/reports.py": "tests/reports/test_reports.py",
    "soc/application/situation.py": "tests/reports/test_situation.py",
    "soc/application/handbook.py": "tests/reports/test_handbook.py",
    "soc/application/replay.py": "tests/application/test_pipelines.py",
    "soc/application/rules.py": "tests/cli",
    "soc/application/settings.py": "tests/cli/test_commands.py",
    "soc/application/store.py": "tests/application/test_pipelines.py",
    "soc/bootstrap.py": "tests/application/test_pipelines.py",
    "soc/ingest/parser.py": "tests/content/test_every_parser.py",
    "soc/ingest/records.py": "tests/ingest/test_pipeline.py",
    "soc/model/alert.py": "tests/contracts/test_store.py",
    "soc/model/deadletter.py": "tests/contracts",
    "soc/model/evidence.py": "tests/adapters/test_evidence.py",
    "soc/model/fact.py": "tests/contracts/test_journal.py",
    "soc/model/journal.py": "tests/contracts/test_journal.py",
    "soc/model/signing.py": "tests/application/test_audit.py",
    "soc/model/health.py": "tests/ingest/test_silence.py",
    "soc/model/level.py": "tests/content/test_every_rule.py",
    "soc/model/role.py": "tests/application/test_access.py",
    "soc/model/record.py": "tests/contracts/test_record_source.py",
    "soc/ports.py": "tests/contracts",
}
"""Modules that another module's tests, or a contract suite, exercise."""


def _own(module: str) -> Path:
    path = Path(module)
    return ROOT / "tests" / path.relative_to("soc").parent / f"test_{path.stem}.py"


def _names(module: str) -> set[str]:
    """What a test of the module would speak of: its name, its public names."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return {Path(module).stem, Path(module).parent.name} | {name for name in defined if not name.startswith("_")}


def _package(module: str) -> str:
    return next((package for package in TOGETHER if module.startswith(package + "/")), "")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_tests_where_its_path_says(module: str) -> None:
    """A file of its own, or the folder of the thing that it is a part of, or a place that is named here."""
    if _own(module).exists():
        return
    if module in ELSEWHERE:
        place = ROOT / ELSEWHERE[module]
        files = [place] if place.suffix else sorted(place.rglob("*.py"))
        text = "".join(file.read_text(encoding="utf-8") for file in files)
        assert any(re.search(rf"\b{name}\b", text) for name in _names(module)), f"{ELSEWHERE[module]} does not speak of {module}"
        return
    package = _package(module)
    assert package, f"make {_own(module).relative_to(ROOT)}"
    assert list((ROOT / "tests" / package.removeprefix("soc/")).rglob("test_*.py")), f"no tests of {package}"


def test_the_tables_hold_nothing_that_is_not_needed() -> None:
    """A module that has got its own tests, or is gone, leaves the tables."""
    assert [module for module in ELSEWHERE if module in MODULES and _own(module).exists()] == []
    parts = {_package(module) for module in MODULES if not _own(module).exists() and module not in ELSEWHERE}
    assert set(TOGETHER) - parts == set()


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_test_says_in_a_sentence_what_holds(path: Path) -> None:
    """Each test function has a docstring; a file without assertions, expected errors or properties tests nothing."""
    text = path.read_text(encoding="utf-8")
    silent = [match[1] for match in re.finditer(r'^(?:async )?def (test_\w+)\((?:[^()]|\([^()]*\))*\)(?: -> [^:]+)?:\n(?!    (?:r|f)?""")', text, re.MULTILINE)]
    assert silent == []
    assert re.search(r"\bassert\b|pytest\.(?:raises|fail)|assert_", text)
