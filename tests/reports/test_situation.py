"""The situation report: one page of what happened in the day up to 06:00."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.application import duties, incidents, notices, reports, situation
from soc.application.app import App
from soc.application.numbered import local_day
from soc.clock import FrozenClock, iso
from soc.errors import UsageError
from soc.model.fact import NewFact
from soc.reports.situation import MOST_DUE, MOST_INCIDENTS, values
from tests.conftest import NOW_US
from tests.reports.conftest import HOUR, Opened, application


def test_the_day_ends_at_six_where_the_users_are(app: App) -> None:
    """At 08:00 it is today's 06:00; at 05:59 yesterday's; a given end counts; one that has not come is refused."""
    assert situation.period(app) == (NOW_US - 26 * HOUR, NOW_US - 2 * HOUR)
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(-(2 * 3600 + 60))
    assert situation.period(app)[1] == NOW_US - 26 * HOUR
    assert situation.period(app, iso(NOW_US - 3 * HOUR)) == (NOW_US - 27 * HOUR, NOW_US - 3 * HOUR)
    with pytest.raises(UsageError, match="future"):
        situation.period(app, iso(NOW_US + HOUR))


def test_it_counts_what_is_recorded_and_exercises_nowhere(app: App, opened: Opened, tmp_path: Path) -> None:
    """New, closed and serious incidents, reports on time and overdue, notices without answer; what is due next."""
    late = opened(legal_class="serious", detected_at=iso(NOW_US - 40 * HOUR), severity="critical")
    incidents.move(app, late, "triage", {})
    done = opened(detected_at=iso(NOW_US - 5 * HOUR))
    incidents.move(app, done, "triage", {})
    reports.draft(app, done, "report-72h")
    reports.sent(app, done, "report-72h", to="PA05", channel="mail", word_of="Giám đốc")
    incidents.open_incident(app, {"title": "Diễn tập", "severity": "critical"}, scope="exercise:2026")
    letter = notices.draft(app, "Lỗ hổng", to=["so-yt"])
    found = situation.gather(app, iso(NOW_US))
    assert (found.incidents_new, found.incidents_serious, [one.id for one in found.open]) == (0, 1, [late, done])
    assert [(one.incident, one.overdue) for one in found.due] == [(late, True)]
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(60)
    found = situation.gather(app, iso(NOW_US + 60_000_000))
    assert (found.incidents_new, found.reports_met, found.reports_late, found.notices_unanswered) == (2, 1, 0, 0)
    assert letter.state == "draft"
    text = situation.document(app, found, "txt").decode()
    for said in (
        "1 báo cáo theo quy định đang quá hạn",
        "Thông báo ban đầu",
        "mới 2, kết thúc 0; đang xử lý 2",
        "Sở Y tế",
        "BÁO CÁO NHANH",
        "nghiêm trọng theo quy định",
    ):
        assert said in text
    assert "Diễn tập" not in text
    assert situation.document(app, found, "docx") == situation.document(app, found, "docx")
    situation.record(app, found, "docx", "nhanh.docx", "0" * 64)
    assert app.journal.read(situation.STREAM)[0].fact.data["facts"]["until"] == iso(NOW_US + 60_000_000)


def test_however_much_there_is_it_stays_one_page_s_worth(app: App, opened: Opened) -> None:
    """Rows and texts are bounded, and what is left out is counted."""
    for number in range(12):
        incident = opened(title="x" * 190 + str(number), detected_at=iso(NOW_US - (80 + number) * HOUR))
        incidents.move(app, incident, "triage", {})
    found = situation.gather(app, iso(NOW_US), assessment="dài " * 1_000)
    printed = values(found, local_day(app))
    rows, due = printed["open_incidents"], printed["due"]
    assert (len(rows), len(due)) == (MOST_INCIDENTS + 1, MOST_DUE + 1)
    assert isinstance(rows[-1], dict)
    assert rows[-1]["title"] == f"… và {12 - MOST_INCIDENTS} mục khác"
    assert len(str(printed["assessment"])) <= 300


def test_every_morning_once(tmp_path: Path) -> None:
    """One message a day to each, whatever runs how often; after three days off only the newest; nobody asked for it: nothing."""
    app = application(tmp_path / "data")
    assert situation.part(app) == 0
    chosen = app.settings.reports.model_copy(update={"situation_to": ["chu-tich@tinh-mau.gov.vn", "van-phong@tinh-mau.gov.vn"]})
    app.settings = app.settings.model_copy(update={"reports": chosen})
    incidents.open_incident(app, {"title": "Mã hóa", "agencies": ["so-yt"]})
    assert [situation.part(app), situation.part(app)] == [2, 0]
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(3 * 86_400)
    app.journal.append(situation.SENT_STREAM, -1, [NewFact("SituationSent", {"until": ""})], actor="an")
    assert [situation.part(app), situation.part(app)] == [2, 0]
    due = [facts[0].fact.data for _, facts in app.journal.under("message/")]
    assert sorted({one["about"] for one in due}) == [iso(NOW_US - 2 * HOUR), iso(NOW_US + 70 * HOUR)]
    assert all("BÁO CÁO NHANH" in one["body"] and one["attachments"] for one in due)
    assert duties.PARTS["situation"] is situation.part


def test_a_day_that_was_sent_but_not_recorded_is_not_sent_again(tmp_path: Path) -> None:
    """Killed between both: the next run says the same message again, which is none."""
    app = application(tmp_path / "data")
    chosen = app.settings.reports.model_copy(update={"situation_to": ["chu-tich@tinh-mau.gov.vn"]})
    app.settings = app.settings.model_copy(update={"reports": chosen})
    assert situation.part(app) == 1
    app.journal.append(situation.SENT_STREAM, -1, [NewFact("SituationSent", {"until": "lost"})], actor="an")
    incidents.open_incident(app, {"title": "Mã hóa", "agencies": ["so-yt"]})
    assert situation.part(app) == 0
    assert len(list(app.journal.under("message/"))) == 1
