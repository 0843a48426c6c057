"""What the store holds about rules, for commands that also work without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from soc.cli._session import Session

if TYPE_CHECKING:
    from soc.application.ruleset import States


class Recorded(msgspec.Struct, frozen=True):
    """States and verdicts of rules."""

    states: States
    verdicts: dict[str, dict[str, int]]


def recorded(session: Session) -> Recorded | None:
    """What is recorded about rules; None when there is no store yet, or it does not answer (which is told)."""
    from soc.application.ruleset import recorded_states
    from soc.application.verdicts import by_rule
    from soc.bootstrap import store_path
    from soc.errors import Unreachable

    settings = session.settings
    if settings.store.kind == "memory" or (settings.store.kind == "embedded" and not store_path(settings).exists()):
        return None
    try:
        app = session.app()
        return Recorded(recorded_states(app.store), by_rule(app))
    except Unreachable as error:
        session.out.warn(error.message)
        return None
