"""Shows why an alert was raised: the rule's condition as a tree, marked where it matched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from soc.i18n import current
from soc.i18n import gettext as _
from soc.model.text import display_safe

Part = tuple[str, str]
"""Text and style."""

MOST_DEPTH = 32


MOST_MISSES = 2
"""Alternatives without a match that are shown beside (or instead of) the one that matched."""


def tree_lines(node: dict[str, Any], depth: int = 0, *, everything: bool = False) -> Iterator[list[Part]]:
    """The lines of an explanation, each as styled parts; matched leaves underline the value that matched.

    Of alternatives that did not match only the first are shown, unless `everything` is wanted.
    """
    matched = bool(node.get("matched"))
    indent = "  " * min(depth, MOST_DEPTH)
    mark: Part = ("✔ ", "green") if matched else ("✖ ", "dim")
    kind = str(node.get("node", ""))
    if kind in ("and", "or", "not"):
        word = {"and": _("all of"), "or": _("any of"), "not": _("not")}[kind]
        yield [(indent, ""), mark, (word, "" if matched else "dim")]
        children = list(node.get("children", ()))
        shown = children if everything or kind != "or" else _telling(children)
        if depth < MOST_DEPTH:
            for child in shown:
                yield from tree_lines(child, depth + 1, everything=everything)
        left_out = int(node.get("omitted") or 0) + len(children) - len(shown)
        if left_out:
            yield [(indent + "  ", ""), (_("… and {count} more that did not match").format(count=left_out), "dim")]
        return
    test = str(node.get("test", ""))
    if test == "silent longer than":  # what the platform says of itself is said in the reader's language
        yield [(indent, ""), mark, (_silence(node), "")]
    else:
        yield _clause(node, indent, mark)
    blinds = node.get("blinds") or {}
    if blinds.get("count"):
        titles = (current() == "vi" and blinds.get("rules_vi")) or blinds["rules"]  # alerts of earlier versions have English ones only
        names = ", ".join(display_safe(name, most=80) for name in titles)
        yield [(indent + "  ", ""), (_("{count} rules see nothing meanwhile: {names}").format(count=blinds["count"], names=names), "yellow")]


def _silence(node: dict[str, Any]) -> str:
    """How long a source said nothing, and how long it may."""

    def lasting(text: Any) -> str:
        seconds = str(text or "").partition(" ")[0]
        hours, minutes = divmod(int(seconds) // 60 if seconds.isdigit() else 0, 60)
        return " ".join(
            filter(None, (_("{count} h").format(count=hours) if hours else "", _("{count} min").format(count=minutes) if minutes or not hours else ""))
        )

    source = display_safe(str(node.get("field", "")), most=200)
    return _("{source} silent longer than {most}: {lasted}").format(source=source, most=lasting(node.get("pattern")), lasted=lasting(node.get("matched_value")))


def _clause(node: dict[str, Any], indent: str, mark: Part) -> list[Part]:
    """A test of one field, with the value that matched."""
    matched, test, pattern = bool(node.get("matched")), str(node.get("test", "")), node.get("pattern")
    head = " ".join(filter(None, (str(node.get("field", "")), test, str(node.get("flags") or ""), "" if pattern is None else display_safe(pattern, most=200))))
    return [(indent, ""), mark, (display_safe(head), "" if matched else "dim"), *_values(node)]


def _telling(children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alternatives that tell something: those that matched; where none did, the first few."""
    matched = [child for child in children if child.get("matched")]
    return matched or children[:MOST_MISSES]


def _values(node: dict[str, Any]) -> Iterator[Part]:
    if "matched_value" in node:
        text = str(node["matched_value"])
        start, end = node.get("position") or (0, len(text))
        yield ("  ← ", "dim")
        yield (display_safe(text[:start]), "")
        yield (display_safe(text[start:end]), "underline bold")
        yield (display_safe(text[end:]), "")
    elif node.get("values"):
        yield ("  ← " + ", ".join(display_safe(value, most=80) for value in node["values"][:5]), "dim")
    elif not node.get("matched"):
        yield ("  ← " + _("(absent)"), "dim")


def plain(parts: list[Part]) -> str:
    """The line without styles; what is underlined stands in ⟦⟧, so that nothing is told by looks alone."""
    return "".join(f"⟦{text}⟧" if "underline" in style and text else text for text, style in parts)
