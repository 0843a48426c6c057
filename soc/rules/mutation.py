"""Changes of a rule that its tests should notice."""

from __future__ import annotations

from collections.abc import Iterator

from soc.rules.ast import And, Node, Not, Or


def mutants(condition: Node) -> Iterator[tuple[str, Node]]:
    """Weaker conditions: each with one part of the outermost AND left out, or the whole taken as true.

    A rule whose tests do not notice has a part that nothing shows to be needed.
    """
    always = Or((condition, Not(condition)))
    if isinstance(condition, And):
        for number in range(len(condition.args)):
            rest = condition.args[:number] + condition.args[number + 1 :]
            yield f"without part {number + 1}", And(rest)
    else:
        yield "always true", always
    yield "never true", Not(always)
