"""Real lines with outputs written by others, scored as acceptance scores them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from soc.application.parse import context_of, parse_stream
from soc.ingest.registry import installed

CORPUS = Path(os.environ.get("SOC_CORPUS", Path(__file__).parents[2] / "../shared/corpus")).resolve()
NOW_US = 1_795_222_800_000_000
PARSED, RECALL, PRECISION = 0.97, 0.85, 0.92


@pytest.fixture
def corpus() -> Path:
    """The corpus; a skip with its reason where it is not at hand, a failure where it must be."""
    if not (CORPUS / "score.py").exists():
        reason = f"no corpus at {CORPUS}; set SOC_CORPUS"
        if os.environ.get("SOC_REQUIRE_CORPUS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return CORPUS


def score(corpus: Path, folder: str, product: str, work: Path) -> dict[str, float]:
    """What the corpus' own score says of our answers for a folder."""
    expected, got = work / "expected" / folder, work / "got" / folder
    shutil.copytree(corpus / folder, expected)
    got.mkdir(parents=True)
    for source in sorted(expected.glob("*.log")):
        with source.open("rb") as stream, (got / f"{source.name[:-4]}.got.ndjson").open("wb") as out:
            for answer in parse_stream(stream, installed(), context_of("Asia/Ho_Chi_Minh", "", NOW_US), product=product):
                out.write(orjson.dumps(answer.record(), option=orjson.OPT_APPEND_NEWLINE))
    done = subprocess.run(
        [sys.executable, str(corpus / "score.py"), "--tree", str(work / "expected"), str(work / "got"), "--json"], capture_output=True, text=True, check=True
    )
    total: dict[str, float] = json.loads(done.stdout)["total"]
    return total


@pytest.mark.parametrize(
    ("folder", "product"), [("firewall/fortinet_fortigate", "fortinet_fortigate"), ("firewall/cef_generic", "cef_generic"), ("formats/cef", "cef_generic")]
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "recognised"])
def test_the_corpus_is_read_as_others_read_it(corpus: Path, tmp_path: Path, folder: str, product: str, named: bool) -> None:
    """Parsed share, core recall and core precision reach what acceptance asks, named or recognised."""
    total = score(corpus, folder, product if named else "", tmp_path)
    assert total["parsed"] >= PARSED
    assert total["core_recall"] >= RECALL
    assert total["core_precision"] >= PRECISION


def test_syslog_headers_of_the_corpus(corpus: Path) -> None:
    """Priority, host and time of the syslog edge cases are those that rsyslog reads."""
    differences = []
    for source in sorted((corpus / "formats/syslog").glob("*.log")):
        expected = map(orjson.loads, source.with_name(source.name[:-4] + ".expected.ndjson").read_bytes().splitlines())
        with source.open("rb") as stream:
            for answer, record in zip(parse_stream(stream, installed(), context_of("UTC", "", NOW_US)), expected, strict=True):
                syslog, host = record["ecs"].get("log", {}).get("syslog", {}), record["ecs"].get("host", {}).get("hostname")
                if "<" in answer.doc["event.original"][:1] and syslog and answer.doc.get("log.syslog.priority") != syslog["priority"]:
                    differences.append((source.name, answer.n, "priority"))
                if host and answer.doc.get("host.hostname") != host:
                    differences.append((source.name, answer.n, "host"))
    assert differences == []
