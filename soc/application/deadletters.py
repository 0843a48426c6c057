"""Asking for dead letters."""

from __future__ import annotations

from soc.application.access import require
from soc.application.app import App
from soc.errors import NotFound, Phrase
from soc.model.deadletter import DeadLetter

PAGE = 500


def listed(app: App, *, state: str, source: str, limit: int) -> tuple[int, list[DeadLetter]]:
    """Total and the first `limit` dead letters (0 = all), oldest first."""
    require(app, "deadletters.view")
    if limit:
        return app.store.dead_letters(state=state, source=source, limit=limit)
    found: list[DeadLetter] = []
    while True:
        total, page = app.store.dead_letters(state=state, source=source, limit=PAGE, offset=len(found))
        found += page
        if not page or len(found) >= total:
            return len(found), found


def get(app: App, prefix: str) -> DeadLetter:
    """The dead letter of an id or unique prefix.

    Raises: NotFound, Conflict when several fit.
    """
    require(app, "deadletters.view")
    letter = app.store.get_dead_letter(prefix)
    if letter is None:
        raise NotFound(Phrase("no dead letter {prefix}", prefix=prefix), hint="soc deadletters list")
    return letter
