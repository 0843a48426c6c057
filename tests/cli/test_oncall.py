"""`soc roster`, `oncall`, `handover`, `duties` and `outbox` as people call them, against a real mail server; and kill -9 at every step."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.smtp.server import Server, running
from tests.cli.conftest import Run
from tests.servers.process import wait_until


@pytest.fixture
def server() -> Iterator[Server]:
    """A mail server."""
    with running() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options that lead to a store with people, with the mail server in a configuration file."""
    config = tmp_path / "soc.toml"
    config.write_text(
        f'[mail]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\nsender = "soc@tinh.vn"\ntimeout_s = 120\n\n[outbox]\nbackoff_s = 0.001\nbackoff_most_s = 0.001\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    monkeypatch.setenv("SOC_CONFIG", str(config))
    return ("--store", str(tmp_path / "s"))


@pytest.fixture
def office(soc: Run, store: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    """People and a roster."""
    (tmp_path / "a.csv").write_text("id,name,level\nso,Sở KH&CN,department\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text(
        "id,name,agency,role,email\nlan,Nguyễn Thị Lan,so,analyst,lan@tinh.vn\nminh,Trần Minh,so,analyst,minh@tinh.vn\nhoa,Lê Thị Hoa,so,lead,hoa@tinh.vn\n",
        encoding="utf-8",
    )
    (tmp_path / "r.csv").write_text(
        "begin,end,person,post,decision\n2020-01-01 07:00,2020-01-02 07:00,lan,1,12/QĐ-SKHCN\n" + "".join(f"{day},lan,1,12/QĐ-SKHCN\n" for day in _days()),
        encoding="utf-8",
    )
    for kind, file in (("agencies", "a.csv"), ("people", "p.csv"), ("roster", "r.csv")):
        done = soc(kind, "import", str(tmp_path / file), "--yes", *store)
        assert done.code == 0, done.err
    return store


def _days() -> list[str]:
    """Shifts of a month each around today, for ten years."""
    from datetime import date, timedelta

    first = date(2026, 1, 1)
    every = [first + timedelta(days=30 * at) for at in range(122)]
    return [f"{day} 07:00,{after} 07:00" for day, after in itertools.pairwise(every)]


def item(done: Any) -> Any:
    """The JSON of a command."""
    return json.loads(done.out)


def test_a_call_from_the_roster_to_the_acknowledgement(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """Imported, shown, paged, escalated, acknowledged by code on behalf; the second time the code is told to be used."""
    assert item(soc("roster", "now", "--json", *office))["items"][0]["person"] == "lan"
    shown = item(soc("roster", "show", "--days", "3", "--json", *office))
    assert shown["uncovered"] == []
    called = soc("oncall", "page", "INC-2026-0001", "Mã độc tống tiền", "--json", *office)
    assert called.code == 0
    code = item(called)["item"]["code"]
    assert server.recipients == ["lan@tinh.vn"]
    assert code in server.mails[0].get_content()
    assert soc("oncall", "list", *office).code == 1
    assert soc("oncall", "escalate", code, "--reason", "không nghe máy", *office).code == 0
    assert soc("outbox", "deliver", *office).code == 0
    assert server.recipients == ["lan@tinh.vn", "hoa@tinh.vn"]
    done = soc("--lang", "vi", "oncall", "ack", code.lower(), "--on-behalf", "Trần Minh", "--by", "telephone", *office)
    assert "Trần Minh" in done.out
    assert soc("oncall", "ack", code, *office).code == 6
    assert soc("oncall", "ack", "ZZZZZZ", *office).code == 1
    assert soc("oncall", "list", *office).code == 0
    assert item(soc("oncall", "list", "--all", "--json", *office))["items"][0]["state"] == "acknowledged"


def test_a_call_that_wakes_nobody_says_so(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """The same again is told, and ends with 1 once it was acknowledged; a number without an incident is told, and calls all the same."""
    first = soc("oncall", "page", "INC-2026-0077", "Mã độc tống tiền", *office)
    assert (first.code, "no incident INC-2026-0077" in first.err, server.recipients) == (0, True, ["lan@tinh.vn"])
    again = soc("oncall", "page", "INC-2026-0077", "Lan sang máy khác", *office)
    assert (again.code, "wakes nobody again: Mã độc tống tiền" in again.err, len(server.recipients)) == (0, True, 1)
    assert soc("oncall", "ack", item(soc("oncall", "list", "--json", *office))["items"][0]["code"], *office).code == 0
    over = soc("oncall", "page", "INC-2026-0077", "Lan sang máy khác", *office)
    assert (over.code, "--again" in over.err, len(server.recipients)) == (1, True, 1)
    other = soc("oncall", "page", "INC-2026-0077", "Lan sang máy khác", "--again", "2", *office)
    assert (other.code, len(server.recipients)) == (0, 2)


def test_notes_and_rosters_name_people_and_reports(soc: Run, office: tuple[str, ...]) -> None:
    """Names instead of ids, and titles of what is due instead of its id."""
    assert soc("incidents", "new", "Mã độc", "--detected", "80h", *office).code == 0
    told = soc("--lang", "vi", "handover", "write", "Chờ", "--to", "minh", *office)
    assert ("→ Trần Minh" in told.out, "Báo cáo 72 giờ" in told.out, "report-72h" in told.out) == (True, True, False)
    assert "Nguyễn Thị Lan (lan)" in soc("roster", "show", "--days", "1", *office).out


def test_a_swap_and_a_gap(soc: Run, office: tuple[str, ...], tmp_path: Path) -> None:
    """A shift is given away with a reason; a time without anybody ends with exit code 1; rows that overlap are told by line."""
    key = item(soc("roster", "show", "--days", "1", "--json", *office))["items"][0]["id"]
    assert soc("roster", "swap", key, "--with", "minh", "--reason", "ốm", *office).code == 0
    assert item(soc("roster", "now", "--json", *office))["items"][0]["person"] == "minh"
    gone = soc("roster", "show", "--from", "2045-01-01", *office)
    assert gone.code == 1
    assert "nobody is on call" in gone.err
    (tmp_path / "wrong.csv").write_text("begin,end,person\n2026-12-24 08:00,2026-12-24 12:00,minh\nmai,mai,lan\n", encoding="utf-8")
    refused = soc("roster", "import", str(tmp_path / "wrong.csv"), "--yes", *office)
    assert refused.code == 1
    assert "overlaps" in refused.out
    assert "begin" in refused.out


def test_a_handover(soc: Run, office: tuple[str, ...]) -> None:
    """Written, shown, listed, accepted for somebody who says so."""
    assert soc("handover", "show", *office).code == 1
    assert soc("handover", "write", "Chờ Sở Y tế gửi nhật ký", "--to", "minh", *office).code == 0
    assert "Chờ Sở Y tế" in soc("handover", "show", *office).out
    assert soc("handover", "accept", *office).code == 6
    assert soc("handover", "accept", "1", "--on-behalf", "Trần Minh", *office).code == 0
    assert item(soc("handover", "list", "--json", *office))["items"][0]["accepted_behalf"]["person"] == "Trần Minh"


def test_duties_from_the_reminder_to_the_report(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """What is overdue is listed with exit code 1, reminded of once, and gone after the report."""
    made = item(soc("incidents", "new", "Mã độc", "--detected", "5d", "--json", *office))["item"]
    assert soc("incidents", "triage", made["id"], "--class", "malicious-code/infected-system", "--legal-class", "ordinary", "--reason", "r", *office).code == 0
    listed = soc("duties", "list", "--json", *office)
    assert (listed.code, [one["state"] for one in item(listed)["items"]]) == (1, ["overdue"])
    done = item(soc("duties", "run", "--json", *office))
    assert (done["reminders"], done["outbox"]["sent"], done["errors"]) == (1, 1, {})
    assert item(soc("duties", "run", "--json", *office))["outbox"]["sent"] == 0
    assert server.recipients == ["lan@tinh.vn"]
    [due] = item(soc("duties", "list", "--overdue", "--json", *office))["items"]
    assert [one["step"] for one in due["reminded"]] == ["known"]
    assert soc("incidents", "report", made["id"], "report-72h", "--number", "12/BC", *office).code == 0
    assert soc("duties", "list", *office).code == 0
    assert "half" in soc("duties", "steps", *office).out
    calendar = item(soc("duties", "calendar", "2026", "--json", *office))["items"]
    assert any(one["day"] == "2026-11-24" and one["unverified"] for one in calendar)


def test_messages_are_listed_shown_tried_again_and_taken_back(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """A refused one is given up and told to the lead; by hand it goes; a waiting one can be cancelled; hostile texts are shown harmless."""
    server.behave = ["refuse"]
    assert soc("outbox", "test", "sai@tinh.vn", *office).code == 1
    problems = soc("outbox", "list", "--problems", "--json", *office)
    assert (problems.code, [one["state"] for one in item(problems)["items"]]) == (1, ["given-up"])
    name = item(problems)["items"][0]["id"]
    assert soc("outbox", "deliver", *office).code == 0
    assert server.recipients == ["hoa@tinh.vn"]
    assert "550" in soc("outbox", "show", name[:8], *office).out
    assert soc("outbox", "retry", name, *office).code == 0
    assert soc("outbox", "deliver", name, *office).code == 0
    assert soc("outbox", "cancel", name, "--reason", "x", *office).code == 6
    server.always = "busy"
    called = item(soc("oncall", "page", "INC-2026-0002", "\x1b[31mđỏ\nBcc: x@y.vn", "--json", *office))["item"]
    waiting = called["asked"][0]["messages"][0]
    assert "\x1b[31m" not in soc("outbox", "show", waiting, *office).out
    assert soc("outbox", "cancel", waiting, "--reason", "đã gọi", *office).code == 0
    assert soc("outbox", "list", *office).code == 0
    assert soc("outbox", "test", "không@", *office).code == 2


def test_why_a_message_waits_is_said_in_the_readers_language(soc: Run, office: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Held for want of a setting: in Vietnamese for people, in English for programs."""
    monkeypatch.delenv("SOC_CONFIG")
    soc("oncall", "page", "INC-2026-0003", "Mã độc", *office)
    assert item(soc("outbox", "list", "--json", *office))["items"][0]["reason"] == "nothing is configured for it: [mail]"
    assert "chưa cấu hình cho nó: [mail]" in soc("--lang", "vi", "outbox", "list", *office).out


def test_doctor_asks_the_mail_server(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """It answers, or what to do about it; exercises that go to nobody are told."""
    checks = {one["name"]: one for one in item(soc("doctor", "--json", *office))["items"]}
    assert checks[f"mail 127.0.0.1:{server.port}"]["state"] == "ok"
    assert checks["exercises"]["state"] == "warn"


def test_four_processes_at_once_send_each_message_once(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """They look at the same list at the same time; who records the attempt makes it."""
    server.always = "busy"
    for number in range(12):
        soc("oncall", "page", f"INC-2026-{number:04d}", "Mã độc", *office)
        item(soc("outbox", "list", "--json", *office))
    server.always = "ok"
    command = [sys.executable, "-m", "soc", "outbox", "deliver", "--json", *office]
    every = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    sent = sum(json.loads(one.communicate()[0])["sent"] for one in every)
    assert (sent, len(server.mails), len(server.ids)) == (12, 12, 12)


POINTS = ("reminders.due", "reminders.recorded", "outbox.due", "outbox.recorded", "outbox.attempted", "outbox.handed-over")


def test_kill_9_at_every_step_loses_and_doubles_nothing(soc: Run, office: tuple[str, ...], server: Server) -> None:
    """Real processes killed at each border of a step: in the end one message id, and the list says when it may be there twice."""
    soc("incidents", "new", "Mã độc", "--detected", "5d", *office)
    for point in POINTS:
        killed = subprocess.run(
            [sys.executable, "-m", "soc", "duties", "run", *office], env={**os.environ, "SOC_TEST_CRASH": point}, capture_output=True, text=True, check=False
        )
        assert killed.returncode in (-9, 0), killed.stderr
    last = item(soc("duties", "run", "--json", *office))
    assert last["reminders"] == 0
    [message] = item(soc("outbox", "list", "--all", "--json", *office))["items"]
    if message["state"] != "sent":  # an attempt whose end nobody heard of is waited for
        assert item(soc("outbox", "deliver", message["id"], "--json", *office))["sent"] == 0
        soc("outbox", "retry", message["id"], *office)
        soc("outbox", "deliver", message["id"], *office)
        [message] = item(soc("outbox", "list", "--all", "--json", *office))["items"]
    assert message["state"] == "sent"
    assert len(server.ids) == 1
    assert message["possibly_twice"] == (len(server.mails) > 1) or message["possibly_twice"]


def test_soc_run_reminds_beside_the_stream_and_is_not_stopped_by_a_mail_server(soc: Run, office: tuple[str, ...], server: Server, tmp_path: Path) -> None:
    """A real process: reminders go out by themselves; a server that stalls hinders neither the stream nor the end; after kill -9 all goes on."""
    lines = tmp_path / "mail.log"
    lines.write_text("", encoding="utf-8")
    config = Path(os.environ["SOC_CONFIG"])
    # what a killed process was handing over is tried again when four times this and a quarter of a minute are over
    text = config.read_text(encoding="utf-8").replace("timeout_s = 120", "timeout_s = 3")
    config.write_text(
        text + f'\n[duties]\nevery_s = 1\n\n[sources.mail]\ntype = "file"\npaths = ["{lines}"]\nproduct = "postfix"\n',
        encoding="utf-8",
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "soc", "run", *office], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running_ = start()
    try:
        soc("incidents", "new", "Mã độc", "--detected", "5d", *office)
        wait_until(lambda: server.recipients[:1] == ["lan@tinh.vn"], what="the first reminder")
        server.always = "stall"
        soc("incidents", "new", "Lộ dữ liệu", "--detected", "5d", *office)
        with lines.open("a", encoding="utf-8") as file:
            for number in range(40):
                file.write(f"Nov 21 10:00:{number:02d} mx1 postfix/smtpd[12]: connect from unknown[203.0.113.{number}]\n")
        wait_until(lambda: int(item(soc("events", "search", "--limit", "1", "--json", *office))["total"]) == 40, what="the events")
        running_.kill()
        running_.wait(150)
        server.always = "ok"
        running_ = start()
        wait_until(lambda: len(server.ids) >= 2, what="the second reminder")
        running_.terminate()
        assert running_.wait(150) == 0
    finally:
        running_.kill()
        running_.wait(150)
    assert len(server.ids) == 2
