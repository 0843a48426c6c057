"""Shows why a correlation raised an alert: condition, window, group, what was measured, and the members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from soc.cli import _show
from soc.cli._why import Part, tree_lines
from soc.i18n import current
from soc.i18n import gettext as _
from soc.model.text import display_safe

SHORT = 10
"""Characters of an id that are shown."""


def why_lines(explanation: dict[str, Any], zone: str, *, everything: bool = False) -> Iterator[list[Part]]:
    """The lines of any explanation: a rule's condition as a tree, a correlation as what it measured and its members."""
    if explanation.get("node") == "correlation":
        yield from correlation_lines(explanation, zone)
    else:
        yield from tree_lines(explanation, 1, everything=everything)
        yield from _consulted(explanation)


def correlation_lines(explanation: dict[str, Any], zone: str) -> Iterator[list[Part]]:
    """The lines of a correlation's explanation."""
    fields = ", ".join(explanation.get("fields") or ())
    condition = " ".join(filter(None, (str(explanation["type"]), f"({display_safe(fields)})" if fields else "", display_safe(explanation["condition"]))))
    span = _show.span(int(explanation["timespan_s"]))
    yield [("  ", ""), ("✔ ", "green"), (_("{condition} within {span}").format(condition=condition, span=span), "")]
    window = explanation["window"]
    yield from _row(_("Window"), f"{_show.when(window['start'], zone)} … {_show.when(window['end'], zone)}")
    yield from _row(_("First held"), _show.when(explanation["at"], zone))
    group = "  ".join(f"{name}={display_safe(value, most=80)}" for name, value in explanation.get("group", {}).items())
    yield from _row(_("Group"), group)
    yield from _row(_("Measured"), _measured(explanation))
    yield from _consulted(explanation)
    yield from _members(explanation, zone)


def _consulted(explanation: dict[str, Any]) -> Iterator[list[Part]]:
    """The value lists, filters and exceptions that had a part in it."""
    yield from _row(_("Value lists"), ", ".join(display_safe(name, most=80) for name in explanation.get("lists", ())))
    for one in explanation.get("filters", ()):
        yield from _row(_("Filter"), f"{display_safe(one['title'])}  {one['id']}  " + _("hash") + f" {one['hash']}")
    for one in explanation.get("exceptions", ()):
        state = _("does not cover it") if one["in_force"] else _("has ended")
        yield from _row(_("Exception"), f"{display_safe(one['title'])}  ({display_safe(one['owner'], most=80)}): {state}")


def _measured(explanation: dict[str, Any]) -> str:
    first, last = explanation.get("measure"), explanation.get("last_measure")
    if first is None and last is None:
        return ""
    return _number(first) if first == last else _("{first}, at the end {last}").format(first=_number(first), last=_number(last))


def _number(value: Any) -> str:
    return _show.number(value) if isinstance(value, int) else str(value)


def _members(explanation: dict[str, Any], zone: str) -> Iterator[list[Part]]:
    members, count = explanation.get("members", ()), int(explanation.get("count", 0))
    if not count:
        yield from _row(_("Members"), _("none: silence is what it looks for"))
        return
    note = "  " + _("(more than are kept: ids in the middle are left out)") if explanation.get("truncated") else ""
    yield [("    ", ""), (_("Members ({count})").format(count=_show.number(count)) + note, "")]
    titles = explanation.get("rules", {}) | (explanation.get("rules_vi", {}) if current() == "vi" else {})
    for member in members:
        rules = ", ".join(display_safe(titles.get(rule) or rule, most=60) for rule in member.get("rules", ()))
        if "alert" in member:
            what = member["alert"][:SHORT] + "  " + _("alert of {count} events").format(count=len(member.get("events", ())))
        else:
            what = str(member.get("event", ""))[:SHORT]
        yield [("      ", ""), (f"{_show.when(member['time'], zone)}  {what}  ", ""), (rules, "dim")]
    if count > len(members):
        yield [("      ", ""), (_("… and {count} more").format(count=_show.number(count - len(members))), "dim")]


def _row(title: str, value: str) -> Iterator[list[Part]]:
    if value:
        yield [("    ", ""), (f"{title:<14} ", "dim"), (value, "")]
