"""Random correlations and signals that meet often: few groups, small times, few values."""

from __future__ import annotations

from hypothesis import strategies as st

from soc.rules.correlation import NUMERIC, All, Bound, Correlation, Either, Expression, Lacks, Ref, lacking, needed
from soc.rules.signals import Signal

SECOND = 1_000_000
OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")


def rule(kind: str = "event_count", span: int = 60, *bounds: Bound, **more: object) -> Correlation:
    """A correlation for tests; times in seconds."""
    settings: dict[str, object] = {"id": "c", "title": "t", "level": "high", "hash": "h", "rules": ("r",), "group_by": ("g",), **more}
    return Correlation(type=kind, span_us=span * SECOND, bounds=bounds or (Bound("gte", 3),), **settings)  # type: ignore[arg-type]


def at(seconds: float, name: str = "", group: str = "a", rules: int = 1, values: tuple[str | int, ...] = (), correlation: str = "c") -> Signal:
    """A signal at a time in seconds."""
    return Signal(
        round(seconds * SECOND), ("real", group) if group else ("real",), name or f"e{seconds:08}", rules, correlation, values, (group,) if group else ()
    )


@st.composite
def expressions(draw: st.DrawFn, rules: int) -> Expression:
    """A boolean condition that uses each rule and does not hold on silence."""
    positive = draw(st.lists(st.sampled_from(range(rules)), min_size=1, max_size=rules, unique=True))
    literals: list[Expression] = [Ref(place) if place in positive else Lacks(place) for place in range(rules)]
    if len(positive) > 1 and draw(st.booleans()):
        return All((Either(tuple(Ref(place) for place in positive)), *(Lacks(place) for place in range(rules) if place not in positive)))
    return All(tuple(literals))


@st.composite
def correlations(draw: st.DrawFn, name: str = "c") -> Correlation:
    """A correlation of any type."""
    kind = draw(st.sampled_from(("event_count", "value_count", "temporal", "temporal_ordered", *NUMERIC)))
    temporal = kind.startswith("temporal")
    rules = draw(st.integers(1, 4)) if temporal else draw(st.integers(1, 2))
    bounds: tuple[Bound, ...] = tuple(
        Bound(draw(st.sampled_from(OPERATORS)), draw(st.integers(0, 5)), draw(st.sampled_from((1, 1, 2)))) for _ in range(draw(st.integers(1, 2)))
    )
    expression = None
    if temporal and draw(st.booleans()):
        bounds = ()
        expression = draw(expressions(rules))
        if kind == "temporal_ordered" and any(isinstance(arg, Either) for arg in getattr(expression, "args", ())):
            kind = "temporal"
        assert set(needed(expression)) | lacking(expression) == set(range(rules))
    return Correlation(
        id=name,
        title="t",
        level="low",
        hash="h",
        type=kind,
        rules=tuple(f"r{place}" for place in range(rules)),
        span_us=draw(st.integers(1, 12)),
        bounds=bounds,
        expression=expression,
        group_by=draw(st.sampled_from(((), ("g",), ("g",)))),
        fields=("f",) if kind.startswith("value_") else (),
        percentile=draw(st.sampled_from((0, 25, 50, 90, 99, 100))),
    )


@st.composite
def signals(draw: st.DrawFn, of: Correlation) -> list[Signal]:
    """Signals of a correlation: some at one instant, some repeated, some of two scopes."""
    out = []
    for number in range(draw(st.integers(0, 24))):
        ts = draw(st.integers(0, 40))
        scope = draw(st.sampled_from(("real", "real", "exercise:1")))
        group = (draw(st.sampled_from("ab")),) if of.group_by else ()
        values: tuple[str | int, ...] = ()
        if of.type in NUMERIC:
            values = tuple(draw(st.lists(st.sampled_from((0, 1, 2, 5, -3, "1/2", "-7/10")), min_size=1, max_size=2)))
        elif of.fields:
            values = tuple(draw(st.lists(st.sampled_from(("x", "y", "z", "w")), min_size=1, max_size=2, unique=True)))
        mask = draw(st.integers(1, (1 << len(of.rules)) - 1))
        out.append(Signal(ts, (scope, *group), f"e{number % 20:02}-{ts}", mask, of.id, values, group))
    return out
