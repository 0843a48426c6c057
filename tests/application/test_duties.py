"""Reminders of reports: each step of each deadline exactly once, whatever happens to the clock and to the program."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import duties, incidents, oncall, outbox
from soc.application.app import App
from soc.application.reminders import PREFIX, recorded
from soc.clock import FrozenClock, SystemClock, iso
from soc.config import DutiesSettings, StoreSettings
from soc.errors import ConfigError, StoreUnavailable
from soc.incidents.reminders import steps_of
from tests.adapters.smtp.server import Server, running
from tests.application.office import HOUR, NOW_US, furnish, opened, settings_of, shift
from tests.application.test_outbox import Killed
from tests.contracts.conftest import STORES
from tests.servers.clock import clock_for
from tests.servers.process import wait_until

ROSTER = (shift(-2, 700, "lan"),)
TRIAGE = {"rsit": "malicious-code/infected-system", "legal_class": "ordinary"}
STEPS_72H = ["half", "due-24h", "due-4h", "due-1h", "due", "overdue-1h", "overdue-24h", "overdue-72h"]


def advance(app: App, hours: float) -> None:
    """Let time pass."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(hours * 3600)


def steps(app: App, name: str) -> list[str]:
    """The steps that were recorded of an incident, in order."""
    return [key.partition("@")[0] for _, key in recorded(one.fact for one in app.journal.read(PREFIX + name))]


def subjects(server: Server) -> list[str]:
    """What was sent."""
    return [str(mail["Subject"]) for mail in server.mails]


def opened_now(app: App, **fields: Any) -> str:
    """An incident detected now."""
    return incidents.open_incident(app, {"title": "Mã độc tại Sở Y tế", "detected_at": iso(app.clock.now_us()), **fields}, owner="minh").id


def test_a_report_is_reminded_of_and_escalated(app: App, server: Server) -> None:
    """The owner first, near the end whoever is on shift as well, once it is due the lead too; after the report nobody."""
    name = opened_now(app)
    seen = []
    for hour in range(80):
        duties.step(app)
        seen += [(hour, sorted(server.recipients))] if server.recipients else []
        server.recipients.clear()
        if hour == 76:
            incidents.report(app, name, "report-72h", reference="12/BC")
        advance(app, 1)
    assert seen == [
        (36, ["minh@tinh.vn"]),
        (48, ["minh@tinh.vn"]),
        (68, ["lan@tinh.vn", "minh@tinh.vn"]),
        (71, ["lan@tinh.vn", "minh@tinh.vn"]),
        (72, ["hoa@tinh.vn", "lan@tinh.vn", "minh@tinh.vn"]),
        (73, ["hoa@tinh.vn", "lan@tinh.vn", "minh@tinh.vn"]),
    ]
    assert "QUÁ HẠN" in subjects(server)[-1]
    assert "chưa ai xác nhận" in str(server.mails[0].get_content()), "tentative, and says so"
    assert len(server.ids) == len(server.mails)


def test_after_three_days_switched_off_no_step_is_lost(app: App, server: Server) -> None:
    """All steps that were missed go out, each once; a second step sends nothing."""
    name = opened_now(app)
    advance(app, 72 + 30)
    duties.step(app)
    assert steps(app, name) == STEPS_72H[:-1]
    before = len(server.mails)
    assert not duties.step(app).anything
    assert len(server.mails) == before == len(server.ids)


def test_a_corrected_time_of_detection_begins_the_steps_anew(app: App, server: Server) -> None:
    """The move is told at once; steps that were over by then are not sent for the new deadline, later ones are."""
    name = opened_now(app)
    advance(app, 40)
    duties.step(app)
    assert steps(app, name) == ["half"]
    incidents.edit(app, name, {"detected_at": iso(NOW_US - 10 * HOUR)}, reason="nhật ký cho thấy sớm hơn")
    duties.step(app)
    assert steps(app, name) == ["half", "known"]
    assert "nhật ký cho thấy sớm hơn" in str(server.mails[-1].get_content())
    for _ in range(80):
        advance(app, 1)
        duties.step(app)
    assert steps(app, name) == ["half", "known", *STEPS_72H[2:7]]


def test_what_is_late_from_the_beginning_is_told_in_one_message(app: App, server: Server) -> None:
    """An incident detected four days ago: one message, not eight."""
    name = opened_now(app, detected_at=iso(NOW_US - 96 * HOUR))
    duties.step(app)
    assert steps(app, name) == ["known"]
    assert server.recipients == ["minh@tinh.vn", "lan@tinh.vn"] or sorted(server.recipients) == ["lan@tinh.vn", "minh@tinh.vn"]


def test_rejected_owes_nothing_and_reopened_begins_where_it_is(app: App) -> None:
    """While it is rejected nobody is reminded; what passed meanwhile is told in one message when it comes back."""
    name = opened_now(app)
    incidents.move(app, name, "reject", {}, reason="báo nhầm")
    advance(app, 50)
    duties.step(app)
    assert steps(app, name) == []
    incidents.move(app, name, "reopen", {}, reason="không nhầm")
    duties.step(app)
    assert steps(app, name) == ["known"]
    advance(app, 19)
    duties.step(app)
    assert steps(app, name) == ["known", "due-4h"]


def test_a_report_takes_back_what_was_not_sent(app: App, server: Server) -> None:
    """A reminder that the server did not take yet is cancelled, with the reason."""
    server.always = "busy"
    name = opened_now(app)
    advance(app, 37)
    duties.step(app)
    incidents.report(app, name, "report-72h")
    server.always = "ok"
    advance(app, 1)
    duties.step(app)
    assert server.mails == []
    assert [one.state for one in outbox.sendings(app)] == ["cancelled"]


def test_nobody_to_tell_is_told_as_soon_as_there_is(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Without people no step counts as sent; with the first lead the missed ones go out."""
    with opened(settings_of(tmp_path, server.port), frozen_clock) as app:
        name = opened_now(app)
        advance(app, 50)
        memory = duties.Memory()
        assert duties.step(app, memory).reminders == 0
        furnish(app)
        assert duties.step(app, memory).reminders == 2
        assert steps(app, name) == ["half", "due-24h"]


def test_an_exercise_reminds_nobody_real(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Reminders of an exercise go where exercises are redirected, and nowhere else."""
    found = settings_of(tmp_path, server.port)
    found = found.model_copy(update={"mail": found.mail.model_copy(update={"exercise_to": "btc@tinh.vn"})})
    with opened(found, frozen_clock) as app:
        furnish(app, *ROSTER)
        incidents.open_incident(app, {"title": "diễn tập"}, owner="minh", scope="exercise:dt1")
        advance(app, 37)
        duties.step(app)
    assert server.recipients == ["btc@tinh.vn"]


def test_a_part_that_fails_stops_no_other(app: App, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, the rest is done, and the next step tries it again."""

    def failing(_app: App) -> int:
        raise StoreUnavailable("the store is away")

    monkeypatch.setitem(duties.PARTS, "notices", failing)
    monkeypatch.setitem(duties.PARTS, "other", lambda _app: 3)
    opened_now(app)
    advance(app, 37)
    done = duties.step(app)
    assert (done.errors, done.parts["other"], done.outbox.sent) == ({"notices": "the store is away"}, 3, 1)


def test_own_steps_are_read_and_wrong_ones_refused(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """The office may write its own steps; what cannot be is refused with the name of the file."""
    own = tmp_path / "steps.yml"
    own.write_text("steps:\n  - {id: soon, at: due-30m, to: [leads]}\n", encoding="utf-8")
    with opened(settings_of(tmp_path, server.port, duties=DutiesSettings(reminders=own)), frozen_clock) as app:
        furnish(app)
        name = opened_now(app)
        advance(app, 72)
        duties.step(app)
        assert steps(app, name) == ["soon"]
    for text in (
        "steps: [{id: a, at: tomorrow, to: [leads]}]",
        "steps: [{id: a, at: due, to: [everybody]}]",
        "steps: [{id: A b, at: due, to: [leads]}]",
        "- 1",
        "{",
    ):
        wrong = tmp_path / "wrong.yml"
        wrong.write_text(text, encoding="utf-8")
        steps_of.cache_clear()
        with pytest.raises(ConfigError, match=r"wrong\.yml"):
            steps_of(wrong)


POINTS = ("reminders.due", "reminders.recorded", "outbox.due", "outbox.recorded", "outbox.attempted", "outbox.handed-over")


@settings(max_examples=10, deadline=None)
@given(
    moves=st.lists(st.tuples(st.floats(0, 40), st.sampled_from(("", *POINTS)), st.integers(1, 3), st.booleans()), min_size=1, max_size=12),
)
def test_each_step_is_sent_exactly_once_whatever_time_and_restarts_do(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[float, str, int, bool]]
) -> None:
    """The clock steps forward at random, the program is killed and started again at random: in the end each step has gone to each person once."""
    clock = FrozenClock(NOW_US)
    folder = tmp_path_factory.mktemp("duties")
    with running() as server:
        found = settings_of(folder, server.port)
        with opened(found, clock) as app:
            furnish(app, *ROSTER)
            name = opened_now(app)
        memory = duties.Memory()
        kept: App | None = None
        for hours, point, count, restart in moves:
            left = [count]

            def crash(passed: str, point: str = point, left: list[int] = left) -> None:
                left[0] -= passed == point
                if not left[0]:
                    left[0] = -1
                    raise Killed

            if kept is None or restart or point:
                if kept is not None:
                    kept.close()
                kept, memory = opened(found, clock, crash), duties.Memory()
            try:
                duties.step(kept, memory)
            except Killed:
                kept.close()
                kept = None
            clock.advance(hours * 3600)
        if kept is not None:
            kept.close()
        clock.advance(200 * 3600)
        with opened(found, clock) as app:
            for _ in range(4):
                duties.step(app)
                clock.advance(3700)
            assert steps(app, name) == STEPS_72H
            sent = [one for one in outbox.sendings(app) if one.message.kind == "obligation"]
            assert all(one.state == "sent" for one in sent)
        told = Counter((one.message.step.partition("@")[0], one.message.recipient) for one in sent)
        wanted = {"half": 1, "due-24h": 1, "due-4h": 2, "due-1h": 2, "due": 3, "overdue-1h": 3, "overdue-24h": 2, "overdue-72h": 2}
        assert Counter(step for step, _ in told) == wanted
        assert server.ids == {f"<{one.message.id}@tinh.vn>" for one in sent}
        copies = Counter(str(mail["Message-ID"]) for mail in server.mails)
        for one in sent:
            assert copies[f"<{one.message.id}@tinh.vn>"] == 1 or one.possibly_twice


@pytest.mark.parametrize("kind", STORES)
def test_on_every_store_the_same_people_are_told_the_same(kind: str, tmp_path: Path, server: Server, request: pytest.FixtureRequest) -> None:
    """Reminders, a call that goes on to the next one, a report, an acknowledgement: on memory, SQLite and Elasticsearch."""
    store = StoreSettings(kind="memory") if kind == "memory" else StoreSettings(path=tmp_path / "store")
    if kind == "elasticsearch":
        store = request.getfixturevalue("elastic_store")
    with opened(settings_of(tmp_path, server.port).model_copy(update={"store": store}), clock_for(kind, NOW_US)) as app:
        furnish(app, *ROSTER)
        name = opened_now(app)
        advance(app, 37)
        call = oncall.page(app, name, "Mã độc")
        assert not duties.step(app).errors
        assert sorted(server.recipients) == ["lan@tinh.vn", "minh@tinh.vn"]
        advance(app, 0.2)
        assert duties.step(app).calls == 1
        assert server.recipients[-1] == "hoa@tinh.vn"
        assert oncall.acknowledge(app, call.code, by="hoa").state == "acknowledged"
        incidents.report(app, name, "report-72h")
        advance(app, 60)
        assert not duties.step(app).anything
        assert [one.state for one in outbox.listed(app, every=True)] == ["sent"] * 3
        assert outbox.listed(app) == []
        assert duties.listed(app) == []
        assert len(server.ids) == 3


def test_the_thread_beside_the_pipeline_does_the_same_and_ends(tmp_path: Path, server: Server) -> None:
    """With the clock of the machine: a message that is due goes out by itself; a failing part does not end the thread."""
    found = settings_of(tmp_path, server.port)
    with opened(found, SystemClock()) as app:  # type: ignore[arg-type]
        furnish(app)
        incidents.open_incident(app, {"title": "trễ", "detected_at": iso(app.clock.now_us() - 100 * HOUR)})
        beside = duties.Duties(duties.beside(app), 0.05)
        beside.start()
        wait_until(lambda: bool(server.mails), what="the message")
        beside.stop()
        beside.join(150)
        assert not beside.is_alive()
    assert server.recipients == ["hoa@tinh.vn"]
