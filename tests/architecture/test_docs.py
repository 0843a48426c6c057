"""The documents say what the program does, and their examples run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from scripts import make_reference, make_third_party
from tests.e2e.walks import WALKS

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Reference: a fenced block of commands, with the comment above it that says whether it runs
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>console|sh)\n(?P<text>.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", ["access.md", "commands.md", "settings.md", "exit-codes.md"])
def test_reference_is_what_the_program_says(name: str) -> None:
    """`make docs` changes nothing."""
    assert (ROOT / "docs/reference" / name).read_text(encoding="utf-8") == make_reference.pages()[name], "run: make docs"


def test_third_party_is_what_is_installed() -> None:
    """Every locked package is listed with the version that is locked and the licence that it states."""
    text = make_third_party.TARGET.read_text(encoding="utf-8")
    for name, version, marker in make_third_party.locked():
        license_name = make_third_party.license_of(name)
        if license_name:
            assert f"| {name} | {version} | {license_name} |" in text, "run: make docs"
        else:
            assert marker, f"{name} is locked for every platform but not installed"


def test_no_licence_forbids_our_use() -> None:
    """GPL and AGPL have no place beside Apache-2.0; LGPL only as a library of its own."""
    for name, _version, _marker in make_third_party.locked():
        words = make_third_party.license_of(name).upper().replace("LGPL", "")
        assert "GPL" not in words, name


def test_every_setting_says_what_it_is_for() -> None:
    """A table is documented by its keys; every key by a sentence."""
    from soc.application.settings import documented

    assert [doc.key for doc in documented() if not doc.text] == []


def test_every_command_is_documented() -> None:
    """In the generated page, and with an explanation for each option."""
    from soc.cli.commands import described

    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    for item in described():
        assert f"## `{item['command']}" in page
        assert item["help"]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [path for path in DOCS if path not in WALKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(path: Path) -> None:
    """Every `soc …` and `make …` of a block names a command that there is, with options that it knows."""
    from soc.cli.commands import described

    known = {item["command"]: {name for option in item["options"] for name in option["names"]} for item in described()}
    common = {name for option in make_reference_common() for name in option}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
        for words in commands_of(block["text"]):
            if words[0] == "make":
                assert words[1] in targets, words
            elif words[0] in ("bin/soc", "soc") and len(words) > 1 and not words[1].startswith("-"):
                command = next((" ".join(("soc", *words[1:count])) for count in (4, 3, 2) if " ".join(("soc", *words[1:count])) in known), None)
                assert command is not None, words
                options = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert options <= known[command] | common, words


def make_reference_common() -> list[list[str]]:
    """The names of the options that every command knows."""
    from soc.cli._group import common_options

    return [list(option.opts) for option in common_options()]


def commands_of(text: str) -> list[list[str]]:
    """The command lines of a block, as words."""
    lines = [line[2:].removesuffix("\\") for line in text.splitlines() if line.startswith("$ ")]
    return [words for line in lines if (words := shlex.split(line.partition("  #")[0]))]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("docs")
def test_examples_run(tmp_path: Path) -> None:
    """Every block marked as running does, in order; every other block of commands says why not, or is a make target."""
    ran = 0
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "LC_", "XDG_"))} | {"HOME": str(tmp_path), "LANG": "C.UTF-8"}
    first = ROOT / "docs/tutorial.md"
    for path in [first, *(path for path in DOCS if path != first and path not in WALKS)]:  # walks are followed by tests/e2e/test_walks.py
        for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
            mark = block["mark"] or ""
            if mark.startswith("runs"):
                for words in commands_of(block["text"]):
                    command = [str(ROOT / words[0]), *words[1:]]
                    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=600)
                    assert done.returncode == 0, (path.name, words, done.stderr)
                    ran += 1
            else:
                only_make = all(words[0] in ("make", "git", "cp") for words in commands_of(block["text"]))
                assert only_make or mark.startswith("does not run: ") or path.name == "README.md", (path.name, block["text"])
    assert ran > 15


def test_readme_names_two_commands_first() -> None:
    """What a newcomer types stands on the first screens."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("make demo") < text.index("make test") < 3000


@pytest.mark.xdist_group("demo")
def test_readme_shows_what_the_demonstration_prints(tmp_path: Path) -> None:
    """Line for line, but for the ages of alerts (the traffic ends now) and where the launcher stands."""
    done = subprocess.run(
        [ROOT / "bin/soc", "demo"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- demo output: begin -->\n```text\n(.*?)```", readme, re.DOTALL)
    assert shown
    assert _ageless(done.stdout) == _ageless(shown.group(1).partition("\n")[2])


def _ageless(text: str) -> list[str]:
    return re.sub(r" *\b\d+m  ×", " ×", re.sub(r"(?m)^  (\S*|'[^'\n]*)bin/soc'? ", "  bin/soc ", text)).strip().split("\n")
