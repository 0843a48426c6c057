"""Checkpoints of the journal that sign themselves: one each hour in which somebody recorded something.

The journal says when the last one was signed, so any number of processes may look for what is due.
"""

from __future__ import annotations

from soc.application import audit
from soc.application.app import App
from soc.clock import from_iso
from soc.errors import Conflict
from soc.telemetry import get_logger

log = get_logger(__name__)


def part(app: App) -> int:
    """Sign the ends of all streams if it is time and something was recorded since; how many checkpoints (0 or 1).

    Without a key nothing is signed: `soc doctor` says so. Raises: ConfigError, NotAllowed (the key file).
    """
    every_s = app.settings.journal.checkpoint_every_s
    if not every_s or app.settings.read_only or not is_due(app, every_s):
        return 0
    key = app.wiring.signing_key()
    if key is None:
        return 0
    try:
        made = audit.checkpoint(app.journal, key, actor=app.actor.name)
    except Conflict:  # another process signs at this moment
        return 0
    log.info("a checkpoint of the journal was signed", number=made.checkpoint, root=made.root)
    return 1


def is_due(app: App, every_s: float) -> bool:
    """Whether something was recorded since the last checkpoint, and that is older than so many seconds."""
    newest = next(iter(app.journal.latest(1)), None)
    if newest is None or newest.stream == audit.CHECKPOINTS:
        return False
    last = next(iter(app.journal.latest(1, audit.CHECKPOINTS)), None)
    return last is None or app.clock.now_us() - from_iso(last.at) >= every_s * 1e6
