from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import make_bundle

OFFLINE = {
    "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
    "PIP_NO_INDEX": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "http_proxy": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("bundle")
def test_bundle_installs_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh environment gets all from the archive, and the program works there."""
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "120")
    monkeypatch.setenv("PIP_RETRIES", "10")
    archive = make_bundle.build(tmp_path / "dist")
    with tarfile.open(archive) as tar:
        # Python 3.11.3 and older know no filters.  Source: tarfile, "Supporting older Python versions".
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        tar.extractall(tmp_path / "unpacked")
    (top,) = (tmp_path / "unpacked").iterdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYTHON": sys.executable, **OFFLINE}
    target = tmp_path / "a folder" / "venv"
    subprocess.run([str(top / "install.sh"), str(target)], env=env, check=True, capture_output=True, cwd=tmp_path)
    soc = str(target / "bin/soc")
    assert subprocess.run([soc, "--version"], env=env, check=True, capture_output=True, text=True).stdout.startswith("soc ")
    line = 'date=2026-11-20 time=08:00:01 devname="F" devid="F1" tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip=10.1.1.5 dstip=203.0.113.6 action="accept"\n'
    done = subprocess.run([soc, "parse"], input=line, env=env, check=True, capture_output=True, text=True)
    assert '"10.1.1.5"' in done.stdout
    assert subprocess.run([soc, "doctor", "--store", str(tmp_path / "s")], env=env, check=False, capture_output=True, text=True).returncode == 0
    book = tmp_path / "so-tay.pdf"
    subprocess.run([soc, "handbook", str(book), "--store", str(tmp_path / "s")], env=env, check=True, capture_output=True)
    assert book.read_bytes().startswith(b"%PDF-")
    subprocess.run([soc, "reports", "templates", "export", str(tmp_path / "templates")], env=env, check=True, capture_output=True)
    subprocess.run([soc, "reports", "situation", "--until", "now", "--out", str(tmp_path / "s.docx"), "--store", str(tmp_path / "s")], env=env, check=True)
    assert "Cách dùng" in subprocess.run([soc, "--lang", "vi", "--help"], env=env, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("bundle")
def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    """Every file is under the sums."""
    top = tmp_path / "b"
    top.mkdir()
    (top / "install.sh").write_text(make_bundle.INSTALL.replace("@PYTHON@", "python3"), encoding="utf-8")
    (top / "file").write_text("changed", encoding="utf-8")
    (top / "SHA256SUMS").write_text(f"{'0' * 64}  file\n", encoding="utf-8")
    done = subprocess.run(["sh", str(top / "install.sh"), str(tmp_path / "venv")], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "damaged" in done.stderr
    assert not (tmp_path / "venv").exists()
