"""Into which mailboxes the mails of groups of alerts were delivered, agency by agency: whom to tell, and what to pull back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from soc.application import triage
from soc.application.access import require
from soc.application.app import App
from soc.application.numbered import local_day
from soc.model.alert import AlertGroup
from soc.model.event import Doc, values
from soc.organization.model import Agency, Mailbox
from soc.organization.registry import Registry
from soc.ports import AlertQuery

DELIVERED = "soc.mail.delivered_to"
PAGE = 200
_AT_ONCE = 500


class Box(msgspec.Struct):
    """A mailbox that bad mails came into: how many, and when the first and the last did."""

    address: str
    agency: str
    mails: int
    first_at: str
    last_at: str


class Reached(msgspec.Struct):
    """What groups of alerts come to: events in all, how many of them are mails that were delivered, and the mailboxes by agency."""

    events: int
    delivered: int
    boxes: list[Box]
    names: dict[str, str]
    """Agency → its name, as far as the registry has one."""

    def by_agency(self) -> list[tuple[str, list[Box]]]:
        """The mailboxes of each agency; what belongs to none the registry knows comes last."""
        found: dict[str, list[Box]] = {}
        for box in self.boxes:
            found.setdefault(box.agency, []).append(box)
        return sorted(found.items(), key=lambda one: (not one[0], -len(one[1]), one[0]))


def reached(app: App, names: Sequence[str]) -> Reached:
    """The mailboxes behind these groups (or alerts; beginnings of ids do). Cost: each event behind them is read once.

    Raises: NotFound, Conflict.
    """
    require(app, "alerts.view")
    ids: dict[str, None] = {}
    for item in triage.named(app, names):
        ids.update(dict.fromkeys(events_of(app, item.group)))
    registry = Registry(app.journal, ("agencies", "mailboxes"))
    owners = {one.address: one.agency for one in registry.all(Mailbox, local_day(app))}
    domains = {domain.lower(): one.id for one in registry.all(Agency, local_day(app)) for domain in one.domains}
    boxes: dict[str, Box] = {}
    events = delivered = 0
    for doc in _docs(app, ids):
        events += 1
        addresses = [str(value).lower() for value in values(doc, DELIVERED)]
        delivered += bool(addresses)
        for address in addresses:
            _count(boxes, address, owners.get(address) or domains.get(address.rpartition("@")[2], ""), doc)
    found = sorted(boxes.values(), key=lambda box: (box.agency, box.address))
    known = {one.id: one.name for one in registry.all(Agency)}
    return Reached(events, delivered, found, {box.agency: known[box.agency] for box in found if box.agency in known})


def _count(boxes: dict[str, Box], address: str, agency: str, doc: Doc) -> None:
    at = str(doc["@timestamp"])
    box = boxes.setdefault(address, Box(address, agency, 0, at, at))
    box.mails += 1
    box.first_at, box.last_at = min(box.first_at, at), max(box.last_at, at)


def events_of(app: App, group: AlertGroup) -> Iterator[str]:
    """The ids of all events behind the alerts of a group, those of what a correlation found included; some perhaps twice."""
    offset, total = 0, 1
    while offset < total:
        query = AlertQuery(scope=group.scope, group=group.id, shadow=group.shadow, retracted=group.retracted, limit=PAGE, offset=offset)
        total, alerts = app.store.alerts(query)
        offset += len(alerts)
        for alert in alerts:
            yield from alert.events
        if not alerts:
            return


def size_of(app: App, group: AlertGroup, explanation: dict[str, Any]) -> int:
    """How many occurrences a group stands for: a correlation's alert stands for all that it counted, beyond the ids that are kept.

    `explanation`: that of its newest alert. Cost: nothing for groups of single events; else its alerts are read.
    """
    if explanation.get("node") != "correlation":
        return group.count
    if group.count <= 1:
        return int(explanation.get("count", 1))
    _, alerts = app.store.alerts(AlertQuery(scope=group.scope, group=group.id, shadow=group.shadow, retracted=group.retracted, limit=PAGE))
    return sum(int(alert.explanation.get("count", 1)) for alert in alerts) + max(group.count - PAGE, 0)


def _docs(app: App, ids: Iterable[str]) -> Iterator[Doc]:
    waiting = iter(ids)
    while some := list(islice(waiting, _AT_ONCE)):
        yield from app.store.get_events(some)
