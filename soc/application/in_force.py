"""Whether the pipeline that runs works by what a repair asks: else it would go on storing what the repair is about to change."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from soc.application.app import App
from soc.ports import OnePipelineStore

MOST_S = 30.0
"""A running pipeline looks at the rules every 2 s, at the registry every 10 s, and takes either over by its next tick."""
_LOOK_S = 0.25

Tell = Callable[[Literal["waits", "behind"], int], None]
"""Gets what is the matter, and the process of the pipeline."""


def no_word(_what: Literal["waits", "behind"], _pid: int) -> None:
    """Tell nobody."""


def await_pipeline(app: App, kind: str, key: str, name: str, tell: Tell) -> None:
    """Wait until the last fact of `kind` says that the pipeline of another process works by the state `name` (in its field `key`).

    A fact stands there before the first event by it is stored, and after the last one by the state before. Without a pipeline
    nothing is waited for; the next one begins with the present state. After half a minute `behind` is told: what is stored from then on
    needs the repair again.
    """
    store = app.store
    if not isinstance(store, OnePipelineStore):
        return
    until, told = app.clock.monotonic() + MOST_S, False
    while (pid := store.pipeline_pid()) not in {0, os.getpid()}:
        known = store.facts(kind)
        if known and known[-1].get(key, "") == name:
            return
        if app.clock.monotonic() >= until:
            tell("behind", pid)
            return
        if not told:
            tell("waits", pid)
            told = True
        app.clock.sleep(_LOOK_S)
