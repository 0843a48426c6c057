from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from soc.model.signal import Signal
from soc.rules.correlation import Bound, Correlation
from soc.rules.routes import Routes
from soc.rules.signals import of_alert

SPAN = 60_000_000


def rule(name: str, rules: tuple[str, ...], group_by: tuple[str, ...], aliases: dict[str, dict[str, str]] | None = None) -> Correlation:
    """A correlation, count of at least two."""
    return Correlation(name, name, "high", name, "event_count", rules, SPAN, (Bound("gte", 2),), group_by=group_by, aliases=aliases or {})


def signal(correlation: str, *key: str) -> Signal:
    """A signal of a group in the real scope."""
    return Signal(1, ("real", *key), "e1", 1, correlation)


def test_groups_of_one_correlation_have_keys_of_their_own() -> None:
    """Correlation, scope and group values all tell keys apart, and nothing else does."""
    routes = Routes([rule("a", ("x",), ("u", "h")), rule("b", ("x",), ("u", "h"))])
    signals = [Signal(1, (scope, user, host), "e", 1, name) for name, scope, user, host in product("ab", ("real", "exercise:1"), ("u1", "u2"), ("h1", "h2"))]
    assert len({routes.key(one) for one in signals}) == len(signals)
    assert routes.key(signals[0]) == routes.key(Signal(9, signals[0].key, "other", 2, "a"))
    assert routes.only_key("a") is None


def test_a_correlation_of_correlations_stands_where_its_signals_do() -> None:
    """The alert of a child is a signal to its parent: it has the key of the child's own signals, through aliases and two steps."""
    low = rule("low", ("x",), ("user.name", "source.ip", "host.name"))
    middle = rule("middle", ("low",), ("who", "host.name"), {"who": {"low": "user.name"}})
    top = rule("top", ("middle", "y"), ("place",), {"place": {"middle": "host.name"}})
    routes = Routes([low, middle, top])
    first = signal("low", "an", "192.0.2.1", "h7")
    second = of_alert(middle, 0, low, 5, "c-1", first.key, ("An", "192.0.2.1", "H7"))
    assert second is not None
    third = of_alert(top, 0, middle, 5, "c-2", second.key, second.shown)
    assert third is not None
    assert third.key == ("real", "h7")
    assert routes.key(first) == routes.key(second) == routes.key(third)
    assert routes.key(signal("low", "an", "192.0.2.1", "h8")) != routes.key(first)


def test_a_chain_with_two_ends_has_one_key() -> None:
    """What is told two correlations that stand for different groups can only meet in one place."""
    low = rule("low", ("x",), ("u", "h"))
    routes = Routes([low, rule("by user", ("low",), ("u",)), rule("by host", ("low",), ("h",)), rule("alone", ("x",), ("u",))])
    keys = {routes.key(one) for one in (signal("low", "u1", "h1"), signal("low", "u2", "h2"), signal("by user", "u1"), signal("by host", "h1"))}
    assert len(keys) == 1
    assert keys == {routes.only_key(name) for name in ("low", "by user", "by host")}
    assert routes.key(signal("alone", "u1")) not in keys


def test_a_correlation_without_groups_has_one_key() -> None:
    """Scopes do not matter to it: what is judged by silence must be known to live somewhere before anything comes."""
    routes = Routes([rule("all", ("x",), ())])
    assert routes.key(signal("all")) == routes.key(Signal(1, ("exercise:1",), "e", 1, "all")) == routes.only_key("all")


def test_two_ways_that_keep_different_values_have_one_key() -> None:
    """A diamond whose sides project the same child differently stays together as well."""
    low = rule("low", ("x",), ("a", "b"))
    left = rule("left", ("low",), ("v",), {"v": {"low": "a"}})
    right = rule("right", ("low",), ("v",), {"v": {"low": "b"}})
    top = rule("top", ("left", "right"), ("v",))
    routes = Routes([low, left, right, top])
    assert (
        len({routes.key(one) for one in (signal("low", "1", "2"), signal("low", "3", "4"), signal("left", "1"), signal("right", "2"), signal("top", "2"))}) == 1
    )


def test_a_correlation_that_is_not_known_is_keyed_by_its_own_group() -> None:
    """Signals of a rule that was just taken away go somewhere, and are judged by nobody."""
    assert Routes([]).key(signal("gone", "u1")) == Routes([]).key(signal("gone", "u1")) != Routes([]).key(signal("gone", "u2"))


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=20))
def test_whatever_meets_in_a_parent_has_one_key(groups: list[tuple[str, str, str]]) -> None:
    """For any values: children of one group of the parent are together with it, also with hostile ones."""
    low = rule("low", ("x",), ("u", "i", "h"))
    top = rule("top", ("low",), ("h", "u"))
    routes = Routes([low, top])
    for group in groups:
        child = signal("low", *group)
        parent = of_alert(top, 0, low, 5, "c-1", child.key, group)
        assert parent is not None
        assert routes.key(child) == routes.key(parent)
