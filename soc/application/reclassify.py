"""Recorded reclassification: a wrong class is repaired openly, and both figures can be shown (contract 9)."""

from __future__ import annotations

from pathlib import Path

from soc.application.access import require
from soc.application.app import App
from soc.clock import iso
from soc.config import RulesSettings
from soc.errors import Phrase, UsageError
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.level import CATEGORIES, THREAT_LEVELS
from soc.model.record import SCOPE_REAL
from soc.ports import EventQuery

STREAM = "reclassification"
"""The stream of the journal that says who had events reclassified; the store keeps the same as a fact of its own."""


def reclassify(app: App, *, query: EventQuery, level: str = "", category: str = "", rules_dir: Path | None = None, why: str, dry_run: bool) -> dict[str, int]:
    """Give the events of a query another class: a stated one, or what the present (or given) rules say.

    Returns counts: `seen`, `changed`, and each `old→new`. With `dry_run` nothing is written. The fact holds who, why,
    period, query and rule hash before and after; each event keeps its former classes in `soc.threat.previous`.
    Raises: UsageError without a reason, or for an unknown level or category.
    """
    require(app, "rules.retract")
    if not why.strip():
        raise UsageError("a reclassification needs a reason", hint="--why '…'")
    if level and level not in THREAT_LEVELS:
        raise UsageError(Phrase("no threat level is named {level!r}", level=level), hint=Phrase("one of {names}", names=", ".join(reversed(THREAT_LEVELS))))
    if category and category not in CATEGORIES:
        raise UsageError(Phrase("no threat category is named {category!r}", category=category), hint=Phrase("one of {names}", names=", ".join(CATEGORIES)))
    if level:
        rules_hash = ""

        def change(doc: Doc) -> tuple[str, str] | None:
            return (level, category or str(doc.get("soc.threat.category", "")) if level != "none" else "")

    else:
        classifier = app.classifier if rules_dir is None else app.wiring.classifier(RulesSettings(directories=[rules_dir], shipped=False))[0]
        rules_hash = classifier.hash

        def change(doc: Doc) -> tuple[str, str] | None:
            verdict = classifier.classify(doc)
            return (verdict.level, verdict.category)

    fact = {
        "by": app.actor.name,
        "why": why,
        "at": iso(app.clock.now_us()),
        "since": iso(query.since_us) if query.since_us is not None else "",
        "until": iso(query.until_us) if query.until_us is not None else "",
        "level": level,
        "category": category,
        "rules_hash": rules_hash,
    }
    counts = app.store.reclassify(query, lambda doc: _different(doc, change(doc)), fact=fact, dry_run=dry_run)
    if not dry_run:
        data = {name: value for name, value in fact.items() if value and name not in ("by", "why", "at")} | {"counts": counts}
        app.journal.append(STREAM, ANY_VERSION, [NewFact("EventsReclassified", data, why)], actor=app.actor.name, scope=query.scope or SCOPE_REAL)
    return counts


def _different(doc: Doc, new: tuple[str, str] | None) -> tuple[str, str] | None:
    old = (str(doc.get("soc.threat.level", "none")), str(doc.get("soc.threat.category", "")))
    return None if new is None or new == old else new
