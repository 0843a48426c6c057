"""`soc parse`: one answer per line, whatever the line holds."""

from __future__ import annotations

import gzip
import io
import json
import os
import select
import subprocess
import sys
import tracemalloc
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import parse as module
from soc.application.parse import EMPTY, UNKNOWN, Answer, context_of, parse_stream
from soc.errors import UsageError
from soc.ingest.registry import installed

NOW_US = 1_795_222_800_000_000
FORTIGATE = b'<189>date=2026-03-02 time=08:15:30 devname="fw" devid="FG1" logid="0000000013" type="traffic" subtype="forward" srcip=10.0.0.1 action="deny"'
CEF = b"CEF:0|Example|Gate|1.0|19|Login|3|src=10.0.0.1"


def answers(data: bytes, *, product: str = "", records: bool = False) -> list[Answer]:
    """The answers for a file of these bytes."""
    return list(parse_stream(io.BytesIO(data), installed(), context_of("Asia/Ho_Chi_Minh", "", NOW_US), product=product, records=records))


def soc(*words: str, data: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """The command itself, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "SOC_LANG": "en"}
    return subprocess.run(
        [sys.executable, "-c", "from soc.cli import main; main()", "parse", *words],
        input=data,
        capture_output=True,
        check=False,
        cwd=cwd,
        env=environment,
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_files_are_read(encoding: str) -> None:
    """A byte order mark tells; a broken end is one more escape, not a failure."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    data = f"{mark}{FORTIGATE.decode()}\r\n\r\n{CEF.decode()}".encode(encoding)
    for tail in (b"", b"x"):
        stream = io.BufferedReader(io.BytesIO(data + tail))
        got = list(parse_stream(stream, installed(), context_of("Asia/Ho_Chi_Minh", "", NOW_US)))
        assert [answer.error for answer in got] == ["", EMPTY, ""]
        assert got[0].doc["source.ip"] == "10.0.0.1"
    long = (CEF.decode() + "\n") * 20_000
    assert (
        sum(not answer.error for answer in parse_stream(io.BufferedReader(io.BytesIO(long.encode("utf-16"))), installed(), context_of("UTC", "", NOW_US)))
        == 20_000
    )


def test_packed_files_are_read() -> None:
    """Rotated logs come packed, also in several members."""
    lines = b"Nov 20 08:00:00 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n" * 3
    stream = io.BufferedReader(io.BytesIO(gzip.compress(lines) + gzip.compress(lines)))
    answers = list(parse_stream(stream, installed(), context_of("Asia/Ho_Chi_Minh", "", NOW_US)))
    assert [(answer.n, answer.error, answer.doc["source.ip"]) for answer in answers] == [(n, "", "192.0.2.7") for n in range(1, 7)]


@pytest.mark.parametrize(("end", "count"), [(-4, 3), (14, 0)])
def test_packed_files_that_are_torn_are_told(end: int, count: int) -> None:
    """What could be read is answered first."""
    packed = gzip.compress(b"Nov 20 08:00:00 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n" * 3)[:end]
    answers: list[Answer] = []
    with pytest.raises(UsageError, match="the gzip data are damaged"):
        answers.extend(parse_stream(io.BufferedReader(io.BytesIO(packed)), installed(), context_of("Asia/Ho_Chi_Minh", "", NOW_US)))
    assert [answer.error for answer in answers] == [""] * count


def test_every_line_has_its_answer() -> None:
    """Numbers count lines from 1; blank, unknown and broken lines are errors with what could be read."""
    got = answers(FORTIGATE + b"\r\n\n \t\nfoo\n<13>Nov 20 10:00:00 gate zzz[5]: bar\nCEF:0|a|b\n" + CEF)
    assert [(answer.n, answer.error) for answer in got] == [
        (1, ""),
        (2, EMPTY),
        (3, EMPTY),
        (4, UNKNOWN),
        (5, UNKNOWN),
        (6, "the CEF header is broken"),
        (7, ""),
    ]
    assert got[0].doc["event.original"] == FORTIGATE.decode()
    assert got[4].doc["host.hostname"] == "gate"
    assert got[4].doc["log.syslog.priority"] == 13
    assert got[4].doc["message"] == "bar"
    assert got[4].doc["@timestamp"] == "2026-11-20T03:00:00.000Z"
    assert got[5].doc["message"] == "CEF:0|a|b"


def test_invalid_utf8_and_nul() -> None:
    """Such lines are parsed as far as they go and shown with escapes."""
    got = answers(FORTIGATE.replace(b'"fw"', b'"f\xffw\x00"') + b"\n\x00\x00\n")
    assert got[0].doc["observer.name"] == "f\\xffw\x00"
    assert got[1].error == EMPTY


def test_long_lines_and_lines_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte is a line as any other; beyond the limit it is an error and the next line is read."""
    assert answers(FORTIGATE + b' msg="' + b"x" * 1_000_000 + b'"\n')[0].doc["message"] == "x" * 1_000_000
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    got = answers(b"y" * 5000 + b"\n" + CEF + b"\n")
    assert [(answer.n, bool(answer.error)) for answer in got] == [(1, True), (2, False)]


def test_a_wrong_product_falls_back_to_recognition() -> None:
    """The named parser is asked first, not only."""
    assert [answer.parser for answer in answers(FORTIGATE + b"\n" + CEF, product="postfix")] == ["fortinet_fortigate", "cef_generic"]


def test_an_unknown_product_is_refused() -> None:
    """The error names the nearest parser before any line is read."""
    with pytest.raises(UsageError) as caught:
        answers(CEF, product="fortigate")
    assert "fortinet_fortigate" in caught.value.hint


def test_records_with_line_breaks() -> None:
    """`.raw.ndjson` records carry lines that hold line ends; broken records are errors."""
    got = answers(orjson.dumps({"n": 7, "raw": CEF.decode() + " msg=a\nb"}) + b"\n{}\n\nnot json\n" + orjson.dumps({"raw": CEF.decode()}), records=True)
    assert [(answer.n, bool(answer.error)) for answer in got] == [(7, False), (2, True), (3, True), (4, True), (5, False)]
    assert got[0].doc["message"] == "a\nb"


def test_records_that_python_wrote_of_lines_that_are_no_utf_8() -> None:
    """PEP 383 puts half a surrogate pair for each such byte, and the `json` module writes it: the line is read as in a file of lines."""
    raw = CEF + b" msg=a\xff\xe9"
    [line] = answers(raw)
    [record] = answers(json.dumps({"n": 7, "raw": raw.decode("utf-8", "surrogateescape")}).encode(), records=True)
    assert (record.n, record.error, record.doc) == (7, "", line.doc)
    assert record.doc["message"] == r"a\xff\xe9"
    [half] = answers(b'{"n":8,"raw":"' + CEF.replace(b"\\", b"\\\\") + b' msg=\\ud800"}', records=True)
    assert (half.n, half.error) == (8, "")


def test_every_record_is_answered_under_the_number_that_it_tells() -> None:
    """A broken record, too, where its number can be read; a byte order mark before the first is no part of it."""
    lines = (
        b'\xef\xbb\xbf{"n":9,"raw":"x"}',
        b'{"n":7}',
        b'{"n":"7","raw":"x"}',
        b'{"n":true,"raw":"x"}',
        b'{"n":%d,"raw":"\\udfff"}' % 10**30,
        b"[" * 100_000 + b'"\\udfff"',
    )
    got = answers(b"\n".join(lines), records=True)
    assert [answer.n for answer in got] == [9, 7, 3, 4, 5, 6]
    assert [answer.error.startswith("not a record") for answer in got] == [False, True, True, True, True, True]
    for answer in got:
        orjson.dumps(answer.record())


def test_zone_and_received_time_complete_dates() -> None:
    """`--tz` and `--received-at` are what times without zone and year lack."""
    context = context_of("UTC", "2020-01-02T00:00:00Z", NOW_US)
    got = list(parse_stream(io.BytesIO(b"Dec 31 23:59:59 gate " + CEF), installed(), context))
    assert got[0].doc["@timestamp"] == "2019-12-31T23:59:59.000Z"
    for zone, received in (("Mars/Base", ""), ("UTC", "yesterday")):
        with pytest.raises(UsageError):
            context_of(zone, received, NOW_US)


def test_memory_does_not_grow_with_the_input() -> None:
    """A hundred times the lines take no more memory."""

    class Lines(io.RawIOBase):
        def __init__(self, most: int) -> None:
            self.left = most

        def readline(self, _size: int | None = -1, /) -> bytes:
            self.left -= 1
            return CEF + b" cn1=%d\n" % self.left if self.left >= 0 else b""

    def peak(most: int) -> int:
        tracemalloc.start()
        for _ in parse_stream(Lines(most), installed(), context_of("UTC", "", NOW_US)):  # type: ignore[arg-type]
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(100)
    assert peak(10_000) < peak(100) + 200_000


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_answered_line_by_line(data: bytes) -> None:
    """As many answers as lines, each of which is JSON."""
    got = answers(data)
    assert [answer.n for answer in got] == list(range(1, len(got) + 1))
    assert len(got) == data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    for answer in got:
        orjson.dumps(answer.record())


def test_the_command_reads_standard_input() -> None:
    """Without a file, or with `-`, lines come from standard input; all parsed is exit code 0."""
    done = soc("-", data=FORTIGATE + b"\n")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["ecs"]["source"] == {"ip": "10.0.0.1"}
    assert soc(data=FORTIGATE).stdout == done.stdout


def test_the_command_answers_a_slow_pipe_at_once() -> None:
    """`tail -f fw.log | soc parse`: the answer to a line does not wait for the next ones."""
    with subprocess.Popen([sys.executable, "-m", "soc", "parse"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(FORTIGATE + b"\n")
        process.stdin.flush()
        ready, _out, _err = select.select([process.stdout], [], [], 150)
        assert ready
        assert orjson.loads(process.stdout.readline())["n"] == 1
        process.stdin.close()
        assert process.wait(150) == 0


def test_the_command_s_exit_codes(tmp_path: Path) -> None:
    """1 when a line failed, 2 for an unknown parser, zone or file."""
    file = tmp_path / "a.log"
    file.write_bytes(FORTIGATE + b"\n\n")
    assert soc(str(file)).returncode == 1
    for words in (("--product", "nope", str(file)), ("--tz", "Mars/Base", str(file)), (str(tmp_path / "none.log"),)):
        done = soc(*words)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
    assert b"fortinet_fortigate" in soc("--product", "fortinet", str(file)).stderr


def test_the_command_reads_record_files_and_prints_for_people(tmp_path: Path) -> None:
    """`FILE.raw.ndjson` is records; the pretty form shows attackers' control characters as escapes."""
    file = tmp_path / "x.raw.ndjson"
    file.write_bytes(orjson.dumps({"n": 3, "raw": CEF.decode() + " msg=\x1b[31mred"}) + b"\n")
    assert orjson.loads(soc(str(file)).stdout)["n"] == 3
    shown = soc("--format", "pretty", str(file)).stdout.decode()
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown
    assert "cef_generic" in shown


def test_the_command_needs_no_configuration(tmp_path: Path) -> None:
    """Nothing is read or written beside the input."""
    assert soc("-", data=CEF, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []
