"""Suppressions: what one would have hidden, adding, listing and ending them, and which groups they hide."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import identity, local_time, take
from soc.clock import from_iso, iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.model.alert import AlertGroup
from soc.model.fact import NewFact
from soc.ports import AlertQuery
from soc.triage.suppression import OF_GROUPS, PREFIX, Suppression, fits, fold

PREVIEW_US = 7 * 86_400_000_000
MOST_FIELDS = 20
MOST_VALUE = 1_000
MOST_REASON = 2_000
_STEM = "SUP-"
_ALL = 1_000_000_000


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """The fields of a suppression.

    Raises: UsageError.
    """
    if not given or len(given) > MOST_FIELDS:
        raise UsageError(Phrase("a suppression needs between 1 and {count} fields", count=MOST_FIELDS), hint="--field rule=ID --field source.ip=203.0.113.5")
    for name, value in given.items():
        if not name.strip() or not value.strip() or len(name) > MOST_VALUE or len(value) > MOST_VALUE:
            raise UsageError(
                Phrase("{field}: a name and a value are needed", field=name[:80] or "?"),
                hint=Phrase("known beside the fields of the group's key: {names}", names=", ".join(OF_GROUPS)),
            )
    return {name.strip(): value.strip() for name, value in sorted(given.items())}


def preview(app: App, given: Mapping[str, str], *, scope: str = "real", since_us: int | None = None) -> list[AlertGroup]:
    """The groups with an alert in the last 7 days (or since a time) that such a suppression would have hidden, newest first."""
    since = app.clock.now_us() - PREVIEW_US if since_us is None else since_us
    fields = checked(given)
    return [group for group in _groups(app, AlertQuery(scope=scope, since_us=since), fields) if fits(fields, group)]


def add(app: App, given: Mapping[str, str], *, until_us: int, reason: str, begin_us: int | None = None, scope: str = "real") -> Suppression:
    """Hide groups from now (or `begin_us`) on until a time, both in event time.

    Raises: UsageError.
    """
    begin = may_be(app, given, until_us=until_us, reason=reason, begin_us=begin_us)
    fact = NewFact("SuppressionAdded", {"fields": checked(given), "begin": iso(begin), "until": iso(until_us)}, reason.strip())
    stored = take(app, PREFIX + _STEM, fact, scope=scope, busy="too many suppressions are added at the same moment")
    return fold([one.fact for one in stored])


def may_be(app: App, given: Mapping[str, str], *, until_us: int, reason: str, begin_us: int | None = None) -> int:
    """When such a suppression would begin, if there may be one: asked before its preview is shown.

    Raises: UsageError.
    """
    require(app, "suppressions.change")
    now = app.clock.now_us()
    begin = now if begin_us is None else begin_us
    if not reason.strip() or len(reason) > MOST_REASON:
        raise UsageError("a suppression needs a reason", hint="--reason TEXT")
    if until_us <= max(now, begin):
        raise UsageError(
            Phrase("{field}: {value} does not lie in the future", field="expires", value=local_time(app, until_us)), hint="--expires 7d, or a date"
        )
    checked(given)
    return begin


def listed(app: App) -> list[Suppression]:
    """All suppressions, the newest first."""
    return [fold([one.fact for one in facts]) for _, facts in app.journal.under(PREFIX)][::-1]


def in_force(app: App) -> list[Suppression]:
    """Those that hide anything at all: their end lies after their beginning."""
    return [one for one in listed(app) if one.begin < one.until]


def end(app: App, name: str, reason: str = "") -> Suppression:
    """End a suppression now; what it hid while it held stays hidden until something newer comes.

    Raises: NotFound, Conflict when it has ended.
    """
    require(app, "suppressions.change")
    stream = PREFIX + identity(_STEM, name)
    facts = app.journal.read(stream)
    if not facts:
        raise NotFound(Phrase("there is no suppression {name}", name=name), hint="soc suppressions list")
    found = fold([one.fact for one in facts])
    now = iso(app.clock.now_us())
    if found.until <= now:
        raise Conflict(Phrase("{id} has ended", id=found.id), hint="soc suppressions list")
    app.journal.append(stream, found.version, [NewFact("SuppressionEnded", {"until": now}, reason)], actor=app.actor.name, scope=found.scope)
    return fold([one.fact for one in app.journal.read(stream)])


def hidden(app: App, query: AlertQuery) -> dict[str, tuple[AlertGroup, str]]:
    """By id of a group of a query the group and the suppression that hides it.

    Cost: one query of groups per suppression, narrow when it names a rule.
    """
    out: dict[str, tuple[AlertGroup, str]] = {}
    for one in in_force(app):
        if query.scope not in (None, one.scope):
            continue
        since = max(from_iso(one.begin), query.since_us or 0)
        for group in _groups(app, msgspec.structs.replace(query, since_us=since), one.fields):
            if one.hides(group):
                out.setdefault(group.id, (group, one.id))
    return out


def _groups(app: App, query: AlertQuery, fields: Mapping[str, str]) -> list[AlertGroup]:
    """The groups of a query, narrowed by what the store can narrow by itself."""
    rule, level = fields.get("rule", ""), fields.get("level", "")
    if (rule and query.rule not in ("", rule)) or (level and query.levels and level not in query.levels):
        return []
    narrowed = msgspec.structs.replace(query, rule=rule or query.rule, levels=(level,) if level else query.levels, limit=_ALL, offset=0)
    return app.store.alert_groups(narrowed)[1]
