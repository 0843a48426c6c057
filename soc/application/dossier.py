"""The dossier of an incident: one folder with facts, documents, evidence and timeline, signed, that proves itself without us.

`manifest.json` lists every file with its SHA-256; `manifest.sig.json` signs it with the journal's Ed25519 key. The facts are the very
bytes of the journal with their chain, so that a reader sees what was left out. `verify` needs the folder and nothing else; who
signed is proved by comparing the key with one that was handed over another way (`soc audit key`, an anchor).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson

from soc.application import access, evidence, incidents, notices, reports
from soc.application.app import App
from soc.application.audit import KEYS
from soc.application.recipients import names
from soc.clock import iso
from soc.errors import ConfigError, NotAllowed, NotFound, Phrase, SocError, StoreFull, UsageError
from soc.incidents.evidence import PREFIX as EVIDENCE
from soc.incidents.evidence import Evidence
from soc.incidents.model import PREFIX as INCIDENT
from soc.incidents.model import Incident
from soc.incidents.notices import PREFIX as NOTICE
from soc.model.fact import Fact, Stored, decoded, digest
from soc.model.signing import is_signed, key_id
from soc.model.text import display_safe
from soc.reports import model
from soc.reports.facts import short

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig.json"
_DOMAIN = b"soc dossier\x1f"
_PIECE = 1_048_576
_MOST_MANIFEST, _MOST_FACTS = 67_108_864, 1_073_741_824
# Reference: a relative path of names that every file system has
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){0,3}")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class Problem(msgspec.Struct, frozen=True):
    """What does not hold. `kind`: manifest, signature, key, missing, changed, extra, chain."""

    path: str
    kind: str


class Verdict(msgspec.Struct):
    """What `soc evidence dossier-verify --json` prints. `key`, `public`: by which it is signed; `trusted`: it is the key that was named."""

    ok: bool
    incident: str
    made_at: str
    files: int
    facts: int
    key: str
    public: str
    trusted: bool
    problems: list[Problem]


class _File(msgspec.Struct, frozen=True):
    path: str
    sha256: str
    size: int


class _Manifest(msgspec.Struct, frozen=True):
    schema: int
    kind: str
    incident: str
    made_at: str
    made_by: str
    files: list[_File]
    heads: dict[str, tuple[int, str]]
    elsewhere: list[dict[str, Any]] = []
    """Evidence that is not in the folder: registered by hash, place and seal, or on paper only."""


# --- writing -----------------------------------------------------------------------------------------------------------


def write(app: App, name: str, target: Path, *, with_evidence: bool = True) -> dict[str, Any]:
    """Write the dossier of an incident into a new folder, which appears when it is whole; its manifest.

    Raises: NotAllowed (the folder exists), NotFound, StoreCorrupt (evidence that is gone or changed), StoreFull.
    """
    access.require(app, "evidence.export")
    incident = incidents.get(app, name)
    if target.exists() or target.is_symlink():
        raise NotAllowed(Phrase("{path} exists already", path=target), hint="give the name of a new folder")
    key = app.wiring.signing_key() or app.wiring.signing_key(make=True)
    assert key is not None  # made above
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        made = _Folder(part)
        heads, elsewhere = _fill(app, incident, made, with_evidence=with_evidence)
        manifest = _Manifest(1, "dossier", incident.id, iso(app.clock.now_us()), app.actor.name, sorted(made.files, key=lambda one: one.path), heads, elsewhere)
        body = orjson.dumps(msgspec.to_builtins(manifest), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        made.put(MANIFEST, [body])
        signature = {"key": key.id, "public": key.public, "signature": key.sign(_DOMAIN + body)}
        made.put(SIGNATURE, [orjson.dumps(signature, option=orjson.OPT_INDENT_2)])
        made.sync()
        part.rename(target)
    except OSError as error:
        raise (StoreFull if error.errno == 28 else NotAllowed)(  # noqa: PLR2004 - ENOSPC
            Phrase("{path} cannot be written: {strerror}", path=target, strerror=error.strerror)
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"incident": incident.id, "folder": str(target), "files": len(manifest.files), "key": key.id, "manifest": new_sha256(body).hexdigest()}


class _Folder:
    """A folder that is being written; remembers what is in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.files: list[_File] = []

    def put(self, path: str, pieces: Sequence[bytes] | Iterator[bytes], expected: str = "") -> None:
        """Write a file, piece by piece; with `expected` it must have this hash.

        Raises: ConfigError when it has not.
        """
        target, digest_, size = self.place / path, new_sha256(), 0
        target.parent.mkdir(exist_ok=True, parents=True, mode=0o700)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
                digest_.update(piece)
                size += len(piece)
            file.flush()
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        if expected and digest_.hexdigest() != expected:
            raise ConfigError(
                Phrase("the evidence {path} is not what was recorded", path=path),
                hint="soc evidence verify; --without-evidence writes the dossier without files",
            )
        self.files.append(_File(path, digest_.hexdigest(), size))

    def sync(self) -> None:
        """Make the folders durable."""
        for folder in (*(one for one in self.place.rglob("*") if one.is_dir()), self.place):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _fill(app: App, incident: Incident, made: _Folder, *, with_evidence: bool) -> tuple[dict[str, tuple[int, str]], list[dict[str, Any]]]:
    """Everything but the manifest; where the streams end, and what is kept elsewhere."""
    pieces = evidence.of_incident(app, incident.id)
    letters = sorted(NOTICE + one.id for one in notices.every(app) if one.incident == incident.id)
    streams = [INCIDENT + incident.id, *(EVIDENCE + one.id for one in pieces), *letters, KEYS]
    found = app.journal.read_each(streams)
    heads: dict[str, tuple[int, str]] = {}
    for stream in streams:
        facts = found.get(stream, [])
        if facts:
            heads[stream] = (facts[-1].fact.sequence, facts[-1].hash)
            made.put(f"facts/{_plain(stream)}.jsonl", (b'{"fact":' + one.body + b',"hash":"' + one.hash.encode() + b'"}\n' for one in facts))
    made.put("README.txt", [_readme(incident).encode()])
    whole = {**msgspec.to_builtins(incident), "obligations": msgspec.to_builtins(incidents.duties(app, incident))}
    made.put("incident.json", [orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)])
    made.put("timeline.txt", [timeline(incident, [one.fact for stream in streams[:-1] for one in found.get(stream, [])], names(app)).encode()])
    _documents(app, found[INCIDENT + incident.id], made)
    files = app.wiring.evidence()
    for one in pieces if with_evidence else ():
        if one.form == "kept":
            made.put(f"evidence/{one.id}-{_plain(one.name) or 'file'}", files.read(one.sha256), one.sha256)
    return heads, [_listed(one) for one in pieces if one.form != "kept" or not with_evidence]


def _listed(one: Evidence) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("id", "form", "name", "sha256", "size", "place", "seal", "reference", "holder")}


def _documents(app: App, facts: Sequence[Stored], made: _Folder) -> None:
    """Every version of every report as text and facts, the last one as DOCX where it can be made."""
    for report in model.fold(one.fact for one in facts):
        for version in report.versions:
            stem = f"documents/{report.id}-{_plain(report.kind)}-v{version.number}"
            for form in ("json", "txt", "docx") if version is report.versions[-1] else ("json", "txt"):
                try:
                    made.put(f"{stem}.{form}", [reports.rendered(app, version, form)])
                except SocError:
                    if form != "docx":  # a template that is refused, or no extra [docs]: the text says the same
                        raise


def _plain(text: str) -> str:
    """A name that every file system takes; what it was called stands in the facts."""
    return _PLAIN.sub("_", text)[:100].lstrip(".-_")


def _readme(incident: Incident) -> str:
    return (
        f"HỒ SƠ SỰ CỐ {incident.id}\n\n"
        "facts/      dữ kiện của nhật ký, đúng từng byte, nối chuỗi băm SHA-256\n"
        "documents/  các báo cáo đã soạn (bản ký nằm trong evidence/)\n"
        "evidence/   chứng cứ đã lưu\n"
        "timeline.txt, incident.json  diễn biến và trạng thái\n\n"
        "Kiểm tra (không cần máy chủ): soc evidence dossier-verify THƯ_MỤC --key KHÓA_CÔNG_KHAI\n"
        "Kiểm tra bằng công cụ khác: so SHA-256 của từng tệp với manifest.json; chữ ký Ed25519 trong manifest.sig.json\n"
        "ký lên chuỗi byte «soc dossier», 0x1F, rồi toàn bộ manifest.json. Khóa công khai phải nhận qua đường khác.\n"
    )


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
"""A moment of a fact: RFC 3339 UTC."""
_WORDS = {
    "IncidentOpened": "Mở hồ sơ sự cố",
    "IncidentEdited": "Sửa thông tin",
    "IncidentMoved": "Chuyển trạng thái",
    "IncidentAssigned": "Giao người chịu trách nhiệm",
    "NoteAdded": "Ghi chú",
    "TaskAdded": "Thêm việc",
    "TaskFinished": "Xong việc",
    "AlertsAttached": "Gắn cảnh báo",
    "ObservablesAdded": "Thêm dấu hiệu",
    "ReportRecorded": "Ghi đã báo cáo",
    "ReportDrafted": "Soạn báo cáo",
    "ReportExported": "Xuất báo cáo",
    "ReportSigned": "Nhập bản đã ký",
    "ReportSent": "Gửi báo cáo",
    "EvidenceAdded": "Lưu chứng cứ",
    "EvidenceRegistered": "Đăng ký chứng cứ",
    "EvidenceChecked": "Kiểm tra chứng cứ",
    "EvidenceHandedOver": "Bàn giao chứng cứ",
    "NoticeDrafted": "Soạn văn bản cảnh báo",
    "NoticeApproved": "Duyệt văn bản cảnh báo",
    "NoticeExported": "Xuất văn bản cảnh báo",
    "NoticeQueued": "Xếp văn bản vào hàng gửi",
    "NoticeSent": "Gửi văn bản cảnh báo",
    "NoticeReminded": "Đôn đốc",
    "NoticeSecondLetter": "Gửi văn bản lần hai",
    "NoticeAnswered": "Đơn vị trả lời",
    "NoticeWithdrawn": "Rút văn bản cảnh báo",
}
"""What kinds of facts are called in a timeline; others stand there as they are."""


def timeline(incident: Incident, facts: Sequence[Fact], known: Mapping[str, str]) -> str:
    """What happened, one line each, in order of recording: time recorded (local, as all times in it), who, what, why, on whose behalf.

    `known`: id or account → name.
    """
    lines = [f"{incident.id}  {display_safe(incident.title)}", ""]
    for fact in sorted(facts, key=lambda one: (one.at, one.stream, one.sequence)):
        said = {key: value for key, value in fact.data.items() if key not in ("facts", "rows")}
        parts = [
            short(fact.at),
            known.get(fact.actor, fact.actor),
            _WORDS.get(fact.kind, fact.kind),
            fact.stream if fact.stream != INCIDENT + incident.id else "",
            f"({fact.reason})" if fact.reason else "",
            f"ghi thay {fact.behalf.person}" if fact.behalf else "",
            _TIME.sub(lambda found: short(found[0]), orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()) if said else "",
        ]
        lines.append("  ".join(display_safe(part) for part in parts if part))
    return "\n".join(lines) + "\n"


# --- checking ----------------------------------------------------------------------------------------------------------


def verify(folder: Path, key: str = "", progress: Callable[[int], None] = lambda _files: None) -> Verdict:
    """Whether a dossier is what was signed; `key`: the public key (or its id) that it must be signed by.

    Raises: NotFound (no dossier), UsageError. Cost: one reading of every file.
    """
    body, signed = _bounded(folder / MANIFEST, _MOST_MANIFEST), _bounded(folder / SIGNATURE, _PIECE)
    try:
        manifest = msgspec.json.decode(body, type=_Manifest)
        about = msgspec.json.decode(signed, type=dict[str, str])
    except msgspec.DecodeError:
        return Verdict(False, "", "", 0, 0, "", "", False, [Problem(MANIFEST, "manifest")])
    public = about.get("public", "")
    problems = [] if is_signed(public, _DOMAIN + body, about.get("signature", "")) else [Problem(SIGNATURE, "signature")]
    trusted = bool(key) and key in (public, key_id(public))
    if key and not trusted:
        problems.append(Problem(SIGNATURE, "key"))
    for number, one in enumerate(manifest.files, 1):
        problems += _compared(folder, one)
        progress(number)
    problems += [Problem(path, "extra") for path in _there(folder) if path not in {MANIFEST, SIGNATURE, *(one.path for one in manifest.files)}]
    facts = 0
    seen: set[str] = set()
    for one in manifest.files:
        if one.path.startswith("facts/") and not any(problem.path == one.path for problem in problems):
            count, stream, wrong = _chained(folder / one.path, manifest.heads)
            facts += count
            seen.add(stream)
            problems += [Problem(one.path, "chain")] if wrong else []
    problems += [Problem(stream, "missing") for stream in sorted(set(manifest.heads) - seen)] if not problems else []
    problems.sort(key=lambda one: (one.path, one.kind))
    return Verdict(not problems, manifest.incident, manifest.made_at, len(manifest.files), facts, key_id(public), public, trusted, problems)


def _bounded(path: Path, most: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise NotFound(Phrase("{path} cannot be read: {strerror}", path=path, strerror=error.strerror), hint="name the folder of a dossier") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(Phrase("{path} is no plain file", path=path))
        data = file.read(most + 1)
    if len(data) > most:
        raise UsageError(Phrase("{path} is too large", path=path))
    return data


def _compared(folder: Path, one: _File) -> list[Problem]:
    if not _PATH.fullmatch(one.path):
        return [Problem(one.path[:200], "manifest")]
    digest_, size = new_sha256(), 0
    try:
        # No link on the way: it could lead to a file that only looks like ours.
        if any((folder / part).is_symlink() for part in (one.path, *map(str, Path(one.path).parents)) if part != "."):
            return [Problem(one.path, "changed")]
        descriptor = os.open(folder / one.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return [Problem(one.path, "missing")]
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return [Problem(one.path, "changed")]
        while (piece := file.read(_PIECE)) and size <= one.size:
            digest_.update(piece)
            size += len(piece)
    return [] if (size, digest_.hexdigest()) == (one.size, one.sha256) else [Problem(one.path, "changed")]


def _there(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _chained(path: Path, heads: dict[str, tuple[int, str]]) -> tuple[int, str, bool]:
    """How many facts, of which stream, and whether their chain is broken or does not end where the manifest says."""
    previous, stream, count = "", "", 0
    for line in _bounded(path, _MOST_FACTS).splitlines():
        try:
            wrapped = msgspec.json.decode(line, type=_Line)
            body = bytes(wrapped.fact)
            fact = decoded(body, wrapped.hash).fact
        except (msgspec.DecodeError, ValueError):
            return count, stream, True
        count += 1
        stream = stream or fact.stream
        if digest(body) != wrapped.hash or fact.previous != previous or fact.sequence != count or fact.stream != stream:
            return count, stream, True
        previous = wrapped.hash
    return count, stream, heads.get(stream) != (count, previous)


class _Line(msgspec.Struct):
    fact: msgspec.Raw
    hash: str
