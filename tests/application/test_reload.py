"""Hot reload: what a running pipeline makes of changed rules, and what it records."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor, App
from soc.application.reload import ANSWER_FACT, REQUEST_FACT, Reloader
from soc.application.rules_reload import ask, checked
from soc.application.ruleset import ROOT_FACT, RULES_FACT, SET_FACT, STATE_FACT, Archive, kept_manifest, kept_set, unpack
from soc.bootstrap import open_app
from soc.config import Settings
from soc.errors import StoreCorrupt, StoreUnavailable
from soc.ports import Classifier
from tests.servers.process import wait_until

NAME = "33333333-0000-4000-8000-00000000000"


def rule(number: int, value: str = "deny", more: str = "") -> str:
    """A rule file's text."""
    return f"title: R{number}\nid: {NAME}{number}\nlogsource: {{category: firewall}}\ndetection: {{sel: {{event.action: {value}}}, condition: sel}}\n{more}"


class Counted:
    """Metrics that are kept."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self.counts[" ".join([name, *labels.values()])] += int(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self.gauges[" ".join([name, *labels.values()])] = value


class Watched:
    """An application, its rule folder, and what was taken into use."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app = app
        self.folder = folder
        app.metrics = self.metrics = Counted()
        self.used: list[str] = []
        self.alerts: list[Any] = []
        self.wake = threading.Event()
        self.reloader = Reloader(app, app.rules, self._use, wake=self.wake, every_s=0.02, settle_s=0.01)

    def _use(self, classifier: Classifier) -> None:
        self.used.append(classifier.hash)

    def write(self, name: str, text: str) -> None:
        """Write a rule file as editors do: beside it, then in its place."""
        temporary = self.folder / f".{name}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.folder / name)

    def until(self, holds: Callable[[], Any]) -> None:
        """Let the worker's ticks go by until something holds."""
        deadline = time.monotonic() + 150
        while not holds():
            assert time.monotonic() < deadline
            self.alerts += [alert for effects in self.reloader.tick() for alert in effects.alerts]
            time.sleep(0.005)

    def look_again(self) -> None:
        """Have the thread look at the files as they are now, to the end, while what is broken keeps the set before."""
        for _ in range(2):  # a look that had begun before may end first
            kept = self.metrics.counts["soc_rules_reloads_total kept"]
            self.wake.set()
            self.until(lambda kept=kept: self.metrics.counts["soc_rules_reloads_total kept"] > kept)  # type: ignore[misc]

    @property
    def titles(self) -> list[str]:
        """Titles of the rules in force."""
        return sorted(one.title for one in self.reloader.loaded.engine.rules)

    def facts(self, kind: str = RULES_FACT) -> list[dict[str, Any]]:
        """Recorded facts."""
        return self.app.store.facts(kind)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """An application over a folder with two rules; the thread runs."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "1.yml").write_text(rule(1), encoding="utf-8")
    (folder / "2.yml").write_text(rule(2), encoding="utf-8")
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "store": {"kind": "memory"}, "rules": {"shipped": False, "directories": [folder]}})
    with open_app(settings, Actor("an"), pipeline=True) as app:
        found = Watched(app, folder)
        found.reloader.start()
        yield found
        found.reloader.stop()


def test_changed_files_come_into_force_and_are_recorded(watched: Watched) -> None:
    """Added, removed and changed rules are named with hash before and after; application and pipeline have the new set."""
    before = watched.reloader.loaded.hash
    watched.write("1.yml", rule(1, "accept"))
    watched.write("3.yml", rule(3))
    (watched.folder / "2.yml").unlink()
    watched.until(lambda: watched.titles == ["R1", "R3"])
    watched.until(lambda: watched.reloader.loaded.manifest.keys() == {f"{NAME}1", f"{NAME}3"})
    after = watched.reloader.loaded.hash
    assert watched.used[-1] == after == watched.app.classifier.hash != before
    changed = [name for fact in watched.facts() for name in fact["changed"]]
    assert f"{NAME}1" in changed
    assert [name for fact in watched.facts() for name in fact["added"] if name.endswith("3")] == [f"{NAME}3"]
    assert f"{NAME}2" in [name for fact in watched.facts() for name in fact["removed"]]
    assert (watched.facts()[-1]["hash"], watched.facts()[-1]["cause"], watched.facts()[-1]["by"]) == (after, "files", "an")


def test_nothing_is_taken_over_but_between_batches(watched: Watched) -> None:
    """A loaded set waits until the worker asks for it; until then the old one is in force and nothing is recorded."""
    before = watched.reloader.loaded.hash
    watched.write("3.yml", rule(3))
    wait_until(lambda: watched.reloader.due, what="the loaded set")
    assert watched.reloader.loaded.hash == before == watched.app.classifier.hash
    assert watched.facts() == []
    watched.reloader.switch()
    assert watched.titles == ["R1", "R2", "R3"]
    assert len(watched.facts()) == 1
    assert not watched.reloader.due
    watched.reloader.switch()
    assert len(watched.facts()) == 1


def test_a_rule_that_breaks_keeps_the_whole_set_before(watched: Watched) -> None:
    """Also what was changed rightly at the same time waits; it is told once, and when the file is mended everything is in force."""
    watched.write("2.yml", rule(2).replace("condition: sel", "condition: other"))
    watched.write("3.yml", rule(3))
    watched.until(lambda: watched.alerts)
    watched.look_again()
    assert watched.titles == ["R1", "R2"]
    assert watched.facts() == []
    (alert,) = watched.alerts
    assert (alert.rule.kind, alert.rule.level, alert.group_key) == ("health", "high", {"path": str(watched.folder / "2.yml")})
    assert alert.explanation["errors"][0]["path"].endswith("2.yml")
    assert watched.metrics.counts["soc_rules_reloads_total kept"] >= 1
    assert watched.metrics.gauges == {"soc_rules_refused": 1}
    watched.write("4.yml", rule(4))
    watched.look_again()
    assert watched.titles == ["R1", "R2"]
    assert len(watched.alerts) == 1
    watched.write("2.yml", rule(2, "accept"))
    watched.until(lambda: watched.titles == ["R1", "R2", "R3", "R4"])
    assert watched.metrics.counts["soc_rules_reloads_total live"] == 1
    assert watched.metrics.gauges == {"soc_rules_refused": 0}


EXCEPTION = f"""\
title: Ours
id: {NAME}8
logsource: {{category: firewall}}
filter: {{rules: [{NAME}1], selection: {{source.ip: 192.0.2.1}}, condition: not selection}}
soc: {{owner: an, reason: r, expires: never}}
"""


@pytest.mark.parametrize(
    ("name", "text", "broken"),
    [
        ("8.yml", EXCEPTION, EXCEPTION.replace("expires: never", "expires: soon")),
        ("values.yml", "admins: [root]\n", "admins: root\n"),
        ("5.yml", rule(5) + "---\n" + rule(6), rule(5) + "---\n" + rule(6).replace("condition: sel", "condition: other")),
    ],
)
def test_whatever_worked_and_breaks_keeps_the_set_before(watched: Watched, name: str, text: str, broken: str) -> None:
    """An exception would alert again, a list would match nothing, one document of a file is a rule like any."""
    watched.write(name, text)
    watched.write("3.yml", rule(3))
    watched.until(lambda: "R3" in watched.titles)
    watched.write("7.yml", rule(7))  # whatever was written before is in force when this is
    watched.until(lambda: "R7" in watched.titles)
    before, facts = watched.reloader.loaded.hash, len(watched.facts())
    watched.write(name, broken)
    watched.write("4.yml", rule(4))
    watched.until(lambda: watched.alerts)
    assert (watched.reloader.loaded.hash, len(watched.facts())) == (before, facts)
    watched.write(name, text)
    watched.until(lambda: "R4" in watched.titles)


def test_an_old_error_holds_nothing_back(watched: Watched) -> None:
    """A file with a rule that never worked: taking its good rule out is a change like any."""
    bad = rule(9).replace("condition: sel", "condition: other")
    watched.write("5.yml", bad + "---\n" + rule(5))
    watched.until(lambda: "R5" in watched.titles)
    watched.write("5.yml", bad)
    watched.until(lambda: "R5" not in watched.titles)


def test_a_kept_set_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    """No path of it leads out of its folder."""
    for name in ("../x.yml", "/etc/x.yml", "a/../../x.yml"):
        with pytest.raises(StoreCorrupt):
            unpack(Archive([{name: b"title: x"}]), tmp_path / name.replace("/", "_"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_new_rule_that_is_broken_is_left_out(watched: Watched) -> None:
    """The others come into force, as at start; the error is told once and stands in the fact."""
    watched.write("3.yml", rule(3).replace("condition: sel", "condition: other"))
    watched.write("4.yml", rule(4))
    watched.until(lambda: watched.titles == ["R1", "R2", "R4"] and watched.alerts)
    assert len(watched.alerts) == 1
    watched.until(lambda: any(fact["errors"] for fact in watched.facts()))
    assert watched.facts()[-1]["errors"][0]["path"].endswith("3.yml")
    assert [error.path for error in watched.app.rule_errors] == [str(watched.folder / "3.yml")]


def test_a_folder_that_goes_away_keeps_the_set_before(watched: Watched) -> None:
    """A mount that is gone must not switch detection off."""
    watched.folder.rename(watched.folder.with_name("elsewhere"))
    watched.until(lambda: watched.alerts)
    assert watched.titles == ["R1", "R2"]
    watched.folder.with_name("elsewhere").rename(watched.folder)


def test_a_request_is_answered(watched: Watched) -> None:
    """Who asks with a fact gets the outcome: same, live with by whom, or kept with the errors."""
    store = watched.app.store
    store.record_fact(REQUEST_FACT, {"id": "q1", "at": "2026-11-21T00:00:00.000Z", "by": "binh"})
    watched.until(lambda: watched.facts(ANSWER_FACT))
    assert [(fact["request"], fact["outcome"]) for fact in watched.facts(ANSWER_FACT)] == [("q1", "same")]
    watched.write("2.yml", "title: nothing\n")
    store.record_fact(REQUEST_FACT, {"id": "q2", "at": "2026-11-21T00:00:00.000Z", "by": "binh"})
    watched.until(lambda: len(watched.facts(ANSWER_FACT)) == 2)
    assert watched.facts(ANSWER_FACT)[1]["outcome"] == "kept"
    assert watched.facts(ANSWER_FACT)[1]["errors"][0]["path"].endswith("2.yml")


def test_who_asks_waits_for_the_answer(watched: Watched) -> None:
    """Another command sees what would change, asks, and gets the outcome with the hash that is in force then."""
    watched.write("3.yml", rule(3))
    settings = watched.app.settings
    beside = App(settings, Actor("binh"), watched.app.clock, watched.app.metrics, watched.app.wiring)
    beside.__dict__["store"] = watched.app.store
    found = checked(beside)
    assert (found.change.added, found.titles[f"{NAME}3"]) == ([f"{NAME}1", f"{NAME}2", f"{NAME}3"], "R3")  # no set was ever recorded
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(ask(beside, wait_s=300)))
    asking.start()
    watched.until(lambda: answers)
    asking.join()
    assert (answers[0]["outcome"], answers[0]["hash"]) in {("live", found.hash), ("same", found.hash)}
    assert ask(beside, wait_s=0) is None


def test_recorded_states_count_without_a_change_of_files(watched: Watched) -> None:
    """A rule that is switched off, or made a shadow, by a fact: the set changes, and the fact says by whom."""
    watched.app.store.record_fact(STATE_FACT, {"rule": f"{NAME}2", "state": "disabled", "by": "binh"})
    watched.until(lambda: watched.titles == ["R1"])
    assert (watched.facts()[-1]["cause"], watched.facts()[-1]["by"], watched.facts()[-1]["removed"]) == ("state", "binh", [f"{NAME}2"])
    watched.app.store.record_fact(STATE_FACT, {"rule": f"{NAME}2", "state": "enabled", "by": "binh"})
    watched.app.store.record_fact(STATE_FACT, {"rule": f"{NAME}1", "state": "shadow", "by": "chi"})
    watched.until(lambda: watched.titles == ["R1", "R2"] and any(one.shadow for one in watched.reloader.loaded.engine.rules))
    assert watched.facts()[-1]["changed"] == [f"{NAME}1"]


def test_every_set_can_be_had_again_by_its_hash(watched: Watched) -> None:
    """The store keeps the sources: the set of before, loaded from them, has the same hash and the same rules."""
    watched.write("1.yml", rule(1, "accept"))
    watched.until(watched.facts)
    first = watched.facts()[-1]["hash"]
    watched.write("1.yml", rule(1, "close"))
    watched.until(lambda: len(watched.facts()) == 2)
    again = kept_set(watched.app.store, first[:8])
    watched.app.store.record_fact(STATE_FACT, {"rule": f"{NAME}2", "state": "shadow", "by": "chi"})
    watched.until(lambda: len(watched.facts()) == 3)  # other rules out of the same files: those are kept once
    third = kept_set(watched.app.store, watched.facts()[-1]["hash"])
    assert [rule.shadow for rule in third.engine.rules] == [False, True]
    kept = {name for fact in watched.facts() for name in watched.app.store.facts(SET_FACT + fact["hash"])[0]["roots"]}
    assert len(kept) == 2
    assert all(len(watched.app.store.facts(ROOT_FACT + name)) == 1 for name in kept)
    assert again.hash == first != watched.reloader.loaded.hash
    assert again.manifest == kept_manifest(watched.app.store, first)
    assert again.engine.classify({"soc.kind": "firewall", "event.action": "accept"}).matches


def test_what_cannot_be_recorded_is_not_in_force(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store gives no answer the old set stays; afterwards the new one follows."""

    def away(_kind: str, _fact: Any) -> None:
        raise StoreUnavailable("the store is away")

    watched.write("3.yml", rule(3))
    wait_until(lambda: watched.reloader.due, what="the loaded set")
    with monkeypatch.context() as patch:
        patch.setattr(watched.app.store, "record_fact", away)
        with pytest.raises(StoreUnavailable):
            watched.reloader.switch()
        assert watched.titles == ["R1", "R2"]
        assert watched.used == []
    watched.reloader.switch()
    assert watched.titles == ["R1", "R2", "R3"]
