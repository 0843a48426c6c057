"""Answers by mail: found by code, checked against the registry, taken once; what is unclear is listed, never lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.application import notices, notices_send, outbox, replies
from soc.application.app import Actor, App
from soc.application.doctor import check_mailbox
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import MailSettings, RepliesSettings, Settings, StoreSettings
from soc.errors import ConfigError, Conflict, NotFound, UsageError
from soc.incidents.notices import Notice
from soc.model.message import message_id
from soc.ports import no_crash
from tests.adapters.smtp.server import running
from tests.application.test_notices_send import Killed, killing, register
from tests.conftest import NOW_US
from tests.servers.dovecot_server import PASSWORD, USER, DovecotServer, program
from tests.servers.fixtures import decline


def app_in(folder: Path, clock: FrozenClock, crash: Callable[[str], None] = no_crash, **more: Any) -> App:
    """An application with a store of its own."""
    return open_app(Settings.model_validate({"data_dir": folder, "store": StoreSettings(path=folder / "store"), **more}), Actor("an"), clock=clock, crash=crash)


def begun(app: App, count: int = 3) -> Notice:
    """A notice that went by mail to communes with a contact each, and an own domain for the third."""
    rows = [{"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", **({"domains": "x-3.gov.vn"} if n == 3 else {})} for n in range(1, count + 1)]
    register(app, "agencies", rows)
    register(app, "people", [{"id": f"p-{n}", "name": f"Hoa {n}", "agency": f"x-{n}", "email": f"hoa{n}@tinh.vn"} for n in range(1, count + 1)])
    register(app, "mailboxes", [{"address": f"vp{n}@tinh.vn", "agency": f"x-{n}"} for n in range(1, count + 1)])
    made = notices.draft(app, "Lỗ hổng", to=[f"x-{n}" for n in range(1, count + 1)], due_at=iso(NOW_US + 86_400_000_000))
    notices.approve(app, made.id, signer="Giám đốc", number="1/CB", signed_on="2026-11-21")
    return notices_send.send(app, made.id, channel="mail")


def mail(sender: str, subject: str = "Re: Lỗ hổng", text: str = "Chúng tôi đã nhận.", number: int = 1, **headers: str) -> bytes:
    """A mail as an agency writes it."""
    found = EmailMessage()
    found["From"], found["Subject"], found["Message-ID"] = sender, subject, f"<{number}@tinh.vn>"
    for name, value in headers.items():
        found[name.replace("_", "-")] = value
    found.set_content(text)
    return found.as_bytes()


@pytest.fixture
def app(tmp_path: Path, frozen_clock: FrozenClock) -> Iterator[App]:
    """An application with a store of its own."""
    with app_in(tmp_path, frozen_clock) as found:
        yield found


def codes(notice: Notice) -> dict[str, str]:
    """Code by agency."""
    return {one.agency: one.code for one in notice.recipients}


def states(app: App, notice: Notice) -> list[str]:
    """How far the recipients are."""
    return [one.state for one in notices.get(app, notice.id).recipients]


def test_a_code_is_found_in_subject_thread_or_text(app: App) -> None:
    """In the subject; by the mail of ours that it answers; in the text, in small letters; each from an address of the agency."""
    made = begun(app)
    ours = message_id("notice", f"{made.id}/x-2", "sent", "hoa2@tinh.vn")
    done = replies.take_in(
        app,
        [
            ("1.eml", mail("Hoa <HOA1@tinh.vn>", f"Re: Lỗ hổng [{codes(made)['x-1']}]")),
            ("2.eml", mail("vp2@tinh.vn", "trả lời", number=2, In_Reply_To=f"<{ours}@tinh.vn>")),
            ("3.eml", mail("ai-do@x-3.gov.vn", "trả lời", f"ma la {codes(made)['x-3'].lower()}.\nDa thuc hien!\n", number=3)),
        ],
    )
    assert (done.recorded, done.unclear) == (3, 0)
    assert states(app, made) == ["received", "received", "acted"]
    [answer] = notices.get(app, made.id).recipients[0].answers
    assert (answer["from"], answer["channel"], answer["state"]) == ("hoa1@tinh.vn", "mail", "received")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("ĐÃ THỰC HIỆN", "acted"),
        ("Kính gửi Sở,\n  Đã thực hiện. \nHoa", "acted"),
        ("ĐÃ THỰC HIỆN - {code}", "acted"),
        ("đã nhận", "received"),
        ("Đã nhận, chưa thực hiện", "received"),
        ("Chúng tôi đã thực hiện một phần", "received"),
        ("Sẽ làm.\n> ĐÃ THỰC HIỆN", "received"),
        ("Sẽ làm.\nVào Th 7, 21 thg 11, 2026 Sở đã viết:\nĐÃ THỰC HIỆN", "received"),
        ("Will do.\n\n-----Original Message-----\nĐÃ THỰC HIỆN", "received"),
    ],
)
def test_only_a_line_of_its_own_says_that_it_was_done(app: App, text: str, state: str) -> None:
    """Nothing is guessed from prose, and what is quoted says nothing."""
    made = begun(app, 1)
    code = codes(made)["x-1"]
    replies.take_in(app, [("1.eml", mail("hoa1@tinh.vn", f"[{code}]", text.format(code=code)))])
    assert states(app, made) == [state]


def test_what_is_unclear_is_listed_and_settled_by_a_person(app: App) -> None:
    """Unknown and foreign senders, two codes, none, automatic answers, bounces, broken mails: each with its reason, none recorded."""
    made = begun(app)
    code = codes(made)
    ours = message_id("notice", f"{made.id}/x-2", "sent", "hoa2@tinh.vn")
    given_ = {
        "the registry does not know": mail("evil@evil.vn", code["x-1"], number=1),
        "the sender hoa2@tinh.vn of x-2": mail("hoa2@tinh.vn", code["x-1"], number=2),
        "several recipients": mail("hoa1@tinh.vn", f"{code['x-1']} {code['x-2']}", number=3),
        "no code": mail("hoa1@tinh.vn", "ABCDEFGH", number=4),
        "written by a program": mail("hoa1@tinh.vn", code["x-1"], number=5, Auto_Submitted="auto-replied"),
        "could not be delivered": mail("MAILER-DAEMON@tinh.vn", "Undelivered", number=6, In_Reply_To=f"<{ours}@tinh.vn>"),
        "no sender": b"Subject: " + code["x-1"].encode() + b"\r\n\r\n",
        "no mail": b"xin chao",
        "parts": b"From: hoa1@tinh.vn\r\n" + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" * 200,
    }
    done = replies.take_in(app, [("x.eml", raw) for raw in given_.values()])
    assert (done.recorded, done.unclear) == (0, len(given_))
    for said, reply in zip(given_, done.replies, strict=True):
        assert said in reply.why, (said, reply.why)
        assert replies.get(app, reply.id).why == reply.why
    assert states(app, made) == ["sent"] * 3
    assert done.replies[5].agency == "x-2", "whose mail came back is told"
    assert b"".join(replies.raw(app, done.replies[0])) == given_["the registry does not know"], "the mail itself is kept"
    assert [one.kept for one in done.replies] == [True, True, True, True, True, True, True, False, False]
    with pytest.raises(NotFound):
        list(replies.raw(app, done.replies[7]))
    waiting = replies.listed(app, unclear_only=True)
    assert {one.id for one in waiting} == {one.id for one in done.replies}
    first = replies.settle(app, done.replies[0].id, code["x-1"].lower(), state="acted", reason="gọi lại, đúng là họ")
    assert (first.outcome, first.agency, states(app, made)[0]) == ("recorded", "x-1", "acted")
    assert replies.discard(app, done.replies[7].id[:12], reason="rác").outcome == "discarded"
    calls: tuple[Callable[[], object], ...] = (
        lambda: replies.settle(app, first.id, code["x-1"]),
        lambda: replies.settle(app, done.replies[3].id, "ABCDEFGH"),
        lambda: replies.discard(app, done.replies[3].id, reason=" "),
        lambda: replies.get(app, "r-zzzz"),
        lambda: replies.get(app, "r-"),
    )
    for call in calls:
        with pytest.raises((Conflict, NotFound, UsageError)):
            call()
    assert len(replies.listed(app, unclear_only=True)) == len(given_) - 2


def test_the_same_mail_is_taken_once_however_it_comes(app: App) -> None:
    """Its Message-ID counts, not the file: headers that servers add change nothing; without one the bytes count."""
    made = begun(app)
    raw = mail("hoa1@tinh.vn", codes(made)["x-1"])
    assert replies.take_in(app, [("a.eml", raw), ("b.eml", b"Received: from x\r\n" + raw)]).known == 1
    nameless = b"From: hoa2@tinh.vn\r\nSubject: " + codes(made)["x-2"].encode() + b"\r\n\r\n"
    assert [replies.take_in(app, [("c.eml", nameless)]).recorded for _ in range(2)] == [1, 0]
    assert [len(one.answers) for one in notices.get(app, made.id).recipients] == [1, 1, 0]


def test_killed_between_answer_and_note_nothing_is_twice(tmp_path: Path, frozen_clock: FrozenClock) -> None:
    """The answer was recorded, the reply not yet: the next import makes it good without a second answer."""
    with app_in(tmp_path, frozen_clock) as app:
        made = begun(app)
    raw = mail("hoa1@tinh.vn", codes(made)["x-1"])
    with app_in(tmp_path, frozen_clock, killing("replies.answered")) as app, pytest.raises(Killed):
        replies.take_in(app, [("a.eml", raw)])
    with app_in(tmp_path, frozen_clock) as app:
        assert states(app, made)[0] == "received"
        assert replies.listed(app) == []
        assert replies.take_in(app, [("a.eml", raw)]).recorded == 1
        assert len(notices.get(app, made.id).recipients[0].answers) == 1


def test_an_answer_to_a_withdrawn_notice_is_unclear(app: App) -> None:
    """It is kept, and says why it changes nothing."""
    made = begun(app)
    notices.withdraw(app, made.id, reason="nhầm")
    [reply] = replies.take_in(app, [("a.eml", mail("hoa1@tinh.vn", codes(made)["x-1"]))]).replies
    assert "withdrawn" in reply.why


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.text(max_size=300), subject=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=80))
def test_no_text_of_a_mail_breaks_it(app: App, text: str, subject: str) -> None:
    """Whatever people write, the mail is taken and listed."""
    raw = b"From: hoa1@tinh.vn\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nSubject: " + subject.encode() + b"\r\n\r\n" + text.encode()
    done = replies.take_in(app, [("a.eml", raw)])
    assert done.recorded + done.unclear + done.known == 1


# --- the mailbox -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[DovecotServer]:
    """A real IMAP server."""
    if not program():
        decline("dovecot is not installed (scripts/install_debian_packages.sh)")
    found = DovecotServer()
    try:
        found.start()
        yield found
    finally:
        found.stop()


def mailbox(server: DovecotServer, folder: Path) -> RepliesSettings:
    """Settings that lead to the server's mailbox."""
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    (folder / "password").chmod(0o600)
    return RepliesSettings(host="127.0.0.1", port=server.tls_port, ca_file=server.ca, username=USER, password_file=folder / "password", timeout_s=120)


def test_the_whole_way_by_real_servers(tmp_path: Path, frozen_clock: FrozenClock, server: DovecotServer) -> None:
    """Mails go out by SMTP, an agency answers with its mail program, the answer comes by IMAP; killed in between, each counts once."""
    with running() as post:
        more: dict[str, Any] = {
            "mail": MailSettings(host="127.0.0.1", port=post.port, security="none", sender="soc@tinh.vn", timeout_s=120),
            "replies": mailbox(server, tmp_path),
        }
        with app_in(tmp_path, frozen_clock, **more) as app:
            made = begun(app)
            assert outbox.deliver(app).sent == 3
    answers = []
    for number, sent in enumerate(post.mails[:2]):
        answer = EmailMessage()
        answer["From"], answer["To"], answer["Subject"] = str(sent["To"]), "soc@tinh.vn", "RE: " + str(sent["Subject"]).split("[")[0]
        answer["Message-ID"], answer["In-Reply-To"] = f"<answer-{number}@tinh.vn>", str(sent["Message-ID"])
        answer.set_content("Đã thực hiện\n\n" + "\n".join("> " + line for line in sent.get_content().splitlines()))
        answers.append(answer.as_bytes())
    server.deliver(*answers, mail("evil@evil.vn", "mua hàng", number=9))
    with app_in(tmp_path, frozen_clock, killing("replies.taken"), **more) as app, pytest.raises(Killed):
        replies.fetch(app)
    with app_in(tmp_path, frozen_clock, **more) as app:
        done = replies.fetch(app)
        assert (done.recorded, done.unclear, done.known) == (1, 1, 1)
        assert replies.fetch(app) == replies.Taken()
        server.deliver(answers[0])
        assert replies.fetch(app).known == 1
        who = {one.agency: one.state for one in notices.get(app, made.id).recipients}
        assert sorted(who.values()) == ["acted", "acted", "sent"]
        assert [one.agency for one in notices.get(app, made.id).unanswered()] == [agency for agency, state in who.items() if state == "sent"]
        assert len(replies.listed(app, unclear_only=True)) == 1


def test_a_mailbox_with_new_numbers_is_read_again(tmp_path: Path, frozen_clock: FrozenClock, server: DovecotServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another UIDVALIDITY (a restored server): all mails are looked at again, and those taken before change nothing."""
    with app_in(tmp_path, frozen_clock, replies=mailbox(server, tmp_path)) as app:
        made = begun(app)
        server.deliver(mail("hoa1@tinh.vn", codes(made)["x-1"]))
        assert replies.fetch(app).recorded == 1
        monkeypatch.setattr("soc.adapters.imap.ImapReader.validity", lambda _self: 7)
        assert replies.fetch(app).known == 1
        assert replies.fetch(app) == replies.Taken()


def test_the_doctor_asks_the_mailbox(tmp_path: Path, frozen_clock: FrozenClock, server: DovecotServer) -> None:
    """It can be read; unclear answers are told; a server that is down is a failure with what to do."""
    with app_in(tmp_path, frozen_clock, replies=mailbox(server, tmp_path)) as app:
        assert [(one.name, one.state) for one in check_mailbox(app)] == [("mailbox", "ok")]
        replies.take_in(app, [("a.eml", b"xin chao")])
        assert [(one.name, one.state) for one in check_mailbox(app)] == [("mailbox", "ok"), ("replies", "warn")]
        server.kill()
        down = next(iter(check_mailbox(app)))
        assert (down.state, "replies.host" in down.fix) == ("fail", True)


def test_without_a_mailbox_it_says_so(app: App) -> None:
    """Nothing is configured: an error that names the setting."""
    with pytest.raises(ConfigError) as told:
        replies.fetch(app)
    assert told.value.key == "replies.host"
