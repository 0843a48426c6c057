"""The how-to of adding a parser is literally true."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson

REPOSITORY = Path(__file__).parents[2]
HOW_TO = REPOSITORY / "docs/how-to/add-a-parser.md"
NAME = "example_doorman"
# Reference: fenced blocks of the how-to that name the file they are: ```python file=parser.py
BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(copy: Path, *words: str, golden: str = "") -> subprocess.CompletedProcess[str]:
    """A program of this Python, run in the copy."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={"PYTHONPATH": str(copy), "SOC_GOLDEN": golden, "PATH": "/usr/bin:/bin"},
    )


def test_the_how_to_adds_a_parser_by_one_folder(tmp_path: Path) -> None:
    """The files of the how-to, put into one folder of a copy, make a parser that every check of parsers accepts."""
    shutil.copytree(REPOSITORY / "soc", tmp_path / "soc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "tests/content", tmp_path / "tests/content", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "soc/ingest/parsers" / NAME
    files = BLOCK.findall(HOW_TO.read_text(encoding="utf-8"))
    assert {"parser.py", "__init__.py", "README.md", "changelog.md"} <= {name for name, _ in files}
    for name, text in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    parsed = run(tmp_path, "-c", f"from soc.cli import main; main(['parse', '--product', '{NAME}', '{folder}/samples/1-logins.log'])")
    answers = [orjson.loads(line) for line in parsed.stdout.splitlines()]
    assert [answer["ecs"]["event"]["outcome"] for answer in answers] == ["success", "failure"]
    assert answers[0]["ecs"]["source"]["ip"] == "10.20.0.5"
    assert parsed.returncode == 0

    check = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/content/test_every_parser.py", "-k")
    golden = run(tmp_path, *check, "golden and doorman", golden="write")
    assert golden.returncode == 0, golden.stdout
    checked = run(tmp_path, *check, "doorman or same_field or golden")
    assert checked.returncode == 0, checked.stdout
    assert "passed" in checked.stdout
