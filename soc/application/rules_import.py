"""Taking over a folder of rules that others wrote: looked at first, then copied as they are, with a list of where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec
import orjson

from soc.application.rules_choice import configured
from soc.config import Settings
from soc.errors import Conflict, Phrase, UsageError
from soc.ingest.registry import installed
from soc.model.event import flatten
from soc.rules.ast import LogSource
from soc.rules.fields import taxonomy
from soc.rules.importing import READY, Candidate, Survey, survey
from soc.rules.load import VALUES_FILE

_PIPELINE = frozenset({"@timestamp", "event.original", "message", "tags", "soc.kind", "soc.blocked", "soc.agency.id", "soc.origin"})
"""What every event may have, whatever its parser."""
# Reference: ECS naming guidelines: lower case, words joined by underscores, dots between levels.
_NAME = re.compile(r"[a-z@][a-z0-9_]{0,40}(?:\.[a-z0-9_]{1,40}){1,6}")
LIST = "IMPORTED.md"
"""Where the rules of a folder come from: written beside them."""


class Imported(msgspec.Struct):
    """What was copied: rules, and the files that they are in now."""

    rules: int
    files: list[str]


def look(settings: Settings, folder: Path) -> Survey:
    """What of a folder can be used with the rules and sources that are set up.

    Raises: UsageError when there is no such folder.
    """
    if not folder.exists():
        raise UsageError(Phrase("there is no file or folder {path}", path=str(folder)))
    collection, _errors = configured(settings.rules)
    existing = {rule.id: rule.path for rule in collection.ruleset.rules} | {rule.id: rule.path for rule in collection.correlations}
    products = _products(settings)
    return survey(folder, existing, lambda source: fields_of(source, products))


def _products(settings: Settings) -> frozenset[str] | None:
    """The products that the sources are set to; None when one of them may be any, or none is set up yet."""
    wanted = [getattr(source, "product", "") or "" for source in settings.sources.values()]
    return frozenset(wanted) if wanted and all(wanted) else None


@cache
def fields_of(source: LogSource, products: frozenset[str] | None = None) -> frozenset[str] | None:
    """The fields that events of a log source may have here; None when no parser (of these products) gives such events.

    What a parser may write is what it wrote for its samples and every name of a field in its own files: too much rather
    than too little, as a rule is said to be useless by it.
    """
    feeding = [parser for parser in _parsers() if (products is None or parser.name in products) and parser.feeds(source)]
    return frozenset().union(_PIPELINE, *(parser.fields for parser in feeding)) if feeding else None


class _Parser(msgspec.Struct, frozen=True):
    """What a parser gives: the values of the routing fields that never change, and field names."""

    name: str
    kind: str
    modules: frozenset[str]
    fields: frozenset[str]

    def feeds(self, source: LogSource) -> bool:
        """Whether an event of this parser can be of a log source; routing fields other than kind and module may have any value."""
        known = {"soc.kind": {self.kind}, "event.module": self.modules}
        for part in ("category", "product", "service"):
            name = getattr(source, part)
            tables = taxonomy().route.get(part, {}).get(name, {}).get("any", [])
            if name and not any(all(not known.get(field, set(values)).isdisjoint(values) for field, values in table.items()) for table in tables):
                return False
            # A route by fields of one vendor is fed by the parser of that vendor only.
            if name and not any(all(field in known or field in self.fields for field in table) for table in tables):
                return False
        return True


@cache
def _parsers() -> tuple[_Parser, ...]:
    """The parsers that are installed here."""
    out = []
    for parser in installed().parsers():
        fields: set[str] = set()
        modules: set[str] = set()
        package = files(type(parser).__module__.rpartition(".")[0])
        samples = package.joinpath("samples")
        for file in samples.iterdir() if samples.is_dir() else ():
            if file.name.endswith(".expected.ndjson"):
                for line in file.read_bytes().splitlines():
                    doc = flatten(orjson.loads(line)["ecs"])
                    fields.update(doc)
                    modules.add(str(doc.get("event.module", "")))
        for file in package.iterdir():
            if file.name.endswith((".py", ".yml", ".toml", ".json")):
                fields.update(_NAME.findall(file.read_text(encoding="utf-8")))
        out.append(_Parser(parser.name, parser.kind, frozenset(modules), frozenset(fields)))
    return tuple(out)


def take(found: Survey, folder: Path, target: Path) -> Imported:
    """Copy the rules that are ready, in files named as they were, and write where each comes from.

    Raises: Conflict when a file of that name says something else, UsageError when the target cannot be written.
    """
    chosen: dict[Path, list[Candidate]] = {}
    top = folder if folder.is_dir() else folder.parent
    for one in found.candidates:
        if one.verdict == READY:
            chosen.setdefault(Path(one.path).relative_to(top), []).append(one)
    texts = {target / path: "\n---\n".join(one.text for one in several) + "\n" for path, several in chosen.items()}
    texts |= {target / file.relative_to(top): file.read_text(encoding="utf-8") for file in top.rglob(VALUES_FILE)} if folder.is_dir() else {}
    try:
        for path, text in texts.items():
            if path.exists() and path.read_text(encoding="utf-8") != text:
                raise Conflict(Phrase("{path} exists already and says something else", path=str(path)), hint="choose another folder with --to")
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if chosen:
            (target / LIST).write_text(origins(folder, chosen), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(Phrase("the rules cannot be written to {path}: {reason}", path=str(target), reason=str(error))) from error
    return Imported(sum(map(len, chosen.values())), sorted(map(str, texts)))


def origins(folder: Path, chosen: dict[Path, list[Candidate]]) -> str:
    """The list of imported rules: file, id, title, author and licence as the rule states them."""

    def cell(text: str) -> str:
        return " ".join(text.replace("|", "\\|").split()) or "not stated"

    lines = [f"# Rules imported from {cell(folder.name)}", ""]
    lines += ["Unchanged copies; author and licence as each rule states them (a collection may state one licence for all of its rules).", ""]
    lines += ["| file | id | title | author | licence |", "|---|---|---|---|---|"]
    rows: Iterable[tuple[Path, Candidate]] = ((path, one) for path, several in sorted(chosen.items()) for one in several)
    lines += [f"| {cell(str(path))} | {cell(one.id)} | {cell(one.title)} | {cell(one.author)} | {cell(one.license)} |" for path, one in rows]
    return "\n".join([*lines, ""])
