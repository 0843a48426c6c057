"""The rules that a subcommand of `soc rules` works on, and how it tells what could not be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli._session import Session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.errors import RuleError
    from soc.rules.collection import Collection


def collection_of(session: Session, folder: Path | None, *, ecs: bool = True, life: Mapping[str, str] | None = None) -> tuple[Collection, list[RuleError]]:
    """The rules of a folder, or those that the settings name; what cannot be used is told.

    `life`: as `States.life`, which rules are shadows or were promoted.
    """
    from soc.rules.collection import load_collection

    if folder is not None:
        collection, errors, notes = load_collection([folder], ecs=ecs)
    else:
        with rule_folders(session) as folders:
            collection, errors, notes = load_collection(folders, ecs=ecs, states=life)
    tell(errors, notes)
    if folder is not None:
        tell_if_none(folder, collection, errors)
    return collection, errors


@contextmanager
def rule_folders(session: Session) -> Iterator[list[Path]]:
    """The folders of rules that the settings name, the shipped ones first."""
    from importlib.resources import as_file, files

    settings = session.settings.rules
    with as_file(files("soc.rules").joinpath("content")) as shipped:
        yield [*([shipped] if settings.shipped else []), *map(Path, settings.directories)]


def tell(errors: list[RuleError], notes: list[str]) -> None:
    """Tell on stderr which rules were refused, and what is odd but right."""
    for error in errors:
        say_error(f"{error.path}:{error.line}: {error.reason}" + (f" ({error.hint})" if error.hint else ""))
    for note in notes:
        say_error(note)


def tell_if_none(folder: Path, collection: Collection, errors: list[RuleError]) -> None:
    """Tell on stderr that a file or folder has no rule: a mistyped path looks like rules that never match."""
    if not (collection.ruleset.rules or collection.correlations or errors):
        say_error(_("{path} holds no rule; rules are files *.yml").format(path=folder))


def say_error(text: str) -> None:
    """One line on stderr, with nothing in it that a terminal obeys."""
    from soc.model.text import display_safe

    click.echo(display_safe(text, most=2_000), err=True)


def case_parser() -> Callable[[str, str], dict[str, Any]]:
    """What reads the raw lines of test cases."""
    from soc.application.rules import line_parser
    from soc.clock import SystemClock

    return line_parser(SystemClock().now_us())
