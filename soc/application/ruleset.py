"""The rule set in force: loading it with what people recorded about rules, keeping its sources, and getting an old one back.

What is in force is decided by files (shipped rules and own folders), by settings (`rules.disabled`) and by facts of kind
`rule-state`, `{"rule", "state", "by", "why", "at"}` with the states `enabled`, `disabled`, `shadow` and `live`. Every set that was ever
in force is kept in the store under its hash, so that history can be told and replayed with the rules of its time.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from soc import __version__
from soc.clock import iso
from soc.config import DEFAULT_TIMEZONE, RulesSettings
from soc.errors import Conflict, NotFound, Phrase, RuleError, StoreCorrupt
from soc.ports import Store
from soc.rules.ast import MOST_BYTES, Rule
from soc.rules.collection import SHADOW, Collection, load_collection
from soc.rules.correlation import Correlation
from soc.rules.engine import Engine
from soc.rules.load import SUFFIXES, TEST_SUFFIX

if TYPE_CHECKING:
    from soc.application.app import App

STATE_FACT = "rule-state"
RULES_FACT = "rules"
SET_FACT = "rules-set:"
"""With the hash of a set: the kind of the one fact that says what it consists of."""
ROOT_FACT = "rules-root:"
"""With the hash of its files: the kind of the one fact that keeps a folder of rules; sets share those that did not change."""
MOST_ARCHIVE = 268_435_456
"""Bytes of sources that a kept set may unpack to."""
MOST_NAMED = 200
"""Ids and errors named in a fact; what is beyond is counted."""

Seen = tuple[tuple[str, int, int, int], ...]
"""Of each file: its path, its time of change (ns), size and inode."""


class States(msgspec.Struct, frozen=True):
    """What people recorded about rules: `disabled` ids, and ids whose `life` is `shadow` or `live` whatever their files say."""

    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    """Ids switched on again, also when `rules.disabled` names them."""
    life: tuple[tuple[str, str], ...] = ()

    def off(self, settings: RulesSettings) -> list[str]:
        """All names of rules that are not used."""
        return sorted({*settings.disabled, *self.disabled} - set(self.enabled))


def recorded_states(store: Store) -> States:
    """The fold of the facts of kind `rule-state`: for each rule the last word counts."""
    switched: dict[str, str] = {}
    life: dict[str, str] = {}
    for fact in store.facts(STATE_FACT):
        rule, state = str(fact.get("rule", "")), str(fact.get("state", ""))
        if state in ("enabled", "disabled"):
            switched[rule] = state
        elif state in ("shadow", "live"):
            life[rule] = state
    return States(
        tuple(sorted(rule for rule, state in switched.items() if state == "disabled")),
        tuple(sorted(rule for rule, state in switched.items() if state == "enabled")),
        tuple(sorted(life.items())),
    )


class Archive(msgspec.Struct):
    """The sources of a rule set: files by root and path, what was recorded about rules, and their zone."""

    roots: list[dict[str, bytes]]
    off: list[str] = []
    life: dict[str, str] = {}
    program: str = ""
    zone: str = ""
    """In which its rules told hours and days, "" = `soc.config.DEFAULT_TIMEZONE`."""


class Packed(msgspec.Struct):
    """A set as facts: what it consists of, and its folders by their hashes."""

    fact: dict[str, Any]
    roots: dict[str, dict[str, Any]]


class Loaded(msgspec.Struct):
    """A rule set, ready to be asked: compiled, with what could not be used, and where it came from."""

    engine: Engine
    errors: list[RuleError]
    notes: list[str]
    archive: Archive
    seen: Seen

    @property
    def hash(self) -> str:
        """The name of the set."""
        return self.engine.hash

    def source_of(self, rule: Rule | Correlation) -> str:
        """The text of a rule as it stands in its file."""
        for root in self.archive.roots:
            for name, content in root.items():
                if rule.path.endswith("/" + name) and rule.id.removesuffix(SHADOW).encode() in content:
                    return _text_at(content, rule.line)
        return ""

    @property
    def manifest(self) -> dict[str, str]:
        """Per id of a rule or correlation the hash of what it says, and whether it is a shadow."""
        return manifest_of(self.engine.collection)


def _text_at(content: bytes, line: int) -> str:
    """The document of a file in which a line stands."""
    lines = content.decode("utf-8", "replace").splitlines(keepends=True)
    begin = next((at for at in range(min(line, len(lines)) - 1, -1, -1) if lines[at].startswith("---")), -1)
    end = next((at for at in range(max(line - 1, begin + 1), len(lines)) if lines[at].startswith("---")), len(lines))
    return "".join(lines[begin + 1 : end])


def manifest_of(collection: Collection) -> dict[str, str]:
    """Per id of a rule or correlation the hash of what it says, and whether it is a shadow."""
    every = [(rule.id, rule.hash, rule.shadow) for rule in collection.ruleset.rules] + [(rule.id, rule.hash, rule.shadow) for rule in collection.correlations]
    return {name: text + (":shadow" if shadow else "") + (":silent" if name in collection.silent else "") for name, text, shadow in every}


def one_named(collection: Collection, name: str) -> Rule | Correlation:
    """The rule of an id, the beginning of one, a name or a file.

    Raises: NotFound when there is none, or several.
    """
    found = collection.get(name)
    if found is None:
        raise collection.missing(name)
    return found


@contextmanager
def rule_roots(settings: RulesSettings) -> Iterator[list[Path]]:
    """The folders and files of rules that the settings name, the shipped ones first."""
    with as_file(files("soc.rules").joinpath("content")) as shipped:
        yield [*([shipped] if settings.shipped else []), *settings.directories]


def load_set(settings: RulesSettings, states: States | None = None) -> Loaded:
    """The rules of the settings under what is recorded about them.

    Files that change while they are read are read again. Cost: that of `load_collection`, and reading every file once more.
    """
    states = states or States()
    with rule_roots(settings) as roots:
        while True:
            seen = look(roots)
            collection, errors, notes = load_collection(roots, states=dict(states.life), disabled=states.off(settings), zone=settings.timezone)
            archive = Archive([dict(_sources(root)) for root in roots], states.off(settings), dict(states.life), __version__, settings.timezone)
            if look(roots) == seen:
                return Loaded(Engine(collection.ruleset, collection), errors, notes, archive, seen)


def look(roots: list[Path]) -> Seen:
    """What can be seen of the rule files without reading them: it differs when one was changed, added or removed."""
    found = []
    for path in (path for root in roots for path in _files(root)):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _files(root: Path) -> Iterator[Path]:
    """Rule files and value lists, in a fixed order; tests are none."""
    if root.is_file():
        yield root
        return
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(SUFFIXES) and not name.startswith(".") and not name.endswith(TEST_SUFFIX))


def _sources(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in _files(root):
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError:
            continue  # refused by name when the rules were read
        if len(content) <= MOST_BYTES:
            yield (path.name if path == root else path.relative_to(root).as_posix()), content


# --- kept sets --------------------------------------------------------------------------------------------------------


def keep_set(store: Store, loaded: Loaded, at_us: int, ready: Packed | None = None) -> None:
    """Keep the sources of a set in the store, once for each hash; `ready` when it was packed before."""
    kind = SET_FACT + loaded.hash
    if store.facts(kind):
        return
    ready = ready or packed(loaded, at_us)
    for name, root in ready.roots.items():
        if not store.facts(ROOT_FACT + name):
            store.record_fact(ROOT_FACT + name, root)
    store.record_fact(kind, ready.fact)


def packed(loaded: Loaded, at_us: int) -> Packed:
    """The facts that keep a set. Cost: some 20 ms for 300 rules, which become about 100 KB."""
    archive, at = loaded.archive, iso(at_us)
    roots: dict[str, dict[str, Any]] = {}
    names = []
    for sources in archive.roots:
        body = msgspec.msgpack.encode(dict(sorted(sources.items())))
        name = blake2b(body, digest_size=16).hexdigest()
        names.append(name)
        roots[name] = {"at": at, "sources": b64encode(zstandard.compress(body, 10)).decode()}
    fact = {
        "at": at,
        "hash": loaded.hash,
        "program": archive.program,
        "rules": loaded.manifest,
        "roots": names,
        "off": archive.off,
        "life": archive.life,
        "zone": archive.zone,
    }
    return Packed(fact, roots)


def kept_manifest(store: Store, set_hash: str) -> dict[str, str] | None:
    """The manifest of a kept set; None when it is not kept."""
    kept = store.facts(SET_FACT + set_hash) if set_hash else []
    return {str(name): str(value) for name, value in kept[0]["rules"].items()} if kept else None


def kept_archive(store: Store, set_hash: str) -> Archive:
    """The sources of a set that was in force once.

    Raises: NotFound, StoreCorrupt.
    """
    kept = store.facts(SET_FACT + set_hash)
    if not kept:
        raise NotFound(Phrase("the store keeps no rule set {hash}", hash=set_hash), hint="soc rules history")
    try:
        fact = kept[0]
        roots = [_unpacked(store.facts(ROOT_FACT + str(name))[0]) for name in fact["roots"]]
        return Archive(
            roots,
            [str(name) for name in fact["off"]],
            {str(rule): str(state) for rule, state in fact["life"].items()},
            str(fact["program"]),
            str(fact.get("zone", "")),
        )
    except (LookupError, ValueError, zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise StoreCorrupt(Phrase("the kept rule set {hash} cannot be read: {error}", hash=set_hash, error=error), hint="soc store restore") from error


def _unpacked(root: dict[str, Any]) -> dict[str, bytes]:
    body = zstandard.ZstdDecompressor().decompress(b64decode(root["sources"]), max_output_size=MOST_ARCHIVE)
    return msgspec.msgpack.decode(body, type=dict[str, bytes])


def whole_hash(store: Store, prefix: str) -> str:
    """The hash of the recorded set that begins with `prefix`.

    Raises: NotFound, Conflict.
    """
    found = sorted({str(fact["hash"]) for fact in store.facts(RULES_FACT) if str(fact["hash"]).startswith(prefix)})
    if not found:
        raise NotFound(Phrase("no rule set {hash} was ever in force here", hash=prefix), hint="soc rules history")
    if len(found) > 1:
        raise Conflict(Phrase("several rule sets begin with {hash}", hash=prefix), hint="give more characters of the hash")
    return found[0]


def kept_set(store: Store, prefix: str) -> Loaded:
    """A set of former times, by its hash or the beginning of it; `exact` says whether this program reads it as that one did.

    Raises: NotFound, Conflict, StoreCorrupt.
    """
    archive = kept_archive(store, whole_hash(store, prefix))
    with TemporaryDirectory(prefix="soc-rules-") as folder:
        roots = unpack(archive, Path(folder))
        collection, errors, notes = load_collection(roots, states=archive.life, disabled=archive.off, zone=archive.zone or DEFAULT_TIMEZONE)
    return Loaded(Engine(collection.ruleset, collection), errors, notes, archive, ())


def unpack(archive: Archive, folder: Path) -> list[Path]:
    """Write the sources of a set below a folder; its roots, in order.

    Raises: StoreCorrupt for a path that leads elsewhere.
    """
    roots = []
    for number, sources in enumerate(archive.roots):
        root = folder / str(number)
        root.mkdir(parents=True)
        for name, content in sources.items():
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts:
                raise StoreCorrupt(Phrase("a kept rule set names the path {path}", path=name), hint="soc store restore")
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(content)
        roots.append(root)
    return roots


# --- what changed -----------------------------------------------------------------------------------------------------


class Change(msgspec.Struct):
    """Ids that a set has more, less, and with other words than the one before."""

    added: list[str]
    removed: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Change:
    """What differs between two manifests."""
    return Change(
        sorted(after.keys() - before.keys()),
        sorted(before.keys() - after.keys()),
        sorted(name for name in after if before.get(name, after[name]) != after[name]),
    )


def lost(before: Loaded, after: Loaded) -> list[RuleError]:
    """The errors of what worked before and is missing now: a set that has any must not take the place of the one before."""
    collection = before.engine.collection
    gone = before.manifest.keys() - after.manifest.keys()
    good = {rule.path for rule in collection.ruleset.rules if rule.id in gone} | {rule.path for rule in collection.correlations if rule.id in gone}
    exceptions = {one.path for filters in collection.filters.values() for one in filters}
    after_filters = {one.path for filters in after.engine.collection.filters.values() for one in filters}
    good |= exceptions - after_filters
    known = {(error.path, error.reason) for error in before.errors}
    new = [error for error in after.errors if (error.path, error.reason) not in known]
    return [error for error in new if any(path == error.path or path.startswith(error.path.rstrip("/") + "/") for path in good) or _lists(before, error)]


def _lists(before: Loaded, error: RuleError) -> bool:
    """Whether an error is of a value list that could be read before."""
    return Path(error.path).name == "values.yml" and error.path not in {one.path for one in before.errors}


def record_change(
    app: App,
    store: Store,
    loaded: Loaded,
    *,
    by: str = "",
    cause: str = "start",
    change: Change | None = None,
    ready: Packed | None = None,
) -> Change | None:
    """Append a fact of kind `rules` when another set than the last one recorded is in force from the next batch on; what changed.

    Each event names its rules by `soc.rules_hash`; the facts say since when each set counted, by whom, and what it changed.
    """
    known = store.facts(RULES_FACT)
    last = str(known[-1]["hash"]) if known else ""
    now_us = app.clock.now_us()
    if last == loaded.hash:
        return None
    keep_set(store, loaded, now_us, ready)
    if change is None:
        change = changes(kept_manifest(store, last) or {}, loaded.manifest)
    store.record_fact(
        RULES_FACT,
        {
            "at": iso(now_us),
            "hash": loaded.hash,
            "before": last,
            "by": by or app.actor.name,
            "cause": cause,
            **{name: found[:MOST_NAMED] for name, found in msgspec.to_builtins(change).items()},
            "counts": {name: len(found) for name, found in msgspec.to_builtins(change).items()},
            "errors": [{"path": error.path, "line": error.line, "reason": error.reason} for error in loaded.errors[:MOST_NAMED]],
        },
    )
    return change
