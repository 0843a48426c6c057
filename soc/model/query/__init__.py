"""The analyst query language: one syntax, one tree, the same meaning on every store.

`parse(text)` gives the tree, `matches(node, doc)` is what it means (the oracle of every store's translation),
`to_text(node)` the way back.
"""

from __future__ import annotations

from soc.model.query.evaluate import matches
from soc.model.query.parse import parse, to_text
from soc.model.query.tree import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text

__all__ = ["All", "And", "Cidr", "Exists", "Node", "Not", "Or", "Range", "Term", "Text", "matches", "parse", "to_text"]
