"""A wave of mails is one group of all of them, and one command says into whose mailboxes it came."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from soc.application.app import Actor
from soc.application.reached import events_of, reached, size_of
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings, StoreSettings
from soc.errors import NotFound
from soc.model.alert import AlertGroup
from soc.model.fact import NewFact
from soc.ports import AlertQuery
from tests.cli.conftest import Run, soc
from tests.contracts.samples import DAY, T0, alert, batch, event

__all__ = ["soc"]
DELIVERED_TO = "soc__mail__delivered_to"


def items(soc: Run, *words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer of a list and its items."""
    done = soc(*words, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    return answer, answer["items"]


def test_a_wave_of_5000_mails_is_one_group_and_its_recipients_are_listed_by_agency(soc: Run, tmp_path: Path) -> None:
    """300 senders, 40 subjects, 60 delivered: real log lines through the whole pipeline; the list reads back as an annex of a notice."""
    folder = tmp_path / "wave"
    assert soc("demo", "--scene", "spam-wave", "--folder", str(folder)).code == 0
    store = ("--store", str(folder))
    _, groups = items(soc, "alerts", "list", *store)
    [wave] = [one for one in groups if one["rule"]["title"] == "Wave of spam or phishing"]
    assert (wave["count"], wave["events"], list(wave["key"])) == (1, 5_000, ["soc.mail.campaign"])
    with open_app(Settings(store=StoreSettings(path=folder), data_dir=folder, read_only=True), Actor("an")) as app:
        [group] = [one for one in app.store.alert_groups(AlertQuery(limit=10))[1] if one.id == wave["id"]]
        docs = app.store.get_events(list(events_of(app, group)))
    assert len(docs) == 5_000
    assert len({doc["email.from.address"] if isinstance(doc["email.from.address"], str) else doc["email.from.address"][0] for doc in docs}) == 300
    assert len({doc["email.subject"] for doc in docs}) == 40
    answer, agencies = items(soc, "alerts", "recipients", wave["id"][:12], *store)
    assert (answer["events"], answer["delivered"], answer["mailboxes"]) == (5_000, 60, 60)
    assert sum(one["count"] for one in agencies) == 60
    assert all(one["agency"] and one["name"] for one in agencies)
    owners = {one["address"]: one["agency"] for one in items(soc, "mailboxes", "list", *store)[1]}
    assert all(owners[box] == one["agency"] for one in agencies for box in one["mailboxes"])
    told = soc("alerts", "recipients", wave["id"], "--each", "--csv", *store)
    rows = list(csv.DictReader(told.out.splitlines()))
    assert (len(rows), {"agency", "item"} <= set(rows[0])) == (60, True)
    annex = tmp_path / "annex.csv"
    annex.write_text("agency,item\n" + "".join(f"{row['agency']},{row['item']}\n" for row in rows), encoding="utf-8")
    made = soc("notices", "new", "Thu hồi thư giả mạo", "--annex", str(annex), "--json", *store)
    assert made.code == 0, made.err


def test_what_the_registry_does_not_know_belongs_to_no_agency_and_every_episode_counts(tmp_path: Path) -> None:
    """Mailbox, else domain, else nothing; each event once, however many alerts name it; alerts and groups may be named together."""
    with open_app(Settings(store=StoreSettings(path=tmp_path / "store"), data_dir=tmp_path), Actor("an"), clock=FrozenClock(T0 + DAY), pipeline=True) as app:
        rows = {
            "agencies": [{"id": "so-a", "name": "Sở A", "level": "department", "domains": ["a.vn"]}],
            "mailboxes": [{"address": "x@b.vn", "agency": "so-a"}],
        }
        for kind, entries in rows.items():
            app.journal.append(f"registry/{kind}", 0, [NewFact("RegistryImported", {"kind": kind, "rows": entries})], actor="an")
        to: tuple[dict[str, Any], ...] = ({DELIVERED_TO: ["X@b.vn", "y@a.vn"]}, {DELIVERED_TO: ["z@c.vn"]}, {}, {DELIVERED_TO: ["x@b.vn"]})
        events = [event(n, kind="mail", **fields) for n, fields in enumerate(to)]
        found = [alert(one, key="wave") for one in events]
        for one in found[:2]:
            one.events = [one.events[0], *(each.id for each in events[:3])]
            one.explanation = {"node": "correlation", "count": 7_000, "children": []}
        found[3].explanation = {"node": "correlation", "count": 5, "children": []}
        app.store.commit(batch(*events, alerts=found))
        [group] = app.store.alert_groups(AlertQuery())[1]
        assert size_of(app, group, found[3].explanation) == 14_006
        assert size_of(app, group, found[2].explanation) == group.count == 4
        seen = reached(app, [group.id, found[0].id])
        assert (seen.events, seen.delivered, [(box.address, box.agency, box.mails) for box in seen.boxes]) == (
            4,
            3,
            [("z@c.vn", "", 1), ("x@b.vn", "so-a", 2), ("y@a.vn", "so-a", 1)],
        )
        assert [(agency, len(boxes)) for agency, boxes in seen.by_agency()] == [("so-a", 2), ("", 1)]
        with pytest.raises(NotFound):
            reached(app, ["g-nothing"])
        assert isinstance(group, AlertGroup)
