from __future__ import annotations

from pathlib import Path

from soc.rules.catalog import markdown, shipped

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"


def test_the_page_lists_the_shipped_rules() -> None:
    """The page and the rules do not drift apart."""
    assert PAGE.read_text(encoding="utf-8") == markdown(shipped()), "run: python -m soc.rules.catalog > docs/reference/rules.md"


def test_correlations_say_what_they_measure() -> None:
    """Each correlation that alerts has a line with its measure and its groups; what it is made of has none."""
    page = markdown(shipped())
    assert "| different destination.ip ≥ 50 in 10 min | observer.name, source.ip, destination.port |" in page
    assert "| in order exploit_let_through, calls_botnet in 2 h | observer.name, victim |" in page
    assert "| sum of source.bytes ≥ 2,000,000,000 in 1 h |" in page
    assert "Session from inside denied" not in page
