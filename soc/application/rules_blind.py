"""Which rules cannot see: while every source that feeds them is silent, or because no configured source ever could.

What a source can feed follows from its settings (the product's parser) and, once it is heard, from what it has sent: a rule
is called blind only when nothing speaks against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from soc.application.app import App
from soc.clock import iso
from soc.config import SourceBase
from soc.ingest.registry import installed
from soc.model.query import Term
from soc.ports import EventQuery
from soc.rules.ast import LogSource, Rule
from soc.rules.collection import Collection
from soc.rules.correlation import Correlation
from soc.rules.fields import Taxonomy, has_events, taxonomy

LOOK_BACK_US = 30 * 86_400_000_000
"""How far back a silent source is asked what it used to send."""
_EVERY_MEMBER = ("temporal", "temporal_ordered")

Place = Mapping[str, frozenset[str] | None]
"""What the routing fields of a source's events may be; None = anything."""


class Blindness(msgspec.Struct, frozen=True):
    """Why a rule sees nothing. `silent`: all that feed it are silent, `since` the first fell silent; `unfed`: nothing feeds it."""

    state: Literal["silent", "unfed"]
    sources: tuple[str, ...] = ()
    since: str = ""


def blind_rules(app: App, collection: Collection, *, silent: Mapping[str, int] | None = None) -> dict[str, Blindness]:
    """The rules of a collection that are blind now, by id. `silent`: sources to be taken as silent, and since when, beside those of the store.

    Without any configured source every line that comes is recognised, so only log sources without events are unfed.
    Cost: one question to the store per silent source and routing field; none when nothing is silent.
    """
    names = taxonomy()
    sources = {name: source for name, source in app.settings.sources.items() if source.scope == "real"}
    quiet = {gap.source: gap.from_us for gap in app.store.gaps() if not gap.until_us and gap.source in sources} | dict(silent or {})
    places = {name: _possible(source) for name, source in sources.items()}
    observed = {name: _observed(app, name, names) for name in quiet if name in sources}
    known: dict[LogSource, Blindness | None] = {}

    def of_source(logsource: LogSource) -> Blindness | None:
        if logsource not in known:
            known[logsource] = _blind(logsource, places, observed, quiet, names)
        return known[logsource]

    blind = {rule.id: found for rule in collection.ruleset.rules if (found := of_source(rule.logsource))}
    for correlation in collection.correlations:  # children stand before their parents
        members = [blind.get(member) for member in correlation.rules]
        gone = [one for one in members if one is not None]
        if gone and (len(gone) == len(members) or correlation.type in _EVERY_MEMBER):
            blind[correlation.id] = gone[0]
    return blind


def blinded_by(app: App, collection: Collection, silent: Mapping[str, int]) -> dict[str, list[Rule | Correlation]]:
    """Per source that falls silent now the rules that are blind meanwhile, and would not be if it spoke."""
    found: dict[str, list[Rule | Correlation]] = {name: [] for name in silent}
    rules: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    blind = blind_rules(app, collection, silent=silent)
    for rule in rules:
        why = blind.get(rule.id)
        for name in why.sources if why is not None else ():
            if name in found:
                found[name].append(rule)
    return found


def _blind(
    logsource: LogSource, places: Mapping[str, Place], observed: Mapping[str, Place | None], quiet: Mapping[str, int], names: Taxonomy
) -> Blindness | None:
    if not has_events(logsource, names):
        return Blindness("unfed")
    if not places:
        return None
    feeding = [name for name, place in places.items() if _may_feed(logsource, place, names)]
    if not feeding:
        return Blindness("unfed")
    sending = [name for name in feeding if (seen := observed.get(name)) is None or _may_feed(logsource, seen, names)]
    feeding = sending or feeding
    if any(name not in quiet for name in feeding):
        return None
    return Blindness("silent", tuple(sorted(feeding)), iso(max(quiet[name] for name in feeding)))


def _may_feed(logsource: LogSource, place: Place, names: Taxonomy) -> bool:
    """Whether events of the log source may come from a place."""
    for kind in ("category", "product", "service"):
        name = getattr(logsource, kind)
        tables = names.route.get(kind, {}).get(name, {}).get("any", []) if name else [{}]
        if not any(all((known := place.get(field)) is None or known & set(values) for field, values in table.items()) for table in tables):
            return False
    return True


def _possible(source: SourceBase) -> Place:
    """What the settings say of a source: with a product its parser is tried first, so that is what is expected of it."""
    if not source.product:
        return {}
    parser = installed().get(source.product)
    vendor = parser.name.partition("_")[0]
    modules = _modules()
    place: dict[str, frozenset[str] | None] = {"event.module": frozenset({vendor}) if vendor in modules else None}
    if vendor in modules and vendor != "cef":  # CEF is spoken by devices of every kind
        place["soc.kind"] = frozenset({parser.kind})
    return place


def _modules() -> set[str]:
    """The modules that log sources ask for."""
    route: Any = taxonomy().route
    return {value for kind in route.values() for entry in kind.values() for table in entry["any"] for value in table.get("event.module", ())}


def _observed(app: App, name: str, names: Taxonomy) -> Place | None:
    """What a source has sent lately, as far as routing looks; None when it was not heard."""
    now = app.clock.now_us()
    query = EventQuery(where=Term("soc.source", name), since_us=now - LOOK_BACK_US)
    place: dict[str, frozenset[str] | None] = {}
    for field in names.routing:
        values = frozenset(value for value, _count in app.store.facets(query, field, most=100))
        if not values and field == "soc.kind":
            return None
        place[field] = values
    return place
