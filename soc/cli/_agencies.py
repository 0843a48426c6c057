"""Agencies as people name them: by id, or by a part of the name, without accents too (`so y te`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soc.application.app import App


def resolved(app: App, names: Sequence[str]) -> list[str]:
    """The ids of agencies, each once.

    Raises: UsageError naming those that fit.
    """
    from soc.application.registry import agency_named

    return list(dict.fromkeys(agency_named(app, name) for name in names))
