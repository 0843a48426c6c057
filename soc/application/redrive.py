"""Dead letters that are tried again."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.correlate import REDRIVEN_FACT, make_stage
from soc.application.correlating import RoutesInForce, by_topic
from soc.application.pipelines import pipeline_again
from soc.clock import iso
from soc.errors import Conflict, Locked, NotFound, Phrase
from soc.ingest.pipeline import Pipeline
from soc.ingest.records import record_of_dead_letter
from soc.model.alert import Alert
from soc.model.deadletter import SAID, DeadLetter
from soc.model.event import Event
from soc.model.signal import Signal, blocks, pack

_AT_ONCE = 500
"""Letters that are settled after what they tell was told together."""


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
    What it tells correlations reaches the pipeline (see `judge`), late as it mostly is.
    Raises: NotFound, Conflict (already settled); Unreachable for a topic of signals, before anything is settled.
    """
    require(app, "deadletters.change")
    letters = _open_letters(app) if letter_ids is None else [_letter(app, letter_id) for letter_id in letter_ids]
    pipelines: dict[tuple[str, str], Pipeline] = {}
    results = []
    for begin in range(0, len(letters), _AT_ONCE):
        results += _redriven(app, pipelines, letters[begin : begin + _AT_ONCE], raw_override)
    return results


def _redriven(app: App, pipelines: dict[tuple[str, str], Pipeline], letters: Sequence[DeadLetter], raw_override: bytes | None) -> list[Redriven]:
    results = []
    mended: list[tuple[DeadLetter, Event, list[Alert]]] = []
    signals: list[Signal] = []
    for letter in letters:
        at = (letter.source, letter.scope)
        if at not in pipelines:
            pipelines[at] = pipeline_again(app, app.store, *at)
        effects = pipelines[at].process([record_of_dead_letter(letter, raw_override)])
        own = next((event for event in effects.events if not event.derived), None)
        if own is None:
            failed = effects.dead_letters[0] if effects.dead_letters else None
            results.append(Redriven(letter.id, "", failed.error if failed is not None else "nothing is left of it (an empty record)"))
            continue
        mended.append((letter, own, [alert for alert in effects.alerts if own.id in alert.events]))
        signals += [signal for signal in effects.signals if signal.id == own.id]
        results.append(Redriven(letter.id, own.id, alerts=len(mended[-1][2])))
    if signals:
        _tell(app, signals)  # before the letters are settled: what is told twice counts once, what is never told is missing
    for letter, own, alerts in mended:
        note = f"by {app.actor.name}" + (" with mended bytes" if raw_override is not None else "")
        app.store.settle_dead_letter(letter.id, "redriven", note, own, alerts)
    return results


def _tell(app: App, signals: Sequence[Signal]) -> None:
    """Tell correlations of events, durably: by the topic of signals where there is one, else by facts that the stage of the pipeline takes.

    Raises: Unreachable.
    """
    if by_topic(app.settings):
        topic = app.wiring.signal_log(RoutesInForce(app).key)
        try:
            topic.append(signals, {})
        finally:
            topic.close()
        return
    for block in blocks(signals):
        app.store.record_fact(REDRIVEN_FACT, {"at": iso(app.clock.now_us()), "by": app.actor.name, "signals": b64encode(pack(block)).decode()})


def judge(app: App) -> int | None:
    """Judge what redriven events told correlations, as the end of `soc ingest` does; the alerts that came of it.

    None when that is for somebody else: a pipeline is running on the store, or will run, and takes what was told at its next step.
    """
    if app.settings.store.kind != "embedded":
        return None
    try:
        store = app.wiring.store(pipeline=True, crash=app.crash)
    except Locked:
        return None
    try:
        found = make_stage(app, store).end()
        for effects in found:
            store.commit(effects)
    finally:
        store.close()
    return sum(len(effects.alerts) for effects in found)


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
        raise Conflict(Phrase("dead letter {id} is already {state} ({note})", id=letter.id, state=SAID.get(letter.state, letter.state), note=letter.note))
    return letter


def _open_letters(app: App) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    while True:
        total, page = app.store.dead_letters(limit=500, offset=len(letters))
        letters += page
        if not page or len(letters) >= total:
            return letters
