"""What a rule is once it is read: plain data that the matchers, the index, the explanation and the cache share.

Nothing here knows pySigma or YAML. A condition is a tree of `And`, `Or`, `Not` and `Leaf`; a leaf is one test of one
field (or of the whole text, for keywords). The meaning of every test stands in `soc.rules.semantics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

MOST_BYTES = 1_048_576
"""Of a rule file; the largest published rule has 40 KB."""

STAR = 0
"""In `Leaf.parts`: any text, also none."""
ANY_ONE = 1
"""In `Leaf.parts`: any one character."""

TEXT_TESTS = ("equals", "contains", "startswith", "endswith", "like")
NUMBER_TESTS = ("gt", "gte", "lt", "lte")
TIME_TESTS = ("minute", "hour", "day", "week", "month", "year")
FIELDREF_TESTS = ("fieldref", "fieldref_contains", "fieldref_startswith", "fieldref_endswith")


class Leaf(msgspec.Struct, frozen=True, tag="leaf"):
    """One test of one field.

    `field` "" = a keyword: the test is made on the event's text. `pattern` is as written in the rule; for `like` the
    pattern stands in `parts` (literals, `STAR`, `ANY_ONE`) and `pattern` is its text for people. `flags`: of `re`, or how a part of
    a time is compared (gt, gte, lt, lte; "" = it is equal). `zone`: in which a part of a time is told ("" = that of `soc.rules.values`).
    """

    field: str
    test: str
    pattern: str | int | float | bool | None = None
    parts: tuple[str | int, ...] = ()
    cased: bool = False
    flags: str = ""
    zone: str = ""


class And(msgspec.Struct, frozen=True, tag="and"):
    """All of `args` hold."""

    args: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """At least one of `args` holds."""

    args: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """`arg` does not hold."""

    arg: Node


Node = And | Or | Not | Leaf


class LogSource(msgspec.Struct, frozen=True):
    """Where the events of a rule come from, as Sigma spells it ("" = not said)."""

    category: str = ""
    product: str = ""
    service: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in (("category", self.category), ("product", self.product), ("service", self.service)) if value)


class Classify(msgspec.Struct, frozen=True):
    """What a classification rule says of an event: a threat level and a category."""

    level: str
    category: str


class RuleException(msgspec.Struct, frozen=True):
    """A Sigma filter with an owner and an end: what a rule lets pass for a while.

    `condition` holds for events that the rule keeps. `expires`: RFC 3339 UTC with milliseconds, "" = never; see `soc.rules.exceptions`.
    """

    id: str
    title: str
    condition: Node
    hash: str
    owner: str
    reason: str
    expires: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One Sigma rule.

    `hash` is over the source text of its document and the value lists it uses; `path` and `line` say where that begins. `classify` set = a
    classification rule; else a detection rule, whose alerts are grouped by `group_by`. `unmapped`: fields that no
    event of this program has (the rule names a Sigma field without ECS counterpart).
    """

    id: str
    title: str
    level: str
    logsource: LogSource
    condition: Node
    hash: str
    path: str = ""
    line: int = 0
    status: str = ""
    description: str = ""
    author: str = ""
    date: str = ""
    modified: str = ""
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    classify: Classify | None = None
    group_by: tuple[str, ...] = ()
    triage: dict[str, str] = {}
    title_vi: str = ""
    unmapped: tuple[str, ...] = ()
    exceptions: tuple[RuleException, ...] = ()
    shadow: bool = False
    """It runs beside the live rules: its alerts are stored marked and count nowhere."""
    replaces: str = ""
    """The rule (id or name) whose place it takes once it is live."""
    name: str = ""
    """What correlations and filters may call it by, beside its id."""
    lists: tuple[str, ...] = ()
    """The value lists that were put in place of its placeholders; `hash` is over what they held, too."""


def leaves(node: Node) -> Iterator[Leaf]:
    """Every leaf of a condition, left to right."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Not):
        yield from leaves(node.arg)
    else:
        for arg in node.args:
            yield from leaves(arg)


def depth(node: Node) -> int:
    """How deep a condition is nested; a leaf is 1."""
    if isinstance(node, Leaf):
        return 1
    if isinstance(node, Not):
        return 1 + depth(node.arg)
    return 1 + max(map(depth, node.args), default=0)


def rewrite(node: Node, change: Callable[[Leaf], Node]) -> Node:
    """The condition with every leaf replaced by what `change` makes of it."""
    if isinstance(node, Leaf):
        return change(node)
    if isinstance(node, Not):
        return Not(rewrite(node.arg, change))
    args = tuple(rewrite(arg, change) for arg in node.args)
    return And(args) if isinstance(node, And) else Or(args)
