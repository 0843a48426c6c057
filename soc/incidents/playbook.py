"""Playbooks: what to do about a sort of incident, task by task, in words for people who do it once in their lives.

A file is `<name>.yml`; each task says who does it, how, until when, what to write down and when to call the national
centre. Phases follow the functions of NIST SP 800-61r3 (CSF 2.0) and the steps of Decree 333/2026, article 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from soc.clock import from_iso, iso
from soc.errors import ConfigError, Phrase
from soc.incidents.classes import CODES
from soc.incidents.document import Document, Words, convert, parsed, read
from soc.incidents.policies.policy import NAME, span_us

PHASES: dict[str, Words] = {
    "detect": Words("Phát hiện, xác định", "Detect and confirm"),
    "preserve": Words("Giữ hiện trường, chứng cứ", "Preserve the scene and evidence"),
    "contain": Words("Khoanh vùng, ngăn chặn", "Contain"),
    "analyze": Words("Phân tích, phân loại", "Analyze and classify"),
    "report": Words("Báo cáo, thông báo", "Report and tell others"),
    "eradicate": Words("Gỡ bỏ nguyên nhân", "Eradicate"),
    "recover": Words("Khôi phục", "Recover"),
    "improve": Words("Rút kinh nghiệm", "Improve"),
}
"""Source: NIST SP 800-61r3 (DE.AE, RS.MA, RS.AN, RS.CO, RS.MI, RC.RP, ID.IM); Decree 333/2026/ND-CP, article 9, from which `preserve` comes."""
WHO: dict[str, Words] = {
    "analyst": Words("người trực", "analyst on duty"),
    "lead": Words("lãnh đạo đội ứng cứu", "lead of the response team"),
    "contact": Words("đầu mối của đơn vị", "contact person of the agency"),
    "administrator": Words("quản trị hệ thống", "administrator of the system"),
}
T0 = "T0+"
MOST_TEXT = 1_000
MOST_STEPS = 12
MOST_TASKS = 40
# Reference: commands as texts show them: `soc incidents note INC "…"`
COMMAND = re.compile(r"`(soc [^`]{1,200})`")
# Reference: `isolate`, `call-the-users`
_ID = re.compile(r"[a-z][a-z0-9-]{0,40}")


class Steps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps in Vietnamese and English, in order."""

    vi: tuple[str, ...]
    en: tuple[str, ...]

    def of(self, language: str) -> tuple[str, ...]:
        """The steps in a language, or in Vietnamese."""
        return self.en if language == "en" else self.vi


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a playbook follows; `unverified`: why nobody should rely on that."""

    name: str
    unverified: str = ""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One task of a playbook. `due`: `4h` after the task is given, or `T0+72h` after the time of detection, from which the law counts.

    An incident that is reported late, or whose sort is known late, has its inner tasks in front of it all the same: what is late is told by
    the clocks of the law. Source: NIST SP 800-61r3, RS.MA-01 (the response plan is carried out once an incident is declared).
    """

    id: str
    phase: Literal["detect", "preserve", "contain", "analyze", "report", "eradicate", "recover", "improve"]
    title: Words
    who: Literal["analyst", "lead", "contact", "administrator"]
    due: str
    how: Steps
    record: Words
    call: Words | None = None


class Playbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A playbook. `classes`: RSIT codes that it is for."""

    title: Words
    version: int
    summary: Words
    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    national_centre: Words
    """When to call the national centre."""
    tasks: tuple[Job, ...]
    name: str = ""
    path: str = ""

    def origin(self, job: Job) -> str:
        """How a task names where it comes from: `ransomware@1#isolate`."""
        return f"{self.name}@{self.version}#{job.id}"

    def texts(self) -> Iterator[str]:
        """Every text, in both languages."""
        for words in (self.title, self.summary, self.national_centre):
            yield from (words.vi, words.en)
        for job in self.tasks:
            for words in filter(None, (job.title, job.record, job.call)):
                yield from (words.vi, words.en)
            yield from (*job.how.vi, *job.how.en)

    def commands(self) -> list[str]:
        """The commands that the texts name."""
        return list(dict.fromkeys(found[1] for text in self.texts() for found in COMMAND.finditer(text)))


def due_at(job: Job, detected_at: str, given_at: str) -> str:
    """When a task is due that is given now (RFC 3339 UTC)."""
    span = job.due.removeprefix(T0)
    return iso(from_iso(given_at if span == job.due else detected_at) + span_us(span))


def load(path: Path | Any, shown: str = "") -> Playbook:
    """The playbook of a file.

    Raises: ConfigError with file, line and reason.
    """
    return checked(read(path, shown), Path(path.name).stem)


def load_text(content: bytes, name: str) -> Playbook:
    """The playbook of a text.

    Raises: ConfigError.
    """
    return checked(parsed(content, f"{name}.yml"), name)


def checked(document: Document, name: str) -> Playbook:
    """The playbook of a document.

    Raises: ConfigError with the line of the first part that cannot be.
    """
    playbook = convert(document, Playbook)
    if not NAME.fullmatch(name):
        raise document.error("the file name is no name of a playbook", hint="lower-case letters, digits and hyphens: data-leak.yml")
    if playbook.name not in ("", name):
        raise document.error(Phrase("name: {name} is not the name of the file", name=playbook.name), "name")
    if playbook.version < 1:
        raise document.error("version: begins with 1, and grows with each change", "version")
    for number, code in enumerate(playbook.classes):
        if code not in CODES:
            raise document.error(Phrase("{value} is no RSIT class", value=code), "classes", number, hint="soc incidents classes")
    if not playbook.sources:
        raise document.error("sources is empty", "sources", hint="say what it follows; `unverified` where nobody has compared")
    if not 1 <= len(playbook.tasks) <= MOST_TASKS:
        raise document.error(Phrase("tasks: between 1 and {most}", most=MOST_TASKS), "tasks")
    _check_words(document, playbook.title, "title")
    _check_words(document, playbook.summary, "summary")
    _check_words(document, playbook.national_centre, "national_centre")
    known: set[str] = set()
    for number, job in enumerate(playbook.tasks):
        _check_job(document, job, number, known)
    return msgspec.structs.replace(playbook, name=name, path=document.path)


def _check_job(document: Document, job: Job, number: int, known: set[str]) -> None:
    where: tuple[str | int, ...] = ("tasks", number)
    if not _ID.fullmatch(job.id) or job.id in known:
        raise document.error(Phrase("{id}: no id of a task, or it stands here twice", id=job.id[:60]), *where, "id", hint="id: isolate-the-computer")
    known.add(job.id)
    try:
        span_us(job.due.removeprefix(T0))
    except ValueError as error:
        raise document.error(
            Phrase("{key}: {value} is no period", key="due", value=job.due),
            *where,
            "due",
            hint="30m, 4h, 3d after it is given; T0+72h after the time of detection",
        ) from error
    for name in ("title", "record", "call"):
        words = getattr(job, name)
        if words is not None:
            _check_words(document, words, *where, name)
    for language in ("vi", "en"):
        steps = getattr(job.how, language)
        if not 1 <= len(steps) <= MOST_STEPS:
            raise document.error(Phrase("how.{language}: between 1 and {most} steps", language=language, most=MOST_STEPS), *where, "how", language)
        for at, step in enumerate(steps):
            _check_text(document, step, *where, "how", language, at)
    if len(job.how.vi) != len(job.how.en):
        raise document.error("how: both languages need the same steps", *where, "how")


def _check_words(document: Document, words: Words, *where: str | int) -> None:
    for language in ("vi", "en"):
        _check_text(document, getattr(words, language), *where, language)


def _check_text(document: Document, text: str, *where: str | int) -> None:
    if not text.strip() or len(text) > MOST_TEXT:
        raise document.error(Phrase("{key}: between 1 and {most} characters", key=".".join(map(str, where)), most=MOST_TEXT), *where)


def load_all(folders: list[Any]) -> tuple[list[Playbook], list[ConfigError]]:
    """The playbooks of folders, by name, and the files that cannot be used; a later folder takes the place of an earlier one."""
    found: dict[str, Playbook] = {}
    errors: list[ConfigError] = []
    for folder in folders:
        try:
            paths = sorted((one for one in folder.iterdir() if one.name.endswith(".yml")), key=lambda one: str(one.name))
        except OSError as error:
            errors.append(ConfigError(Phrase("the folder cannot be read: {reason}", reason=error.strerror or type(error).__name__), file=str(folder)))
            continue
        for path in paths:
            try:
                one = load(path)
            except ConfigError as error:
                errors.append(error)
            else:
                found[one.name] = one
    return [found[name] for name in sorted(found)], errors


def shipped() -> Any:
    """The folder of the playbooks that come with the program."""
    return files("soc.incidents").joinpath("playbooks")
