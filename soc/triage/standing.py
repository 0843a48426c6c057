"""Which groups are in which states, when the store can only be asked for the ends of groups by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from soc.ports import AlertQuery, Chosen, Store
from soc.triage.model import CLOSED, OPEN, Triage, standing


def chosen(said: Mapping[str, Triage], store: Store, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
    """The groups of a query in these states, given what was said of groups.

    Cost: a look at the groups that are closed by what people said; at all of which something was said unless open ones are asked for.
    """
    only = OPEN not in states  # then only groups of which something was said can be among them
    asked = frozenset(group for group, triage in said.items() if only or triage.state not in states or triage.state == CLOSED)
    ends = store.group_ends(msgspec.structs.replace(query, ids=asked)) if asked else {}
    judged = {group: standing(said[group], last_at=last_at, count=count) for group, (last_at, count) in ends.items()}
    if only:
        return Chosen(frozenset(group for group, triage in judged.items() if triage.state in states) - hidden)
    return Chosen(None, frozenset(group for group, triage in judged.items() if triage.state not in states) | hidden)
