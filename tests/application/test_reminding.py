"""The pass that reports and tasks share, with a sort of its own: what is looked at, recorded, sent and taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from soc.application import incidents, outbox
from soc.application.app import App
from soc.application.reminding import Known, Look, Sort, remind
from soc.incidents.model import Incident
from soc.incidents.workflow import OPEN
from soc.model.fact import ANY_VERSION, Fact, NewFact
from soc.model.message import Message, message
from soc.model.projection import ListQuery
from tests.adapters.smtp.server import Server

ASKED: list[str] = []
STALE: set[str] = set()


@pytest.fixture(autouse=True)
def _anew() -> None:
    """Nothing was asked and nothing is stale, whatever test came before."""
    ASKED.clear()
    STALE.clear()


def look(app: App, incident: Incident, facts: Sequence[Fact]) -> Look:
    """One reminder of each incident; of one without owner nobody is there."""
    ASKED.append(incident.id)

    def messages(facts: Sequence[Fact]) -> list[Message]:
        return [message("sample", incident.id, "1", str(fact.data["to"]), "Nhắc", incident.title) for fact in facts]

    return Look([NewFact("SampleDue", {"to": f"{incident.owner}@tinh.vn"})] if incident.owner and not facts else [], messages, untold=not incident.owner)


def needed(app: App) -> Callable[[Message], bool]:
    """Until it is stale."""
    return lambda one: one.about not in STALE


SAMPLE = Sort("sample", "sample/", "sample", ListQuery(OPEN, None), look, needed, lambda incident: incident.title != "không có gì")


def test_a_pass_looks_only_at_what_changed_or_waits_for_somebody(app: App, server: Server) -> None:
    """Incidents without any of it are never asked; those for whom nobody is there each time; others again only when they changed."""
    one, nobody, none = (incidents.open_incident(app, {"title": title}, owner=owner).id for title, owner in (("a", "lan"), ("b", ""), ("không có gì", "lan")))
    known = Known()
    assert (remind(app, SAMPLE, known), sorted(ASKED)) == (1, [one, nobody])
    assert (remind(app, SAMPLE, known), ASKED[2:], known.untold) == (0, [nobody], {nobody})
    incidents.assign(app, nobody, "minh")
    assert (remind(app, SAMPLE, known), ASKED[3:]) == (1, [nobody])
    incidents.note(app, one, "thêm")
    assert (remind(app, SAMPLE, known), ASKED[4:]) == (0, [one])
    assert none not in ASKED
    outbox.deliver(app)
    assert sorted(server.recipients) == ["lan@tinh.vn", "minh@tinh.vn"]


def test_what_another_process_records_meanwhile_is_not_recorded_twice(app: App) -> None:
    """The look was at an older state of the stream: nothing is sent by that pass, and the next one sends what stands."""
    name = incidents.open_incident(app, {"title": "a"}, owner="lan").id
    raced: list[bool] = []

    def racing(app: App, incident: Incident, facts: Sequence[Fact]) -> Look:
        found = look(app, incident, facts)
        if not raced:
            raced.append(True)
            app.journal.append("sample/" + incident.id, ANY_VERSION, found.fresh, actor="another")
        return found

    known, sort = Known(), Sort("sample", "sample/", "sample", ListQuery(OPEN, None), racing, needed)
    assert (remind(app, sort, known), list(outbox.sendings(app))) == (0, [])
    assert remind(app, sort, known) == 0
    assert len(app.journal.read("sample/" + name)) == len(list(outbox.sendings(app))) == 1


def test_what_waits_is_taken_back_when_it_is_needed_no_longer(app: App, server: Server) -> None:
    """With the mail server away: the message of the stale one is cancelled, the other waits on."""
    server.always = "busy"
    stale, kept = (incidents.open_incident(app, {"title": "a"}, owner="lan").id for _ in range(2))
    remind(app, SAMPLE, Known())
    outbox.deliver(app)
    STALE.add(stale)
    remind(app, SAMPLE, Known())
    assert {one.message.about: one.state == "cancelled" for one in outbox.sendings(app)} == {stale: True, kept: False}
