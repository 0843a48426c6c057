"""What a message may be, and its state as the fold of its facts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import UsageError
from soc.model.fact import Fact
from soc.model.message import Attachment, Message, content, file_name, fold, message, message_id, one_line


def one(**changed: Any) -> Message:
    """A message."""
    values: dict[str, Any] = {"kind": "notice", "about": "TB-2026-0001", "step": "sent", "recipient": "an@xa.vn", "subject": "Cảnh báo", "body": "Chào"}
    options = {key: changed.pop(key) for key in ("channel", "attachments", "scope", "cause") if key in changed}
    return message(*(values | changed).values(), **options)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipient": "an"}, "mail address"),
        ({"recipient": "an@xa.vn\nBcc: b@x.vn"}, "recipient"),
        ({"recipient": "hoàng@xa.vn"}, "mail address"),
        ({"recipient": '"a b"@xa.vn'}, "mail address"),
        ({"subject": "\r\n\t"}, "subject"),
        ({"kind": ""}, "kind"),
        ({"step": "x" * 201}, "step"),
        ({"channel": "fax"}, "channel"),
        ({"channel": "webhook:Ä"}, "channel"),
        ({"body": "x" * 50_001}, "50001"),
        ({"attachments": (Attachment("a", data=b"x" * 100_000),)}, "100000"),
        ({"attachments": (Attachment("a"),)}, "bytes or its hash"),
        ({"attachments": (Attachment("a", data=b"1", sha256="0" * 64),)}, "bytes or its hash"),
        ({"attachments": (Attachment("a", sha256="xyz"),)}, "SHA-256"),
        ({"attachments": tuple(Attachment("a", data=b"1") for _ in range(51))}, "51"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    """The error names field and reason."""
    with pytest.raises(UsageError, match=said):
        one(**changed)


def test_the_id_follows_from_what_whom_and_step() -> None:
    """Texts and channels may change, the message stays the same; another step or recipient is another one."""
    assert one().id == one(subject="khác", body="khác").id == message_id("notice", "TB-2026-0001", "sent", " AN@xa.vn ")
    assert len({one().id, one(step="reminder-1").id, one(recipient="b@xa.vn").id, one(about="TB-2026-0002").id, one(kind="policy").id}) == 5


@given(st.text(max_size=300))
def test_one_line_is_one_line(text: str) -> None:
    """No break, no control character, and again the same."""
    line = one_line(text)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 or character in "\u2028\u2029\u202e" for character in line)
    assert one_line(line) == line


@given(st.text(max_size=200))
def test_a_file_name_is_no_path(text: str) -> None:
    """The last part alone, never empty, never hidden."""
    name = file_name(text)
    assert name
    assert not set(name) & set('/\\:<>"|?*')
    assert not name.startswith(".")
    assert len(name) <= 120


def facts(*kinds: tuple[str, dict[str, Any]]) -> list[Fact]:
    """The facts of a message, the first one its recording."""
    every = [("MessageDue", content(one(attachments=(Attachment("a.bin", data=bytes(range(256))),)))), *kinds]
    return [Fact(1, "message/m-1", at, kind, f"2026-11-21T00:00:{at:02d}Z", "t", "real", data, "r", None, "") for at, (kind, data) in enumerate(every, 1)]


def test_what_was_recorded_is_read_back() -> None:
    """With its attachment, byte for byte."""
    found = fold("m-1", facts())
    assert found is not None
    assert (found.state, found.message.subject, found.message.attachments[0].data) == ("due", "Cảnh báo", bytes(range(256)))
    assert fold("m-1", facts()[:0]) is None
    assert fold("m-1", [*facts(), *facts(("SomethingNew", {}))[1:]]) is not None


TRIED = ("MessageAttempted", {"number": 1, "until": "2026-11-21T00:01:00Z", "to": "an@xa.vn"})
AGAIN = ("MessageAttempted", {"number": 2, "until": "2026-11-21T00:02:00Z", "to": "an@xa.vn"})


@pytest.mark.parametrize(
    ("kinds", "state", "settled", "twice"),
    [
        ([TRIED], "trying", False, False),
        ([TRIED, ("MessageSent", {"number": 1})], "sent", True, False),
        ([TRIED, ("MessageFailed", {"number": 1, "again_at": "2026-11-21T01:00:00Z"})], "failed", False, False),
        ([TRIED, ("MessageUnknown", {"number": 1, "again_at": "2026-11-21T01:00:00Z"})], "unknown", False, False),
        ([TRIED, ("MessageUnknown", {"number": 1, "again_at": ""})], "unknown", True, False),
        ([TRIED, AGAIN, ("MessageSent", {"number": 2})], "sent", True, True),
        ([TRIED, AGAIN, ("MessageSent", {"number": 1})], "sent", True, False),
        ([TRIED, ("MessageCancelled", {}), ("MessageSent", {"number": 1})], "sent", True, False),
        ([TRIED, ("MessageSent", {"number": 1}), ("MessageCancelled", {})], "sent", True, False),
        ([("MessageHeld", {"text": "x"})], "held", False, False),
        ([("MessageGivenUp", {"text": "x"}), ("MessageRetried", {})], "due", False, False),
        ([("MessageCancelled", {})], "cancelled", True, False),
    ],
)
def test_the_state_follows_from_the_facts(kinds: list[tuple[str, dict[str, Any]]], state: str, settled: bool, twice: bool) -> None:
    """Also late news of an attempt that was given up on; what was sent stays sent."""
    found = fold("m-1", facts(*kinds))
    assert found is not None
    assert (found.state, found.settled, found.possibly_twice) == (state, settled, twice)
