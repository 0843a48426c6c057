"""Asking a running pipeline to take changed rules over, and what would change."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.reload import ANSWER_FACT, REQUEST_FACT
from soc.application.ruleset import RULES_FACT, Change, changes, kept_manifest
from soc.clock import iso
from soc.model.ids import digest_id

_EVERY_S = 0.2


class Checked(msgspec.Struct):
    """The rules as they stand in the files, beside the last set that was in force."""

    hash: str
    before: str
    change: Change
    titles: dict[str, str]
    errors: list[dict[str, Any]]


def checked(app: App) -> Checked:
    """What the rules would change if they came into force now; what cannot be used stands in `App.rule_errors`."""
    loaded = app.rules
    known = app.store.facts(RULES_FACT)
    before = str(known[-1]["hash"]) if known else ""
    collection = loaded.engine.collection
    titles = {rule.id: rule.title for rule in collection.ruleset.rules} | {rule.id: rule.title for rule in collection.correlations}
    errors = [{"path": error.path, "line": error.line, "reason": error.reason} for error in loaded.errors]
    return Checked(loaded.hash, before, changes(kept_manifest(app.store, before) or {}, loaded.manifest), titles, errors)


def ask(app: App, *, wait_s: float) -> dict[str, Any] | None:
    """Ask, and wait for the answer; None when there was none in time."""
    require(app, "rules.change")
    at = iso(app.clock.now_us())
    request = digest_id("rules-reload", app.actor.name, at, str(len(app.store.facts(REQUEST_FACT))))
    app.store.record_fact(REQUEST_FACT, {"id": request, "at": at, "by": app.actor.name})
    until = app.clock.monotonic() + wait_s
    pause = threading.Event()
    while True:
        answer = next((fact for fact in app.store.facts(ANSWER_FACT) if fact["request"] == request), None)
        if answer is not None or app.clock.monotonic() >= until:
            return answer
        pause.wait(_EVERY_S)
