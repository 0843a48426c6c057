"""Messages: none lost, none doubled, none to the wrong people, whatever mail server and gateway do and wherever the program is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.application import outbox
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import MailSettings, OutboxSettings, Settings, StoreSettings
from soc.errors import Conflict, NotFound, UsageError
from soc.model.message import Attachment, Message, message
from tests.adapters.smtp.server import Server, running
from tests.conftest import NOW_US


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def settings_of(folder: Path, port: int = 0, **outbox_settings: object) -> Settings:
    """Settings with a store of their own, and a mail server when there is a port; it may take its time."""
    mail = MailSettings(host="127.0.0.1", port=port, security="none", sender="soc@tinh.vn", timeout_s=120) if port else MailSettings()
    return Settings(
        data_dir=folder,
        store=StoreSettings(path=folder / "store"),
        mail=mail,
        outbox=OutboxSettings.model_validate({"leads": ["lead@tinh.vn"], **outbox_settings}),
    )


def app_of(found: Settings, clock: FrozenClock, crash: object = None) -> App:
    """The application on these settings."""
    return open_app(found, Actor("test"), clock=clock, crash=crash)  # type: ignore[arg-type]


def until_taken_up(app: App, clock: FrozenClock, server: Server) -> outbox.Delivered:
    """What the pass did in which the server did what it was told to do.

    A server that stalls needs a limit; one that ran out before the server came so far (a busy machine) is made longer.
    """
    patient, limit_s = app.settings, 1.0 if "stall" in server.behave[0] else 120.0
    while True:
        app.use(patient.model_copy(update={"mail": patient.mail.model_copy(update={"timeout_s": limit_s})}))
        done = outbox.deliver(app)
        if not server.behave:
            app.use(patient)
            return done
        assert limit_s < 100, done
        limit_s *= 10
        clock.advance(3600)


def one(step: str = "s1", to: str = "an@xa.vn", scope: str = "real") -> Message:
    """A message."""
    return message("obligation", "INC-2026-0001/report-72h", step, to, "Nhắc hạn báo cáo", "Đến hạn.", scope=scope)


def test_the_same_message_again_changes_nothing(tmp_path: Path, frozen_clock: FrozenClock) -> None:
    """A message is recorded once, however often it is sent."""
    with app_of(settings_of(tmp_path), frozen_clock) as app:
        assert [outbox.send(app, one()) for _ in range(3)] == [True, False, False]
        assert outbox.send_each(app, [one(), one("s2"), one("s2")]) == 1
        assert [found.message.step for found in outbox.sendings(app)].count("s2") == 1


def test_what_is_due_is_delivered_once(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """A message goes out once, with its id, its attachment and its subject; a second pass finds nothing."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        kept = app.wiring.evidence().put(b"%PDF-1.4 big")
        parts = (Attachment("mẫu.txt", "text/plain", b"abc"), Attachment("../../etc/công văn.pdf", "application/pdf", sha256=kept.sha256))
        asked = message("notice", "TB-2026-0001", "sent", "an@xa.vn", "Cảnh báo\r\nBcc: x@y.vn", "Chào\n.\nhết", attachments=parts)
        outbox.send(app, asked)
        assert outbox.deliver(app) == outbox.Delivered(sent=1)
        assert outbox.deliver(app) == outbox.Delivered()
        assert outbox.get(app, asked.id[:8]).state == "sent"
    [mail] = server.mails
    assert str(mail["Message-ID"]) == f"<{asked.id}@tinh.vn>"
    assert mail["Subject"] == "Cảnh báo Bcc: x@y.vn"
    assert mail["Bcc"] is None
    assert server.recipients == ["an@xa.vn"]
    assert [(part.get_filename(), part.get_content()) for part in mail.iter_attachments()] == [("mẫu.txt", b"abc"), ("công văn.pdf", b"%PDF-1.4 big")]


@pytest.mark.parametrize("first", ["greylist", "stall", "drop-before", "busy", "full"])
def test_what_was_not_taken_over_is_tried_again(tmp_path: Path, frozen_clock: FrozenClock, server: Server, first: str) -> None:
    """A server that refuses for now, stalls or cuts before the data has nothing: the message comes later, once."""
    server.behave = [first]
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send(app, one())
        assert until_taken_up(app, frozen_clock, server).failed == 1
        assert outbox.deliver(app).sent == 0, "it waits"
        frozen_clock.advance(61)
        assert outbox.deliver(app).sent == 1
        assert not outbox.get(app, one().id).possibly_twice
    assert (len(server.mails), len(server.ids)) == (1, 1)


@pytest.mark.parametrize("cut", ["drop-after", "stall-after", "drop-unread"])
def test_a_connection_cut_after_the_data_is_tried_once_more(tmp_path: Path, frozen_clock: FrozenClock, server: Server, cut: str) -> None:
    """Nobody knows whether it arrived: the same id once more, shown as possibly there twice."""
    server.behave = [cut]
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send(app, one())
        assert until_taken_up(app, frozen_clock, server).unknown == 1
        frozen_clock.advance(61)
        assert outbox.deliver(app).sent == 1
        assert outbox.get(app, one().id).possibly_twice
    assert len(server.ids) == 1


def test_a_second_cut_ends_it_and_the_lead_is_told(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """After the second cut it is never sent by itself again; the lead hears of it."""
    server.behave = ["drop-after", "drop-after"]
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send(app, one())
        for _ in range(5):
            outbox.deliver(app)
            frozen_clock.advance(7200)
        found = outbox.get(app, one().id)
        assert (found.state, found.settled, found.possibly_twice) == ("unknown", True, True)
    assert server.recipients == ["an@xa.vn", "an@xa.vn", "lead@tinh.vn"]
    assert len(server.ids) == 2


def test_refused_is_given_up_at_once_and_the_lead_is_told(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """A recipient that does not exist is not tried for days; by hand it can be."""
    server.behave = ["refuse"]
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send(app, one())
        assert outbox.deliver(app).given_up == 1
        assert outbox.deliver(app).sent == 1
        assert server.recipients == ["lead@tinh.vn"]
        assert "an@xa.vn" in server.mails[0].get_content()
        assert outbox.retry(app, one().id).state == "due"
        assert outbox.deliver(app).sent == 1
        with pytest.raises(Conflict):
            outbox.retry(app, one().id)
        with pytest.raises(Conflict):
            outbox.cancel(app, one().id, reason="zu spät")


def test_a_server_that_is_away_costs_one_attempt_a_pass(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Behind the first message that finds the server away the others wait, untouched; when it is back all go."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send_each(app, [one(f"s{number}") for number in range(20)])
        server.always = "busy"
        assert outbox.deliver(app).failed == 1
        server.always = "ok"
        frozen_clock.advance(61)
        assert outbox.deliver(app).sent == 20
    assert len(server.ids) == 20


def test_after_so_many_failures_it_is_given_up(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """The pauses double up to the longest; then the message is given up and the lead is told."""
    with app_of(settings_of(tmp_path, server.port, attempts=5, backoff_most_s=300.0), frozen_clock) as app:
        outbox.send(app, one())
        server.behave = ["greylist"] * 5
        begin = frozen_clock.now_us()
        while not outbox.get(app, one().id).settled:
            outbox.deliver(app)
            frozen_clock.advance(10)
        found = outbox.get(app, one().id)
        assert (found.state, found.failures) == ("given-up", 5)
        assert (frozen_clock.now_us() - begin) // 1_000_000 in range(60 + 120 + 240 + 300, 60 + 120 + 240 + 300 + 60)
        assert outbox.deliver(app).sent == 1
    assert server.recipients == ["lead@tinh.vn"]


def test_what_nothing_is_configured_for_is_held(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Without a mail server messages wait and say why; with one they go; after a week without they are given up."""
    with app_of(settings_of(tmp_path), frozen_clock) as app:
        outbox.send_each(app, [one(), one("s2")])
        assert outbox.deliver(app).held == 2
        assert outbox.deliver(app) == outbox.Delivered(waiting=2)
        assert "[mail]" in outbox.get(app, one().id).reason
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        assert outbox.deliver(app, 1).sent == 1
    frozen_clock.advance(8 * 86_400)
    with app_of(settings_of(tmp_path), frozen_clock) as app:
        assert outbox.deliver(app).given_up == 1


def test_an_exercise_reaches_no_real_recipient(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Messages of an exercise are held until they are redirected, and then go there alone, marked."""
    found = settings_of(tmp_path, server.port)
    with app_of(found, frozen_clock) as app:
        outbox.send(app, one(scope="exercise:dt-2026"))
        assert outbox.deliver(app).held == 1
    redirected = found.model_copy(update={"mail": found.mail.model_copy(update={"exercise_to": "ban-to-chuc@tinh.vn"})})
    with app_of(redirected, frozen_clock) as app:
        assert outbox.deliver(app).sent == 1
    assert server.recipients == ["ban-to-chuc@tinh.vn"]
    assert str(server.mails[0]["Subject"]).startswith("[DIỄN TẬP dt-2026] ")
    assert "an@xa.vn" not in str(server.mails[0]["To"])


def test_two_processes_deliver_each_message_once(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """Who records the attempt makes it; the other one leaves the message alone, also while it is on its way."""
    found = settings_of(tmp_path, server.port)
    with app_of(found, frozen_clock) as app, app_of(found, frozen_clock) as other:
        outbox.send(app, one())

        def at(point: str) -> None:
            if point == "outbox.attempted":
                assert outbox.deliver(other) == outbox.Delivered(waiting=1)

        app.crash = at
        assert outbox.deliver(app).sent == 1
    assert len(server.mails) == 1


def test_cancelled_is_not_sent(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """A message that is not needed any more is taken back with a reason."""
    with app_of(settings_of(tmp_path, server.port), frozen_clock) as app:
        outbox.send(app, one())
        with pytest.raises(UsageError):
            outbox.cancel(app, one().id, reason=" ")
        assert outbox.cancel(app, one().id, reason="đã báo cáo").state == "cancelled"
        assert outbox.deliver(app) == outbox.Delivered()
        with pytest.raises(NotFound):
            outbox.get(app, "m-zzzz")
    assert server.mails == []


POINTS = ("outbox.due", "outbox.recorded", "outbox.attempted", "outbox.handed-over", "outbox.failed", "outbox.told")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    kills=st.lists(st.tuples(st.sampled_from(POINTS), st.integers(1, 3)), max_size=6),
    behaviour=st.lists(st.sampled_from(["ok", "greylist", "drop-before", "busy", "full", "drop-after"]), max_size=5),
    pauses=st.lists(st.integers(0, 3 * 86_400), min_size=1, max_size=4),
)
def test_none_lost_none_doubled_wherever_it_is_killed(
    tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[str, int]], behaviour: list[str], pauses: list[int]
) -> None:
    """Whatever the server does and wherever the process is killed, each message is there in the end under one id, and no other id is."""
    clock = FrozenClock(NOW_US)
    folder = tmp_path_factory.mktemp("outbox")
    wanted = [one(f"s{number}", f"a{number}@xa.vn") for number in range(3)]
    with running() as server:
        server.behave = list(behaviour)
        for point, count in kills:
            left = [count]

            def crash(name: str, point: str = point, left: list[int] = left) -> None:
                left[0] -= name == point
                if not left[0]:
                    left[0] = -1
                    raise Killed

            try:
                with app_of(settings_of(folder, server.port), clock, crash) as app:
                    outbox.send_each(app, wanted)
                    outbox.deliver(app)
            except Killed:
                pass
            clock.advance(pauses[count % len(pauses)])
        server.behave = [kind for kind in server.behave if kind != "drop-after"]
        with app_of(settings_of(folder, server.port), clock) as app:
            outbox.send_each(app, wanted)
            for _ in range(30):
                outbox.deliver(app)
                clock.advance(3600)
            states = {found.message.id: found for found in outbox.sendings(app)}
            for asked in wanted:
                assert f"<{asked.id}@tinh.vn>" in server.ids
                assert states[asked.id].settled
            copies = {str(mail["Message-ID"]): 0 for mail in server.mails}
            for mail in server.mails:
                copies[str(mail["Message-ID"])] += 1
            for found in states.values():
                if copies.get(f"<{found.message.id}@tinh.vn>", 0) > 1:
                    assert found.possibly_twice
        assert len([identity for identity in server.ids if any(identity.startswith(f"<{asked.id}") for asked in wanted)]) == 3
