"""Reminders of tasks that are not done in time: once each, all of one owner together, whatever is killed in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application import duties, incidents, outbox
from soc.application.app import App
from soc.application.task_reminders import PREFIX, recorded
from soc.clock import FrozenClock, iso
from tests.adapters.smtp.server import Server
from tests.application.office import HOUR, NOW_US, furnish, opened, settings_of, shift
from tests.application.test_outbox import Killed

ROSTER = (shift(-2, 700, "lan"),)


def advance(app: App, hours: float) -> None:
    """Let time pass."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(hours * 3600)


def incident(app: App, *tasks: tuple[str, str, float], owner: str = "minh") -> str:
    """An incident detected now with tasks: title, owner, hours until it is due."""
    name = incidents.open_incident(app, {"title": "Mã độc tại Sở Y tế", "detected_at": iso(NOW_US)}, owner=owner).id
    incidents.add_tasks(app, name, [{"title": title, "owner": who, "due_at": iso(NOW_US + round(hours * HOUR))} for title, who, hours in tasks])
    return name


def told(app: App, server: Server, name: str) -> list[tuple[str, list[str]]]:
    """The mails about tasks: to whom, and which tasks they name."""
    return [
        (str(mail["To"]), [word for word in ("t1", "t2", "t3") if f"{word}  " in str(mail.get_content())])
        for mail in server.mails
        if "việc" in str(mail["Subject"]) and name in str(mail["Subject"])
    ]


def test_owners_are_told_once_what_is_overdue_and_leads_a_day_later(app: App, server: Server) -> None:
    """Two tasks of one owner that fall together are one mail; a task without owner goes to that of the incident; done ones to nobody."""
    name = incident(app, ("Cách ly", "lan", 1), ("Bảo vệ bản sao", "lan", 1), ("Báo cáo", "", 2))
    for _ in range(4):
        duties.step(app)
        advance(app, 1)
    assert told(app, server, name) == [("lan@tinh.vn", ["t1", "t2"]), ("minh@tinh.vn", ["t3"])]
    assert all("QUÁ HẠN" in str(mail["Subject"]) for mail in server.mails if "việc" in str(mail["Subject"]))
    incidents.finish_task(app, name, "t1", result="xong")
    advance(app, 24)
    duties.step(app)
    late = told(app, server, name)[2:]
    assert sorted(late) == [("hoa@tinh.vn", ["t2"]), ("hoa@tinh.vn", ["t3"]), ("lan@tinh.vn", ["t2"]), ("minh@tinh.vn", ["t3"])]
    duties.step(app)
    assert len(told(app, server, name)) == 6
    assert len(server.ids) == len(server.mails)


def test_what_was_late_when_it_was_given_is_one_mail(app: App, server: Server) -> None:
    """A playbook begun three days after the detection: one mail names every task, not one each and step."""
    advance(app, 72)
    name = incident(app, ("Cách ly", "minh", 1), ("Bảo vệ bản sao", "minh", 2), ("Báo cáo", "minh", 3))
    duties.step(app)
    assert told(app, server, name) == [("minh@tinh.vn", ["t1", "t2", "t3"])]


def test_nobody_is_told_of_what_is_done_or_over(app: App, server: Server) -> None:
    """Done before the mail went out, or of an incident that was rejected: it is taken back."""
    server.always = "busy"
    name, other = incident(app, ("Cách ly", "minh", 1)), incident(app, ("Cách ly", "minh", 1))
    advance(app, 2)
    duties.step(app)
    incidents.finish_task(app, name, "t1", result="xong")
    incidents.move(app, other, "reject", {}, reason="báo nhầm")
    duties.step(app)
    assert {one.state for one in outbox.sendings(app) if one.message.kind == "task"} == {"cancelled"}


@pytest.mark.parametrize("point", ["tasks.due", "tasks.recorded", "outbox.recorded"])
def test_after_a_kill_each_is_told_exactly_once(tmp_path: Path, frozen_clock: FrozenClock, server: Server, point: str) -> None:
    """Killed at any step, then three days switched off: both steps reach their owner, each once."""
    found = settings_of(tmp_path, server.port)
    with opened(found, frozen_clock) as app:
        furnish(app, *ROSTER)
        name = incident(app, ("Cách ly", "lan", 1), owner="lan")
    frozen_clock.advance(2 * 3600)

    def kill(at: str) -> None:
        if at == point:
            raise Killed

    with opened(found, frozen_clock, kill) as app, pytest.raises(Killed):
        duties.step(app)
    frozen_clock.advance(72 * 3600)
    with opened(found, frozen_clock) as app:
        duties.step(app)
        duties.step(app)
        keys = [key.partition("@")[0] for one in recorded(stored.fact for stored in app.journal.read(PREFIX + name)) for _, key in one.tasks]
        assert keys == ["due", "overdue-24h"]
        assert [to for to, _ in told(app, server, name)].count("lan@tinh.vn") == 2
        assert len(server.ids) == len(server.mails)
