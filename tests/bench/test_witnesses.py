from __future__ import annotations

import msgspec

from bench.witnesses import ENGINES, PAGE, REFUSED, Disagreement, Probe, causes, causes_of, compared, page, probes, results

FOUND, KNOWN = results(), causes()


def test_every_disagreement_has_one_cause() -> None:
    """Nothing is left unexplained, and nothing is explained twice."""
    for one in FOUND.disagreements:
        assert [cause.name for cause in causes_of(one, KNOWN)] == [causes_of(one, KNOWN)[0].name], one


def test_every_cause_says_who_is_right_and_why_and_still_happens() -> None:
    """A cause without a reason, or without a case any more, is no explanation."""
    for cause in KNOWN:
        assert cause.right.split(";")[0].split(" ")[0] in {"the", "silent", "silent,"}
        assert len(cause.why.split()) >= 15, cause.name
        assert any(cause in causes_of(one, KNOWN) for one in FOUND.disagreements), cause.name
    assert len({cause.name for cause in KNOWN}) == len(KNOWN)


def test_the_page_is_what_the_results_and_causes_say() -> None:
    """The page has a section with its explanation for every cause, and a row for every disagreement."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(FOUND, KNOWN)
    assert text.count("\n| rsigma | ") + text.count("\n| sqlite | ") == len(FOUND.disagreements)
    assert all(f"\n## {cause.name}\n" in text for cause in KNOWN)


def test_the_results_are_about_cases_that_there_are() -> None:
    """Each disagreement names a case of the suite and what the suite says of it today."""
    suite = {probe.name: probe for probe in probes()}
    for one in FOUND.disagreements:
        assert one.engine in ENGINES
        assert one.case in suite
        assert (one.suite == REFUSED) == (suite[one.case].expected == REFUSED)
    assert all(FOUND.probes[engine] > 400 for engine in ENGINES)


def test_answers_are_compared_by_event_and_by_group() -> None:
    """An event that matches and should not, a refusal and a group too many are told; agreement is not."""
    probe = Probe("detection: x", [{"detection": {}}], [{"a": 1}, {"a": 2}], [True, False], ["case"])
    assert list(compared("rsigma", probe, [True, False])) == []
    assert list(compared("rsigma", probe, [True, True])) == [Disagreement("rsigma", "detection: x", '{"a": 2}', "no match", "match")]
    assert list(compared("sqlite", probe, "no  column")) == [Disagreement("sqlite", "detection: x", "", "evaluated", REFUSED, "no column")]
    grouped = Probe("correlation: x", [{"correlation": {}}], [], {"u=a": [1, 2]}, ["c-0"])
    assert list(compared("rsigma", grouped, {"u=a": []})) == []
    assert list(compared("sqlite", grouped, {"u=a": [1, 2]})) == []
    assert [one.says for one in compared("sqlite", grouped, {"u=a": [2]})] == ["u=a [2]"]
    assert [one.says for one in compared("rsigma", grouped, {"u=a": [], "u=b": []})] == ["u=a; u=b"]
    assert [one.says for one in compared("rsigma", msgspec.structs.replace(grouped, expected=REFUSED), {})] == ["evaluated"]
