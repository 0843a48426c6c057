from __future__ import annotations

from pathlib import Path

from soc.config import RulesSettings
from soc.rules.catalog import markdown
from soc.rules.load import load_ruleset

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"


def test_the_page_lists_the_shipped_rules() -> None:
    """The page and the rules do not drift apart."""
    assert PAGE.read_text(encoding="utf-8") == markdown(load_ruleset(RulesSettings())[0]), "run: python -m soc.rules.catalog > docs/reference/rules.md"
