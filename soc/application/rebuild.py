"""Making everything anew that follows from the journal, and saying what differed from what was kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from soc.application import audit
from soc.application.access import require
from soc.application.app import App
from soc.application.audit import Problem
from soc.errors import NotAllowed
from soc.incidents.listing import incidents
from soc.incidents.notices_listing import projection as notices
from soc.incidents.page import calls
from soc.model.message import messages
from soc.model.projection import Difference, Projection
from soc.triage.listing import groups

PROJECTIONS: tuple[Callable[[], Projection], ...] = (groups, incidents, notices, messages, calls)
"""All lists that are kept."""


class Rebuilt(msgspec.Struct):
    """What a rebuild came to. `ends`: streams whose kept end was wrong; `problems`: what does not hold in the journal itself."""

    ok: bool
    facts: int
    lists: list[Difference]
    ends: list[str]
    problems: list[Problem]

    @property
    def differed(self) -> bool:
        """Whether anything that was kept was wrong."""
        return bool(self.ends) or not all(one.ok for one in self.lists)


def rebuild(app: App, progress: Callable[[str, int, int], None]) -> Rebuilt:
    """Mend the kept ends of streams, make every kept list anew (groups: with their alerts), and check the journal that all follows from.

    Safe beside a running pipeline and other people: readers see the old lists until the new ones stand, and what is recorded
    meanwhile is in them at the next look. Raises: NotAllowed (read-only), StoreCorrupt (a fact that cannot be read at all).
    """
    require(app, "store.keep")
    if app.settings.read_only:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    ends = app.journal.mend_ends()
    made: list[Difference] = []
    for number, projection in enumerate(PROJECTIONS, 1):
        made.append(app.lists.rebuild(projection(), app.store if projection is groups else None))
        progress(made[-1].name, number, len(PROJECTIONS))
    verdict = audit.verify(app.journal)
    return Rebuilt(verdict.ok, verdict.facts, made, ends, verdict.problems)
