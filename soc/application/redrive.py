"""Dead letters that are tried again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.pipelines import pipeline_again
from soc.errors import Conflict, NotFound, Phrase
from soc.ingest.pipeline import Pipeline
from soc.ingest.records import record_of_dead_letter
from soc.model.deadletter import DeadLetter


class Redriven(msgspec.Struct):
    """What became of one dead letter: `event` is its event's id ("" = it failed again, `reason` says why)."""

    letter: str
    event: str
    reason: str = ""
    alerts: int = 0


def redrive(app: App, letter_ids: Sequence[str] | None, *, raw_override: bytes | None = None) -> list[Redriven]:
    """Process dead letters again with the present parsers and rules (None = all open ones).

    A letter becomes an event under its first id and leaves the dead letters in the same step; one that fails again
    stays, with the new reason told. `raw_override` replaces the bytes of a single letter by mended ones.
    Raises: NotFound, Conflict (already settled).
    """
    require(app, "deadletters.change")
    letters = _open_letters(app) if letter_ids is None else [_letter(app, letter_id) for letter_id in letter_ids]
    pipelines: dict[tuple[str, str], Pipeline] = {}
    results = []
    for letter in letters:
        at = (letter.source, letter.scope)
        if at not in pipelines:
            pipelines[at] = pipeline_again(app, app.store, *at)
        effects = pipelines[at].process([record_of_dead_letter(letter, raw_override)])
        own = next((event for event in effects.events if "soc.derived" not in event.doc), None)
        if own is None:
            failed = effects.dead_letters[0] if effects.dead_letters else None
            results.append(Redriven(letter.id, "", failed.error if failed is not None else "nothing is left of it (an empty record)"))
            continue
        alerts = [alert for alert in effects.alerts if own.id in alert.events]
        app.store.settle_dead_letter(letter.id, "redriven", f"by {app.actor.name}" + (" with mended bytes" if raw_override is not None else ""), own, alerts)
        results.append(Redriven(letter.id, own.id, alerts=len(alerts)))
    return results


def discard(app: App, letter_ids: Sequence[str], *, why: str) -> list[str]:
    """Give dead letters up, with the reason; they are kept and stay readable. The ids."""
    require(app, "deadletters.change")
    letters = [_letter(app, letter_id) for letter_id in letter_ids]
    for letter in letters:
        app.store.settle_dead_letter(letter.id, "discarded", f"by {app.actor.name}: {why}", None)
    return [letter.id for letter in letters]


def _letter(app: App, letter_id: str) -> DeadLetter:
    letter = app.store.get_dead_letter(letter_id)
    if letter is None:
        raise NotFound(Phrase("there is no dead letter {letter_id}", letter_id=letter_id), hint="soc deadletters list")
    if letter.state != "open":
        raise Conflict(Phrase("dead letter {id} is already {state} ({note})", id=letter.id, state=letter.state, note=letter.note))
    return letter


def _open_letters(app: App) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    while True:
        total, page = app.store.dead_letters(limit=500, offset=len(letters))
        letters += page
        if not page or len(letters) >= total:
            return letters
