from __future__ import annotations

import msgspec
from hypothesis import given

from soc.rules.ast import And, Leaf, LogSource, Node, Not, Or, leaves, rewrite
from tests.rules.strategies import conditions

A, B, C = (Leaf("f", "equals", text) for text in "abc")


def test_leaves_come_left_to_right() -> None:
    """All of them, through every kind of branch."""
    assert list(leaves(And((A, Not(Or((B, C))))))) == [A, B, C]


def test_rewriting_keeps_the_shape() -> None:
    """Leaves are replaced, branches stay."""
    assert rewrite(And((A, Not(Or((B, C))))), lambda leaf: Or((leaf, A))) == And((Or((A, A)), Not(Or((Or((B, A)), Or((C, A)))))))


@given(conditions)
def test_a_condition_survives_the_cache(condition: Node) -> None:
    """Trees are plain data: written and read they are the same (texts without lone surrogates, which no file can hold)."""
    text = msgspec.json.encode(
        rewrite(condition, lambda leaf: msgspec.structs.replace(leaf, pattern=_clean(leaf.pattern), parts=tuple(_clean(part) for part in leaf.parts)))
    )
    assert msgspec.json.encode(msgspec.json.decode(text, type=Node)) == text


def _clean(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def test_a_log_source_shows_what_it_says() -> None:
    """Only the parts that are said."""
    assert str(LogSource(product="fortinet", service="ips")) == "product: fortinet, service: ips"
