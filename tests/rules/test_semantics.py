from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from sigma.modifiers import modifier_mapping

from soc.rules.ast import Rule
from soc.rules.compile import compile_condition
from soc.rules.documents import Document, read
from soc.rules.match import matches
from soc.rules.semantics import Example, markdown, table
from soc.rules.sigma import read_rule

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sigma-semantics.md"
CASES = [(f"{row.topic}-{number}-{place}", case) for number, row in enumerate(table()) for place, case in enumerate(row.cases)]


def rule_of(case: Example) -> Rule:
    """The rule of a case, read as from a file."""
    text = yaml.safe_dump({"title": "case", "logsource": {"category": "test"}, "detection": case.full_detection}, allow_unicode=True, sort_keys=False)
    (document,) = read("case.yml", text.encode())
    assert isinstance(document, Document), document
    return read_rule(document, case.values)


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_every_case_of_the_table_holds_on_both_matchers(case: Example) -> None:
    """The naive and the compiled matcher say what the table says."""
    condition = rule_of(case).condition
    assert matches(condition, case.event) is case.match
    assert compile_condition(condition)(case.event.get, dict(case.event)) is case.match


def test_every_modifier_has_a_case() -> None:
    """No modifier is without a statement (flags of `re` have two spellings, one of each is enough)."""
    used = {modifier for _, case in CASES for item in case.full_detection.values() if isinstance(item, dict) for key in item for modifier in key.split("|")[1:]}
    same = {"ignorecase": "i", "multiline": "m", "dotall": "s", "utf16": "wide", "utf16be": "wide"}
    assert {modifier for modifier in modifier_mapping if same.get(modifier, modifier) not in used} == set()


def test_the_reference_page_is_generated_from_the_table() -> None:
    """The page and the table do not drift apart."""
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run: python -m soc.rules.semantics > docs/reference/sigma-semantics.md"
