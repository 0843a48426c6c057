"""Who is on call, when nobody is, and how shifts are swapped; how people can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soc.application import recipients, registry, roster
from soc.application.app import App
from soc.clock import FrozenClock, from_iso, iso
from soc.config import OutboxSettings, Settings, WebhookSettings
from soc.errors import Conflict, NotFound, UsageError
from soc.model.fact import Behalf
from soc.organization.model import Person, Shift
from soc.organization.registry import Registry
from soc.organization.roster import counting, on_shift, uncovered, without_overlaps
from soc.organization.table import Row
from tests.application.office import HOUR, NOW_US, furnish, opened, settings_of, shift, take_in


@pytest.fixture
def app(tmp_path: Path, frozen_clock: FrozenClock) -> Iterator[App]:
    """An office with a night and a day."""
    with opened(settings_of(tmp_path), frozen_clock) as found:
        furnish(found, shift(-2, 6, "lan"), shift(-2, 6, "minh", 2), shift(6, 14, "minh"), shift(20, 28, "lan"))
        yield found


def names(people: list[Person]) -> list[str]:
    """Their ids."""
    return [one.id for one in people]


def test_those_on_shift_by_post_then_whoever_comes_next(app: App) -> None:
    """At the border the next shift counts from its first moment on; in a gap the next one is called."""
    assert names(roster.called(app)) == ["lan", "minh"]
    assert names(roster.called(app, NOW_US + 6 * HOUR - 1)) == ["lan", "minh"]
    assert names(roster.on_call(app, NOW_US + 6 * HOUR)) == ["minh"]
    assert names(roster.called(app, NOW_US + 6 * HOUR)) == ["minh", "lan"]
    assert roster.on_call(app, NOW_US + 15 * HOUR) == []
    assert names(roster.called(app, NOW_US + 15 * HOUR)) == ["lan"]


def test_when_nobody_is_on_call_is_told(app: App) -> None:
    """Between the shifts, and after the last."""
    found, gaps = roster.shifts(app, NOW_US, NOW_US + 30 * HOUR)
    assert [one.post for one in found] == [1, 2, 1, 1]
    assert [(from_iso(one.begin) - NOW_US, from_iso(one.end) - NOW_US) for one in gaps] == [(14 * HOUR, 20 * HOUR), (28 * HOUR, 30 * HOUR)]


def test_a_swap_is_a_fact_with_reason(app: App) -> None:
    """Given to somebody else, or two exchanged; nobody at two posts at once, nothing that is over, never without a reason."""
    [night] = [one for one in Registry(app.journal).all(Shift) if one.begin == iso(NOW_US + 6 * HOUR)]
    assert roster.swap(app, night.key, "hoa", reason="ốm", behalf=Behalf("Lê Thị Hoa", "telephone"))[0].person == "hoa"
    assert names(roster.on_call(app, NOW_US + 7 * HOUR)) == ["hoa"]
    last = app.journal.read("registry/roster")[-1].fact
    assert (last.reason, last.behalf) == ("ốm", Behalf("Lê Thị Hoa", "telephone"))
    [late] = [one for one in Registry(app.journal).all(Shift) if one.begin == iso(NOW_US + 20 * HOUR)]
    assert [one.person for one in roster.swap(app, night.key[:16], other=late.key, reason="đổi ca")] == ["lan", "hoa"]
    [second] = [one for one in Registry(app.journal).all(Shift) if one.post == 2]
    with pytest.raises(Conflict, match="same time"):
        roster.swap(app, second.key, "lan", reason="x")
    with pytest.raises(NotFound):
        roster.swap(app, late.key, "nobody", reason="x")
    with pytest.raises(NotFound):
        roster.swap(app, "2031-01-01T00:00/1", "lan", reason="x")
    with pytest.raises(UsageError):
        roster.swap(app, late.key, "lan", reason=" ")
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(40 * 3600)
    with pytest.raises(Conflict, match="over"):
        roster.swap(app, late.key, "minh", reason="x")


def test_an_import_tells_every_row_that_cannot_be(app: App, tmp_path: Path) -> None:
    """People who are not there, ends before beginnings, two on one post at once; a later roster replaces what it does not name from today on."""
    file = tmp_path / "r.csv"
    file.write_text(
        "begin;end;person;post;decision\n"
        "2026-12-01 07:00;2026-12-01 19:00;lan;1;15/QĐ\n"
        "01/12/2026 18:00;02/12/2026 07:00;minh;1;15/QĐ\n"
        "2026-12-02 07:00;2026-12-02 06:00;minh;1;15/QĐ\n"
        "2026-12-03 07:00;2026-12-03 19:00;ai;1;15/QĐ\n"
        "mai;2026-12-03 19:00;lan;1;15/QĐ\n"
        "2026-12-04 07:00;2026-12-04 19:00;lan;10;15/QĐ\n",
        encoding="utf-8",
    )
    plan = registry.plan(app, "roster", file, replace=False)
    assert [one.key for one in plan.added] == ["2026-12-01T07:00/1"]
    said = {one.line or one.key: str(one.reason) for one in plan.rejected}
    assert "overlaps with 2026-12-01T07:00/1 of lan" in said["2026-12-01T18:00/1"]
    assert "end is not after begin" in said[4]
    assert "there is no ai among the people" in said[5]
    assert "begin" in said[6]
    assert "post" in said[7]
    registry.apply(app, plan, origin="r.csv", skip_rejected=True)
    assert registry.plan(app, "roster", file, replace=False).unchanged == 1


def test_a_shift_is_stored_in_utc_and_read_back_as_it_is(app: App) -> None:
    """What was written without a zone is Vietnamese time; reading the stored row gives the same shift."""
    [first] = [one for one in Registry(app.journal).all(Shift) if one.begin == iso(NOW_US - 2 * HOUR) and one.post == 1]
    assert Shift.model_validate(first.model_dump(mode="json")) == first
    assert first.key == "2026-11-21T06:00/1"


def test_people_are_reached_the_way_they_prefer(app: App) -> None:
    """Mail and the first webhook with the telephone number; people without either by nothing; leads of settings beside those of the registry."""
    webhook = {"sms": WebhookSettings(url="http://127.0.0.1:1/")}
    both = Settings(webhook=webhook)
    person = Person(id="a", name="A", agency="so-kh-cn", email="a@tinh.vn", phone="0912345678", channel="webhook")
    assert recipients.ways(person, both) == [("webhook", "0912345678"), ("mail", "a@tinh.vn")]
    assert recipients.ways(person.model_copy(update={"channel": "mail"}), both) == [("mail", "a@tinh.vn"), ("webhook", "0912345678")]
    assert recipients.ways(person, Settings()) == [("mail", "a@tinh.vn")]
    assert recipients.ways(person.model_copy(update={"email": "", "phone": ""}), both) == []
    app.use(app.settings.model_copy(update={"outbox": OutboxSettings(leads=["truc@tinh.vn", "no address"])}))
    assert recipients.leads(app) == [("mail", "hoa@tinh.vn"), ("mail", "truc@tinh.vn")]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(1, 3), st.sampled_from(["lan", "minh", "hoa"])), max_size=12), st.integers(0, 90))
@example([(0, 3, 1, "lan"), (1, 1, 1, "lan"), (2, 1, 1, "lan")], 2)
def test_a_roster_never_has_two_on_one_post_and_gaps_are_exactly_where_nobody_is(rows: list[tuple[int, int, int, str]], hour: int) -> None:
    """Whatever is imported, at each moment a post has at most one; a moment is covered exactly when it is in no gap."""
    from soc.adapters.memory_journal import MemoryJournal

    journal = MemoryJournal(clock=FrozenClock(NOW_US))
    app = type("Fake", (), {"journal": journal})
    furnish(app)  # type: ignore[arg-type]
    known = Registry(journal)
    plan = without_overlaps(
        known.plan("roster", [Row(at, shift(begin, begin + length, who, post)) for at, (begin, length, post, who) in enumerate(rows)]), known
    )
    shifts = counting(one for one in plan.added if isinstance(one, Shift))
    moment = NOW_US + hour * HOUR
    posts = [one.post for one in on_shift(shifts, moment)]
    assert posts == sorted(set(posts))
    gaps = uncovered(shifts, NOW_US, NOW_US + 100 * HOUR)
    assert bool(posts) != any(from_iso(one.begin) <= moment < from_iso(one.end) for one in gaps)


def test_who_has_ended_is_not_called(app: App) -> None:
    """Somebody whose entry ended is passed over."""
    take_in(
        app, "people", {"id": "lan", "name": "Nguyễn Thị Lan", "agency": "so-kh-cn", "role": "analyst", "email": "lan@tinh.vn", "valid_until": "2026-11-20"}
    )
    assert names(roster.called(app)) == ["minh"]
