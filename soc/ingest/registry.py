"""Finds the parsers and tells which one a line belongs to.

A parser is a folder below `soc/ingest/parsers/` whose `parser.py` has `PARSER` (and perhaps `ASSEMBLER`), or an entry
point of the group `soc.parsers` that names such a module; nothing else has to be touched to add one.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

import soc.ingest.parsers
from soc.errors import ConfigError, Phrase, UsageError
from soc.ingest.parser import Assembler, Line, Parser

ENTRY_POINTS = "soc.parsers"


class Registry:
    """The parsers of this installation, in the fixed order in which they are asked: specific ones first, `*_generic` last."""

    def __init__(self, parsers: Iterable[Parser], assemblers: Iterable[Assembler] = ()) -> None:
        self._parsers = {parser.name: parser for parser in sorted(parsers, key=lambda parser: (parser.name.endswith("_generic"), parser.name))}
        self._assemblers = {assembler.name: assembler for assembler in assemblers}

    def names(self) -> list[str]:
        """The parsers' names, in the order in which they are asked."""
        return list(self._parsers)

    def parsers(self) -> Sequence[Parser]:
        """The parsers, in the order in which they are asked."""
        return list(self._parsers.values())

    def get(self, name: str) -> Parser:
        """The parser of a name.

        Raises: UsageError with the nearest names.
        """
        parser = self._parsers.get(name)
        if parser is None:
            near = difflib.get_close_matches(name.lower(), self._parsers, n=3, cutoff=0.4)
            raise UsageError(
                Phrase("no parser is named {name!r}", name=name),
                hint=Phrase("did you mean {names}?", names=" or ".join(near)) if near else Phrase("there are: {names}", names=", ".join(self._parsers)),
            )
        return parser

    def assembler(self, name: str) -> Assembler | None:
        """The assembler that belongs to the parser of this name, None where its lines stand alone."""
        return self._assemblers.get(name)

    def recognise(self, line: Line, preferred: str = "") -> Parser | None:
        """The parser that claims the line: the preferred one if it does, else the first of all; None when none does.

        It depends on the line alone: a memory of the sender's earlier lines would be gone after a restart, and the same
        line would then become another event. Cost: one `claims` for the preferred parser, some 0.1 µs for each asked in vain.
        """
        first = self._parsers.get(preferred)
        if first is not None and first.claims(line):
            return first
        for parser in self._parsers.values():
            if parser.claims(line):
                return parser
        return None


@cache
def installed() -> Registry:
    """The registry of everything installed: the shipped folders and the entry points.

    Raises: ConfigError when one of them cannot be used.
    """
    modules = [*_shipped(), *_plugged()]
    names = [module.PARSER.name for module in modules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            Phrase("two parsers are named {twice!r}", twice=twice[0]), hint="uninstall the package whose entry point has that name, or rename its parser"
        )
    return Registry((module.PARSER for module in modules), (module.ASSEMBLER for module in modules if getattr(module, "ASSEMBLER", None) is not None))


def _shipped() -> list[ModuleType]:
    package = soc.ingest.parsers
    return [importlib.import_module(f"{package.__name__}.{found.name}.parser") for found in pkgutil.iter_modules(package.__path__) if found.ispkg]


def _plugged() -> list[ModuleType]:
    modules = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            module = point.load()
        except ImportError as error:
            raise ConfigError(
                Phrase("the parser {name!r} ({value}) cannot be loaded: {error}", name=point.name, value=point.value, error=error),
                hint="mend or uninstall the package that brings it",
            ) from error
        if not hasattr(module, "PARSER"):
            raise ConfigError(
                Phrase("the parser {name!r} ({value}) has no PARSER", name=point.name, value=point.value),
                hint="the entry point must name a module with a PARSER",
            )
        modules.append(module)
    return modules
