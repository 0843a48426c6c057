"""Real lines with expectations that others wrote: parsed and scored as acceptance does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from soc.errors import ParseError
from soc.ingest.framing import frame
from soc.ingest.parser import Context
from soc.ingest.parsers.postfix.parser import PARSER
from soc.model.event import nest

NOW_US = 1_795_222_800_000_000
CORPUS = Path(os.environ.get("SOC_CORPUS") or Path(__file__).parents[5] / "shared/corpus")


@pytest.fixture(scope="module")
def corpus() -> Path:
    """The corpus folder; skipped, or failed where it is required, without it."""
    if not (CORPUS / "score.py").is_file():
        reason = f"no corpus at {CORPUS} (SOC_CORPUS names it)"
        if os.environ.get("SOC_REQUIRE_CORPUS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return CORPUS


def _records(expected: Path) -> list[tuple[int, str]]:
    log = expected.with_name(expected.name.replace(".expected.ndjson", ".log"))
    if log.is_file():
        return list(enumerate(log.read_text("utf-8").split("\n")[:-1], 1))
    raw = log.with_suffix(".raw.ndjson")
    return [(record["n"], record["raw"]) for record in map(orjson.loads, raw.read_bytes().splitlines())]


def _answer(n: int, line: str) -> dict[str, Any]:
    try:
        parsed = PARSER.parse(frame(line), Context(NOW_US))
    except ParseError as error:
        return {"n": n, "error": error.reason}
    return {"n": n, "ecs": nest(parsed.doc)} | ({"error": parsed.error} if parsed.error else {})


@pytest.mark.parametrize("product", ["postfix", "amavis"])
def test_the_corpus_is_read_as_its_authors_expect(corpus: Path, tmp_path: Path, product: str) -> None:
    """Thresholds of acceptance, with a margin: parsed 0.97, recall 0.85, precision 0.92 on unseen lines."""
    folder = corpus / "mail" / product
    for expected in folder.glob("*.expected.ndjson"):
        answers = b"\n".join(orjson.dumps(_answer(n, line)) for n, line in _records(expected))
        (tmp_path / expected.name.replace(".expected.", ".got.")).write_bytes(answers + b"\n")
    scored = subprocess.run(
        [sys.executable, str(corpus / "score.py"), "--tree", str(folder), str(tmp_path), "--json"], capture_output=True, check=True, timeout=600
    )
    total = orjson.loads(scored.stdout)["total"]
    assert total["parsed"] == 1.0
    assert total["core_recall"] >= 0.97
    assert total["core_precision"] >= 0.97
