"""Recorded reclassification: a wrong class is repaired openly, and both figures can be shown (contract 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from soc.application.access import require
from soc.application.app import App
from soc.application.in_force import Tell, await_pipeline, no_word
from soc.application.ruleset import RULES_FACT
from soc.clock import iso
from soc.config import RulesSettings
from soc.errors import Phrase, UsageError
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.level import CATEGORIES, THREAT_LEVELS
from soc.model.query import to_text
from soc.model.record import SCOPE_REAL
from soc.ports import EventQuery

MOST_SETS = 100
"""Former rule sets that a fact names: they change seldom."""
EVERY = 1_000
"""Events between two reports of progress."""
STREAM = "reclassification"
"""The stream of the journal that says who had events reclassified; the store keeps the same as a fact of its own."""


def reclassify(
    app: App,
    *,
    query: EventQuery,
    level: str = "",
    category: str = "",
    rules_dir: Path | None = None,
    why: str,
    dry_run: bool,
    progress: Callable[[int], None] = lambda _count: None,
    tell: Tell = no_word,
) -> dict[str, int]:
    """Give the events of a query another class: a stated one, or what the present (or given) rules say.

    Of a stated class what is not named stays. Returns counts: `seen`, `changed`, and each `old→new`. With `dry_run` nothing is
    written. `progress` gets how many events were seen. The fact holds who, why, period, query, the rule sets that had judged the changed events (`rules_before`) and the one
    that judges them now (`rules_hash`, "" for a stated class); each event keeps its former classes in `soc.threat.previous`.
    Raises: UsageError without a reason, for an unknown level or category, or for a stated class and rules together.
    """
    require(app, "rules.retract")
    if not why.strip():
        raise UsageError("a reclassification needs a reason", hint="--why '…'")
    if level and level not in THREAT_LEVELS:
        raise UsageError(Phrase("no threat level is named {level!r}", level=level), hint=Phrase("one of {names}", names=", ".join(reversed(THREAT_LEVELS))))
    if category and category not in CATEGORIES:
        raise UsageError(Phrase("no threat category is named {category!r}", category=category), hint=Phrase("one of {names}", names=", ".join(CATEGORIES)))
    if (level or category) and rules_dir is not None:
        raise UsageError("a class is stated or comes from rules, not both", hint="leave out --rules, or --level and --category")
    if level or category:
        rules_hash = ""

        def stated(doc: Doc) -> tuple[str, str]:
            now = level or str(doc.get("soc.threat.level", "none"))
            return (now, (category or str(doc.get("soc.threat.category", ""))) if now != "none" else "")

        judge = stated
    else:
        own = None if rules_dir is None else RulesSettings(directories=[rules_dir], shipped=False, timezone=app.settings.rules_in_zone.timezone)
        classifier = app.classifier if own is None else app.wiring.classifier(own)[0]
        rules_hash = classifier.hash

        def judged(doc: Doc) -> tuple[str, str]:
            verdict = classifier.classify(doc)
            return (verdict.level, verdict.category)

        judge = judged
    before: list[str] = []
    seen = count(1)

    def change(doc: Doc) -> tuple[str, str] | None:
        number = next(seen)
        if not number % EVERY:
            progress(number)
        new = _different(doc, judge(doc))
        was = str(doc.get("soc.rules_hash", ""))
        if new is not None and was and was not in before and len(before) < MOST_SETS:
            before.append(was)
        return new

    fact: dict[str, Any] = {
        "by": app.actor.name,
        "why": why,
        "at": iso(app.clock.now_us()),
        "since": iso(query.since_us) if query.since_us is not None else "",
        "until": iso(query.until_us) if query.until_us is not None else "",
        "level": level,
        "category": category,
        "query": to_text(query.where),
        "rules_before": before,
        "rules_hash": rules_hash,
    }
    if not dry_run and rules_hash and rules_dir is None:
        await_pipeline(app, RULES_FACT, "hash", rules_hash, tell)
    if not dry_run:  # first: whatever is killed, what was changed has somebody's name
        _record(app, "ReclassificationBegun", fact, why, query)
    counts = app.store.reclassify(query, change, fact=fact, dry_run=dry_run)
    if not dry_run:
        _record(app, "EventsReclassified", {**fact, "counts": counts}, why, query)
    return counts


def _record(app: App, kind: str, fact: Mapping[str, Any], why: str, query: EventQuery) -> None:
    data = {name: value for name, value in fact.items() if value and name not in ("by", "why", "at")}
    app.journal.append(STREAM, ANY_VERSION, [NewFact(kind, data, why)], actor=app.actor.name, scope=query.scope or SCOPE_REAL)


def _different(doc: Doc, new: tuple[str, str]) -> tuple[str, str] | None:
    old = (str(doc.get("soc.threat.level", "none")), str(doc.get("soc.threat.category", "")))
    return None if new == old else new
