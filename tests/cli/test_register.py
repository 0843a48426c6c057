"""An incident from a telephone call in under a minute, and from a forwarded mail (incident_mail); what is hostile in them stays text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

import pytest

from soc.clock import SystemClock, to_datetime
from tests.cli.conftest import Done, Run

pytestmark = pytest.mark.xdist_group("cli-register")

AGENCIES = "id,name,level,parent,domains\nubnd,UBND tỉnh,province,,\nso-y-te,Sở Y tế,department,ubnd,yte.vn\nso-gd,Sở Giáo dục và Đào tạo,department,ubnd,\nxa-tan-lap,Xã Tân Lập,commune,ubnd,\nxa-tan-tien,Xã Tân Tiến,commune,ubnd,\n"


@pytest.fixture
def on(soc: Run, tmp_path: Path) -> Callable[..., Done]:
    """Run a command on a store with agencies and a mailbox."""
    store = ("--store", str(tmp_path / "s"))
    tables = {"agencies": AGENCIES, "mailboxes": "address,agency\nhoa@tinh.vn,so-gd\n"}
    for kind, text in tables.items():
        (tmp_path / f"{kind}.csv").write_text(text, encoding="utf-8")
        assert soc(kind, "import", str(tmp_path / f"{kind}.csv"), "--yes", *store).code == 0
    return lambda *words: soc(*words, *store)


# --- the call ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Somebody at a terminal who types these answers; the questions that were asked."""

    def answer(*typed: str) -> list[str]:
        waiting: Iterator[str] = iter(typed)
        asked: list[str] = []

        def prompt(text: str, *, default: str = "", **_more: object) -> str:
            asked.append(text)
            return next(waiting) or default

        monkeypatch.setattr("click.prompt", prompt)
        monkeypatch.setattr("soc.cli.incidents.may_ask", lambda _session: True)
        return asked

    return answer


def test_a_call_is_asked_through(on: Callable[..., Done], caller: Callable[..., list[str]]) -> None:
    """Ten answers, most of them a word: an incident with reporter, detector, channel, agency, class and clocks."""
    asked = caller("Máy tính bị mã hóa", "tan", "so y te", "Chị Hoa 0912 345 678", "", "30m", "", "1", "", "hai máy")
    done = on("incidents", "new", "--json")
    assert done.code == 0, done.err
    assert len(asked) == 10
    assert "xa-tan-lap" in done.err
    name = json.loads(done.out)["item"]["id"]
    item = json.loads(on("incidents", "show", name, "--json").out)["item"]
    assert (item["title"], item["agencies"], item["channel"]) == ("Máy tính bị mã hóa", ["so-y-te"], "telephone")
    assert (item["reported_by"], item["detected_by"], item["rsit"], item["severity"]) == (
        "Chị Hoa 0912 345 678", "Chị Hoa 0912 345 678", "malicious-code/infected-system", "high",
    )  # fmt: skip
    assert [duty["state"] for duty in item["obligations"]] == ["tentative"]


def test_what_was_given_is_not_asked(on: Callable[..., Done], caller: Callable[..., list[str]]) -> None:
    """Options answer questions; a wrong time and a wrong class are asked again."""
    asked = caller("Trang bị sửa", "25:99", "bây giờ không", "10m", "", "no/such", "9", "5", "", "")
    done = on("incidents", "new", "--agency", "so giao duc", "--reported-by", "Anh Ba", "--channel", "hotline", "--json")
    assert done.code == 0, done.err
    item = json.loads(on("incidents", "show", "1", "--json").out)["item"]
    assert (item["agencies"], item["channel"], item["class"]["group"]) == (["so-gd"], "hotline", "N5")
    assert len(asked) == 10


def test_without_a_terminal_a_title_is_needed(on: Callable[..., Done]) -> None:
    """A script gets an error and no question; agencies may be named without accents, unless several fit."""
    assert on("incidents", "new", "--no-input").code == 2
    assert on("incidents", "new", "x", "--agency", "xa tan").code == 2
    told = on("incidents", "new", "x", "--agency", "xa tan").err
    assert "xa-tan-lap" in told
    assert "xa-tan-tien" in told
    assert on("incidents", "new", "x", "--agency", "không có").code == 2
    done = on("incidents", "new", "x", "--agency", "xa tan lap", "--detected", "00:00", "--json")
    assert json.loads(done.out)["item"]["agencies"] == ["xa-tan-lap"]


# --- the mail ----------------------------------------------------------------------------------------------------------


def files_in(folder: Path) -> list[str]:
    """All files but those of the store's own databases."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and ".db" not in path.name)


def letter(**headers: str) -> EmailMessage:
    """A forwarded mail of an hour ago."""
    mail = EmailMessage()
    sent = to_datetime(SystemClock().now_us() - 3_600_000_000)
    given = {
        "From": "Chị Hoa <hoa@tinh.vn>",
        "To": "soc@tinh.vn",
        "Subject": "Fwd: Re: Thư lạ",
        "Date": sent.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        "Message-ID": "<1@tinh.vn>",
    }
    for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        mail[name] = value
    mail.set_content("Nhờ xem giúp: hxxp://lua[.]top/dang-nhap, máy 45.77.1.2\n")
    return mail


def test_a_mail_proposes_and_opens(on: Callable[..., Done], tmp_path: Path) -> None:
    """Subject, reporter, times, agency and what it names; the mail itself is evidence; the same mail is not opened twice."""
    mail = letter()
    mail.add_attachment(b"MZ\x00\x01", maintype="application", subtype="octet-stream", filename="../../etc/cron.d/hoá đơn.exe")
    raw = mail.as_bytes()
    file = tmp_path / "thu.eml"
    file.write_bytes(raw)
    before = files_in(tmp_path)
    preview = on("incidents", "import-eml", str(file), "--json")
    told = json.loads(preview.out)["preview"]
    assert (preview.code, told["fields"]["title"], told["fields"]["agencies"]) == (0, "Thư lạ", ["so-gd"])
    assert told["fields"]["reported_by"] == "Chị Hoa <hoa@tinh.vn>"
    assert {(one["type"], one["value"]) for one in told["observables"]} >= {
        ("url", "http://lua.top/dang-nhap"), ("ip", "45.77.1.2"), ("hash", sha256(b"MZ\x00\x01").hexdigest()), ("file", "hoá đơn.exe"),
    }  # fmt: skip
    assert files_in(tmp_path) == before
    done = on("incidents", "import-eml", str(file), "--severity", "high", "--yes", "--json")
    assert done.code == 0, done.err
    item = json.loads(on("incidents", "show", "1", "--json").out)["item"]
    assert (item["title"], item["channel"], item["reference"], item["severity"]) == ("Thư lạ", "mail", "<1@tinh.vn>", "high")
    assert item["detected_at"] == item["reported_at"]
    kept = json.loads(on("evidence", "list", item["id"], "--json").out)["items"]
    assert [one["sha256"] for one in kept] == [sha256(raw).hexdigest()]
    assert on("evidence", "verify").code == 0
    values = {one["value"] for one in json.loads(on("incidents", "observables", "1", "--json").out)["items"]}
    assert {"lua.top", "45.77.1.2"} <= values
    known = on("incidents", "import-eml", str(file))
    assert (known.code, item["id"] in known.err) == (1, True), "a preview of what would be refused"
    again = on("incidents", "import-eml", str(file), "--yes")
    assert (again.code, item["id"] in again.err) == (6, True)
    assert on("incidents", "import-eml", str(file), "--yes", "--again").code == 0
    assert not (tmp_path / "etc").exists()


def test_what_a_mail_says_is_data(on: Callable[..., Done], tmp_path: Path) -> None:
    """A clock of the year 2040, control codes, no sender, no subject: the time of taking it in counts, and nothing steers a terminal."""
    file = tmp_path / "a.eml"
    file.write_bytes(
        b"From: \x1b[2J<x@y.vn>, <b@c.vn>\r\nSubject: =?utf-8?B?"
        b"G1syShtdMDtwd25lZAc9Y21kfA=="
        b"?=\r\nDate: Mon, 1 Jan 2040 00:00:00 +0000\r\n\r\n{{7*7}} <script>\x1b[31m\r\n"
    )
    done = on("incidents", "import-eml", str(file), "--yes", "--json")
    assert done.code == 0, done.err
    item = json.loads(on("incidents", "show", "1", "--json").out)["item"]
    assert item["reported_at"] <= item["opened_at"]
    assert item["reference"].startswith("sha256:")
    for words in (
        ("incidents", "show", "1"),
        ("incidents", "list"),
        ("incidents", "list", "--csv"),
        ("incidents", "list", "--json"),
        ("incidents", "history", "1"),
    ):
        assert "\x1b" not in on(*words).out
    file.write_bytes("From: a@b.vn\r\n\r\nkhông có tiêu đề\r\n".encode())
    assert json.loads(on("incidents", "import-eml", str(file), "--yes", "--json").out)["item"]["title"] == "không có tiêu đề"


def test_bombs_are_refused_by_name(on: Callable[..., Done], tmp_path: Path) -> None:
    """Too large, nested without end, thousands of parts, no mail at all, no file: an error each, and nothing is recorded."""
    deep = b"From: a@b.vn\r\nSubject: x\r\n" + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(200))
    many = b"From: a@b.vn\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: message/rfc822\r\n\r\n\r\n" * 5_000
    for content in (b"x" * (26 << 20), deep, many, b"\x00\x01\x02" * 100, b""):
        file = tmp_path / "bomb.eml"
        file.write_bytes(content)
        done = on("incidents", "import-eml", str(file), "--yes")
        assert (done.code, done.err.startswith("error: ")) == (2, True), content[:40]
    assert on("incidents", "import-eml", str(tmp_path / "none.eml"), "--yes").code == 2
    assert json.loads(on("incidents", "list", "--all", "--json").out)["total"] == 0
    assert json.loads(on("evidence", "list", "--json").out)["total"] == 0
