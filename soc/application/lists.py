"""Lists that keep nothing: every answer folds all facts anew.

For the store that forgets, for who may not write, and what the contract suite compares the kept lists with.
"""

from __future__ import annotations

from collections.abc import Sequence

from soc.model.journal import Journal
from soc.model.projection import Difference, Document, ListQuery, Projection, place
from soc.ports import AlertQuery, Chosen, Store
from soc.triage.listing import triage_of
from soc.triage.standing import chosen


class FoldingLists:
    """See `soc.ports.Lists`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def _all(self, projection: Projection) -> list[Document]:
        return [projection.document(stream, [one.fact for one in facts]) for stream, facts in self._journal.under(projection.prefix)]

    def page(self, projection: Projection, query: ListQuery) -> tuple[int, list[Document]]:
        found = sorted((one for one in self._all(projection) if query.fits(one)), key=place)
        return len(found), found[query.offset : query.offset + query.limit] if query.limit else found[query.offset :]

    def some(self, projection: Projection, streams: Sequence[str]) -> dict[str, Document]:
        return {stream: projection.document(stream, [one.fact for one in facts]) for stream, facts in self._journal.read_each(streams).items()}

    def standing(self, projection: Projection, store: Store, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
        said = {one.stream.removeprefix(projection.prefix): triage_of(one) for one in self._all(projection)}
        return chosen(said, store, query, states, hidden)

    def rebuild(self, projection: Projection, store: Store | None = None) -> Difference:  # noqa: ARG002 - nothing of it is kept
        return Difference(projection.name, len(self._all(projection)))

    def close(self) -> None:
        """Nothing to give back."""
