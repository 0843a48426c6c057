"""The syntax tree of a query."""

from __future__ import annotations

import msgspec


class All(msgspec.Struct, frozen=True, tag=True):
    """Every event."""


class And(msgspec.Struct, frozen=True, tag=True):
    """All of `nodes` hold."""

    nodes: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """At least one of `nodes` holds."""

    nodes: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag=True):
    """`node` does not hold (true also where the field is absent)."""

    node: Node


class Exists(msgspec.Struct, frozen=True, tag=True):
    """The field has a value (not null, not an empty list)."""

    field: str


class Term(msgspec.Struct, frozen=True, tag=True):
    """A value of the field equals `value` after folding (`vi_fold`); with `wildcard`, `*` and `?` stand for any text and any character."""

    field: str
    value: str
    wildcard: bool = False


class Range(msgspec.Struct, frozen=True, tag=True):
    """A value of the field lies between the bounds (None = open): numbers as numbers, times as times, addresses as addresses, else folded text."""

    field: str
    low: str | None
    high: str | None
    include_low: bool = True
    include_high: bool = True


class Cidr(msgspec.Struct, frozen=True, tag=True):
    """A value of the field is an address inside the network (IPv4 or IPv6)."""

    field: str
    network: str


class Text(msgspec.Struct, frozen=True, tag=True):
    """Free text: every token of `tokens` is a token of the event; with `phrase` the folded text also holds it as written.

    With `prefix`, the last token only begins a token of the event (`evil*`).
    """

    tokens: tuple[str, ...]
    phrase: str = ""
    prefix: bool = False


Node = All | And | Or | Not | Exists | Term | Range | Cidr | Text
