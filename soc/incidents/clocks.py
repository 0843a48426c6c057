"""What has to be reported until when: a pure function of an incident's facts and the regime in force when it was detected.

Nothing is stored but facts, so a corrected time of detection moves every deadline visibly and deletes nothing. Obligations of
an incident that nobody has confirmed are tentative; those of a rejected or merged one are void, with the reason.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import yaml

from soc.clock import from_iso, iso, to_datetime
from soc.errors import ConfigError, Phrase
from soc.incidents.model import Incident
from soc.incidents.workflow import CLOSED, MERGED, NEW, REJECTED

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""Law counts days where it is in force."""
# Reference: `72h`, `5d`
_WITHIN = re.compile(r"(\d{1,4})(h|d)")
_UNIT_US = {"h": 3_600_000_000, "d": 86_400_000_000}


class Rule(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """An obligation as a regime states it. `when`: facts of the incident that must hold; `from`: detected, or closed."""

    id: str
    clock: Literal["cyber", "personal-data"]
    title: dict[str, str]
    within: str
    to: str
    source: str
    when: dict[str, str | bool] = {}
    from_: Literal["detected", "closed"] = "detected"
    unverified: str = ""


class Regime(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A body of law with the days on which it counts (both inclusive)."""

    id: str
    title: dict[str, str]
    incident: str
    obligations: tuple[Rule, ...]
    from_: date | None = None
    until: date | None = None


class Obligation(msgspec.Struct, frozen=True):
    """One duty of one incident. `due_at`: RFC 3339 UTC ("" = what it counts from has not happened yet)."""

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
                    _span_us(rule.within)
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


def _span_us(text: str) -> int:
    found = _WITHIN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no period (72h, 5d)")
    return int(found[1]) * _UNIT_US[found[2]]


def obligations(incident: Incident, now_us: int) -> list[Obligation]:
    """What has to be reported of an incident, by due time."""
    regime = regimes().get(incident.regime) or regime_at(incident.detected_at)
    found = [_obligation(incident, rule, now_us) for rule in regime.obligations if _applies(incident, rule)]
    return sorted(found, key=lambda one: (not one.due_at, one.due_at, one.id))


def _applies(incident: Incident, rule: Rule) -> bool:
    if rule.id in incident.reports:
        return True  # what was met stays, also when the facts changed afterwards
    return all(getattr(incident, name) == wanted for name, wanted in rule.when.items())


def _obligation(incident: Incident, rule: Rule, now_us: int) -> Obligation:
    begin = incident.detected_at if rule.from_ == "detected" else incident.entered.get(CLOSED, "")
    due_us = from_iso(begin) + _span_us(rule.within) if begin else 0
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
        incident.reason if state == "void" else "",
        rule.unverified,
    )


def next_due(found: list[Obligation]) -> str:
    """The earliest time at which something is due that was not done ("" = nothing)."""
    return min((one.due_at for one in found if one.state in ("tentative", "due", "overdue")), default="")


def is_overdue(found: list[Obligation]) -> bool:
    """Whether something is overdue."""
    return any(one.state == "overdue" for one in found)
