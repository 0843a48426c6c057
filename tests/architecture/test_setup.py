"""The set-up script on machines that lack something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cksum", "cat", "grep", "readlink", "rm", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of a checkout that set-up needs, in a folder with a space in its name."""
    root = tmp_path / "a check out"
    for name in ("scripts/setup.sh", "requirements/runtime.txt", "requirements/dev.txt", "bin/soc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the plain tools of a system, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def setup(checkout: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing but this PATH and an empty home."""
    return subprocess.run(
        ["sh", str(checkout / "scripts/setup.sh")], env={"PATH": str(path), "HOME": str(checkout)}, capture_output=True, text=True, check=False
    )


def fake_python(folder: Path, name: str, refused: str) -> None:
    """A Python that lacks what the pattern `refused` names in its -c code."""
    file = folder / name
    file.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    file.chmod(0o755)


def test_no_python_says_what_to_install(checkout: Path, tools: Path) -> None:
    """Nothing usable on PATH: exit 3 with the command to type."""
    done = setup(checkout, tools)
    assert done.returncode == 3
    assert "no Python 3.11 or newer" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_too_old_a_python_is_not_taken(checkout: Path, tools: Path) -> None:
    """A Python that is older than needed is as good as none."""
    fake_python(tools, "python3", "version_info")
    assert "no Python 3.11 or newer" in setup(checkout, tools).stderr


def test_a_python_without_venv_says_what_to_install(checkout: Path, tools: Path) -> None:
    """Debian's Python without its venv package: exit 3 with the package of that version."""
    fake_python(tools, "python3", "ensurepip")
    done = setup(checkout, tools)
    assert done.returncode == 3
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_ready_environment_is_left_alone(checkout: Path, tools: Path) -> None:
    """The second call does nothing; another place of the checkout or other requirements are noticed."""
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    sum_of = subprocess.run("cksum < requirements/runtime.txt", shell=True, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
    stamp = venv / ".ready-runtime"
    stamp.write_text(f"{sum_of} {checkout.resolve()}\n", encoding="utf-8")
    done = setup(checkout, tools)
    assert (done.returncode, done.stderr) == (0, "")
    stamp.write_text(f"{sum_of} /somewhere/else\n", encoding="utf-8")
    assert setup(checkout, tools).returncode == 3
    stamp.write_text(f"0 0 {checkout.resolve()}\n", encoding="utf-8")
    assert setup(checkout, tools).returncode == 3


def test_the_launcher_says_how_to_set_up(checkout: Path, tmp_path: Path) -> None:
    """Called through a link, from elsewhere, before set-up."""
    link = tmp_path / "soc"
    link.symlink_to(os.path.relpath(checkout / "bin/soc", tmp_path))
    done = subprocess.run([str(link), "--help"], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"make -C '{checkout.resolve()}' setup" in done.stderr


@pytest.mark.parametrize("script", ["bin/soc", "scripts/setup.sh", "scripts/lock.sh", ".ci/run"])
def test_scripts_are_plain_shell(script: str) -> None:
    """They run on any POSIX shell."""
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)
    assert os.access(ROOT / script, os.X_OK)


def test_the_launcher_tells_a_missing_environment_from_one_that_cannot_run(checkout: Path) -> None:
    """Without `.venv` it says how to make one; with one whose interpreter is gone or forbidden it does not say that it is missing."""
    told = [subprocess.run([str(checkout / "bin/soc")], capture_output=True, text=True, check=False)]
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(checkout / "gone")
    told.append(subprocess.run([str(checkout / "bin/soc")], capture_output=True, text=True, check=False))
    assert [done.returncode for done in told] == [3, 3]
    assert ["is missing" in done.stderr for done in told] == [True, False]
    assert "cannot be run" in told[1].stderr
    assert all("hint: " in done.stderr and "make -C" in done.stderr for done in told)
