"""What has to be reported until when: a pure function of an incident's facts and the regime in force when it was detected.

Nothing is stored but facts, so a corrected time of detection moves every deadline visibly and deletes nothing. Obligations of
an incident that nobody has confirmed are tentative; those of a rejected or merged one are void, with the reason.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import yaml

from soc.clock import from_datetime, from_iso, iso, to_datetime
from soc.errors import ConfigError, Phrase
from soc.incidents.model import Incident
from soc.incidents.workflow import CLOSED, MERGED, NEW, REJECTED
from soc.organization.calendar import unverified, working_days_after

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""Law counts days where it is in force."""
# Reference: `72h`, `5d`, `5wd` (working days)
_WITHIN = re.compile(r"(\d{1,3})(h|d|wd)")
_UNIT_US = {"h": 3_600_000_000, "d": 86_400_000_000}


class Rule(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """An obligation as a regime states it. `when`: facts of the incident that must hold; `from`: detected, or closed.

    `within`: `72h`, `5d` (days of 24 hours), `5wd` (working days: the day itself does not count, the last one ends at midnight).
    `since`, `until`: days of detection on which it counts (both inclusive); `in_force`: since when its source has been, where the regime is older.
    """

    id: str
    clock: Literal["cyber", "personal-data"]
    title: dict[str, str]
    within: str
    to: str
    source: str
    when: dict[str, str | bool] = {}
    from_: Literal["detected", "closed"] = "detected"
    unverified: str = ""
    since: date | None = None
    until: date | None = None
    in_force: date | None = None


class Regime(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A body of law with the days on which it counts (both inclusive)."""

    id: str
    title: dict[str, str]
    incident: str
    obligations: tuple[Rule, ...]
    from_: date | None = None
    until: date | None = None


class Planned(msgspec.Struct, frozen=True):
    """A deadline as it once stood: known `since`, until a change (`ended_at`, by whom, why) moved or voided it ("" = it stands)."""

    regime: str
    id: str
    due_at: str
    since: str
    ended_at: str = ""
    ended_by: str = ""
    reason: str = ""


class Obligation(msgspec.Struct, frozen=True):
    """One duty of one incident. `due_at`: RFC 3339 UTC ("" = what it counts from has not happened yet).

    `begin_at`: what it counts from; `since`: when the deadline as it stands came to be known; `earlier`: as it stood before.
    """

    id: str
    clock: str
    title: dict[str, str]
    to: str
    source: str
    due_at: str
    state: Literal["tentative", "due", "overdue", "met", "met-late", "void", "waiting"]
    met_at: str = ""
    reference: str = ""
    reason: str = ""
    unverified: str = ""
    begin_at: str = ""
    since: str = ""
    earlier: tuple[Planned, ...] = ()


@lru_cache(maxsize=1)
def regimes() -> dict[str, Regime]:
    """All regimes that are shipped, by id.

    Raises: ConfigError naming the file.
    """
    found = {}
    for file in sorted(files("soc.incidents").joinpath("regimes").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yml"):
            try:
                regime = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Regime)
                for rule in regime.obligations:
                    due_after(0, rule.within)
            except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
                raise ConfigError(Phrase("this is no regime: {error}", error=error), file=file.name) from error
            found[regime.id] = regime
    return found


def regime_at(detected_at: str) -> Regime:
    """The regime in force when an incident was detected."""
    day = to_datetime(from_iso(detected_at)).astimezone(ZONE).date()
    for regime in regimes().values():
        if (regime.from_ is None or regime.from_ <= day) and (regime.until is None or day <= regime.until):
            return regime
    raise ConfigError(Phrase("no regime is in force on {day}", day=day), hint="add one to soc/incidents/regimes")


def due_after(begin_us: int, within: str) -> int:
    """When a period that begins then is over. Units: microseconds since 1970.

    Raises: ValueError for what is no period.
    """
    found = _WITHIN.fullmatch(within)
    if found is None:
        raise ValueError(f"{within!r} is no period (72h, 5d, 5wd)")
    count, unit = int(found[1]), found[2]
    if unit != "wd":
        return begin_us + count * _UNIT_US[unit]
    last = working_days_after(_local_day(begin_us), count)
    return from_datetime(datetime.combine(last + timedelta(days=1), time(), ZONE))


def _local_day(us: int) -> date:
    return to_datetime(us).astimezone(ZONE).date()


def obligations(incident: Incident, now_us: int) -> list[Obligation]:
    """What has to be reported of an incident, by due time; what once had to be and no longer has is void, with the reason."""
    past = history(incident)
    regime = regimes().get(incident.regime) or regime_at(incident.detected_at)
    found = [_obligation(incident, rule, now_us, [one for one in past if one.id == rule.id]) for rule in regime.obligations if _applies(incident, rule)]
    found += _lapsed({one.id for one in found}, past)
    return sorted(found, key=lambda one: (not one.due_at, one.due_at, one.id))


def _applies(incident: Incident, rule: Rule) -> bool:
    if rule.id in incident.reports and _counts(incident, rule):
        return True  # what was met stays, also when the facts changed afterwards
    return _holds(incident, rule)


def _counts(values: Incident, rule: Rule) -> bool:
    """Whether a rule is law for what was detected on that day."""
    if rule.since is None and rule.until is None:
        return True
    day = _local_day(from_iso(values.detected_at))
    return (rule.since is None or rule.since <= day) and (rule.until is None or day <= rule.until)


def _holds(values: Incident, rule: Rule) -> bool:
    return _counts(values, rule) and all(getattr(values, name) == wanted for name, wanted in rule.when.items())


def _begin(incident: Incident, rule: Rule) -> str:
    """What a rule counts from ("" = it has not happened): an incident that was reopened is not closed."""
    if rule.from_ == "detected":
        return incident.detected_at
    return incident.entered.get(CLOSED, "") if incident.state == CLOSED else ""


def _obligation(incident: Incident, rule: Rule, now_us: int, past: list[Planned]) -> Obligation:
    begin = _begin(incident, rule)
    due_us = due_after(from_iso(begin), rule.within) if begin else 0
    report: dict[str, Any] = incident.reports.get(rule.id, {})
    met_at = str(report.get("at", ""))
    state: Any
    if met_at:
        state = "met-late" if due_us and from_iso(met_at) > due_us else "met"
    elif incident.state in (REJECTED, MERGED):
        state = "void"
    elif not due_us:
        state = "waiting"
    elif incident.state == NEW:
        state = "tentative"
    else:
        state = "overdue" if now_us > due_us else "due"
    stands = [one for one in past if not one.ended_at]
    return Obligation(
        rule.id,
        rule.clock,
        rule.title,
        rule.to,
        rule.source,
        iso(due_us) if due_us else "",
        state,
        met_at,
        str(report.get("reference", "")),
        _void_reason(incident) if state == "void" else "",
        _unverified(incident, rule, begin, due_us),
        begin,
        max(stands[-1].since, _revived(incident)) if stands else "",
        tuple(one for one in past if one.ended_at),
    )


def _revived(incident: Incident) -> str:
    """When an incident that was rejected or merged became one again ("" = never)."""
    return max((one.at for one in incident.changes if one.field == "state" and one.before in (REJECTED, MERGED)), default="")


def _void_reason(incident: Incident) -> str:
    return incident.reason or (f"→ {incident.merged_into}" if incident.state == MERGED else "")


def _unverified(incident: Incident, rule: Rule, begin: str, due_us: int) -> str:
    """What a jurist must still confirm: of the rule, of its source on the day of detection, and of the calendar where working days are counted."""
    found = [rule.unverified] if rule.unverified else []
    if rule.in_force is not None and _local_day(from_iso(incident.detected_at)) < rule.in_force:
        found.append(f"phát hiện trước ngày {rule.in_force:%d/%m/%Y}, khi văn bản này có hiệu lực")
    if due_us and rule.within.endswith("wd"):
        found += unverified(_local_day(from_iso(begin)), _local_day(due_us - 1))
    return "; ".join(found)


def _lapsed(standing: set[str], past: list[Planned]) -> list[Obligation]:
    """What the incident once owed and, after a change of its facts, owes no longer."""
    out: dict[str, Obligation] = {}
    for one in past:
        rule = next((rule for rule in regimes()[one.regime].obligations if rule.id == one.id), None)
        if rule is not None and one.id not in standing and one.ended_at:
            earlier = tuple(other for other in past if other.id == one.id)
            out[one.id] = Obligation(
                rule.id, rule.clock, rule.title, rule.to, rule.source, one.due_at, "void", reason=one.reason, unverified=rule.unverified, earlier=earlier
            )
    return list(out.values())


def history(incident: Incident) -> list[Planned]:
    """Every deadline that the incident ever had, in the order in which they came to be known; a corrected time of detection deletes none.

    Deadlines follow from the facts alone here: whether the incident was confirmed, rejected or reported plays no part.
    """
    values = msgspec.structs.replace(incident, entered={})
    for change in reversed(incident.changes):
        setattr(values, change.field, change.before)
    closings = iter([one.begin for one in incident.intervals if one.state == CLOSED])
    out: list[Planned] = []
    open_ = _advance(values, {}, out, incident.opened_at, "", "")
    for _, changes in groupby(incident.changes, lambda one: one.fact):
        for change in changes:
            setattr(values, change.field, change.after)
            if change.field == "state" and change.after == CLOSED:
                values.entered = {CLOSED: next(closings, change.at)}
        open_ = _advance(values, open_, out, change.at, change.by, change.reason)
    return [*out, *open_.values()]


def _advance(values: Incident, before: dict[str, Planned], out: list[Planned], at: str, by: str, reason: str) -> dict[str, Planned]:
    """The deadlines that stand after a change; those that no longer do go to `out`."""
    regime = regimes().get(values.regime) or regime_at(values.detected_at)
    now = {}
    for rule in regime.obligations:
        begin = _begin(values, rule) if _holds(values, rule) else ""
        if begin:
            now[rule.id] = iso(due_after(from_iso(begin), rule.within))
    after = {}
    for name, one in before.items():
        if now.get(name) == one.due_at:
            after[name] = one
        else:
            out.append(msgspec.structs.replace(one, ended_at=at, ended_by=by, reason=reason))
    for name, due_at in now.items():
        if name not in after:
            after[name] = Planned(regime.id, name, due_at, at)
    return after


def next_due(found: list[Obligation]) -> str:
    """The earliest time at which something is due that was not done ("" = nothing)."""
    return min((one.due_at for one in found if one.state in ("tentative", "due", "overdue")), default="")


def is_overdue(found: list[Obligation]) -> bool:
    """Whether something is overdue."""
    return any(one.state == "overdue" for one in found)
