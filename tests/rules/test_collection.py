from __future__ import annotations

import re
from pathlib import Path

import pytest

from soc.rules.collection import load_collection
from soc.rules.correlation import Correlation

DETECTION = "title: D\nname: d\nid: 11111111-0000-4000-8000-00000000000{n}\nlogsource: {{category: test}}\ndetection: {{sel: {{a: {n}}}, condition: sel}}\n"
CORRELATION = "title: C\nid: c\ncorrelation:\n    type: event_count\n    rules: [{rule}]\n    group-by: [u]\n    timespan: 1m\n    condition: {{gte: 2}}\n"


def files(folder: Path, **texts: str) -> Path:
    """A folder of rule files."""
    for name, text in texts.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("reference", ["d", "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000001".upper()])
def test_references_by_name_and_id_across_files(tmp_path: Path, reference: str) -> None:
    """A correlation finds its rules wherever they stand, also in later files."""
    collection, errors, notes = load_collection([files(tmp_path, a=CORRELATION.format(rule=reference), z=DETECTION.format(n=1))])
    assert (errors, notes) == ([], [])
    assert collection.correlations[0].rules == ("11111111-0000-4000-8000-000000000001",)
    assert collection.silent == {"11111111-0000-4000-8000-000000000001"}
    assert isinstance(collection.get("c"), Correlation)


def test_ids_that_stand_twice(tmp_path: Path) -> None:
    """The second is refused with its place, whatever kind it is."""
    text = "---\n".join([DETECTION.format(n=1), CORRELATION.format(rule="d"), CORRELATION.format(rule="d")])
    collection, errors, _ = load_collection([files(tmp_path, a=text)])
    assert [str(error) for error in errors] == [f"{tmp_path}/a.yml:16: the id c is already that of {tmp_path}/a.yml:7"]
    assert len(collection.correlations) == 1


def test_names_that_stand_twice_are_no_reference(tmp_path: Path) -> None:
    """Which one is meant cannot be known."""
    text = "---\n".join([DETECTION.format(n=1), DETECTION.format(n=2), CORRELATION.format(rule="d")])
    collection, errors, _ = load_collection([files(tmp_path, a=text)])
    assert len(errors) == 1
    assert "several rules have the name 'd'" in str(errors[0])
    assert len(collection.ruleset.rules) == 2


def test_what_refers_to_a_refused_rule_is_refused(tmp_path: Path) -> None:
    """A chain breaks where its first part is wrong; the detection stays and alerts by itself."""
    outer = CORRELATION.format(rule="c").replace("id: c", "id: outer")
    text = "---\n".join([DETECTION.format(n=1), CORRELATION.format(rule="nobody"), outer])
    collection, errors, _ = load_collection([files(tmp_path, a=text)])
    assert [re.sub(r"^.*?:(\d+): ", r"\1 ", str(error)) for error in errors] == [
        "11 there is no rule with the id or name 'nobody'",
        f"20 it refers to the correlation {tmp_path}/a.yml:7, which is refused",
    ]
    assert collection.correlations == ()
    assert collection.silent == frozenset()


def test_a_cycle_and_what_leads_to_it(tmp_path: Path) -> None:
    """Every correlation of the cycle is named, and those that build on it; the others run."""
    rules = {"a": "b", "b": "a", "up": "a", "fine": "d"}
    text = "---\n".join([DETECTION.format(n=1), *(CORRELATION.format(rule=rule).replace("id: c", f"id: {name}") for name, rule in rules.items())])
    collection, errors, _ = load_collection([files(tmp_path, a=text)])
    assert sum("refers to itself" in str(error) for error in errors) == 2
    assert sum("which is refused" in str(error) for error in errors) == 1
    assert [rule.id for rule in collection.correlations] == ["fine"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title: X\ncorrelation: 5\n", "2: `correlation` is no mapping"),
        ("title: X\nfilter: []\nlogsource: {category: x}\n", "2: `filter` is no mapping"),
        (CORRELATION.format(rule="d") + "detection: {}\n", "9: a document is one thing"),
        (CORRELATION.format(rule="d").replace("[u]", "[u, u]"), "6: `group-by` is no list of different field names"),
        (CORRELATION.format(rule="d").replace("[u]", "{a: b}"), "6: `group-by` is no list"),
        (CORRELATION.format(rule="d").replace("[d]", "[5]"), "5: `rules` is no list"),
        (CORRELATION.format(rule="d").replace("1m", "99999999999d"), "7: the timespan is longer than five years"),
        (CORRELATION.format(rule="d").replace("gte: 2", "gte: .nan"), "8: 'nan' is no number"),
        (CORRELATION.format(rule="d").replace("gte: 2", "gte: true"), "8: 'True' is no number"),
        (CORRELATION.format(rule="d") + "    generate: maybe\n", "9: `generate` is neither true nor false"),
        (CORRELATION.format(rule="d") + "    aliases: {u: x}\n", "9: an alias is a mapping"),
        (CORRELATION.format(rule="d") + "level: extreme\n", "9: `level` is none of"),
        (CORRELATION.format(rule="d") + "soc: {classify: {level: high, category: malware}}\n", "9: a correlation makes alerts"),
        (
            CORRELATION.format(rule="d").replace("event_count", "temporal").replace("{gte: 2}", "d and " + "(" * 40 + "d" + ")" * 40),
            "8: the condition is nested deeper",
        ),
        (CORRELATION.format(rule="d").replace("event_count", "temporal").replace("{gte: 2}", "'d; d'"), "8: the condition has an unexpected ';'"),
        (CORRELATION.format(rule="d").replace("[d]", "[" + ", ".join(f"r{n}" for n in range(65)) + "]"), "5: a correlation of more than 64 rules"),
    ],
)
def test_wrong_documents_name_line_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    """One error each, and the rule beside it loads."""
    collection, errors, _ = load_collection([files(tmp_path, bad=text, good=DETECTION.format(n=1))])
    assert len(errors) == 1
    assert str(errors[0]).startswith(f"{tmp_path}/bad.yml:{reason}")
    assert len(collection.ruleset.rules) == 1


def test_the_same_files_give_the_same_rules(tmp_path: Path) -> None:
    """Filters bring no random names: conditions and hashes are equal in every load, and differ from those without the filter."""
    filtered = "title: F\nid: f\nlogsource: {category: test}\nfilter: {rules: any, sel: {b: 1}, condition: not sel}\n"
    folder = files(tmp_path, a=DETECTION.format(n=1), f=filtered)
    first, second = load_collection([folder])[0], load_collection([folder])[0]
    assert first.ruleset == second.ruleset
    (folder / "f.yml").unlink()
    assert load_collection([folder])[0].ruleset.hash != first.ruleset.hash


def test_shipped_rules_are_the_same_collection() -> None:
    """Everything that the pipeline loads, loads here, too."""
    from importlib.resources import as_file
    from importlib.resources import files as resources

    from soc.config import RulesSettings
    from soc.rules.load import load_ruleset

    with as_file(resources("soc.rules").joinpath("content")) as folder:
        collection, errors, notes = load_collection([folder])
    assert (errors, notes) == ([], [])
    assert collection.ruleset.hash == load_ruleset(RulesSettings())[0].hash


def test_a_disabled_rule_is_still_evaluated_for_correlations(tmp_path: Path) -> None:
    """It makes no alerts of its own; a disabled correlation is gone, and with it what only it used."""
    text = DETECTION.format(n=1) + "---\n" + CORRELATION.format(rule="d")
    folder = files(tmp_path, a=text)
    whole = load_collection([folder])[0]
    one, many = whole.ruleset.rules[0].id, whole.correlations[0].id
    found = load_collection([folder], disabled=[one])[0]
    assert [rule.id for rule in found.ruleset.rules] == [one]
    assert one in found.silent
    assert load_collection([folder], disabled=[one, many])[0].ruleset.rules == ()
    assert load_collection([folder], disabled=[many])[0].correlations == ()
    assert load_collection([folder], disabled=[many])[0].silent == frozenset()
    assert len({collection.hash for collection in (whole, found, load_collection([folder], disabled=[many])[0])}) > 1


def test_a_file_name_means_the_rule_that_makes_alerts(tmp_path: Path) -> None:
    """A file holds a correlation and what it is made of; its name means the correlation, the inner rule has a name of its own."""
    collection = load_collection([files(tmp_path, both=DETECTION.format(n=1) + "---\n" + CORRELATION.format(rule="d"))])[0]
    assert collection.get("both") is collection.correlations[0]
    assert collection.get("d") is collection.ruleset.rules[0]
    assert collection.get("1111") is collection.ruleset.rules[0]
    assert collection.get("nothing") is None


def test_what_was_written_for_a_correlation_alerts_never(tmp_path: Path) -> None:
    """Not while the correlation is a shadow; and it is gone when the correlation is off. A rule of another file alerts on, beside a shadow."""
    folder = files(tmp_path, both=DETECTION.format(n=1) + "---\n" + CORRELATION.format(rule="d"))
    base = load_collection([folder])[0].ruleset.rules[0].id
    shadowed = load_collection([folder], states={"c": "shadow"})[0]
    assert shadowed.correlations[0].shadow
    assert base in shadowed.silent
    assert load_collection([folder], disabled=["c"])[0].ruleset.rules == ()
    apart = files(tmp_path, both=CORRELATION.format(rule="d"), own=DETECTION.format(n=1))
    assert base not in load_collection([apart], states={"c": "shadow"})[0].silent
    assert [rule.id for rule in load_collection([apart], disabled=["c"])[0].ruleset.rules] == [base]


def test_a_filter_that_changes_nothing_is_noted(tmp_path: Path) -> None:
    """`rules: any` of a log source that no rule has."""
    text = DETECTION.format(n=1) + "---\ntitle: F\nid: f\nlogsource: {category: nobody}\nfilter: {rules: any, sel: {a: 1}, condition: not sel}\n"
    collection, errors, notes = load_collection([files(tmp_path, a=text)])
    assert (errors, collection.filters) == ([], {})
    assert len(notes) == 1
    assert "it changes nothing" in notes[0]


@pytest.mark.parametrize(
    ("broken", "silent"),
    [
        (CORRELATION.format(rule="d").replace("event_count", "event_counts"), True),
        (CORRELATION.format(rule="d").replace("1m", "1 minute"), True),
        (CORRELATION.format(rule="d").replace("[d]", "[d, gone]"), True),
        (CORRELATION.format(rule="d").replace("[d]", "d").replace("gte: 2", "gte: x"), True),
        (CORRELATION.format(rule="d").replace("event_count", "temporal").replace("    rules: [d]\n", "").replace("{gte: 2}", "d and not (d"), True),
        (CORRELATION.format(rule="d").replace("id: c", "id: fine"), True),
        (CORRELATION.format(rule="d").replace("1m", "1 minute") + "    generate: true\n", False),
        (CORRELATION.format(rule="e").replace("1m", "1 minute"), False),
    ],
)
def test_a_refused_correlation_does_not_set_its_rules_free(tmp_path: Path, broken: str, silent: bool) -> None:
    """What was written for it (in its file) alerts no more than beside it, and that is said; other rules do; cached or not."""
    fine = CORRELATION.format(rule="other").replace("id: c", "id: fine")
    other = DETECTION.format(n=2).replace("name: d", "name: other")
    folder = files(tmp_path, a=fine + "---\n" + other, b=broken + "---\n" + DETECTION.format(n=1))
    name = "11111111-0000-4000-8000-000000000001"
    for _ in range(2):
        collection, errors, notes = load_collection([folder])
        assert (len(errors), len(collection.ruleset.rules), [rule.id for rule in collection.correlations]) == (1, 2, ["fine"])
        assert (name in collection.silent) is silent
        assert [note.startswith(f"{folder}/b.yml:") and "'D'" in note for note in notes] == ([True] if silent else [])
    files(tmp_path, b=broken, d=DETECTION.format(n=1))
    collection, errors, notes = load_collection([folder])
    assert (len(errors), name in collection.silent, notes) == (1, False, [])  # a rule of another file is one of its own
