"""Retro-hunt: what rules would have said of stored events, found by a narrow search as by reading everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.adapters.metrics import NoMetrics
from soc.application.app import Actor, App
from soc.application.rules_backtest import Backtest, backtest
from soc.application.rules_choice import choose
from soc.bootstrap import _Wiring
from soc.clock import FrozenClock
from soc.config import RulesSettings, Settings
from soc.errors import NotFound
from soc.model.event import Event
from soc.ports import Store
from tests.contracts.conftest import STORES, Rig, make_rig
from tests.contracts.samples import DAY, HOUR, SECOND, T0, batch, event

USERS = ("admin", "Admin", "root", "ĐẶNG", "đặng", "a*b", "adminx")
PORTS = (22, 443, 3389)


def app_on(store: Store, rules: RulesSettings | None = None) -> App:
    """An application over an open store."""
    configured = Settings(rules=rules or RulesSettings(shipped=False))
    clock = FrozenClock(T0 + DAY)
    app = App(configured, Actor("lan"), clock, NoMetrics(), _Wiring(configured, clock, NoMetrics()))
    app.__dict__["store"] = store
    return app


def rule(name: str, detection: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rule as YAML has it."""
    return {
        "title": name,
        "id": f"00000000-0000-4000-8000-{crc32(name.encode()):012d}",
        "name": name,
        "status": "test",
        "description": name,
        "logsource": {"category": "firewall"},
        "detection": detection,
        "level": "high",
        **more,
    }


def correlation(name: str, of: str, **more: Any) -> dict[str, Any]:
    """A correlation as YAML has it."""
    inner = {"type": "event_count", "rules": [of], "group-by": ["user.name"], "timespan": "60s", "condition": {"gte": 3}, "generate": True, **more}
    return {
        "title": name,
        "id": f"00000000-0000-4000-9000-{crc32(name.encode()):012d}",
        "name": name,
        "status": "test",
        "level": "high",
        "correlation": inner,
    }


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    """A file of rules."""
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump_all(documents, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


LOGIN = {"selection": {"user.name": "admin", "destination.port": 22}, "condition": "selection"}


def some() -> list[Event]:
    """600 events over ten minutes, of two kinds and two scopes; every 20th is a login of admin on port 22."""
    out = []
    for seq in range(600):
        fields: dict[str, Any] = {"user__name": "Admin" if seq % 20 == 0 else "guest", "destination__port": 22 if seq % 2 == 0 else 443}
        out.append(event(seq, kind="mail" if seq % 7 == 6 else "firewall", scope="exercise:x" if seq % 100 == 60 else "real", **fields))
    return out


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with `some` events."""
    rig = make_rig(request.param, tmp_path_factory.mktemp("hunt"), request)
    store = rig.open()
    store.commit(batch(*some()))
    rig.settle()
    yield store
    rig.close()


def hunt(store: Store, path: Path | str, *, since: int = T0, until: int = T0 + HOUR, **more: Any) -> Backtest:
    """A backtest of the rules of a path."""
    app = app_on(store)
    return backtest(app, choose(app.settings.rules, str(path)), since_us=since, until_us=until, **more)


def test_a_rule_is_hunted_in_the_stored_events(store: Store, tmp_path: Path) -> None:
    """Each match once, by day and group, with examples that explain themselves; few events are read for it."""
    found = hunt(store, write(tmp_path, rule("login", LOGIN)), examples=3)
    wanted = [one for one in some() if one.seq % 20 == 0 and one.kind == "firewall" and one.scope == "real"]
    [figures] = found.rules
    assert figures.alerts == len(wanted) == sum(figures.days.values())
    assert [hit.events[0] for hit in found.examples] == [one.id for one in wanted[:3]]
    assert found.examples[0].explanation["matched"] is True
    assert (figures.groups, figures.biggest[0][1]) == (1, len(wanted))
    assert figures.most_per_hour == len(wanted)
    assert found.stored == sum(one.scope == "real" for one in some())
    assert found.read < found.stored / 5
    assert found.narrowed


def test_a_correlation_is_folded_over_the_stream(store: Store, tmp_path: Path) -> None:
    """Logins of admin every 20 s, with holes where mail and the exercise are: the episodes are those of the definition."""
    path = write(tmp_path, rule("login", LOGIN), correlation("often", "login"))
    found = hunt(store, path, examples=0)
    everything = hunt(store, path, examples=0, narrow=False)
    assert {one.title: one.alerts for one in found.rules} == {
        "login": hunt(store, write(tmp_path, rule("login", LOGIN))).alerts,
        "often": found.rules[1].alerts,
    }
    assert found.rules[1].alerts >= 1
    assert [hit.window is not None for hit in found.examples if hit.title == "often"] == [True] * found.rules[1].alerts
    assert results(found) == results(everything)
    assert everything.read >= everything.stored > found.read


def test_a_repeated_line_counts_in_no_correlation(rig: Rig, tmp_path: Path) -> None:
    """As in the pipeline: three lines of which two repeat one occurrence are two events, so two logins, not three."""
    store = rig.open()
    store.commit(batch(*(event(seq, user__name="admin", destination__port=22, counted=seq != 1) for seq in range(3))))
    rig.settle()
    found = hunt(store, write(tmp_path, rule("login", LOGIN), correlation("often", "login")))
    assert [one.alerts for one in found.rules] == [3, 0]
    assert hunt(store, write(tmp_path, rule("login", LOGIN), correlation("often", "login", condition={"gte": 2}))).rules[1].alerts == 1


def test_what_began_before_the_period_counts_in_it(store: Store, tmp_path: Path) -> None:
    """A window that reaches back before `--since` is complete; alerts before it are not told."""
    path = write(tmp_path, rule("login", LOGIN), correlation("often", "login", condition={"gte": 2}, timespan="20s"))
    whole = hunt(store, path, examples=0)
    half = hunt(store, path, since=T0 + 300 * SECOND, examples=0)
    later = [hit for hit in whole.examples if hit.title == "login" and hit.ts >= half.since]
    assert [hit for hit in half.examples if hit.title == "login"] == later
    assert all(hit.ts >= half.since for hit in half.examples)


def test_absence_is_told_by_the_end_of_the_period(store: Store, tmp_path: Path) -> None:
    """A rule on silence fires in the hour after the last event."""
    path = write(tmp_path, rule("login", LOGIN), correlation("quiet", "login", condition={"lt": 1}, timespan="10m", **{"group-by": []}))
    found = hunt(store, path, examples=0)
    assert found.rules[1].title == "quiet"
    assert found.rules[1].alerts >= 1
    assert results(found) == results(hunt(store, path, examples=0, narrow=False))


def results(found: Backtest) -> tuple[Any, ...]:
    """All that a backtest says of alerts."""
    return found.rules, found.examples


def test_the_scope_and_the_period_bound_the_hunt(store: Store, tmp_path: Path) -> None:
    """An exercise is hunted only when asked for; before the events nothing is found."""
    path = write(tmp_path, rule("login", LOGIN))
    drill = hunt(store, path, scope="exercise:x")
    assert 0 < drill.alerts < hunt(store, path).alerts
    assert hunt(store, path, scope=None).alerts == drill.alerts + hunt(store, path).alerts
    assert hunt(store, path, since=T0 - DAY, until=T0).alerts == 0


def test_rules_see_no_field_that_the_pipeline_sets_after_them(store: Store, tmp_path: Path) -> None:
    """A rule that names the class of an event finds nothing here, as it does in the stream."""
    path = write(tmp_path, rule("class", {"selection": {"soc.threat.level": "none"}, "condition": "selection"}))
    assert hunt(store, path).alerts == 0


def test_a_rule_whose_log_source_has_no_events_reads_nothing(store: Store, tmp_path: Path) -> None:
    """It is said that it can never match."""
    found = hunt(store, write(tmp_path, rule("windows", LOGIN, logsource={"product": "windows"})))
    assert (found.read, found.rules[0].fed) == (0, False)


def test_a_storm_is_forecast(store: Store, tmp_path: Path) -> None:
    """Alerts beyond the limit of an hour are counted."""
    path = write(tmp_path, rule("login", LOGIN))
    app = app_on(store, RulesSettings(shipped=False, storm_per_hour=10))
    found = backtest(app, choose(app.settings.rules, str(path)), since_us=T0, until_us=T0 + HOUR)
    assert found.rules[0].in_storm == found.rules[0].alerts - 10


def test_an_average_day_is_one_since_events_are_stored(store: Store, tmp_path: Path) -> None:
    """Ten minutes of events in a month are told as one day's; what happened in the month before them is not known to be nothing."""
    found = hunt(store, write(tmp_path, rule("login", LOGIN)), since=T0 - 29 * DAY, until=T0 + DAY)
    assert found.rules[0].per_day == found.rules[0].alerts


# --- narrowing changes nothing ------------------------------------------------------------------------------------------

field_tests: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(
        st.sampled_from(("user.name", "user.name|contains", "user.name|startswith", "user.name|endswith", "user.name|cased", "user.name|re")),
        st.sampled_from(("admin", "min", "đặng", "ĐẶNG", "x", "a\\*b", "a*")),
    ),
    st.tuples(st.sampled_from(("destination.port", "destination.port|gte", "destination.port|lt")), st.sampled_from(PORTS)),
    st.tuples(st.sampled_from(("source.ip|cidr",)), st.sampled_from(("10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"))),
    st.tuples(st.just("user.name"), st.none()),
    st.tuples(st.just("email.subject|exists"), st.booleans()),
)
selections = st.lists(field_tests, min_size=1, max_size=3).map(dict)
terms = st.sampled_from(("one", "not one", "one and two", "one or two", "one and not two", "1 of them", "all of them", "not (one or two)"))
sources = st.sampled_from(({"category": "firewall"}, {"category": "mail"}, {"product": "fortinet"}, {"product": "fortinet", "service": "vpn"}))


@st.composite
def rules(draw: Callable[..., Any]) -> list[dict[str, Any]]:
    """One to three rules, and perhaps a correlation over the first."""
    out = []
    for number in range(draw(st.integers(1, 3))):
        detection = {"one": draw(selections), "two": draw(selections), "condition": draw(terms)}
        out.append(rule(f"r{number}", detection, logsource=draw(sources)))
    if draw(st.booleans()):
        kind = draw(
            st.sampled_from(
                (("event_count", {"gte": 2}, {}), ("value_count", {"gte": 2, "field": "destination.port"}, {}), ("event_count", {"lt": 1}, {"group-by": []}))
            )
        )
        out.append(correlation("c", "r0", type=kind[0], condition=kind[1], timespan=draw(st.sampled_from(("5s", "60s", "10m"))), **kind[2]))
    return out


def varied() -> list[Event]:
    """Events in which every field of the rules is there, absent, or a list."""
    out = []
    for seq in range(160):
        fields: dict[str, Any] = {}
        if seq % 5:
            fields["user__name"] = [USERS[seq % 7], USERS[seq % 3]] if seq % 11 == 0 else USERS[seq % 7]
        if seq % 3:
            fields["destination__port"] = PORTS[seq % 3] if seq % 13 else [22, 443]
        if seq % 4:
            fields["source__ip"] = ("10.0.0.1", "2001:db8::1", "203.0.113.7", "::ffff:10.0.0.1")[seq % 4]
        if seq % 8 == 0:
            fields["email__subject"] = "xin chào"
        if seq % 2:
            fields["event__module"] = "fortinet"
            fields["fortinet__firewall__subtype"] = "vpn" if seq % 6 == 1 else "forward"
        out.append(event(seq, kind=("firewall", "mail", "other")[seq % 3], **fields))
    return out


@pytest.fixture(scope="module", params=STORES)
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path, int]]:
    """A store with varied events, a folder for rules, and how many examples to try."""
    folder = tmp_path_factory.mktemp("mixed")
    rig = make_rig(request.param, folder, request)
    store = rig.open()
    store.commit(batch(*varied()))
    rig.settle()
    yield store, folder, 30 if rig.name == "elasticsearch" else 150
    rig.close()


def test_narrowing_changes_no_result(mixed: tuple[Store, Path, int]) -> None:
    """Whatever the rules: the narrow search finds what asking about every event finds."""
    store, folder, most = mixed

    @settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(documents=rules())
    def check(documents: list[dict[str, Any]]) -> None:
        path = write(folder, *documents)
        try:
            narrow = hunt(store, path, examples=0)
        except NotFound:
            return  # the rules were refused: nothing to compare
        whole = hunt(store, path, examples=0, narrow=False)
        assert results(narrow) == results(whole)
        assert narrow.read <= whole.read

    check()
