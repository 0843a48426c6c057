"""Evidence of incidents: kept or registered, handed over link by link, and compared with what was recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from soc.application import audit, evidence, incidents
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotFound, UsageError
from soc.model.fact import Behalf
from tests.conftest import NOW_US


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application with one incident."""
    app = open_app(Settings(store=StoreSettings(kind="memory"), data_dir=tmp_path / "data"), Actor("an"), clock=FrozenClock(NOW_US))
    incidents.open_incident(app, {"title": "Mã hóa dữ liệu"})
    return app


def a_file(tmp_path: Path, name: str = "mail.eml", data: bytes = b"Subject: x\n") -> Path:
    """A file to keep."""
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_a_kept_file_goes_from_hand_to_hand_and_is_checked(app: App, tmp_path: Path) -> None:
    """Each link says who, when, from, to and why; the check is recorded with its result."""
    made = evidence.add(app, "1", a_file(tmp_path), why="thư gốc", origin="máy chủ thư", collected_by="Bình", behalf=Behalf("Chị Hoa", "telephone"))
    assert (made.id, made.incident, made.form, made.holder) == ("EV-2026-0001", "INC-2026-0001", "kept", "an")
    assert made.sha256 == sha256(b"Subject: x\n").hexdigest()
    evidence.hand_over(app, "1", "PA05", why="giám định", giver="an", seal="0042")
    with pytest.raises(Conflict, match="is with PA05"):
        evidence.hand_over(app, "1", "Bình", why="trả lại", giver="an")
    found = evidence.hand_over(app, "1", "Bình", why="trả lại")
    assert [(link.giver, link.taker, link.why) for link in found.custody] == [
        ("máy chủ thư", "an", "thư gốc"),
        ("an", "PA05", "giám định"),
        ("PA05", "Bình", "trả lại"),
    ]
    assert (found.custody[0].behalf, found.seal) == ("Chị Hoa", "0042")
    assert [(one.id, result) for one, result in evidence.verify(app)] == [("EV-2026-0001", "ok")]
    assert evidence.get(app, "1").checks[0].result == "ok"


def test_hostile_names_are_data_only(app: App, tmp_path: Path) -> None:
    """A name with line breaks, escapes and broken bytes is recorded as text; no path is made of it."""
    path = Path(tmp_path / "a\n\x1b[31m\u202egpj.exe")
    path.write_bytes(b"MZ")
    made = evidence.add(app, "1", path, why="mẫu")
    assert made.name == "a\n\x1b[31m\u202egpj.exe"
    broken = tmp_path / "x"
    broken.write_bytes(b"1")
    bad = Path(str(tmp_path) + "/\udcff\udcfe")
    broken.rename(bad)
    assert evidence.add(app, "1", bad, why="mẫu").name == r"\xff\xfe"
    stored = {path.name for path in (tmp_path / "data/evidence/sha256").rglob("*") if path.is_file()}
    assert stored == {sha256(b"MZ").hexdigest(), sha256(b"1").hexdigest()}


def test_a_disk_image_is_registered_where_it_lies(app: App, tmp_path: Path) -> None:
    """Hash, place and seal; the file itself is not copied, and is compared when it is named."""
    image = a_file(tmp_path, "disk.img", b"\x00" * 100_000)
    with pytest.raises(UsageError, match="under which seal"):
        evidence.register(app, "1", image, why="ảnh đĩa", place="Tủ 3")
    made = evidence.register(app, "1", image, why="ảnh đĩa", place="Tủ 3", seal="0123456")
    assert (made.form, made.size, made.seal) == ("registered", 100_000, "0123456")
    assert not (tmp_path / "data/evidence").exists()
    assert evidence.verify(app)[0][1] == "elsewhere"
    assert evidence.verify(app, [made.id], file=image)[0][1] == "ok"
    assert evidence.verify(app, [made.id], file=a_file(tmp_path, "other", b"1"))[0][1] == "changed"
    with pytest.raises(Conflict):
        evidence.register(app, "1", image, why="ảnh đĩa", place="Tủ 3", seal="1", sha256="0" * 64)
    with pytest.raises(UsageError, match="known by its hash"):
        evidence.register(app, "1", why="ảnh đĩa", place="Tủ 3", seal="1", sha256="xyz")


def test_what_may_not_be_stored_leaves_a_paper_reference_only(app: App, tmp_path: Path) -> None:
    """Neither content nor name nor hash of state secrets gets into the journal."""
    with pytest.raises(UsageError, match="nothing is recorded but"):
        evidence.register(app, "1", a_file(tmp_path), why="tài liệu mật", paper=True, reference="Sổ 12")
    with pytest.raises(UsageError, match="paper record"):
        evidence.register(app, "1", why="tài liệu mật", paper=True)
    made = evidence.register(app, "1", why="tài liệu mật", paper=True, reference="Sổ theo dõi 12, số 7")
    assert (made.form, made.reference, made.sha256, made.name) == ("paper", "Sổ theo dõi 12, số 7", "", "")
    assert evidence.verify(app)[0][1] == "paper"


def test_nothing_is_recorded_without_a_reason_or_an_incident(app: App, tmp_path: Path) -> None:
    """And nothing is copied either."""
    with pytest.raises(UsageError, match="why"):
        evidence.add(app, "1", a_file(tmp_path), why=" ")
    with pytest.raises(NotFound):
        evidence.add(app, "99", a_file(tmp_path), why="x")
    with pytest.raises(UsageError, match="future"):
        evidence.add(app, "1", a_file(tmp_path), why="x", collected_at="2027-01-01T00:00:00Z")
    assert evidence.listed(app) == []
    assert not (tmp_path / "data/evidence").exists()


def test_a_changed_or_missing_file_is_named(app: App, tmp_path: Path) -> None:
    """Verification tells which piece, and records it."""
    first = evidence.add(app, "1", a_file(tmp_path, "a", b"a"), why="x")
    second = evidence.add(app, "1", a_file(tmp_path, "b", b"b"), why="x")
    places = [tmp_path / "data/evidence/sha256" / one.sha256[:2] / one.sha256 for one in (first, second)]
    places[0].chmod(0o600)
    places[0].write_bytes(b"!")
    places[1].unlink()
    assert [result for _, result in evidence.verify(app, incident="1")] == ["changed", "missing"]
    assert evidence.get(app, second.id).checks[-1].result == "missing"


def test_many_who_add_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers of the same and of different files on one store: a number each, every content kept once, the journal whole."""
    settings = Settings(store=StoreSettings(path=tmp_path / "s"), data_dir=tmp_path / "s")
    with open_app(settings, Actor("an")) as app:
        incidents.open_incident(app, {"title": "x"})
    a_file(tmp_path, "same", b"same")
    for number in range(8):
        a_file(tmp_path, f"own{number}", str(number).encode())

    def add(number: int) -> list[str]:
        with open_app(settings, Actor(f"an{number}")) as app:
            return [evidence.add(app, "1", tmp_path / name, why="x").id for name in ("same", f"own{number}", "same")]

    with ThreadPoolExecutor(8) as pool:
        ids = [one for found in pool.map(add, range(8)) for one in found]
    assert sorted(ids) == [f"EV-{ids[0][3:7]}-{number:04d}" for number in range(1, 25)]
    kept = [path for path in (tmp_path / "s/evidence").rglob("*") if path.is_file()]
    assert len(kept) == 9
    with open_app(settings, Actor("an")) as app:
        assert {result for _, result in evidence.verify(app)} == {"ok"}
        assert audit.verify(app.journal).ok
