"""Somebody is woken: the one on shift, then the next in the roster, then the lead, until one acknowledges; every attempt is a fact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import oncall, outbox
from soc.application.app import App
from soc.clock import FrozenClock
from soc.config import OutboxSettings, Settings, WebhookSettings
from soc.errors import Conflict, NotFound, UsageError
from soc.model.fact import Behalf
from tests.adapters.smtp.server import Server, running
from tests.adapters.webhook.test_messenger import gateway
from tests.application.office import NOW_US, furnish, opened, settings_of, shift, take_in
from tests.application.test_outbox import Killed
from tests.application.test_outbox import one as one_message
from tests.servers.process import wait_until

ROSTER = (shift(-2, 6, "lan"), shift(6, 14, "minh"))


def pass_time(app: App, minutes: float) -> None:
    """Time passes, then what is due is done."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(minutes * 60)
    oncall.escalate_due(app)
    outbox.deliver(app)


def test_from_the_one_on_shift_to_the_next_to_the_lead(app: App, server: Server) -> None:
    """Ten minutes each; all of them once more; then the call is given up and says so."""
    raised = oncall.page(app, "INC-2026-0001", "Mã độc tống tiền tại Sở Y tế")
    outbox.deliver(app)
    assert server.recipients == ["lan@tinh.vn"]
    assert raised.code in str(server.mails[0].get_content())
    pass_time(app, 9)
    assert server.recipients == ["lan@tinh.vn"]
    for _ in range(6):
        pass_time(app, 10)
    assert server.recipients == ["lan@tinh.vn", "minh@tinh.vn", "hoa@tinh.vn"] * 2
    assert len(server.ids) == 6
    assert oncall.get(app, raised.id).state == "exhausted"
    assert [one.person for one in oncall.get(app, raised.id).asked] == ["lan", "minh", "hoa"] * 2


def test_the_second_in_the_roster_acknowledges_by_code(app: App, server: Server) -> None:
    """Nobody is called after that; the fact says who, how and on whose behalf it was recorded."""
    raised = oncall.page(app, "INC-2026-0001", "Mã độc")
    pass_time(app, 10)
    done = oncall.acknowledge(app, raised.code.lower(), behalf=Behalf("Trần Minh", "telephone"))
    assert (done.state, done.acknowledged_by, done.acknowledged_how) == ("acknowledged", "Trần Minh", "telephone")
    for _ in range(5):
        pass_time(app, 10)
    assert server.recipients == ["lan@tinh.vn", "minh@tinh.vn"]
    with pytest.raises(Conflict, match="Trần Minh"):
        oncall.acknowledge(app, raised.code)


def test_the_same_call_wakes_nobody_twice(app: App, server: Server) -> None:
    """A call about the same object is the same call; another key is another one."""
    first = oncall.page(app, "INC-2026-0001", "Mã độc")
    assert oncall.page(app, "INC-2026-0001", "Mã độc, lần nữa").id == first.id
    assert oncall.page(app, "INC-2026-0001", "Tái diễn", key="2").id != first.id
    outbox.deliver(app)
    assert server.recipients == ["lan@tinh.vn"] * 2


def test_what_was_not_delivered_is_not_waited_for(app: App, server: Server) -> None:
    """An address that the server refuses: the next one is called at once, not after ten minutes."""
    server.behave = ["refuse"]
    oncall.page(app, "INC-2026-0001", "Mã độc")
    outbox.deliver(app)
    pass_time(app, 0.1)
    assert "minh@tinh.vn" in server.recipients


def test_an_acknowledgement_takes_back_what_was_not_sent(app: App, server: Server) -> None:
    """With the server away, a call that somebody took over by telephone mails nobody afterwards."""
    server.always = "busy"
    raised = oncall.page(app, "INC-2026-0001", "Mã độc")
    outbox.deliver(app)
    oncall.acknowledge(app, raised.code, by="Nguyễn Thị Lan")
    server.always = "ok"
    pass_time(app, 60)
    assert server.mails == []


def test_a_change_of_shift_reaches_who_is_there_by_then(app: App, server: Server) -> None:
    """Six hours later the second one is on shift and is called first."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(6.5 * 3600)
    oncall.page(app, "INC-2026-0001", "Mã độc")
    outbox.deliver(app)
    assert server.recipients == ["minh@tinh.vn"]


def test_calls_go_before_notices(app: App, server: Server) -> None:
    """Whoever is called in the night does not wait for what was recorded before."""
    outbox.send_each(app, [one_message(f"s{number}", f"a{number}@xa.vn") for number in range(5)])
    oncall.page(app, "INC-2026-0001", "Mã độc")
    outbox.deliver(app, 1)
    assert server.recipients == ["lan@tinh.vn"]
    with pytest.raises(UsageError, match="5001"):
        oncall.page(app, "INC-2026-0002", "x" * 5001)


def test_somebody_asks_for_the_next_one_now(app: App, server: Server) -> None:
    """By hand, with a reason; a call that was given up begins again."""
    raised = oncall.page(app, "INC-2026-0001", "Mã độc")
    with pytest.raises(UsageError):
        oncall.hurry(app, raised.code, reason="")
    oncall.hurry(app, raised.code, reason="không nghe máy")
    outbox.deliver(app)
    assert sorted(server.recipients) == ["lan@tinh.vn", "minh@tinh.vn"]
    with pytest.raises(NotFound):
        oncall.get(app, "ZZZZZZ")


def test_with_nobody_in_the_roster_the_leads_are_called(tmp_path: Path, frozen_clock: FrozenClock, server: Server) -> None:
    """And without a registry the addresses of the settings; with nobody at all the call says that nobody could be reached."""
    with opened(settings_of(tmp_path / "a", server.port), frozen_clock) as app:
        furnish(app)
        oncall.page(app, "INC-2026-0001", "Mã độc")
        outbox.deliver(app)
    with opened(settings_of(tmp_path / "b", server.port, outbox=OutboxSettings(leads=["truc@tinh.vn"])), frozen_clock) as app:
        oncall.page(app, "INC-2026-0001", "Mã độc")
        outbox.deliver(app)
    assert server.recipients == ["hoa@tinh.vn", "truc@tinh.vn"]
    with opened(settings_of(tmp_path / "c", server.port), frozen_clock) as app:
        assert oncall.page(app, "INC-2026-0001", "Mã độc").state == "exhausted"


def test_a_clock_that_is_set_back_delays_nobody(app: App, server: Server) -> None:
    """An hour back: the next one is called and messages that waited go, as if the time were over."""
    assert isinstance(app.clock, FrozenClock)
    server.behave = ["greylist"]
    oncall.page(app, "INC-2026-0001", "Mã độc")
    outbox.deliver(app)
    assert server.recipients == []
    app.clock.advance(-3600)
    outbox.deliver(app)
    assert server.recipients == ["lan@tinh.vn"]
    pass_time(app, 0)
    assert server.recipients == ["lan@tinh.vn", "minh@tinh.vn"]
    pass_time(app, 1)
    assert len(server.recipients) == 2


def test_a_gateway_that_refuses_stalls_and_answers_late(tmp_path: Path, frozen_clock: FrozenClock) -> None:
    """A person who is told by a webhook: each turn has one idempotency key, however often the gateway has to be asked."""
    with gateway() as sms:
        sms.answers = [503, "late", 200, 400]

        def limit(seconds: float) -> Settings:
            """How long the gateway may take: only an answer that comes too late has a short limit."""
            url = f"http://127.0.0.1:{sms.server_port}/"
            return settings_of(tmp_path, webhook={"sms": WebhookSettings(url=url, timeout_s=seconds, fields={"to": "{to}", "text": "{body}"})})

        with opened(limit(120), frozen_clock) as app:
            furnish(app, *ROSTER)
            phones = {"lan": "0912345678", "minh": "0987654321"}
            rows = [{"id": key, "name": key, "agency": "so-kh-cn", "role": "analyst", "phone": phone, "channel": "webhook"} for key, phone in phones.items()]
            take_in(app, "people", *rows)
            raised = oncall.page(app, "INC-2026-0001", "Mã độc")
            for posts in (1, 2, 3, 3):
                app.use(limit(1 if posts == 2 else 120))
                pass_time(app, 1.5)
                wait_until(lambda posts=posts: len(sms.posts) == posts, what=f"{posts} posts")  # type: ignore[misc]
            assert [json.loads(body)["to"] for _, body in sms.posts] == ["0912345678"] * 3
            assert len(sms.keys) == 1
            assert outbox.get(app, oncall.get(app, raised.id).asked[0].messages[0]).possibly_twice
            sms.released.set()
            pass_time(app, 5)
            assert json.loads(sms.posts[-1][1])["to"] == "0987654321"
            assert raised.code in json.loads(sms.posts[-1][1])["text"]
            pass_time(app, 0.1)
            assert oncall.get(app, raised.id).asked[-1].person == "hoa", "refused for good: not waited for"


POINTS = ("oncall.raising", "oncall.raised", "oncall.calling", "oncall.called", "outbox.due", "outbox.recorded", "outbox.attempted", "outbox.handed-over")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(POINTS), st.integers(1, 2), st.integers(0, 700)), max_size=8))
def test_wherever_it_is_killed_everybody_is_called_in_order_once_a_turn(tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[str, int, int]]) -> None:
    """After any kills each turn has one message under one id, and the facts say the same as the server."""
    clock = FrozenClock(NOW_US)
    folder = tmp_path_factory.mktemp("oncall")
    with running() as server:
        found = settings_of(folder, server.port)
        with opened(found, clock) as app:
            furnish(app, *ROSTER)
        for point, count, pause in kills:
            left = [count]

            def crash(name: str, point: str = point, left: list[int] = left) -> None:
                left[0] -= name == point
                if not left[0]:
                    left[0] = -1
                    raise Killed

            try:
                with opened(found, clock, crash) as app:
                    oncall.page(app, "INC-2026-0001", "Mã độc")
                    oncall.escalate_due(app)
                    outbox.deliver(app)
            except Killed:
                pass
            clock.advance(pause)
        with opened(found, clock) as app:
            oncall.page(app, "INC-2026-0001", "Mã độc")
            for _ in range(12):
                oncall.escalate_due(app)
                outbox.deliver(app)
                clock.advance(601)
            [page] = oncall.pages(app)
    assert [one.person for one in page.asked] == ["lan", "minh", "hoa"] * 2
    assert page.state == "exhausted"
    assert server.ids == {f"<{name}@tinh.vn>" for one in page.asked for name in one.messages}
