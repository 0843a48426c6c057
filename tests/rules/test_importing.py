from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from soc.rules.ast import LogSource, Node, leaves
from soc.rules.fields import taxonomy
from soc.rules.importing import DUPLICATE, NEVER, READY, REFUSED, _can, nearest, survey
from soc.rules.match import matches
from tests.rules.strategies import conditions, docs
from tests.rules.test_load import put

ID = "11111111-0000-4000-8000-{:012}"
RULE = (
    "title: rule {n}\nid: {id}\nauthor: somebody\nlicense: DRL 1.1\nlogsource: {{{source}}}\ndetection:\n    sel:\n        {test}\n    condition: {condition}\n"
)
FIELDS = frozenset({"event.action", "source.ip", "destination.port"})


def written(source: LogSource) -> frozenset[str] | None:
    """A workplace with a firewall and nothing else."""
    return FIELDS if source.category == "firewall" else None


def text(n: int, test: str = "action: deny", source: str = "category: firewall", condition: str = "sel") -> str:
    """A rule."""
    return RULE.format(n=n, id=ID.format(n), test=test, source=source, condition=condition)


CASES = {
    "usable": (text(1), READY, ""),
    "a log source that nobody knows": (text(1, source="product: windows, service: security"), NEVER, "no source gives events of product: windows"),
    "a log source that is not set up": (text(1, source="category: mail", test="subject: x"), NEVER, "no source that is set up"),
    "a field that nobody writes": (text(1, test="dst_hostname: x"), NEVER, "has what it needs: destination.domain"),
    "a field without counterpart": (text(1, test="NoSuchField: x"), NEVER, "has what it needs: NoSuchField"),
    "an alternative that works": (text(1, test="action: deny\n    other:\n        NoSuchField: x", condition="sel or other"), READY, ""),
    "an exception that never holds": (text(1, test="action: deny\n    other:\n        NoSuchField: x", condition="sel and not other"), READY, ""),
    "a field that must be absent": (text(1, test="NoSuchField: null"), READY, ""),
    "a field that must not be absent": (text(1, test="NoSuchField: null", condition="not sel"), NEVER, "NoSuchField"),
    "refused": (text(1, test="action|near: x"), REFUSED, "unknown modifier 'near'"),
    "no rule": ("- 1\n", REFUSED, "the document is no mapping"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_verdict_has_its_reason(tmp_path: Path, name: str) -> None:
    """Ready, never and why, or refused with file and line."""
    content, verdict, reason = CASES[name]
    path = put(tmp_path / "r", "a.yml", content)
    (found,) = survey(tmp_path / "r", {}, written).candidates
    assert (found.verdict, found.path) == (verdict, str(path))
    assert reason in found.reason
    assert bool(found.reason) == bool(reason)
    assert found.line >= 1


def test_duplicates_of_known_ids_and_within_the_folder(tmp_path: Path) -> None:
    """Each says where the other one is."""
    put(tmp_path / "r", "a.yml", text(1))
    put(tmp_path / "r", "b.yml", text(2))
    put(tmp_path / "r", "c.yml", text(2))
    found = survey(tmp_path / "r", {ID.format(1): "shipped.yml"}, written)
    assert [(one.verdict, Path(one.path).name) for one in found.candidates] == [(DUPLICATE, "a.yml"), (READY, "b.yml"), (DUPLICATE, "c.yml")]
    assert "shipped.yml" in found.candidates[0].reason
    assert "b.yml" in found.candidates[2].reason
    assert found.counts() == {READY: 1, NEVER: 0, DUPLICATE: 2, REFUSED: 0}


def test_what_a_rule_says_of_itself_is_kept(tmp_path: Path) -> None:
    """Author, licence and the whole text of its document."""
    put(tmp_path / "r", "a.yml", text(1) + "---\n" + text(2, test="action: accept"))
    first, second = survey(tmp_path / "r", {}, written).candidates
    assert (first.author, first.license, first.title, second.title) == ("somebody", "DRL 1.1", "rule 1", "rule 2")
    assert first.text == text(1).strip()
    assert second.text == text(2, test="action: accept").strip()


def test_unmapped_fields_are_counted_with_the_nearest_known_name(tmp_path: Path) -> None:
    """By log source, the most wanted first."""
    put(tmp_path / "r", "a.yml", text(1, test="usrname: x"))
    put(tmp_path / "r", "b.yml", text(2, test="usrname: y"))
    put(tmp_path / "r", "c.yml", text(3, test="zzzzzz: y"))
    gaps = survey(tmp_path / "r", {}, written).gaps
    assert [(gap.field, gap.rules, gap.near) for gap in gaps] == [("usrname", 2, "username (source.user.name)"), ("zzzzzz", 1, "")]
    assert nearest("cs-uri-qery", "category: proxy", taxonomy()).startswith("cs-uri-query (")


def test_correlations_of_rules_that_never_match(tmp_path: Path) -> None:
    """They cannot fire either; one about silence can, and one that has another rule."""
    correlation = "title: c{n}\nid: {id}\ncorrelation: {{type: {type}, rules: [{rules}], timespan: 60s, group-by: [source.ip], condition: {{{condition}}}}}\n"
    dead, alive = ID.format(1), ID.format(2)
    put(tmp_path / "r", "a.yml", text(1, source="product: windows") + "---\n" + text(2))
    parts = [
        correlation.format(n=3, id=ID.format(3), type="event_count", rules=dead, condition="gte: 3"),
        correlation.format(n=4, id=ID.format(4), type="event_count", rules=dead, condition="eq: 0"),
        correlation.format(n=5, id=ID.format(5), type="event_count", rules=f"{dead}, {alive}", condition="gte: 3"),
        correlation.format(n=6, id=ID.format(6), type="temporal_ordered", rules=f"{dead}, {alive}", condition="gte: 2"),
    ]
    put(tmp_path / "r", "b.yml", "---\n".join(parts))
    found = {one.title: one.verdict for one in survey(tmp_path / "r", {}, written).candidates}
    assert found == {"rule 1": NEVER, "rule 2": READY, "c3": NEVER, "c4": READY, "c5": READY, "c6": NEVER}


def test_reasons_are_counted(tmp_path: Path) -> None:
    """The most frequent of each verdict first."""
    for n in range(3):
        put(tmp_path / "r", f"{n}.yml", text(n, source="product: windows" if n else "product: macos"))
    rows = survey(tmp_path / "r", {}, written).reasons()
    assert [(verdict, count) for verdict, _, count in rows] == [(NEVER, 2), (NEVER, 1)]


def test_files_that_cannot_be_read_stop_nothing(tmp_path: Path) -> None:
    """A link to nowhere, ten megabytes, half a character: each is refused, the rule beside them is ready."""
    folder = put(tmp_path / "r", "good.yml", text(1)).parent
    (folder / "link.yml").symlink_to(tmp_path / "nowhere.yml")
    (folder / "big.yml").write_bytes(b"# " + b"x" * 10_485_760)
    (folder / "half.yml").write_bytes(b"title: \xff\n")
    found = survey(folder, {}, written)
    assert {Path(one.path).name: one.verdict for one in found.candidates} == {"good.yml": READY, "link.yml": REFUSED, "big.yml": REFUSED, "half.yml": REFUSED}


@given(conditions, docs)
def test_what_is_said_to_match_never_does_not(condition: Node, doc: dict[str, Any]) -> None:
    """Of no event that lacks the fields; and what is said to match always does."""
    absent = frozenset(leaf.field for leaf in leaves(condition) if leaf.field) - doc.keys()
    if not _can(condition, absent, want=True):
        assert not matches(condition, doc)
    if not _can(condition, absent, want=False):
        assert matches(condition, doc)
