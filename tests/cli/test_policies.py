"""`soc policies` and `soc playbooks` as people call them, on a real store, killed for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from soc.application.app import Actor
from soc.bootstrap import open_app
from soc.clock import SystemClock
from soc.config import Settings, StoreSettings
from tests.cli.conftest import Run
from tests.contracts.samples import alert, batch, event

MALWARE = "3775a20d-448a-4d8a-b366-1e7d3eaab581"
POINTS = (
    "policies.decided",
    "policies.recorded",
    "policies.reserved",
    "policies.opened",
    "policies.told",
    "policies.paged",
    "policies.done",
    "outbox.recorded",
)


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, str]:
    """A store with malware let through at two agencies an hour ago, twice at one, and a lead with a mail address."""
    folder = tmp_path / "s"
    begin = SystemClock().now_us() - 3_600_000_000
    with open_app(Settings(store=StoreSettings(path=folder), data_dir=tmp_path), Actor("an"), pipeline=True) as app:
        events = [event(n, ts_us=begin + n * 60_000_000) for n in range(3)]
        agencies = ("so-yt", "so-yt", "xa-a")
        app.store.commit(
            batch(*events, alerts=[alert(one, rule=MALWARE, rule_level="critical", key=f"10.0.0.{n}", agency=agencies[n]) for n, one in enumerate(events)])
        )
    return ("--store", str(folder))


def register(soc: Run, tmp_path: Path, store: tuple[str, str]) -> None:
    """An agency and a lead."""
    (tmp_path / "a.csv").write_text("id,name,level\nso-yt,Sở Y tế,department\nxa-a,Xã A,commune\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text("id,name,agency,role,email\nlan,Chị Lan,so-yt,lead,lan@example.gov.vn\n", encoding="utf-8")
    assert soc("agencies", "import", str(tmp_path / "a.csv"), "--yes", *store).code == 0
    assert soc("people", "import", str(tmp_path / "p.csv"), "--yes", *store).code == 0


def test_policies_are_rehearsed_run_and_switched(soc: Run, tmp_path: Path, store: tuple[str, str]) -> None:
    """The rehearsal says what the run then does; a second run does nothing; off means off."""
    register(soc, tmp_path, store)
    rehearsed = json.loads(soc("policies", "test", "malware-let-through", "--since", "2d", "--json", *store).out)["items"]
    assert [(one["groups"], one["opened"], one["joined"], one["messages"], one["pages"]) for one in rehearsed] == [(3, 2, 1, 2, 2)]
    assert json.loads(soc("incidents", "list", "--json", *store).out)["total"] == 0
    said = soc("policies", "test", "--since", "2d", *store)
    assert ("malware-let-through" in said.out, said.code) == (True, 0)
    ran = json.loads(soc("policies", "run", "--json", *store).out)
    assert [(one["policy"], one["opened"], one["joined"], len(one["incidents"])) for one in ran["items"]] == [("malware-let-through", 2, 1, 2)]
    assert "nothing" in soc("policies", "run", *store).err
    items = json.loads(soc("incidents", "list", "--json", *store).out)["items"]
    assert sorted(one["agencies"] for one in items) == [["so-yt"], ["xa-a"]]
    shown = soc("incidents", "show", "1", *store)
    assert "malware@2: 0 of 8 done" in shown.out
    assert "malware-let-through" in shown.out
    whole = json.loads(soc("incidents", "show", "1", "--json", *store).out)["item"]
    assert (whole["playbooks"][0]["total"], whole["policy"]) == (8, "malware-let-through")
    assert soc("policies", "disable", "malware-let-through", "--reason", "thử", *store).code == 0
    assert soc("policies", "disable", "malware-let-through", "--reason", "thử", *store).code == 6
    listed = {one["name"]: one for one in json.loads(soc("policies", "list", "--json", *store).out)["items"]}
    assert (listed["malware-let-through"]["running"], listed["malware-let-through"]["why"]) == (False, "thử")
    assert soc("policies", "enable", "malware-let-through", *store).code == 0
    one = json.loads(soc("policies", "show", "malware-let-through", "--json", *store).out)["item"]
    assert (one["did"]["real"]["incidents"], one["did"]["real"]["pending"]) == (2, 0)
    assert "malware" in soc("policies", "show", "malware-let-through", *store).out
    assert soc("policies", "show", "nothing", *store).code == 1
    assert "silence.minutes" in soc("policies", "fields").out
    assert json.loads(soc("audit", "verify", "--json", *store).out)["ok"] is True


def test_who_is_reached_by_nobody_is_named(soc: Run, tmp_path: Path, store: tuple[str, str]) -> None:
    """The list and the doctor name each policy that would tell or call nobody, and what to do; a lead with an address mends it."""
    before = {one["name"]: one["reaches_nobody"] for one in json.loads(soc("policies", "list", "--json", *store).out)["items"]}
    assert before["malware-let-through"] == ["lead", "on-call"]
    assert "gọi trực" in soc("--lang", "vi", "policies", "list", *store).out
    assert "malware-let-through reaches nobody: lead" in soc("policies", "list", *store).err
    found = json.loads(soc("doctor", "--json", *store).out)["items"]
    assert any(
        one["state"] == "warn" and "reach nobody" in one["text"] and "malware-let-through (lead" in one["text"] for one in found if one["name"] == "policy"
    )
    register(soc, tmp_path, store)
    after = {one["name"]: one["reaches_nobody"] for one in json.loads(soc("policies", "list", "--json", *store).out)["items"]}
    assert after["malware-let-through"] == []


def test_a_retraction_names_the_incidents_that_it_reached(soc: Run, tmp_path: Path, store: tuple[str, str]) -> None:
    """Those withdrawn, those that people act on; undoing it names those that came back."""
    register(soc, tmp_path, store)
    assert soc("policies", "run", *store).code == 0
    assert soc("incidents", "triage", "2", "--class", "malicious-code/infected-system", *store).code == 0
    assert soc("incidents", "contain", "2", *store).code == 0
    first, second = (one["id"] for one in sorted(json.loads(soc("incidents", "list", "--json", *store).out)["items"], key=lambda one: str(one["id"])))
    said = soc("rules", "retract", MALWARE, "--from", "1d", "--reason", "sai", "--yes", *store)
    assert (said.code, first in said.err.partition("people act")[0], second in said.err.partition("people act")[2]) == (0, True, True)
    defect = json.loads(soc("rules", "retractions", "--json", *store).out)["items"][0]["id"]
    undone = json.loads(soc("rules", "unretract", defect, "--reason", "đúng", "--json", *store).out)
    assert undone["incidents"] == {"restored": [first]}


def test_own_files_are_checked(soc: Run, tmp_path: Path) -> None:
    """Files, folders and names; what is wrong is told with file and line, and the exit code says so."""
    assert soc("policies", "lint").code == 0
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yml").write_text(
        'title: {vi: a, en: b}\nwhen: rule.id:no-such\nthen:\n    open: {title: {vi: "a", en: "b"}, playbook: none}\n', encoding="utf-8"
    )
    (own / "bad.yml").write_text("title: {vi: a, en: b}\nwhen: rule.id:(\nthen: {page: true}\n", encoding="utf-8")
    found = soc("policies", "lint", str(own), "--json")
    items = json.loads(found.out)["items"]
    assert found.code == 1
    assert {(one["policy"], one["line"]) for one in items} == {("", 2), ("mine", 0)}
    reasons = " ".join(one["reason"] for one in items)
    assert all(word in reasons for word in ("no-such", "none", "no cases", "bad.yml:2"))
    assert soc("policies", "lint", str(own / "mine.yml")).code == 1
    assert soc("policies", "lint", "nothing").code == 1
    assert soc("policies", "lint", "malware-let-through").code == 0


def test_playbooks_are_listed_shown_checked_and_started(soc: Run, tmp_path: Path) -> None:
    """In both languages; tasks appear in the incident, and finishing one shows."""
    store = ("--store", str(tmp_path / "s"))
    assert json.loads(soc("playbooks", "list", "--json").out)["total"] >= 8
    assert "Cách ly máy" in soc("--lang", "vi", "playbooks", "show", "ransomware").out
    assert "Take the infected computers" in soc("playbooks", "show", "ransomware").out
    assert json.loads(soc("playbooks", "show", "ddos", "--json").out)["item"]["name"] == "ddos"
    assert soc("playbooks", "lint").code == 0
    soc("incidents", "new", "Máy bị mã hóa", "--detected", "1h", *store)
    added = json.loads(soc("incidents", "playbook", "1", "ransomware", "--json", *store).out)
    assert (added["total"], added["items"][0]["origin"]) == (10, "ransomware@1#isolate")
    assert soc("incidents", "playbook", "1", "ransomware", *store).code == 6
    assert soc("incidents", "task-done", "1", "t1", "--result", "xong", *store).code == 0
    shown = soc("incidents", "show", "1", *store).out
    assert "ransomware@1: 1 of 10 done" in shown
    assert "1. Rút dây" in soc("-v", "incidents", "show", "1", *store).out
    bad = tmp_path / "mine.yml"
    bad.write_text("title: {vi: a, en: b}\nversion: 1\n", encoding="utf-8")
    told = soc("playbooks", "lint", str(bad), "--json")
    assert (told.code, json.loads(told.out)["total"]) == (1, 1)
    text = soc("playbooks", "show", "ddos", "--json").out
    assert "soc sources status" in text


@pytest.mark.parametrize("point", POINTS)
def test_after_kill_9_at_any_step_nothing_is_done_twice_and_nothing_left_out(soc: Run, tmp_path: Path, store: tuple[str, str], point: str) -> None:
    """A real process, a real kill, the embedded store; then one run: two incidents with three groups and all tasks, two messages, two calls."""
    register(soc, tmp_path, store)
    environment = {**os.environ, "SOC_TEST_CRASH": point, "HOME": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-m", "soc", "policies", "run", *store], env=environment, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert soc("policies", "run", *store).code == 0
    assert "nothing" in soc("policies", "run", *store).err
    names = [one["id"] for one in json.loads(soc("incidents", "list", "--json", *store).out)["items"]]
    whole = [json.loads(soc("incidents", "show", name, "--json", *store).out)["item"] for name in sorted(names)]
    assert [(len(one["alerts"]), len(one["tasks"]), one["agencies"]) for one in whole] == [(2, 8, ["so-yt"]), (1, 8, ["xa-a"])]
    with open_app(Settings(store=StoreSettings(path=Path(store[1])), data_dir=tmp_path), Actor("an")) as app:
        kinds = [fact.kind for fact in app.journal.latest(10_000)]
    assert (kinds.count("IncidentOpened"), kinds.count("PageRaised")) == (2, 2)
    assert kinds.count("MessageDue") == 2 + kinds.count("PageSent"), "each lead once per incident, and the calls"
    assert json.loads(soc("audit", "verify", "--json", *store).out)["ok"] is True
