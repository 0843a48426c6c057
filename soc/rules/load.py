"""Rule files as a rule set: what can be used, and for everything else why not. Correlations and filters: `soc.rules.collection`.

One bad rule never stops the others: each error carries file, line and reason. The set's hash is over the sources of its
rules, so two machines with the same rules have the same hash wherever the files lie.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import msgspec

import soc.errors
from soc.config import RulesSettings
from soc.errors import RuleError, RuleSyntaxError
from soc.rules.ast import MOST_BYTES, Rule
from soc.rules.cache import Cache, Entry, Item, Refusal, entry_key
from soc.rules.correlation import Correlation, silenced
from soc.rules.fields import Taxonomy, mapped, taxonomy, zoned
from soc.rules.filters import Filter
from soc.rules.values import LOCAL_ZONE

SUFFIXES = (".yml", ".yaml")
TEST_SUFFIX = ".test.yml"
VALUES_FILE = "values.yml"
"""Value lists for placeholders: a mapping of name to texts, for the rules beside and below it."""


class RuleSet(msgspec.Struct, frozen=True):
    """Rules with ECS fields, in the order in which they are told; `hash` names the set."""

    rules: tuple[Rule, ...]
    hash: str
    ecs: bool = True
    """Fields are mapped to ECS and rules are routed by log source; False: as written, asked of every event."""
    zone: str = ""
    """In which parts of times are told, "" = that of `soc.rules.values`."""

    def get(self, name: str) -> Rule | None:
        """The rule of an id, unique id prefix, or file name."""
        found = [rule for rule in self.rules if rule.id == name or Path(rule.path).stem == name] or [rule for rule in self.rules if rule.id.startswith(name)]
        return found[0] if len(found) == 1 else None


def load_ruleset(settings: RulesSettings, *, cache: Cache | None = None) -> tuple[RuleSet, list[RuleError]]:
    """The rules that the settings choose, and the errors of those that cannot be used.

    Cost: shipped rules from the cache below 0.05 s; without it 0.4 s and about 1.5 ms a rule.
    """
    with as_file(files("soc.rules").joinpath("content")) as shipped:
        folders = [*([shipped] if settings.shipped else []), *settings.directories]
        return load_paths(folders, disabled=settings.disabled, cache=cache)


def load_paths(paths: list[Path], *, disabled: list[str] | None = None, cache: Cache | None = None, ecs: bool = True) -> tuple[RuleSet, list[RuleError]]:
    """The detection and classification rules of files and folders (all `*.yml` below them, in order of path), and the errors.

    Correlations and filters in them are left out: `soc.rules.collection.load_collection` has them.
    """
    known = cache or Cache()
    errors: list[RuleError] = []
    rules: dict[str, Rule] = {}
    off = set(disabled or [])
    for path, placeholders in rule_files(paths, errors):
        for item in read_file(path, placeholders, known):
            if isinstance(item, RuleError):
                errors.append(item)
            elif not isinstance(item, Rule):
                continue
            elif item.id in rules:
                first = rules[item.id]
                errors.append(
                    RuleSyntaxError(item.path, item.line, f"the id {item.id} is already that of {first.path}:{first.line}", hint="give each rule its own id")
                )
            else:
                rules[item.id] = item
    known.save()
    chosen = [rule for rule in rules.values() if not off & {rule.id, Path(rule.path).name, Path(rule.path).stem}]
    return make_ruleset(chosen, ecs=ecs), errors


def make_ruleset(rules: list[Rule], *, ecs: bool = True, zone: str = "") -> RuleSet:
    """The set of these rules; with `ecs` their fields are mapped. `zone`: the name of that in which they tell hours and days."""
    names = taxonomy()
    ready = [zoned(rule, zone) for rule in rules] if zone else rules
    return RuleSet(tuple(mapped(rule, names) for rule in ready) if ecs else tuple(ready), _hash(rules, names if ecs else None, zone), ecs, zone)


def _hash(rules: list[Rule], names: Taxonomy | None, zone: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(names.text.encode() if names else b"")
    if zone and zone != LOCAL_ZONE.key:  # sets that were kept before zones could be chosen keep their names
        digest.update(f"\x1d{zone}\x1d".encode())
    for part in sorted(f"{rule.id}\x1f{rule.hash}{chr(31) + 'shadow' if rule.shadow else ''}\x1e" for rule in rules):
        digest.update(part.encode())
    return digest.hexdigest()


def read_file(path: Path, placeholders: dict[str, list[str]], cache: Cache) -> list[Rule | Correlation | Filter | RuleError]:
    """What one file gives, from the cache where it is known; references as written."""
    shown = str(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            return [
                RuleSyntaxError(
                    shown, 1, f"the file has {path.stat().st_size:,} bytes, more than the {MOST_BYTES:,} that a rule file may have", hint="split it"
                )
            ]
        content = path.read_bytes()
    except OSError as error:
        return [RuleSyntaxError(shown, 0, f"the file cannot be read: {error.strerror}")]
    key = entry_key(content, msgspec.json.encode(placeholders, order="sorted"))
    entry = cache.get(key)
    if entry is None:
        entry = _parse(content, placeholders)
        cache.put(key, entry)
    return [_placed(item, shown) for item in entry]


def _placed(item: Item, path: str) -> Rule | Correlation | Filter | RuleError:
    """The item with the file that it stands in now."""
    return _error(path, item) if isinstance(item, Refusal) else msgspec.structs.replace(item, path=path)


def _parse(content: bytes, placeholders: dict[str, list[str]]) -> Entry:
    from soc.rules.documents import read  # noqa: PLC0415 - a start from the cache needs neither YAML nor pySigma
    from soc.rules.read import read_document  # noqa: PLC0415 - the same

    out: Entry = []
    for document in read("", content):
        if isinstance(document, RuleError):
            out.append(_refusal(document))
            continue
        try:
            out.append(read_document(document, placeholders))
        except RuleError as error:
            error.silences = silenced(document)
            out.append(_refusal(error))
    return out


def _refusal(error: RuleError) -> Refusal:
    return Refusal(type(error).__name__, error.line, error.reason, error.hint, error.silences)


def _error(path: str, refusal: Refusal) -> RuleError:
    kind: type[RuleError] = getattr(soc.errors, refusal.kind)
    error = kind(path, refusal.line, refusal.reason, hint=refusal.hint)
    error.silences = refusal.silences
    return error


def rule_files(paths: list[Path], errors: list[RuleError]) -> Iterator[tuple[Path, dict[str, list[str]]]]:
    """The rule files of each path, with the value lists that hold there."""
    for start in paths:
        if start.is_file():
            beside = start.with_name(VALUES_FILE)
            yield start, _value_lists(beside, errors) if beside.is_file() else {}
            continue
        if not start.is_dir():
            errors.append(RuleError(str(start), 0, "there is no such file or folder", hint="see `rules.directories` in the configuration"))
            continue
        lists: dict[str, dict[str, list[str]]] = {}
        for folder, below, names in os.walk(start):
            below[:] = sorted(name for name in below if not name.startswith("."))
            above = lists.get(str(Path(folder).parent), {})
            lists[folder] = {**above, **_value_lists(Path(folder) / VALUES_FILE, errors)} if VALUES_FILE in names else above
            for name in sorted(names):
                if name.endswith(SUFFIXES) and not name.startswith(".") and not name.endswith(TEST_SUFFIX) and name != VALUES_FILE:
                    yield Path(folder) / name, lists[folder]


def _value_lists(path: Path, errors: list[RuleError]) -> dict[str, list[str]]:
    from soc.rules.documents import read  # noqa: PLC0415 - few folders have such a file

    out: dict[str, list[str]] = {}
    try:
        content = path.read_bytes()
    except OSError as error:
        errors.append(RuleSyntaxError(str(path), 0, f"the file cannot be read: {error.strerror}"))
        return out
    for document in read(str(path), content):
        if isinstance(document, RuleError):
            errors.append(document)
            continue
        for name, values in document.data.items():
            if isinstance(values, list) and all(isinstance(value, str) for value in values):
                out[name] = values
            else:
                errors.append(RuleSyntaxError(str(path), document.line_of(name), f"the value list {name!r} is no list of texts"))
    return out
