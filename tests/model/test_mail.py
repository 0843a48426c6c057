"""Mails are read in bounded time, whatever they hold."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.errors import UsageError
from soc.model.mail import MOST_TEXT, Mail, read


def plain(**headers: str) -> EmailMessage:
    """A mail with these headers."""
    mail = EmailMessage()
    for name, value in {"From": "Chị Hoa <Hoa@X-1.gov.vn>", "Subject": "Re: Cảnh báo", "Message-ID": "<1@x>", **headers}.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("Đã nhận.\n")
    return mail


def test_what_a_mail_says() -> None:
    """Sender, name, subject, ids, date and text, decoded."""
    mail = plain(In_Reply_To="<m-a@soc.vn>", References="<m-b@soc.vn> <m-a@soc.vn>", Date="Sat, 21 Nov 2026 08:00:00 +0700", To="soc@tinh.vn")
    mail.add_attachment(b"PDF", maintype="application", subtype="pdf", filename="công văn.pdf")
    found = read(mail.as_bytes())
    assert (found.sender, found.sender_name, found.subject) == ("hoa@x-1.gov.vn", "Chị Hoa", "Re: Cảnh báo")
    assert (found.message_id, found.answers, found.date) == ("1@x", ("m-a@soc.vn", "m-b@soc.vn"), "2026-11-21T01:00:00.000Z")
    assert (found.text, found.automatic, found.bounce, found.to) == ("Đã nhận.", False, False, ("soc@tinh.vn",))
    assert [(one.name, one.type, one.data) for one in found.files] == [("công văn.pdf", "application/pdf", b"PDF")]


def test_html_alone_gives_its_text() -> None:
    """Tags go, what they stand around stays."""
    mail = EmailMessage()
    mail["From"] = "a@b.vn"
    mail.set_content("<p>Mã <b>ABCD2345</b> &amp; đã nhận</p>", subtype="html")
    assert read(mail.as_bytes()).text.split() == ["Mã", "ABCD2345", "&", "đã", "nhận"]


@pytest.mark.parametrize(
    ("headers", "automatic", "bounce"),
    [
        ({"Auto-Submitted": "auto-replied"}, True, False),
        ({"Auto-Submitted": "no"}, False, False),
        ({"X-Autoreply": "yes"}, True, False),
        ({"Return-Path": "<>"}, False, True),
        ({"From": "MAILER-DAEMON@x.vn"}, False, True),
    ],
)
def test_no_person_wrote_it(headers: dict[str, str], automatic: bool, bounce: bool) -> None:
    """Automatic answers and bounces are told apart from what people write."""
    found = read(plain(**headers).as_bytes())
    assert (found.automatic, found.bounce) == (automatic, bounce)


def test_a_bounce_names_what_came_back() -> None:
    """The id of the mail that could not be delivered is found in the report."""
    inner = plain()
    inner.replace_header("Message-ID", "<m-back@soc.vn>")
    mail = EmailMessage()
    mail["From"] = "MAILER-DAEMON@mx.vn"
    mail.set_content("no such user")
    mail.add_attachment(inner)
    assert "m-back@soc.vn" in read(mail.as_bytes()).answers


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.vn\r\nFrom: c@d.vn\r\nSubject: x\r\n\r\ny",
        b"From: a@b.vn, c@d.vn\r\nSubject: x\r\n\r\ny",
        b"From: nobody\r\nSubject: x\r\n\r\ny",
        b"Subject: x\r\n\r\ny",
    ],
)
def test_a_sender_that_is_not_one_is_none(raw: bytes) -> None:
    """Two senders, or none: nobody is taken for it."""
    assert read(raw).sender == ""


def test_headers_break_out_of_nothing() -> None:
    """Line breaks and control characters of encoded words become blanks or go."""
    found = read(b"From: a@b.vn\r\nSubject: =?utf-8?B?QQ0KQmNjOiBldmlsQHguY29tAAhC?=\r\nMessage-ID: <a\x1b@b>\r\n\r\ny")
    assert found.subject == "A Bcc: evil@x.comB"
    assert "\x1b" not in found.message_id


def test_headers_that_nobody_encoded_are_utf_8() -> None:
    """Letters with accents stand in subject and name as they were typed; bytes that are no UTF-8 break nothing."""
    found = read("From: Bà Hoa <hoa@tinh.vn>\r\nSubject: Fwd: máy bị lạ\r\n\r\ny".encode())
    assert (found.sender_name, found.sender, found.subject) == ("Bà Hoa", "hoa@tinh.vn", "Fwd: máy bị lạ")
    assert read(b"From: B\xe0 <a@b.vn>\r\nSubject: x\xff\r\n\r\ny").subject == "x\ufffd"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"From: a\n" + b"\n" * 600_000,
        b"From: a@b.vn\r\n" + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200)),
        b"From: a@b.vn\r\n" + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60)) + b"\r\nx",
        b"From: a@b.vn\r\nSubject: x\r\n\r\n" + b"x" * (25 << 20),
    ],
)
def test_bombs_are_refused(raw: bytes) -> None:
    """Too large, too many lines or parts, nested too deep, or no mail: an error that says so, at once."""
    begin = time.thread_time()
    with pytest.raises(UsageError):
        read(raw)
    assert time.thread_time() - begin < 5


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.vn\r\nSubject: " + b"=?utf-8?Q?" * 200_000 + b"\r\n\r\ny",
        b"From: " + b"(" * 500_000 + b"\r\nSubject: x\r\n\r\ny",
        b"From: " + b"a@b.vn, " * 100_000 + b"\r\nSubject: x\r\n\r\ny",
        b"From: a@b.vn\r\nReferences: " + b"<a@b> " * 200_000 + b"\r\n\r\ny",
        b"From: a@b.vn\r\nContent-Type: text/html\r\n\r\n" + b"<" * 2_000_000,
        b"From: a@b.vn\r\nContent-Type: text/html\r\n\r\n" + b"<a " * 700_000,
        b"From: a@b.vn\r\nContent-Type: text/plain; charset=idna\r\n\r\n" + b"xn--" + b"a" * 1_000_000,
        b"From: a@b.vn\r\nContent-Type: " + b"a;" * 500_000 + b"\r\n\r\ny",
        b"".join(b"X-%d: y\r\n" % n for n in range(200_000)) + b"From: a@b.vn\r\n\r\ny",
    ],
)
def test_hostile_headers_and_texts_take_no_time(raw: bytes) -> None:
    """Nothing is quadratic."""
    begin = time.thread_time()
    found = read(raw)
    assert time.thread_time() - begin < 5
    assert len(found.text) <= MOST_TEXT


@given(st.binary(max_size=2_000))
@settings(max_examples=200)
def test_no_bytes_break_it(raw: bytes) -> None:
    """Whatever the bytes are: a mail, or an error of ours."""
    for one in (raw, b"From: a@b.vn\r\n" + raw, b"From: a@b.vn\r\nContent-Type: " + raw):
        try:
            found = read(one)
        except UsageError:
            continue
        assert isinstance(found, Mail)
        assert "\x1b" not in found.subject + found.sender_name + found.text
        (found.subject + found.sender_name + found.text + found.sender).encode()  # no halves of characters
