"""Every shipped policy: its cases hold, it names rules and playbooks that are there, and texts in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest

import soc.incidents.policies
from soc.application import playbooks, policies_set
from soc.config import Settings
from soc.incidents.policies.cases import run_cases
from soc.incidents.policies.policy import load, policy_files

CONTENT = Path(soc.incidents.policies.__file__).parent / "content"
FILES = policy_files(CONTENT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_cases_beside_a_policy_hold(path: Path) -> None:
    """At least one case in which it does something, and one in which it does nothing."""
    results = run_cases(load(path))
    assert [(one.case, one.reason) for one in results if not one.passed] == []
    text = path.with_name(path.stem + ".test.yml").read_text(encoding="utf-8")
    assert "expect: nothing" in text
    assert "opened: 1" in text or "told: 1" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_policy_names_is_there(path: Path) -> None:
    """Rules by id, its playbook; both languages differ, as a forgotten translation would not."""
    settings = Settings()
    loaded = load(path, shipped=True)
    assert policies_set.doubts(loaded, {one.name for one in playbooks.load(settings)[0]}, policies_set.rule_ids(settings)) == []
    policy = loaded.policy
    assert policy.title.vi != policy.title.en
    assert policy.description is not None
    assert policy.limit.most <= 5


def test_every_file_has_its_cases_and_every_case_its_file() -> None:
    """And what the work asks for is there: important systems, spam wave, malware, account, silence, correlations, storm, flood, data leak."""
    assert {path.stem for path in FILES} == {path.name.removesuffix(".test.yml") for path in CONTENT.glob("*.test.yml")}
    assert {path.stem for path in FILES} >= {
        "critical-on-important-system", "spam-wave-delivered", "malware-let-through", "account-taken-over", "source-silent-1h", "source-silent-6h", "critical-correlation",
        "alert-storm", "flood-let-through", "data-leak-passed"
    }  # fmt: skip
