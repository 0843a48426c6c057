"""A shift is handed over in writing, with how things stand, and accepted by somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application import handover, incidents, oncall
from soc.application.app import Actor, App
from soc.clock import FrozenClock, iso
from soc.errors import Conflict, NotFound, UsageError
from soc.model.fact import Behalf
from tests.application.office import HOUR, NOW_US, furnish, opened, settings_of, shift


@pytest.fixture
def app(tmp_path: Path, frozen_clock: FrozenClock) -> Iterator[App]:
    """An office."""
    with opened(settings_of(tmp_path), frozen_clock) as found:
        furnish(found, shift(-2, 6, "lan"), shift(6, 14, "minh"))
        yield found


def test_a_note_holds_how_things_stood(app: App) -> None:
    """What is due, calls nobody answered, messages that wait, who is on call: as facts, also when all of it has changed since."""
    name = incidents.open_incident(app, {"title": "trễ", "detected_at": iso(NOW_US - 80 * HOUR)}).id
    incidents.move(app, name, "triage", {"rsit": "malicious-code/infected-system", "legal_class": "ordinary"})
    oncall.page(app, name, "Mã độc")
    note = handover.write(app, "Chờ Sở Y tế gửi nhật ký", to="minh")
    assert note.id == "HO-2026-0001"
    assert (note.standing["overdue"], note.standing["messages"], note.standing["on_call"]) == (1, 1, ["Nguyễn Thị Lan", "Trần Minh"])
    assert [one["about"] for one in note.standing["calls"]] == [name]
    incidents.report(app, name, "report-72h")
    assert handover.get(app, "1").standing["overdue"] == 1


def test_somebody_else_accepts_it_once(app: App) -> None:
    """Not the one who wrote it; on behalf of somebody it may be; and once."""
    handover.write(app, "đêm yên tĩnh")
    with pytest.raises(Conflict, match="somebody else"):
        handover.accept(app)
    app.actor = Actor("minh")
    done = handover.accept(app, remark="đã nhận máy")
    assert (done.accepted_by, done.remark) == ("minh", "đã nhận máy")
    with pytest.raises(Conflict, match="minh"):
        handover.accept(app)
    handover.write(app, "ca sau")
    assert [one.id for one in handover.listed(app, open_only=True)] == ["HO-2026-0002"]
    assert handover.accept(app, behalf=Behalf("Lê Thị Hoa", "telephone")).accepted_behalf == Behalf("Lê Thị Hoa", "telephone")
    with pytest.raises(Conflict, match="accepted by Lê Thị Hoa at 20"):  # not by who recorded it for her
        handover.accept(app)


def test_what_cannot_be_is_refused(app: App) -> None:
    """Nothing, too much, and what is not there."""
    with pytest.raises(NotFound, match="nothing was handed over"):
        handover.get(app)
    with pytest.raises(UsageError, match="empty"):
        handover.write(app, "  ")
    with pytest.raises(UsageError, match="50001"):
        handover.write(app, "x" * 50_001)
    with pytest.raises(NotFound):
        handover.get(app, "99")
