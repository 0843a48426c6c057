"""Which rules a command means: an id, the beginning of one, a name, a file, or a folder."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import msgspec

from soc.config import RulesSettings
from soc.errors import NotFound, Phrase, RuleError
from soc.rules.ast import Rule
from soc.rules.collection import Collection, load_collection
from soc.rules.correlation import Correlation


class Choice(msgspec.Struct, frozen=True):
    """Rules to work on. `targets`: ids of those that are meant; the collection also holds what they build on."""

    collection: Collection
    targets: frozenset[str]
    errors: tuple[RuleError, ...] = ()

    def rules(self) -> list[Rule | Correlation]:
        """The rules that are meant, in the order of the collection."""
        every: list[Rule | Correlation] = [*self.collection.ruleset.rules, *self.collection.correlations]
        return [rule for rule in every if rule.id in self.targets]


def configured(settings: RulesSettings) -> tuple[Collection, list[RuleError]]:
    """Everything that the settings name, disabled rules too."""
    with as_file(files("soc.rules").joinpath("content")) as shipped:
        collection, errors, _notes = load_collection([*([shipped] if settings.shipped else []), *settings.directories], zone=settings.timezone)
    return collection, errors


def choose(settings: RulesSettings, name: str) -> Choice:
    """The rules of a name.

    A file or folder means all that stands in it that makes alerts; what its correlations build on may stand elsewhere.
    Raises: NotFound when there is none, or several rules have the name.
    """
    path = Path(name)
    if path.exists() and (path.is_dir() or path.suffix in {".yml", ".yaml"}):
        return _of_path(settings, path)
    collection, errors = configured(settings)
    found = collection.get(name)
    if found is None:
        raise collection.missing(name)
    return Choice(only(collection, {found.id}), frozenset({found.id}), tuple(error for error in errors if error.path == found.path))


def _of_path(settings: RulesSettings, path: Path) -> Choice:
    collection, errors, _notes = load_collection([path], zone=settings.timezone)
    if errors:  # a correlation may build on rules that stand elsewhere
        with as_file(files("soc.rules").joinpath("content")) as shipped:
            more, again, _notes = load_collection([path, *([shipped] if settings.shipped else []), *settings.directories], zone=settings.timezone)
        mine = [error for error in again if _below(error.path, path)]
        if len(mine) < len(errors):
            collection, errors = more, mine
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    targets = frozenset(rule.id for rule in every if _below(rule.path, path) and rule.id not in collection.silent)
    if not targets:
        raise NotFound(
            Phrase("no rule in {path} can be used", path=path), hint=f"{errors[0].path}:{errors[0].line}: {errors[0].reason}" if errors else "soc rules lint"
        )
    return Choice(only(collection, targets), targets, tuple(errors))


def _below(path: str, top: Path) -> bool:
    return Path(path) == top or top in Path(path).parents


def only(collection: Collection, ids: frozenset[str] | set[str]) -> Collection:
    """The part of a collection that these rules need: themselves, and what they build on."""
    wanted = set(ids)
    for rule in reversed(collection.correlations):  # parents stand after their children
        if rule.id in wanted:
            wanted.update(rule.rules)
    ruleset = msgspec.structs.replace(collection.ruleset, rules=tuple(rule for rule in collection.ruleset.rules if rule.id in wanted))
    return msgspec.structs.replace(collection, ruleset=ruleset, correlations=tuple(rule for rule in collection.correlations if rule.id in wanted))
