"""What is recorded under short English names, in the words of the reader: channels, legal classes, flags, contents of facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from soc.cli import _show
from soc.i18n import gettext as _

_LONG = ("how", "record", "call")
"""The words of a playbook, which stand in the task itself."""
_MOST = 120
# Reference: 2026-11-21T08:54:33.821093Z
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")


def channel(name: str) -> str:
    """How something came or went; unknown ones are shown as they are."""
    words = {
        "telephone": _("by telephone"),
        "letter": _("by letter"),
        "hotline": _("by hotline"),
        "mail": _("by mail"),
        "alert": _("by alert"),
        "national-centre": _("by the national centre"),
        "in-person": _("in person"),
        "web": _("by web"),
        "other": _("by another way"),
    }
    return words.get(name, name)


def legal_class(name: str) -> str:
    """The class of the law."""
    words = {"undecided": _("undecided"), "ordinary": _("ordinary incident"), "serious": _("SERIOUS incident")}
    return words.get(name, name)


def flag(name: str) -> str:
    """What of an incident bears on its clocks."""
    words = {
        "personal_data": _("personal data"),
        "national_security": _("national security"),
        "beyond_capacity": _("beyond the agency's capacity"),
        "complex": _("complex"),
    }
    return words.get(name, name)


def named(names: Mapping[str, str], ids: list[str]) -> str:
    """Ids with the names that the registry has for them."""
    return ", ".join(f"{names[one]} ({one})" if names.get(one) else one for one in ids)


def content(data: Mapping[str, Any], zone: str) -> str:
    """What a fact says, on one line: times by the clock of the zone, long texts cut."""
    parts = []
    for key, value in data.items():
        if key not in _LONG and value not in ("", [], {}, None):
            parts.append(f"{key}={_value(value, zone)}")
    return " ".join(parts)


def _value(value: Any, zone: str) -> str:
    from soc.cli._io import cell

    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _show.when(value, zone)
    text = " ".join(cell(value).split())
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
