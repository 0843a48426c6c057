"""The scripts of `soc completion`, and how they are answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_completing import asked

ROOT = Path(__file__).parents[2]
SHELLS = [shell for shell in ("bash", "zsh", "fish") if shell == "bash" or shutil.which(shell)]


def script(shell: str) -> str:
    """What `soc completion SHELL` prints."""
    return subprocess.run([sys.executable, "-m", "soc", "completion", shell], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_its_shell(shell: str, tmp_path: Path) -> None:
    """Each shell that is there reads it without a word."""
    file = tmp_path / "script"
    file.write_text(script(shell), encoding="utf-8")
    done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "words", "wanted"),
    [
        ("SOC al", ["SOC", "al"], ["alerts"]),
        ("SOC alerts list --level=hi", ["SOC", "alerts", "list", "--level", "=", "hi"], ["high"]),
        ("SOC events search level:cri", ["SOC", "events", "search", "level", ":", "cri"], ["critical"]),
        ("SOC events search level:", ["SOC", "events", "search", "level", ":"], ["none", "low", "medium", "high", "critical"]),
        ("SOC events search 'level:cri", ["SOC", "events", "search", "'level:cri"], ["level:critical"]),
        ("SOC events tail --int", ["SOC", "events", "tail", "--int"], ["--interval"]),
    ],
)
def test_bash_gets_what_it_takes_for_a_word(line: str, words: list[str], wanted: list[str], tmp_path: Path) -> None:
    """Readline ends words at = and :, unless they are quoted; the program that is typed is the one that is asked."""
    launcher = tmp_path / "soc"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m soc "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    (tmp_path / "script").write_text(script("bash"), encoding="utf-8")
    ask = (
        'source ./script; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ));'
        'COMP_WORDBREAKS=$\' \\t\\n"\\\'><=;|&(:\'; compopt() { :; }; _soc_completion "${COMP_WORDS[0]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    given = [word.replace("SOC", "./soc") for word in (line, *words)]
    done = subprocess.run(
        ["bash", "-c", ask, "bash", *given], cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[: len(wanted)] == wanted, done.stderr


def test_zsh_gets_three_lines_an_item(tmp_path: Path) -> None:
    """Type, value with its colons masked, meaning; none of them empty, as zsh drops empty ones."""
    assert asked("soc events search level:cri", tmp_path, "zsh").splitlines() == ["plain", "level\\:critical", "level\\:critical"]
    assert asked("soc alerts wh", tmp_path, "zsh").splitlines()[:2] == ["plain", "why"]


def test_words_are_read_as_the_shell_will(tmp_path: Path) -> None:
    """Open quotes, `~`, options behind the command, and letters that are no ASCII."""
    (tmp_path / "s").mkdir()
    assert asked("soc --store ~/s al", tmp_path).startswith("plain,alerts")
    assert asked('soc incidents new "Thư lạ" --severity crit', tmp_path).startswith("plain,critical")
    assert asked("soc parse --product=", tmp_path).splitlines()[0].startswith("plain,--product=")
