"""Agencies as people name them: by id, or by a part of the name, without accents too (`so y te`); completion in shells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from soc.application.app import App

_MOST_OFFERED = 50


def resolved(app: App, names: Sequence[str]) -> list[str]:
    """The ids of agencies, each once.

    Raises: UsageError naming those that fit.
    """
    from soc.application.registry import agency_named

    return list(dict.fromkeys(agency_named(app, name) for name in names))


def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell offers after `--agency`; nothing when there is no store to ask."""
    from soc.application import registry
    from soc.cli._session import Session
    from soc.errors import SocError

    session = ctx.find_object(Session) or Session()
    try:
        found = registry.agencies_like(session.app(new_store=True), incomplete)
    except SocError:
        return []
    finally:
        session.close()
    return [CompletionItem(one.id, help=one.name) for one in found[:_MOST_OFFERED]]
