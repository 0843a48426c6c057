"""Messages that are read by their form give what the readers give, whatever stands in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from time import thread_time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.ingest.framing import frame
from soc.ingest.parser import Context, Line, Parsed
from soc.ingest.parsers.postfix.form_texts import KINDS, TEXTS
from soc.ingest.parsers.postfix.forms import LONGEST, Form, Forms, Template
from soc.ingest.parsers.postfix.parser import PARSER, PostfixParser
from soc.model.event import Doc
from soc.model.text import event_tokens

NOW_US = 1_795_222_800_000_000
DAY_US = 86_400_000_000
CONTEXT = Context(NOW_US, tokens=True, last_us=NOW_US)
SAMPLES = Path(__file__).parents[4] / "soc/ingest/parsers/postfix/samples"


@cache
def values(kind: str) -> st.SearchStrategy[str]:
    """Values of a kind."""
    return st.from_regex(re.compile(KINDS[kind].pattern, re.ASCII), fullmatch=True)


@st.composite
def messages(draw: st.DrawFn) -> str:
    """A message of some form."""
    pieces = re.split(r"\$([a-z]+)", draw(st.sampled_from(TEXTS)))
    return "".join(draw(values(piece)) if number % 2 else piece for number, piece in enumerate(pieces))


def program(message: str) -> str:
    """Who writes such a message."""
    return "amavis" if message[:1] == "(" else "postfix/smtpd"


def together(text: str, context: Context = CONTEXT) -> Parsed | None:
    """What reading a line by its form gives, once it proved to be what reading it the long way does."""
    line = frame(text)
    [found] = PARSER.parse_many([line], context)
    if found is None:
        return None
    alone = PARSER.parse(line, context)
    assert list(found.doc.items()) == list(alone.doc.items())
    if found.tokens:
        assert set(found.tokens.split(" ")) == set(event_tokens({**alone.doc, "event.original": text}).split(" "))
    assert msgspec.structs.replace(found, tokens="") == alone
    return found


@settings(deadline=None)
@given(messages())
def test_a_message_of_a_form_gives_the_document_and_the_words_that_its_reader_gives(message: str) -> None:
    """Each form takes the messages that it describes, and every value of its kinds is read as the samples are."""
    found = together(f"<22>Nov 20 08:00:00 mx1 {program(message)}[71]: {message}")
    if len(message) <= LONGEST:
        assert found is not None
        assert found.tokens


@settings(deadline=None)
@given(messages(), st.data())
def test_a_message_that_differs_from_a_form_is_read_right_or_left_to_its_reader(message: str, data: st.DataObject) -> None:
    """Something else at any place of a message never gives another document than reading it the long way."""
    begin = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(begin, min(len(message), begin + 12)))
    odd = data.draw(
        st.one_of(st.text(max_size=6), st.sampled_from([" as ", "queued as 1A2B3C", ">, ", "=", "auth=1/2", "[", "1.2.3.4", "unknown", "; from=<", "status="]))
    )
    together(f"<22>Nov 20 08:00:00 mx1 {program(message)}[71]: {message[:begin]}{odd}{message[end:]}")


@pytest.mark.parametrize("text", TEXTS)
def test_every_form_is_found_and_told_by_its_samples(text: str) -> None:
    """No form stands in the way of another, and none has a field that nobody knows the origin of."""
    forms = Forms(lambda message: PARSER.parse(Line(message, message, app=program(message)), CONTEXT).doc)

    def read(message: str) -> Doc:
        return {name: value for name, value in PARSER.parse(Line(message, message, app=program(message)), CONTEXT).doc.items() if name != "message"}

    form = Form(text, read)
    for message, _ in form.samples:
        found = forms.find(message)
        assert found is not None
        assert Template(found[0], read, (), "", "").fill(found[1]) == read(message)


LONGEST_HOST = ".".join(["a" * 63] * 4)


@pytest.mark.parametrize("text", [text for text in TEXTS if "$host" in text])
def test_names_of_hosts_longer_than_the_readers_take_have_no_form(text: str) -> None:
    """Readers take 255 characters for a name; whoever sends lines may write more."""
    pieces = re.split(r"\$([a-z]+)", text)
    for host in (LONGEST_HOST, LONGEST_HOST + "b", LONGEST_HOST + ".b"):
        message = "".join((host if piece == "host" else KINDS[piece].sample.format(n=number)) if number % 2 else piece for number, piece in enumerate(pieces))
        found = together(f"<22>Nov 20 08:00:00 mx1 {program(message)}[71]: {message}")
        assert (found is not None) is (len(host) <= 255)


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("opendkim", "1A2B3C: from=<d=evil@b.example>, size=1, nrcpt=1 (queue active)"),
        ("opendkim", "1A2B3C: to=<a@b>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (DKIM verification successful)"),
        ("postfix/policyd-spf", "1A2B3C: to=<a@b>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (spf=fail)"),
        ("rspamd", "1A2B3C: to=<a@b>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (got connection from 192.0.2.1:5 )"),
        (
            "postfix/smtpd",
            "(00123-01) Passed CLEAN {A}, [192.0.2.1]:40001 [192.0.2.1] <a@b> -> <c@d>, Queue-ID: 1A2B3C, Message-ID: <x@y>, mail_id: abc, Hits: -1.5, size: 5, 30 ms",
        ),
    ],
)
def test_messages_of_a_form_under_another_program_are_left_to_its_reader(app: str, said: str) -> None:
    """It may look for words of its own where the form takes any value; twice, as what was found of the program is kept."""
    parser = PostfixParser()
    for _ in range(2):
        assert parser.parse_many([frame(f"<22>Nov 20 08:00:00 mx1 {app}[71]: {said}")], CONTEXT) == [None]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.log")), ids=lambda path: path.stem)
def test_the_samples_are_read_alike_together_and_alone(sample: Path) -> None:
    """Real lines: some have a form."""
    found = [together(line) for line in sample.read_text("utf-8").splitlines()]
    assert any(found) or "filters" in sample.stem


@pytest.mark.parametrize("text", TEXTS)
def test_every_form_gives_the_words_of_its_samples(text: str) -> None:
    """Where the readers convert a value the words of both are there."""
    for message, _ in Form(text, lambda _: {}).samples:
        found = together(f"<22>Nov 20 08:00:00 mx1 {program(message)}[71]: {message}")
        assert found is not None
        assert found.tokens


@pytest.mark.parametrize(
    "unit",
    ["A", "a ", "1", ".", "a.", "a-", "<", "a@", "<a@b>,", "a=1 ", "queued as ", "; ", "; from=<a@b", " as", "   ", "::1", "phish", "]: ", "> ", "; proto=A"],
)
def test_no_message_takes_long(unit: str) -> None:
    """Patterns are linear: what goes on like some form and then does not fit costs no more."""
    forms = Forms(lambda message: PARSER.parse(Line(message, message, app=program(message)), CONTEXT).doc)
    samples = [Form(text, lambda _: {}).samples[0] for text in TEXTS]
    for message, _ in samples:
        assert forms.find(message) is not None  # its pattern is made now

    def taken(message: str) -> float:
        begun = thread_time()
        forms.find(message)
        return thread_time() - begun

    for message, places in samples:
        for place in places:
            longest = (message[: place.start] + unit * (LONGEST // len(unit)))[: LONGEST - len(message)] + message[place.stop :]
            assert any(taken(longest) < 0.05 for _ in range(5))  # 0.0016 is the most where nothing else runs


CONNECT = "connect from mx.example.org[192.0.2.9]"


@pytest.mark.parametrize(
    "line",
    [
        f"<22>Nov 20 08:00:00 mx1 postfix/smtpd[71]: {CONNECT}",
        f"Nov 20 08:00:00 mx1 postfix/smtpd[71]: {CONNECT}",
        f"2026-11-20T08:00:00.123456+07:00 mx1 postfix/smtpd[71]: {CONNECT}",
    ],
)
def test_words_come_with_the_usual_headers(line: str) -> None:
    """They need not be worked out again."""
    found = together(line)
    assert found is not None
    assert {"mx1", "mx.example.org", "192.0.2.9", "71"} <= set(found.tokens.split(" "))


@pytest.mark.parametrize(
    "line",
    [
        f"<022>Nov 20 08:00:00 mx1 postfix/smtpd[71]: {CONNECT}",
        f'<22>1 2026-11-20T08:00:00+07:00 mx1 postfix/smtpd 71 ID7 [x@1 y="đỏ"] {CONNECT}',
        f"<22>Nov 20 08:00:00 relay 2026-11-20T08:00:00+07:00 mx1 postfix/smtpd[71]: {CONNECT}",
        f'{{"message":"{CONNECT}","host":"mx1","ident":"postfix/smtpd","pid":"71","time":"2026-11-20T08:00:00+07:00"}}',
    ],
)
def test_words_of_lines_with_other_headers_are_left_to_be_worked_out(line: str) -> None:
    """They hold words that stand neither in the message nor in the fields."""
    found = together(line)
    assert found is None or not found.tokens


def test_a_value_without_a_word_leaves_no_gap() -> None:
    """Words are separated by one space each."""
    found = together("Nov 20 08:00:00 mx1 postfix/smtp[71]: 1A2B3C: to=<a@b>, relay=virtual, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (:)")
    assert found is not None
    assert found.tokens
    assert "" not in found.tokens.split(" ")


def test_no_words_are_worked_out_where_none_are_wanted() -> None:
    """As in `soc parse`."""
    found = together(f"Nov 20 08:00:00 mx1 postfix/smtpd[71]: {CONNECT}", Context(NOW_US, last_us=NOW_US))
    assert found is not None
    assert not found.tokens


@pytest.mark.parametrize("pid", ["", "007", "99999999999", "²", "x"])
def test_a_process_number_that_is_none_is_left_to_the_reader(pid: str) -> None:
    """The field is a number of 32 bits."""
    assert PARSER.parse_many([Line("", CONNECT, 22, "Nov 20 08:00:00", "mx1", "postfix/smtpd", pid)], CONTEXT) == [None]


def test_a_time_without_a_year_is_read_when_it_means_the_same_for_all_lines() -> None:
    """Lines received more than a year apart may have the same time and be of two years."""
    parser = PostfixParser()
    line = frame(f"Nov 20 08:00:00 mx1 postfix/smtpd[71]: {CONNECT}")
    for first_us, last_us, read in ((0, 0, True), (0, 300, True), (0, 360, False), (400, 400, True), (0, 0, True)):
        context = Context(NOW_US + first_us * DAY_US, last_us=NOW_US + last_us * DAY_US)
        [found] = parser.parse_many([line], context)
        assert (found is not None) is read
        if found is not None:
            assert found == PostfixParser().parse(line, context)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Feb 28", "Feb 29", "Nov 27", "Nov 28", "Dec  1", "Dec 31", "Jan  1"]),
            st.sampled_from(["23:59", "08:00", "08:0x"]),
            st.integers(0, 61),
        ),
        max_size=8,
    )
)
def test_times_of_one_minute_are_read_as_each_by_itself(times: list[tuple[str, str, int]]) -> None:
    """Whatever was read before, in whatever order."""
    parser = PostfixParser()
    for date, minute, second in times:
        for zone in ("Asia/Ho_Chi_Minh", "America/New_York"):
            for offset_us in (0, 1_500_000):
                text = f"{date} {minute}:{second:02d} mx1 postfix/smtpd[71]: {CONNECT}"
                context = Context(NOW_US, zone, offset_us, tokens=True, last_us=NOW_US)
                [found] = parser.parse_many([frame(text)], context)
                if found is not None:
                    assert msgspec.structs.replace(found, tokens="") == PostfixParser().parse(frame(text), context)
                    assert set(found.tokens.split(" ")) == set(event_tokens({**found.doc, "event.original": text}).split(" "))


def test_templates_of_many_hosts_are_bounded() -> None:
    """Whoever may send lines may name any host."""
    parser = PostfixParser()
    for number in range(5000):
        [found] = parser.parse_many([frame(f"Nov 20 08:00:00 h{number} postfix/smtpd[71]: {CONNECT}")], CONTEXT)
        assert found is not None
    assert len(parser._templates) <= 4096
