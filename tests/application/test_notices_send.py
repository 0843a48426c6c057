"""Notices go out: to everybody, to each its own, once, wherever the program is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from soc.application import duties, notices, notices_send, outbox
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import Clock, FrozenClock, SystemClock, iso
from soc.config import MailSettings, Settings, StoreSettings
from soc.errors import Conflict, NotAllowed, NotFound, UsageError
from soc.incidents.notices import Notice
from soc.model.fact import Behalf
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from soc.ports import no_crash
from tests.adapters.smtp.server import Server
from tests.conftest import NOW_US

DAY = 86_400_000_000
MANY = 310


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def killing(point: str) -> Callable[[str], None]:
    """A crash point that ends the program the first time."""

    def crash(at: str) -> None:
        if at == point:
            raise Killed

    return crash


def settings_of(folder: Path, port: int = 0) -> Settings:
    """A store of its own, and a mail server when there is a port."""
    mail = MailSettings(host="127.0.0.1", port=port, security="none", sender="soc@tinh.vn", timeout_s=120) if port else MailSettings()
    return Settings(data_dir=folder, store=StoreSettings(path=folder / "store"), mail=mail)


def app_of(settings: Settings, clock: Clock, crash: Callable[[str], None] | None = None) -> App:
    """The application."""
    return open_app(settings, Actor("an"), clock=clock, crash=crash or no_crash)


def register(app: App, kind: str, rows: list[dict[str, str]]) -> None:
    """Put rows into the registry."""
    plan = Registry(app.journal).plan(kind, [Row(n, dict(row)) for n, row in enumerate(rows)])
    assert not plan.rejected
    record(app.journal, plan, actor="an")


def agencies(app: App, count: int) -> list[str]:
    """Agencies with a mail address each."""
    register(app, "agencies", [{"id": f"u{n:03d}", "name": f"Đơn vị {n}", "level": "unit", "email": f"u{n:03d}@tinh.vn"} for n in range(count)])
    return [f"u{n:03d}" for n in range(count)]


def signed(app: App, to: list[str], **more: object) -> Notice:
    """An approved notice."""
    made = notices.draft(app, "Đợt thư lừa đảo", body="Chi tiết.", to=to, due_at=iso(NOW_US + 2 * DAY), **more)  # type: ignore[arg-type]
    return notices.approve(app, made.id, signer="Giám đốc", number="12/CB", signed_on="2026-11-21")


def test_three_hundred_recipients_get_their_own_once_wherever_the_program_is_killed(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """310 recipients: killed at every step between order and delivery and started again, each has its own annex and code exactly once."""
    settings = settings_of(tmp_path, server.port)
    with app_of(settings, frozen_clock) as app:
        to = agencies(app, MANY)
        annex = {agency: [f"hop-thu-{agency}-{n}@tinh.vn" for n in range(3)] for agency in to}
        made = signed(app, to, annex=annex)

    def go_on(app: App) -> None:
        notices_send.flush(app)
        if notices.get(app, made.id).state == "approved":
            notices_send.send(app, made.id, channel="mail")
        outbox.deliver(app)

    for point in ("notices.planned", "notices.recorded", "outbox.due", "outbox.recorded", "notices.queued", "outbox.attempted", "outbox.handed-over"):
        with app_of(settings, frozen_clock, killing(point)) as app, pytest.raises(Killed):
            go_on(app)
    frozen_clock.advance(3_600)
    with app_of(settings, frozen_clock) as app:
        while duties.step(app).outbox.waiting:
            frozen_clock.advance(3_600)
        found = notices.get(app, made.id)
        assert found.orders == []
        assert {one.state for one in found.recipients} == {"sent"}
        assert {one.state for one in notices_send.deliveries(app, found)} == {"sent"}
        assert sum(one.possibly_twice for one in notices_send.deliveries(app, found)) == 2, (
            "tried when the program was killed: before and after it was handed over"
        )
        with pytest.raises(Conflict):
            notices_send.send(app, made.id, channel="mail")
    assert len(server.ids) == MANY
    assert {str(mail["To"]) for mail in server.mails} == {f"{agency}@tinh.vn" for agency in to}
    assert len(server.mails) == MANY + 1, "the one that was handed over when the program was killed may come twice, under its id"
    codes = {one.agency: one.code for one in found.recipients}
    for mail in server.mails:
        agency = str(mail["To"]).partition("@")[0]
        text = mail.get_content()
        assert [line for line in annex[agency] if line in text] == annex[agency]
        assert text.count("hop-thu-") == len(annex[agency]), "what concerns others only"
        assert codes[agency] in str(mail["Subject"])
        assert sum(code in text for code in codes.values()) == 1


def test_a_killed_command_is_made_good_by_the_next_one(tmp_path: Path, server: Server) -> None:
    """`soc notices send` killed by the system after it recorded: the duties of another process put everything out, once."""
    config = tmp_path / "soc.toml"
    config.write_text(
        f'data_dir = "{tmp_path}"\n[store]\npath = "{tmp_path / "store"}"\n[mail]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\nsender = "soc@tinh.vn"\ntimeout_s = 120\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    settings = settings_of(tmp_path, server.port)
    with app_of(settings, FrozenClock(NOW_US)) as app:
        made = signed(app, agencies(app, 20))
    words = [sys.executable, "-m", "soc", "--config", str(config), "notices", "send", made.id, "--channel", "mail", "--yes"]
    killed = subprocess.run(words, env={**os.environ, "SOC_TEST_CRASH": "notices.recorded"}, capture_output=True, check=False)
    assert killed.returncode == -9
    with app_of(settings, SystemClock()) as app:
        assert duties.step(app).outbox.sent == 20
    assert Counter(server.recipients) == Counter({f"u{n:03d}@tinh.vn": 1 for n in range(20)})
    again = subprocess.run([*words, "--json"], capture_output=True, check=False)
    assert again.returncode == 6
    shown = subprocess.run([*words[:5], "notices", "show", made.id, "--json"], capture_output=True, check=True)
    assert {one["state"] for one in json.loads(shown.stdout)["item"]["deliveries"]} == {"sent"}


def test_each_is_reached_as_its_contact_person_prefers(tmp_path: Path, frozen_clock: FrozenClock) -> None:
    """Contacts before the agency's own address; who wants it by telephone is told, not sent; who has no address is named."""
    with app_of(settings_of(tmp_path), frozen_clock) as app:
        rows = [{"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", "email": f"x{n}@tinh.vn"} for n in (1, 2)]
        register(app, "agencies", [*rows, {"id": "x-3", "name": "Xã 3", "level": "commune"}, {"id": "x-4", "name": "Xã 4", "level": "commune"}])
        people = [
            {"id": "hoa", "name": "Hoa", "agency": "x-1", "email": "hoa@tinh.vn"},
            {"id": "lan", "name": "Lan", "agency": "x-1", "email": "lan@tinh.vn"},
            {"id": "ba", "name": "Ba", "agency": "x-3", "phone": "0900000003", "channel": "telephone"},
            {"id": "tu", "name": "Tư", "agency": "x-4", "phone": "0900000004", "channel": "mail"},
        ]
        register(app, "people", people)
        made = signed(app, ["x-1", "x-2", "x-3", "x-4"])
        ways = {way.agency: way for way in notices_send.plan(app, made.id, "sent", channel="each")}
        assert (ways["x-1"].channel, ways["x-1"].to) == ("mail", ("hoa@tinh.vn", "lan@tinh.vn"))
        assert (ways["x-2"].channel, ways["x-2"].to) == ("mail", ("x2@tinh.vn",))
        assert ways["x-3"].channel == "telephone"
        assert "no mail address" in ways["x-4"].why
        found = notices_send.send(app, made.id, channel="each")
        assert [one.state for one in found.recipients] == ["sent", "sent", "waiting", "waiting"]
        assert len(notices_send.deliveries(app, found)) == 3
        told = notices_send.send(app, made.id, channel="telephone", to=["x-3"], behalf=Behalf("Chị Ba", "telephone"))
        assert told.recipients[2].state == "sent"
        assert notices_send.send(app, made.id, channel="document").recipients[3].state == "sent", "the signed document follows the advance copy"


def test_reminders_and_second_letters_are_messages_of_their_own(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Overdue ones are reminded twice and get a second letter; who has acted hears nothing; all of it is counted."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        made = notices_send.send(app, signed(app, agencies(app, 3)).id, channel="mail")
        outbox.deliver(app)
        notices.answer(app, made.id, "u000", "acted")
        assert notices_send.remind_overdue(app, channel="mail") == []
        frozen_clock.advance(3 * 86_400)
        [(name, ways)] = notices_send.remind_overdue(app, channel="mail")
        assert (name, [way.agency for way in ways]) == (made.id, ["u001", "u002"])
        for _ in range(2):
            notices_send.remind(app, made.id, channel="mail")
            outbox.deliver(app)
        with pytest.raises(Conflict):
            notices_send.remind(app, made.id, channel="mail", to=["u000"])
        with pytest.raises(NotAllowed):
            notices_send.second_letter(app, made.id, signer="an", number="13/CB", signed_on="2026-11-24", channel="mail")
        found = notices_send.second_letter(app, made.id, signer="Giám đốc", number="13/CB", signed_on="2026-11-24", channel="mail")
        outbox.deliver(app)
        assert [(one.reminders, one.count("second-letter")) for one in found.recipients] == [(0, 0), (2, 1), (2, 1)]
        assert [(one.number, one.on) for one in found.second] == [("13/CB", "2026-11-24")]
    subjects = Counter(str(mail["Subject"]).split("]")[0] for mail in server.mails if str(mail["To"]) == "u001@tinh.vn")
    assert subjects["[Nhắc lần 1"] == subjects["[Nhắc lần 2"] == subjects["[Đôn đốc"] == 1
    assert len(server.ids) == len(server.mails) == 3 + 4 + 2
    assert "13/CB" in server.mails[-1].get_content()


def test_an_annex_too_long_for_a_text_comes_as_a_file(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """A long list is attached, whole."""
    lines = [f"hop-thu-{n:04d}@tinh-mau.gov.vn" for n in range(1_700)]
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        [to] = agencies(app, 1)
        notices_send.send(app, signed(app, [to], annex={to: lines}).id, channel="mail")
        assert outbox.deliver(app).sent == 1
    [mail] = server.mails
    [file] = list(mail.iter_attachments())
    text = file.get_content()
    assert all(line in (text if isinstance(text, str) else text.decode()) for line in lines)


def test_withdrawing_cancels_what_waits(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Mails that have not gone out do not; those that have stay on the record."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        made = notices_send.send(app, signed(app, agencies(app, 3)).id, channel="mail")
        outbox.deliver(app, limit=1)
        notices.withdraw(app, made.id, reason="nhầm")
        outbox.deliver(app)
        assert Counter(one.state for one in notices_send.deliveries(app, notices.get(app, made.id))) == {"sent": 1, "cancelled": 2}
    assert len(server.mails) == 1


def test_an_exercise_reaches_nobody_real(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Mails of an exercise are held while no address for exercises is set."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        notices_send.send(app, signed(app, agencies(app, 2), scope="exercise:2026").id, channel="mail")
        assert outbox.deliver(app).held == 2
    assert server.mails == []


def test_hostile_texts_break_out_of_nothing(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Line breaks in the subject make no headers; a line of one dot ends no mail."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        [to] = agencies(app, 1)
        made = notices.draft(app, "Khẩn\r\nBcc: x@evil.vn\r\n\r\n<script>", body="a\n.\nb\x1b[2J", to=[to])
        notices.approve(app, made.id, signer="Giám đốc", number="1", signed_on="2026-11-21")
        notices_send.send(app, made.id, channel="mail")
        assert outbox.deliver(app).sent == 1
    [mail] = server.mails
    assert mail["Bcc"] is None
    assert server.recipients == ["u000@tinh.vn"]
    assert "\n.\nb" in mail.get_content().replace("\r\n", "\n")
    assert "\x1b" not in mail.get_content()


def test_what_cannot_be_sent_says_why(tmp_path: Path, frozen_clock: FrozenClock) -> None:
    """Nobody to reach, unknown channels and recipients, drafts: refused, and nothing recorded."""
    with app_of(settings_of(tmp_path), frozen_clock) as app:
        register(app, "agencies", [{"id": "x-1", "name": "Xã 1", "level": "commune"}])
        made = notices.draft(app, "a", to=["x-1"])
        with pytest.raises(Conflict):
            notices_send.send(app, made.id, channel="mail")
        made = notices.approve(app, made.id, signer="Giám đốc", number="1", signed_on="2026-11-21")
        with pytest.raises(Conflict, match="no mail address"):
            notices_send.send(app, made.id, channel="mail")
        with pytest.raises(UsageError):
            notices_send.send(app, made.id, channel="pigeon")
        with pytest.raises(NotFound):
            notices_send.send(app, made.id, channel="document", to=["x-9"])
        assert notices.get(app, made.id).version == made.version
