"""Changed rules while the pipeline runs: seen, loaded and compiled beside it, and taken over between two batches.

A thread looks at the rule files, and loads and compiles what changed; ingest goes on under the old set. The worker asks
`due` between batches and takes the new set over with `switch`, which records it first. Where a file that worked is broken now, the
old set stays as a whole: a rule must not vanish because somebody made a mistake in it. A new file that cannot be used is
left out, as at start. Either is told once, in the log, as an alert about the platform and as a metric.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from time import perf_counter

import msgspec

from soc.application.app import App
from soc.application.ruleset import Change, Loaded, Packed, States, changes, load_set, look, lost, packed, record_change, recorded_states, rule_roots
from soc.clock import iso
from soc.errors import RuleError, SocError
from soc.model.alert import Alert, RuleRef
from soc.model.health import health_alert
from soc.model.ids import digest_id
from soc.ports import Classifier, Effects
from soc.telemetry import get_logger

log = get_logger(__name__)

REQUEST_FACT = "rules-reload"
"""Somebody asks the running pipeline to look at the rules now: `{"id", "at", "by"}`."""
ANSWER_FACT = "rules-reloaded"
"""What came of it: `{"request", "at", "hash", "outcome": "live|same|kept", "errors"}`."""
RULE = RuleRef(
    "soc-rules-refused", "Changed rules cannot be used", "high", digest_id("soc-rules-refused", "1"), (), "health", "Quy tắc vừa đổi không dùng được"
)
LOOK_EVERY_S = 2.0
SETTLE_S = 0.3
"""Files must look the same for this long before they are read: an editor or a copy may be half way."""
MOST_SHOWN = 20


class Ready(msgspec.Struct):
    """A set that waits for the end of a batch, and why it was loaded."""

    loaded: Loaded
    cause: str
    by: str
    requests: list[str]
    took_s: float
    change: Change
    packed: Packed


class Reloader:
    """Watches the rules of an application.

    `use` is called between two batches with what is in force from then on. The thread runs between `start` and `stop`, and looks at
    once when `wake` is set (by a signal).
    """

    def __init__(
        self,
        app: App,
        loaded: Loaded,
        use: Callable[[Classifier], None],
        *,
        wake: threading.Event | None = None,
        every_s: float = LOOK_EVERY_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.loaded = loaded
        self._app = app
        self._use = use
        self._every_s = every_s
        self._settle_s = settle_s
        self._states = recorded_states(app.store)
        self._answered = {str(fact["request"]) for fact in app.store.facts(ANSWER_FACT)} | {str(fact["id"]) for fact in app.store.facts(REQUEST_FACT)}
        self._tried = (loaded.seen, self._states)
        self._asked: list[tuple[str, str]] = []
        self._by = ""
        self._wake = wake or threading.Event()
        self._stop = threading.Event()
        self._ready: Ready | None = None
        self._refusals: list[tuple[list[RuleError], bool]] = []
        self._told: set[str] = {_digest(loaded.errors)}
        self._answers: list[tuple[str, str, str, list[RuleError]]] = []
        self._thread = threading.Thread(target=self._run, name="rules", daemon=True)
        app.metrics.gauge("soc_rules_refused", len(loaded.errors))

    # the worker's side -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what is being loaded is dropped."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=30)

    @property
    def due(self) -> bool:
        """Whether a new set waits; costs nothing."""
        return self._ready is not None

    def switch(self) -> None:
        """Take the waiting set over; to be called between two batches, when nothing is being committed.

        Raises: Unreachable, StoreFull from recording it: then the old set stays in force, and the new one waits on.
        """
        ready = self._ready
        if ready is None:
            return
        begun = perf_counter()
        before, after, change = self.loaded, ready.loaded, ready.change
        record_change(self._app, self._app.store, after, by=ready.by, cause=ready.cause, change=change, ready=ready.packed)
        self._ready = None
        self.loaded = after
        self._app.take_rules(after)
        self._use(after.engine)
        gc.freeze()  # the rules are some 10^5 objects that stay, as at start
        self._app.metrics.count("soc_rules_reloads_total", outcome="live")
        self._app.metrics.gauge("soc_rules_refused", len(after.errors))
        log.info(
            "other rules are in force",
            hash=after.hash,
            before=before.hash,
            cause=ready.cause,
            by=ready.by or self._app.actor.name,
            added=change.added[:MOST_SHOWN],
            removed=change.removed[:MOST_SHOWN],
            changed=change.changed[:MOST_SHOWN],
            counts=(len(change.added), len(change.removed), len(change.changed)),
            refused=len(after.errors),
            loaded_s=round(ready.took_s, 3),
            paused_s=round(perf_counter() - begun, 3),
        )
        self._answers += [(request, after.hash, "live", after.errors) for request in ready.requests]

    def tick(self, *, between: bool = True) -> list[Effects]:
        """Read what people recorded, take over what waits if this is between two batches, and tell what was refused. Raises: as `switch`."""
        self._read_facts()
        if self.due and between:
            self.switch()
        self._answer()
        effects = []
        while self._refusals:
            errors, kept = self._refusals.pop(0)
            effects.append(Effects(progress=[], alerts=[_alert(errors, kept=kept, at=iso(self._app.clock.now_us()))]))
        return effects

    def _read_facts(self) -> None:
        store = self._app.store
        states = recorded_states(store)
        if states != self._states:
            self._by = str(store.facts("rule-state")[-1].get("by", ""))
            self._states = states
            self._wake.set()
        for fact in store.facts(REQUEST_FACT):
            name = str(fact["id"])
            if name not in self._answered:
                self._answered.add(name)
                self._asked.append((name, str(fact.get("by", ""))))
                self._wake.set()

    def _answer(self) -> None:
        while self._answers:
            request, set_hash, outcome, errors = self._answers[0]
            if request:
                fact = {"request": request, "at": iso(self._app.clock.now_us()), "hash": set_hash, "outcome": outcome}
                self._app.store.record_fact(ANSWER_FACT, fact | {"errors": [_shown(error) for error in errors[:MOST_SHOWN]]})
            self._answers.pop(0)

    # the thread's side -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._wake.wait(self._every_s) and not self._asked:
                self._asked.append(("", ""))
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._look()
            except (SocError, OSError) as error:
                log.error("the rules could not be looked at", error=str(error))

    def _look(self) -> None:
        asked, self._asked = self._asked, []
        if self._ready is not None:  # it waits for the end of a batch; what changed since is seen the next time
            self._asked = asked + self._asked
            return
        with rule_roots(self._app.settings.rules) as roots:
            seen = look(roots)
            states = self._states
            if (seen, states) == self._tried and not asked:
                return
            while not self._stop.wait(self._settle_s):
                again = look(roots)
                if again == seen:
                    break
                seen = again
            else:
                return
        if seen != self._tried[0]:
            cause, by = "files", ""
        elif states != self._tried[1]:
            cause, by = "state", self._by
        else:
            cause, by = "asked", ""
        by = by or next((who for name, who in asked if name), "")
        self._load(states, cause, by, [name for name, _who in asked])

    def _load(self, states: States, cause: str, by: str, requests: list[str]) -> None:
        begun = perf_counter()
        after = load_set(self._app.settings.rules_in_zone, states)
        self._tried = (after.seen, states)
        broken = lost(self.loaded, after)
        if broken:
            self._app.metrics.count("soc_rules_reloads_total", outcome="kept")
            self._app.metrics.gauge("soc_rules_refused", len(after.errors))
            self._refuse(broken, kept=True)
            self._answers += [(request, self.loaded.hash, "kept", broken) for request in requests]
            return
        new = [error for error in after.errors if str(error) not in {str(one) for one in self.loaded.errors}]
        if new:
            self._refuse(new, kept=False)
        if after.hash == self.loaded.hash:
            self._told = {_digest(after.errors)}
            self.loaded.errors, self.loaded.seen = after.errors, after.seen
            self._app.metrics.gauge("soc_rules_refused", len(after.errors))
            self._answers += [(request, after.hash, "same", after.errors) for request in requests]
            return
        after.engine.warm(self.loaded.engine.places())
        change = changes(self.loaded.manifest, after.manifest)
        fact = packed(after, self._app.clock.now_us())
        self._ready = Ready(after, cause, by, requests, perf_counter() - begun, change, fact)

    def _refuse(self, errors: list[RuleError], *, kept: bool) -> None:
        """Tell, once for the same errors."""
        name = _digest(errors)
        if name in self._told:
            return
        self._told.add(name)
        log.error(
            "changed rules cannot be used, the rules before stay in force" if kept else "new rules cannot be used, the others can",
            errors=[f"{error.path}:{error.line}: {error.reason}" for error in errors[:MOST_SHOWN]],
            hint="mend or remove the file; soc rules lint names every error",
        )
        self._refusals.append((errors, kept))


def _digest(errors: list[RuleError]) -> str:
    return digest_id(*sorted(str(error) for error in errors))


def _shown(error: RuleError) -> dict[str, object]:
    return {"path": error.path, "line": error.line, "reason": error.reason}


def _alert(errors: list[RuleError], *, kept: bool, at: str) -> Alert:
    return health_alert(
        RULE,
        occurrence=_digest(errors) + at,
        key={"path": errors[0].path},
        explanation={
            "node": "rules",
            "field": errors[0].path,
            "test": "the rules before stay in force" if kept else "left out",
            "pattern": "",
            "matched": True,
            "errors": [_shown(error) for error in errors[:MOST_SHOWN]],
            "children": [],
        },
        at=at,
    )
