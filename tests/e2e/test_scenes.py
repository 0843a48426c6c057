"""The scenes of single incidents, played through the real pipeline into an embedded store: each raises what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application import alerts
from soc.application.app import Actor, App
from soc.application.demo.play import play_scene
from soc.application.demo.scenarios import SCENES, files
from soc.bootstrap import open_app
from soc.cli.demo import SCENE_NAMES
from soc.clock import Clock, SystemClock, to_datetime
from soc.config import Settings, StoreSettings
from soc.model.query import All
from soc.ports import AlertQuery, EventQuery
from tests.conftest import NOW_US

EXPECTED = {
    "spam-wave": {"Wave of bad mails gets through", "Wave of spam or phishing", "Phishing words in a Vietnamese subject"},
    "account-takeover": {
        "One account sends very many mails",
        "One account sends from many networks",
        "One account sends under many senders",
        "Mailbox entered after many failed logins",
    },
    "gateway-silent": {"Source has gone silent"},
    "wrong-rule": set(),
    "ransomware": {
        "Inside host contacts a botnet server",
        "Severe attack seen by the firewall but not stopped",
        "Severe attack from an inside host",
        "Infected computer keeps calling its botnet",
    },
}


def _opening(settings: Settings, clock: Clock) -> App:
    return open_app(settings, Actor("an"), pipeline=True, clock=clock)


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_scene_raises_what_its_name_says(name: str, tmp_path: Path) -> None:
    """The open groups by title; and every event of a private address or mailbox has its agency."""
    settings = Settings(store=StoreSettings(kind="embedded", path=tmp_path / "store"), data_dir=tmp_path)
    played = play_scene(_opening, settings, tmp_path / "lines", SCENES[name], clock=SystemClock())
    assert played.totals.stored == sum(played.files.values())
    with open_app(settings, Actor("an")) as app:
        _, groups = alerts.groups(app, AlertQuery(limit=0))
        assert {group.rule.title for group in groups} == EXPECTED[name]
        assert len(groups) == len(EXPECTED[name]), "one wave is one group"
        if name in {"ransomware", "wrong-rule"}:
            found = app.store.search(EventQuery(All(), limit=20))
            assert {doc["soc.agency.id"] for doc in found.docs} == {"so-yt" if name == "ransomware" else "so-tc"}


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_scene_is_the_same_each_time(name: str) -> None:
    """One seed and one moment give one text; no line is later than the moment that the scene ends at."""
    now = to_datetime(NOW_US)
    first, again, other = files(SCENES[name], 1, now), files(SCENES[name], 1, now), files(SCENES[name], 2, now)
    assert first == again
    assert other != first


def test_the_command_knows_every_scene() -> None:
    """What the help offers is what there is."""
    assert sorted(SCENES) == list(SCENE_NAMES)
