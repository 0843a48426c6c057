from __future__ import annotations

import re
from pathlib import Path

import pytest

from soc.rules.testing import cases_file, run_tests
from tests.content.test_every_rule import parse

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-rule.md").read_text(encoding="utf-8")


def test_the_page_on_writing_rules_works_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule and the tests of the page, copied into files, pass."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    rule = tmp_path / "net_firewall_admin_added.yml"
    rule.write_text(next(block for block in blocks if block.startswith("title:")), encoding="utf-8")
    cases_file(rule).write_text(next(block for block in blocks if block.startswith("- name:")), encoding="utf-8")
    results = run_tests(tmp_path, parse=parse)
    assert [result.reason for result in results if not result.passed] == []
    assert len(results) > 1
    assert {result.matched for result in results} == {True, False}
