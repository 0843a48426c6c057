"""Numbers are taken once and for all, and found by the number alone."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.application.app import App
from soc.application.numbered import FUTURE_US, identity, local_day, not_later, take
from soc.clock import FrozenClock, from_iso, iso
from soc.errors import Conflict, UsageError
from soc.model.fact import NewFact
from tests.incidents.test_workflow import NOW, application

FACT = NewFact("ThingBegun", {"a": 1})


@pytest.fixture
def app() -> App:
    """An application in memory."""
    return application()


def test_numbers_follow_each_other_and_streams_of_other_names_do_not_count(app: App) -> None:
    """The next number is one more than the largest; what is no number is none."""
    app.journal.append("thing/T-0041", 0, [FACT], actor="an")
    app.journal.append("thing/T-x", 0, [FACT], actor="an")
    app.journal.append("thing/T-²", 0, [FACT], actor="an")
    taken = [take(app, "thing/T-", FACT, busy="busy")[0].fact.stream for _ in range(2)]
    assert taken == ["thing/T-0042", "thing/T-0043"]


def test_two_at_the_same_moment_get_two_numbers(tmp_path: Path) -> None:
    """Eight writers, each with a connection of its own: 40 numbers, none twice, none left out."""
    found: list[str] = []

    def work() -> None:
        with application("embedded", tmp_path) as own:
            found.extend(take(own, "thing/T-", FACT, busy="busy")[0].fact.stream for _ in range(5))

    application("embedded", tmp_path).journal.append("other", 0, [FACT], actor="an")
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"thing/T-{number:04d}" for number in range(1, 41)]


def test_who_is_always_late_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """After fifty numbers that others took meanwhile it says so."""
    for number in range(1, 61):
        app.journal.append(f"thing/T-{number:04d}", 0, [FACT], actor="an")
    monkeypatch.setattr(app.journal, "heads", lambda prefix="": iter(()))
    with pytest.raises(Conflict, match="all at once"):
        take(app, "thing/T-", FACT, busy="all at once")


@pytest.mark.parametrize(
    ("said", "meant"),
    [("7", "T-2026-0007"), (" 7 ", "T-2026-0007"), ("t-2025-0012", "T-2025-0012"), ("0", "0"), ("²", "²"), ("٣", "٣"), ("9" * 40, "9" * 40), ("", "")],
)
def test_the_number_alone_is_enough(said: str, meant: str) -> None:
    """In any case of letters; what is no number of ours stays as it was said."""
    assert identity("T-2026-", said) == meant


@given(st.text(max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever is said, the answer is a text."""
    assert isinstance(identity("T-", text), str)


def test_the_day_is_that_of_the_users(app: App) -> None:
    """17:00 UTC is midnight of the next day in Vietnam."""
    assert local_day(app, from_iso("2026-12-31T16:59:59Z")) == date(2026, 12, 31)
    assert local_day(app, from_iso("2026-12-31T17:00:00Z")) == date(2027, 1, 1)
    assert isinstance(app.clock, FrozenClock)
    assert local_day(app) == local_day(app, NOW)


def test_times_that_have_not_come_are_refused(app: App) -> None:
    """Five minutes are granted to clocks that differ."""
    assert not_later(app, "at", "") == ""
    assert not_later(app, "at", iso(NOW + FUTURE_US)) == iso(NOW + FUTURE_US)
    with pytest.raises(UsageError, match=r"at: .* lies in the future"):
        not_later(app, "at", iso(NOW + FUTURE_US + 1))
