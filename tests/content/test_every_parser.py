"""What holds for every parser folder; a new folder is found by itself."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soc.ingest.parsers
from soc.application.parse import parse_stream
from soc.errors import ParseError
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context, Parser
from soc.ingest.registry import Registry, installed
from soc.model.event import flatten, nest
from soc.model.level import KINDS

FOLDERS = sorted(path for path in Path(soc.ingest.parsers.__path__[0]).iterdir() if path.is_dir() and not path.name.startswith("__"))
SAMPLES = [sample for folder in FOLDERS for sample in sorted((folder / "samples").glob("*.log"))]
RECEIVED_US = 1_795_222_800_000_000
"""2026-11-21T01:00:00Z: samples without a year are of the year before."""
FEWEST_SAMPLES = 3
WRITE_GOLDEN = os.environ.get("SOC_GOLDEN") == "write"

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")


def fresh(name: str) -> Parser:
    """A parser without memory of other lines."""
    parser = installed().get(name)
    return type(parser)()


def answers(sample: Path) -> bytes:
    """What `soc parse --product` answers for a sample, without the original."""
    out = []
    with sample.open("rb") as stream:
        for answer in parse_stream(stream, installed(), Context(RECEIVED_US), product=sample.parent.parent.name):
            answer.doc.pop("event.original", None)
            out.append(orjson.dumps(answer.record(), option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(out)


@samples
def test_golden_output_of_samples(sample: Path) -> None:
    """The answers for a sample are byte for byte those beside it; `make golden` writes them anew."""
    expected = sample.with_name(sample.stem + ".expected.ndjson")
    got = answers(sample)
    if WRITE_GOLDEN:
        expected.write_bytes(got)
    assert expected.read_bytes() == got


@folders
def test_a_folder_is_whole(folder: Path) -> None:
    """A parser folder has its parser, README, changelog, dated natural key and enough samples."""
    parser = installed().get(folder.name)
    assert parser.name == folder.name
    assert parser.kind in KINDS
    assert parser.version >= 1
    assert (folder / "__init__.py").exists()
    changelog = (folder / "changelog.md").read_text(encoding="utf-8")
    assert f"## {parser.version}" in changelog
    assert len(list((folder / "samples").glob("*.log"))) >= FEWEST_SAMPLES


@folders
def test_a_folder_is_documented(folder: Path) -> None:
    """The README says which formats and fields there are and names its sources."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert folder.name in text
    assert "## Fields" in text
    assert "## References" in text
    assert "http" in text[text.index("## References") :]


@folders
def test_patterns_name_their_reference(folder: Path) -> None:
    """A module with patterns says in a `# Reference:` line where their forms come from."""
    for module in folder.glob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert "re.compile(" not in text or "# Reference:" in text, module.name


def test_same_field_same_type_in_all_parsers() -> None:
    """No two parsers give one field values of different types, and no field is the parent of another."""
    types: dict[str, dict[str, str]] = {}
    for sample in SAMPLES:
        for record in map(orjson.loads, answers(sample).splitlines()):
            for field, value in flatten(record["ecs"]).items():
                item = value[0] if isinstance(value, list) else value
                types.setdefault(field, {}).setdefault(
                    "number" if isinstance(item, (int, float)) else type(item).__name__, f"{sample.parent.parent.name}/{sample.name}"
                )
    assert {field: found for field, found in types.items() if len(found) > 1} == {}
    names = sorted(types)
    assert [name for name in names if any(other.startswith(name + ".") for other in names)] == []


@folders
def test_lines_of_the_samples_come_back_to_their_parser(folder: Path) -> None:
    """Recognition gives the lines of a parser's samples to that parser, save those that it cannot tell from others'."""
    registry = installed()
    lines = [frame(decode(raw)[0]) for sample in (folder / "samples").glob("*.log") for raw in sample.read_bytes().splitlines() if raw.strip()]
    claimed = [getattr(registry.recognise(line), "name", "") == folder.name for line in lines]
    assert sum(claimed) >= 0.9 * len(claimed)


TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=400)
NASTY = st.sampled_from(
    [
        '"',
        "\\",
        "=",
        "|",
        " ",
        "\x00",
        "\n",
        "date=",
        'msg="',
        "CEF:0|",
        "logid=",
        "devid=",
        "srcip=",
        "postfix/smtpd[1]: ",
        "<189>",
        "]",
        "[",
        "\ufeff",
        "١",
        "N/A",
    ]
)


@folders
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_parser_raises_nothing_but_parse_errors(folder: Path, data: st.DataObject) -> None:
    """Whatever a line holds, a parser gives an event or a ParseError, the same each time, and documents that nest."""
    text = data.draw(st.lists(st.one_of(TEXT, NASTY), max_size=12).map("".join))
    sample_lines = [raw for sample in sorted((folder / "samples").glob("*.log")) for raw in sample.read_bytes().splitlines()]
    if data.draw(st.booleans()):
        line_text = decode(data.draw(st.sampled_from(sample_lines)))[0]
        cut = data.draw(st.integers(0, len(line_text)))
        text = line_text[:cut] + text + line_text[cut + data.draw(st.integers(0, 20)) :]
    line = frame(text)
    parser = fresh(folder.name)
    first, second = (_outcome(parser, line) for _ in range(2))
    assert first == second


def _outcome(parser: Parser, line: object) -> object:
    try:
        parsed = parser.parse(line, Context(RECEIVED_US))  # type: ignore[arg-type]
    except ParseError as error:
        return error.reason, error.fields
    orjson.dumps(nest(parsed.doc))
    assert flatten(nest(parsed.doc)) == parsed.doc
    return parsed.doc, parsed.ts_us, parsed.natural_key, parsed.error


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=600))
def test_any_bytes_are_framed_and_recognised(raw: bytes) -> None:
    """Framing and recognition take any bytes."""
    registry: Registry = installed()
    line = frame(decode(raw)[0])
    registry.recognise(line)
    for parser in registry.parsers():
        _outcome(parser, line)
