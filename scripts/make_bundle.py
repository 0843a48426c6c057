"""Builds dist/soc-<version>-<platform>.tar.gz: everything that an installation without a network needs.

Inside: the wheel of soc, the wheels of requirements/runtime.txt for this platform and Python (fetched by hash), the
requirement file, rules, docs, licences, an install script, and SHA256SUMS over all of it.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

INSTALL = """\
#!/bin/sh
# Installs soc into a folder (default ./soc-venv) with nothing but what lies beside this script: ./install.sh [FOLDER]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
target=${1:-soc-venv}
python=${PYTHON:-@PYTHON@}
command -v "$python" > /dev/null || { echo "install: error: $python is needed (this bundle is built for it)" >&2; exit 3; }
(cd "$here" && sha256sum --quiet -c SHA256SUMS) || { echo "install: error: the bundle is damaged" >&2; exit 7; }
"$python" -m venv "$target" || { echo "install: hint: Debian, Ubuntu: apt-get install @PYTHON@-venv" >&2; exit 3; }
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" --require-hashes -r "$here/requirements.txt"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps "$here"/wheels/soc-*.whl
echo "installed: $target/bin/soc" >&2
"""


def build(out: Path) -> Path:
    """The archive, written into the folder `out`."""
    from soc import __version__

    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    name = f"soc-{__version__}-{python}-{platform}"
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch) / name
        wheels = top / "wheels"
        wheels.mkdir(parents=True)
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
        # pip runs from the bundle's own folder: it must take every package by hash, none from the tree.
        _run(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "-r",
            "requirements/runtime.txt",
            "-d",
            str(wheels),
        )
        shutil.copy(ROOT / "requirements/runtime.txt", top / "requirements.txt")
        for file in ("LICENSE", "THIRD_PARTY.md", "README.md", "SECURITY.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
            shutil.copy(ROOT / file, top / file)
        shutil.copytree(ROOT / "docs", top / "docs")
        shutil.copytree(ROOT / "soc/rules/content", top / "rules")
        script = top / "install.sh"
        script.write_text(INSTALL.replace("@PYTHON@", python), encoding="utf-8")
        script.chmod(0o755)
        files = sorted(path for path in top.rglob("*") if path.is_file())
        sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(top)}\n" for path in files)
        (top / "SHA256SUMS").write_text(sums, encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        archive = out / f"{name}.tar.gz"
        with archive.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(top, name, filter=_plain)
    return archive


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same files give the same archive: no owners, no dates."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def _run(*words: str) -> None:
    subprocess.run(words, cwd=ROOT, check=True)


def main() -> None:
    """Build into dist/."""
    archive = build(ROOT / "dist")
    print(f"{archive.relative_to(ROOT)}  {archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
