"""Rules that cannot see: their sources are silent, or there are none."""

from __future__ import annotations

from typing import Any

import pytest

from soc.application.app import App
from soc.application.rules_blind import Blindness, blind_rules, blinded_by
from soc.clock import iso
from soc.config import KafkaSource, Settings, SyslogSource
from soc.ports import Effects, Gap, Store
from soc.rules.collection import Collection, load_collection
from tests.application.test_rules_backtest import LOGIN, app_on, correlation, rule, write
from tests.contracts.conftest import Rig
from tests.contracts.samples import HOUR, T0, batch, event

ANY = {"condition": "selection", "selection": {"user.name": "x"}}


@pytest.fixture
def collection(tmp_path: Any) -> Collection:
    """Rules on firewalls, VPN, mail, Windows and everything, and two correlations."""
    path = write(
        tmp_path,
        rule("firewall", LOGIN),
        rule("vpn", ANY, logsource={"product": "fortinet", "service": "vpn"}),
        rule("mail", ANY, logsource={"category": "mail"}),
        rule("windows", ANY, logsource={"product": "windows"}),
        correlation("often", "firewall"),
        correlation("both", "firewall", type="temporal", rules=["firewall", "mail"], condition={"gte": 2}),
    )
    found, errors, _notes = load_collection([path])
    assert not errors
    return found


def with_sources(store: Store, **sources: Any) -> App:
    """An application with these sources."""
    app = app_on(store)
    app.settings = Settings(sources=sources)
    return app


def syslog(product: str = "", scope: str = "real") -> SyslogSource:
    """A syslog source."""
    return SyslogSource(type="syslog", udp="127.0.0.1:5514", product=product, scope=scope)


def states(app: App, collection: Collection) -> dict[str, str]:
    """The blind rules by title."""
    titles = {one.id: one.title for one in collection.ruleset.rules} | {one.id: one.title for one in collection.correlations}
    return {titles[name]: why.state for name, why in blind_rules(app, collection).items()}


def silence(store: Store, *sources: str, since: int = T0, until: int = 0) -> None:
    """Gaps of sources."""
    store.commit(Effects(progress=[], gaps=[Gap(source, "real", since, until, "silent", 300.0) for source in sources]))


def test_without_sources_only_what_no_event_can_be_is_blind(rig: Rig, collection: Collection) -> None:
    """Whatever comes is recognised."""
    assert states(with_sources(rig.open()), collection) == {"windows": "unfed"}


def test_a_source_of_a_product_feeds_what_its_parser_makes(rig: Rig, collection: Collection) -> None:
    """With a firewall alone the rules on mail have no source; a source of any kind may bring anything."""
    store = rig.open()
    assert states(with_sources(store, fw=syslog("fortinet_fortigate")), collection) == {"windows": "unfed", "mail": "unfed", "both": "unfed"}
    assert states(with_sources(store, mx=syslog("postfix")), collection) == {
        "windows": "unfed",
        "firewall": "unfed",
        "vpn": "unfed",
        "often": "unfed",
        "both": "unfed",
    }
    assert states(with_sources(store, fw=syslog("fortinet_fortigate"), relay=KafkaSource(type="kafka", topics=["x"])), collection) == {"windows": "unfed"}
    assert "mail" in states(with_sources(store, fw=syslog("fortinet_fortigate"), mx=syslog("postfix", scope="exercise:x")), collection)


def test_rules_are_blind_while_all_that_feed_them_are_silent(rig: Rig, collection: Collection) -> None:
    """One of two firewalls silent blinds nothing; both do, until one speaks again."""
    store = rig.open()
    app = with_sources(store, fw1=syslog("fortinet_fortigate"), fw2=syslog("fortinet_fortigate"), mx=syslog("postfix"))
    silence(store, "fw1")
    rig.settle()
    assert states(app, collection) == {"windows": "unfed"}
    silence(store, "fw2", since=T0 + HOUR)
    rig.settle()
    assert states(app, collection) == {"windows": "unfed", "firewall": "silent", "vpn": "silent", "often": "silent", "both": "silent"}
    firewall = next(one for one in collection.ruleset.rules if one.title == "firewall")
    assert blind_rules(app, collection)[firewall.id] == Blindness("silent", ("fw1", "fw2"), iso(T0 + HOUR))
    silence(store, "fw2", since=T0 + HOUR, until=T0 + 2 * HOUR)
    rig.settle()
    assert states(app, collection) == {"windows": "unfed"}


def test_what_a_silent_source_used_to_send_decides_what_it_blinds(rig: Rig, collection: Collection) -> None:
    """A relay that sent mail only does not blind the firewall's rules, whatever it might have sent."""
    store = rig.open()
    app = with_sources(store, fw=syslog("fortinet_fortigate"), relay=syslog())
    store.commit(batch(*(event(seq, source="relay", partition="relay/0", kind="mail", event__module="postfix") for seq in range(3))))
    silence(store, "relay")
    rig.settle()
    assert states(app, collection) == {"windows": "unfed", "mail": "silent", "both": "silent"}
    silence(store, "fw")
    rig.settle()
    firewall = next(one for one in collection.ruleset.rules if one.title == "firewall")
    assert blind_rules(app, collection)[firewall.id].sources == ("fw",)


def test_a_silence_names_the_rules_that_it_blinds(rig: Rig, collection: Collection) -> None:
    """Those that see nothing from now on, and none that another source feeds."""
    store = rig.open()
    app = with_sources(store, fw1=syslog("fortinet_fortigate"), fw2=syslog("fortinet_fortigate"), mx=syslog("postfix"))
    assert blinded_by(app, collection, {"fw1": T0}) == {"fw1": []}
    silence(store, "fw2")
    rig.settle()
    found = blinded_by(app, collection, {"fw1": T0})
    assert [one.title for one in found["fw1"]] == ["firewall", "vpn", "often", "both"]
