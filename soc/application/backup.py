"""Backup and restore of everything that cannot be made again: events and alerts, the journal, evidence, the key when it is asked for.

The store makes a consistent copy of itself with its journal; beside it stand the evidence (named by its hashes) and `people.json`: what the
journal came to, a signed anchor of it, the public key, and which evidence there is. A restore checks all of that before it writes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from soc.application import audit
from soc.application.access import require
from soc.application.app import App
from soc.application.audit import Anchor, Verdict
from soc.clock import iso
from soc.errors import NotAllowed, Phrase, StoreCorrupt, UsageError

FILE = "people.json"
EVIDENCE = "evidence"
KEYS = "keys"
_MOST_BYTES = 256 * 1_048_576

Progress = Callable[[str, int, int], None]


class People(msgspec.Struct):
    """What a backup holds of people's work. `root`: the hash over the ends of all streams of the journal in the backup."""

    at: str
    facts: int = 0
    streams: int = 0
    root: str = ""
    problems: int = 0
    """What did not hold when the backup was made; a journal that was broken then is handed back broken, and said to be."""
    anchor: Anchor | None = None
    evidence: list[str] = []
    key: str = ""
    with_key: bool = False
    schema: int = 1


def backup(app: App, target: Path, progress: Progress, *, with_key: bool = False) -> dict[str, Any]:
    """A consistent copy at `target`, which must not exist or be empty; its manifest, with what is in it of people's work.

    With a signing key a checkpoint is signed first. `with_key`: the private key is copied, too: who has the backup can then sign.
    Raises: UsageError, StoreFull, StoreCorrupt (evidence that is not what its name says).
    """
    require(app, "store.keep")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(Phrase("{target} exists and is not an empty folder", target=target), hint="name a new folder")
    key = app.wiring.signing_key()
    if with_key and key is None:
        raise UsageError("there is no key to copy", hint="soc audit key makes one; or leave out --with-key")
    people = People(iso(app.clock.now_us()), key=key.public if key is not None else "", with_key=with_key)
    if key is not None and not app.settings.read_only and any(True for _ in app.journal.heads()):
        people.anchor = audit.checkpoint(app.journal, key, actor=app.actor.name)
    manifest = app.store.backup(target, progress)
    verdict = _verdict(app, target, None)
    if verdict is not None:
        people.facts, people.streams, people.root, people.problems = verdict.facts, verdict.streams, verdict.head, len(verdict.problems)
    people.evidence = _copy_evidence(app, target, progress)
    if with_key and key is not None:
        app.wiring.keep_key(target / KEYS, key)
    (target / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(people), indent=2))
    (target / FILE).chmod(0o600)
    return {**manifest, "people": _told(people)}


def _told(people: People) -> dict[str, Any]:
    """What is said of people's work: without the anchor, which is long."""
    found: dict[str, Any] = msgspec.to_builtins(people)
    return {**found, "anchor": people.anchor.checkpoint if people.anchor is not None else None, "evidence": len(people.evidence)}


def _verdict(app: App, folder: Path, anchor: Anchor | None) -> Verdict | None:
    """What the journal of a backup comes to; None when there is none in it."""
    journal = app.wiring.backup_journal(folder)
    if journal is None:
        return None
    try:
        return audit.verify(journal, anchor)
    finally:
        journal.close()


def _copy_evidence(app: App, target: Path, progress: Progress) -> list[str]:
    own = list(app.wiring.evidence().each())
    copy = app.wiring.evidence(target / EVIDENCE)
    for number, path in enumerate(own, 1):
        if copy.add(path).sha256 != path.name:
            raise StoreCorrupt(
                Phrase("the file of the evidence {hash} was changed", hash=path.name), hint="soc evidence verify names all; restore it from an older backup"
            )
        progress(EVIDENCE, number, len(own))
    return sorted(path.name for path in own)


def restore(app: App, source: Path, progress: Progress, *, anchor: Anchor | None = None) -> dict[str, Any]:
    """Put a backup into the store of the settings, which must be empty; its manifest.

    The chain of the journal, its checkpoints, the backup's own anchor and one kept elsewhere are compared first, and every file of evidence.
    Raises: NotAllowed, StoreCorrupt (nothing was restored; what does not hold is named), ConfigError (the anchor itself).
    """
    require(app, "store.keep")
    if app.settings.read_only:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    people = _read(source)
    _check_journal(app, source, people, anchor)
    kept = app.wiring.evidence(source / EVIDENCE)
    for digest in people.evidence if people is not None else ():
        if kept.check(digest) != "ok":
            raise StoreCorrupt(Phrase("the evidence {hash} is missing from the backup, or was changed", hash=digest), hint="use another backup")
    manifest = app.wiring.restore(source, progress)
    own = app.wiring.evidence()
    for path in kept.each():
        own.add(path)
    if people is not None and people.with_key and app.wiring.signing_key() is None:
        app.wiring.restore_key(source / KEYS)
    return {**manifest, "people": _told(people)} if people is not None else manifest


def _check_journal(app: App, source: Path, people: People | None, anchor: Anchor | None) -> None:
    """Refuse a backup whose journal is not the one that was backed up, or another than an anchor says.

    Raises: StoreCorrupt.
    """
    verdict = _verdict(app, source, people.anchor if people is not None else None)
    if verdict is None:
        if anchor is not None or (people is not None and people.facts):
            raise StoreCorrupt(Phrase("{source}: there is no journal in this backup", source=source), hint="use another backup")
        return
    if verdict.problems and not (people is not None and people.problems == len(verdict.problems) and people.root == verdict.head):
        first = verdict.problems[0]
        raise StoreCorrupt(
            Phrase("the journal of the backup does not hold: {stream} #{sequence}: {kind}", stream=first.stream, sequence=first.sequence, kind=first.kind),
            hint="use another backup; nothing was restored",
        )
    if people is not None and verdict.head != people.root:
        raise StoreCorrupt("the journal of the backup is not the one that was backed up", hint="use another backup; nothing was restored")
    if anchor is not None and (problems := getattr(_verdict(app, source, anchor), "problems", [])):
        first = problems[0]
        raise StoreCorrupt(
            Phrase("the backup is not what the anchor signs: {stream} #{sequence}: {kind}", stream=first.stream, sequence=first.sequence, kind=first.kind),
            hint="it is older than the anchor, or was changed; nothing was restored",
        )


def _read(source: Path) -> People | None:
    path = source / FILE
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=People)
    except FileNotFoundError:
        return None  # of a version that did not keep people's work
    except (OSError, msgspec.DecodeError) as error:
        raise StoreCorrupt(Phrase("{source} is damaged: {error}", source=path, error=error), hint="use another backup") from error
