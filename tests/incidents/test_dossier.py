"""A dossier proves itself: every file, every fact, and who signed, with nothing but the folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from soc.application import dossier, evidence, incidents, notices, reports
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings, StoreSettings
from soc.errors import NotAllowed, NotFound, SocError
from soc.model.fact import NewFact, chained
from tests.conftest import NOW_US


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application with an incident that has a report, a notice, and evidence of each form with hostile names."""
    app = open_app(Settings(store=StoreSettings(kind="memory"), data_dir=tmp_path / "data"), Actor("an"), clock=FrozenClock(NOW_US))
    incidents.open_incident(app, {"title": "Mã hóa \x1b[31mdữ liệu", "agencies": ["so-yt"]})
    incidents.open_incident(app, {"title": "khác"})
    incidents.note(app, "1", "dòng một\ndòng hai")
    reports.draft(app, "1", "report-72h", {"cause": "lộ mật khẩu"})
    notices.draft(app, "Lỗ hổng", to=["x-1"], incident="1")
    notices.draft(app, "Khác", to=["x-1"])
    for name, data in (("mail .eml", b"a"), ("-rf\n", b"b"), ("..", b"")):
        path = tmp_path / (name if name != ".." else "empty")
        path.write_bytes(data)
        evidence.add(app, "1", path, why="chứng cứ")
    (tmp_path / "other").write_bytes(b"of another incident")
    evidence.add(app, "2", tmp_path / "other", why="chứng cứ")
    evidence.register(app, "1", why="ảnh đĩa", place="Tủ 3", seal="7", sha256="0" * 64, name="disk.img")
    evidence.register(app, "1", why="mật", paper=True, reference="Sổ 1, số 2")
    return app


@pytest.fixture
def folder(app: App, tmp_path: Path) -> Path:
    """Its dossier."""
    dossier.write(app, "1", tmp_path / "hồ sơ")
    return tmp_path / "hồ sơ"


def test_a_dossier_holds_everything_of_its_incident_and_nothing_else(app: App, folder: Path) -> None:
    """Facts, documents, evidence, timeline; what is kept elsewhere is listed with place and seal."""
    verdict = dossier.verify(folder)
    assert (verdict.ok, verdict.incident, verdict.problems) == (True, "INC-2026-0001", [])
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"incident.json", "timeline.txt", "README.txt", "manifest.json", "manifest.sig.json"} <= paths
    assert {"documents/r1-report-72h-v1.docx", "documents/r1-report-72h-v1.txt", "documents/r1-report-72h-v1.json"} <= paths
    assert {"evidence/EV-2026-0001-mail_.eml", "evidence/EV-2026-0002-rf_", "evidence/EV-2026-0003-empty"} <= paths
    assert {"facts/incident_INC-2026-0001.jsonl", "facts/notice_TB-2026-0001.jsonl", "facts/evidence_EV-2026-0001.jsonl"} <= paths
    assert not any(("0004" in path and path.startswith("evidence/")) or "TB-2026-0002" in path for path in paths)
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    assert [(one["form"], one["seal"], one["reference"]) for one in manifest["elsewhere"]] == [("registered", "7", ""), ("paper", "", "Sổ 1, số 2")]
    timeline = (folder / "timeline.txt").read_text(encoding="utf-8")
    assert "\x1b" not in timeline
    assert "Mở hồ sơ sự cố" in timeline
    assert not re.search(r"\d\d:\d\d:\d\d(\.\d+)?Z|IncidentOpened", timeline), "words and local times"
    assert "lộ mật khẩu" in (folder / "documents/r1-report-72h-v1.txt").read_text(encoding="utf-8")
    key = app.wiring.signing_key()
    assert key is not None
    assert dossier.verify(folder, key.public).trusted
    assert dossier.verify(folder, key.id).ok


def flip(path: Path) -> None:
    """Change the last byte of a file."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes() or b"\x00")
    data[-1] ^= 1
    path.write_bytes(data)


def _cut_chain(folder: Path) -> None:
    """Leave out the last fact, and make a manifest that says so: only the signature can tell."""
    path = folder / "facts/incident_INC-2026-0001.jsonl"
    path.chmod(0o600)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _link(folder: Path) -> None:
    (folder / "timeline.txt").unlink()
    (folder / "timeline.txt").symlink_to(folder / "README.txt")


def _forged(folder: Path) -> None:
    from hashlib import sha256

    _cut_chain(folder)
    path = folder / "facts/incident_INC-2026-0001.jsonl"
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    for one in manifest["files"]:
        if one["path"].endswith(path.name):
            one["sha256"], one["size"] = sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    (folder / "manifest.json").chmod(0o600)
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda folder: flip(folder / "evidence/EV-2026-0001-mail_.eml"), {("evidence/EV-2026-0001-mail_.eml", "changed")}),
        (lambda folder: (folder / "incident.json").unlink(), {("incident.json", "missing")}),
        (lambda folder: (folder / "evidence/planted").write_bytes(b"x"), {("evidence/planted", "extra")}),
        (lambda folder: flip(folder / "manifest.sig.json"), {("manifest.json", "manifest")}),
        (_cut_chain, {("facts/incident_INC-2026-0001.jsonl", "changed")}),
        (_link, {("timeline.txt", "changed")}),
        (_forged, {("manifest.sig.json", "signature"), ("facts/incident_INC-2026-0001.jsonl", "chain")}),
    ],
)
def test_whatever_is_changed_shows_and_where(folder: Path, harm: Callable[[Path], None], expected: set[tuple[str, str]]) -> None:
    """A byte, a file more or less, a link, a fact left out, a forged manifest."""
    folder.chmod(0o700)
    harm(folder)
    verdict = dossier.verify(folder)
    assert not verdict.ok
    assert {(one.path, one.kind) for one in verdict.problems} == expected


def test_every_byte_of_the_manifest_is_signed(folder: Path) -> None:
    """A changed manifest does not hold, wherever the change is."""
    body = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").chmod(0o600)
    for at in range(0, len(body), max(1, len(body) // 40)):
        changed = bytearray(body)
        changed[at] ^= 0x01
        (folder / "manifest.json").write_bytes(changed)
        assert not dossier.verify(folder).ok


def test_another_key_is_told(folder: Path) -> None:
    """A dossier that somebody else signed is whole, and not ours."""
    verdict = dossier.verify(folder, "0123456789abcdef")
    assert (verdict.ok, [one.kind for one in verdict.problems]) == (False, ["key"])


def test_a_manifest_cannot_lead_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    """Paths with `..`, absolute ones and the like are no files of a dossier."""
    (tmp_path / "outside").write_bytes(b"x")
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    manifest["files"] += [{"path": path, "sha256": "0" * 64, "size": 1} for path in ("../outside", "/etc/passwd", "a/../../x", "")]
    (folder / "manifest.json").chmod(0o600)
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    kinds = {(one.path, one.kind) for one in dossier.verify(folder).problems}
    assert {("../outside", "manifest"), ("/etc/passwd", "manifest"), ("a/../../x", "manifest"), ("", "manifest")} <= kinds


def test_nothing_half_written_is_left(app: App, tmp_path: Path) -> None:
    """Evidence that is gone stops it before anything appears; a folder that exists is not touched; without evidence it can be written."""
    for file in (tmp_path / "data/evidence/sha256").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(SocError):
        dossier.write(app, "1", tmp_path / "out")
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]
    made = dossier.write(app, "1", tmp_path / "out", with_evidence=False)
    assert dossier.verify(tmp_path / "out").ok
    assert not (tmp_path / "out/evidence").exists()
    assert len(orjson.loads((tmp_path / "out/manifest.json").read_bytes())["elsewhere"]) == 5
    assert made["incident"] == "INC-2026-0001"
    with pytest.raises(NotAllowed, match="exists"):
        dossier.write(app, "1", tmp_path / "out")
    with pytest.raises(NotFound):
        dossier.verify(tmp_path)
    shutil.rmtree(tmp_path / "out")


def test_a_fact_that_another_history_was_put_under_shows(tmp_path: Path) -> None:
    """Each line whole by itself, numbers in order, the end as the manifest says: only the chain between them is not that of the facts."""
    first, second = chained("incident/x", 0, "", [NewFact("A"), NewFact("B")], actor="an", at="2026-11-21T01:00:00.000Z", scope="real")
    (other,) = chained("incident/x", 0, "", [NewFact("C")], actor="an", at="2026-11-21T01:00:00.000Z", scope="real")
    for facts, broken in (((first, second), False), ((other, second), True)):
        path = tmp_path / "facts.jsonl"
        path.write_bytes(b"".join(b'{"fact":' + one.body + b',"hash":"' + one.hash.encode() + b'"}\n' for one in facts))
        assert dossier._chained(path, {"incident/x": (2, second.hash)}) == (2, "incident/x", broken)
