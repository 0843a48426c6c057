"""Signals: what a correlation is told of an event that one of its rules matched, and nothing else of it.

A signal is small, plain and complete: the log of signals is all that correlation needs, now and in a replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from itertools import islice, product
from typing import Any

from soc.model.signal import Signal
from soc.rules.correlation import NUMERIC, Correlation
from soc.rules.values import fold, number_of, scalars, text_of

__all__ = ["MOST_KEYS", "MOST_TEXT", "Extractor", "Signal", "chained", "exact", "is_private", "key_text", "of_alert", "shape_of"]

MOST_KEYS = 64
"""Groups (or combinations of values) that one event may count in, where its fields hold several values."""
MOST_TEXT = 256
"""Longer values are told apart by their beginning and a hash."""

_LEAST, _LARGEST = -(1 << 63), (1 << 64) - 1

_PRIVATE = {
    4: [ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")],
    6: [ip_network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")],
}
_ADDRESS_ENDS = frozenset("0123456789abcdefABCDEF:")

FieldsOf = Callable[[str], tuple[str, ...]]
"""The fields of events that a field named in a rule may be; the first that has a value counts."""


class Extractor:
    """Makes the signals of one correlation from events that its rule number `place` matched.

    `fields_of`: how the events call a field (see `soc.rules.fields`); by default as the rule does. `place_of`: where private
    addresses of an event are, as `field=value` ("" = unknown); it then stands behind the group values.
    """

    def __init__(
        self, rule: Correlation, place: int, fields_of: FieldsOf = lambda field: (field,), place_of: Callable[[Mapping[str, Any]], str] | None = None
    ) -> None:
        member = rule.rules[place]
        self._rule = rule
        self._bit = 1 << place
        self._shape = shape_of(rule)
        self._place_of = place_of
        self._group = [fields_of(rule.aliases.get(name, {}).get(member, name)) for name in rule.group_by]
        self._fields = [fields_of(rule.aliases.get(name, {}).get(member, name)) for name in rule.fields]
        self._numeric = rule.type in NUMERIC

    def signals(self, doc: Mapping[str, Any], ts: int, event_id: str, scope: str = "real") -> list[Signal]:
        """The signals of an event: none when it lacks a group field or a value, several when a group field has several values."""
        values = self._values(doc)
        if values is None:
            return []
        rule = self._rule
        if not self._group:
            return [Signal(ts, (scope,), event_id, self._bit, rule.id, values, (), self._shape)]
        columns = [_texts(doc, fields) for fields in self._group]
        if set(map(len, columns)) == {1}:  # nearly always
            keys, shown = zip(*[column[0] for column in columns], strict=True)
            if self._place_of is not None and any(map(is_private, shown)) and (place := self._place_of(doc)):
                key, text = key_text(place)
                keys, shown = (*keys, key), (*shown, text)
            return [Signal(ts, (scope, *keys), event_id, self._bit, rule.id, values, shown, self._shape)]
        if self._place_of is not None and any(is_private(text) for column in columns for _, text in column) and (place := self._place_of(doc)):
            columns.append([key_text(place)])
        found: dict[tuple[str, ...], tuple[str, ...]] = {}
        for combination in islice(product(*columns), MOST_KEYS):
            found.setdefault((scope, *(key for key, _ in combination)), tuple(text for _, text in combination))
        return [Signal(ts, names, event_id, self._bit, rule.id, values, texts, self._shape) for names, texts in found.items()]

    def _values(self, doc: Mapping[str, Any]) -> tuple[str | int, ...] | None:
        if not self._fields:
            return ()
        if self._numeric:
            return tuple(found for value in _scalars(doc, self._fields[0]) if (found := exact(value)) is not None) or None
        if len(self._fields) == 1:
            return tuple(dict.fromkeys([key for key, _ in _texts(doc, self._fields[0])])) or None
        columns = [[key for key, _ in _texts(doc, fields)] for fields in self._fields]
        return tuple(dict.fromkeys("\x1f".join(parts) for parts in islice(product(*columns), MOST_KEYS))) or None


def shape_of(rule: Correlation) -> str:
    """What tells whether signals made for an earlier text of a correlation are still what it asks for: its rules, groups and fields."""
    parts = [*rule.rules, "", *rule.group_by, "", *rule.fields, str(rule.type in NUMERIC)]
    parts += [f"{alias}\x1e{rule_id}\x1e{field}" for alias, mapping in sorted(rule.aliases.items()) for rule_id, field in sorted(mapping.items())]
    return blake2b("\x1f".join(parts).encode(), digest_size=4).hexdigest()


_PRIVATE_HEADS = frozenset(str(network.network_address).partition(".")[0] for network in _PRIVATE[4])


def is_private(text: str) -> bool:
    """Whether a text is an address that means something only with its place; those kept for documents are not.

    Cost: 0.2 µs for a public IPv4 address, 3 µs for others not seen lately. Source: RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291.
    """
    return (text.partition(".")[0] in _PRIVATE_HEADS or ":" in text) and _is_private(text)


@lru_cache(maxsize=8_192)
def _is_private(text: str) -> bool:
    if not text or text[-1] not in _ADDRESS_ENDS:
        return False
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE[address.version])


def exact(value: Any) -> int | str | None:
    """A scalar as an exact number (the decimal that is written, not the nearest binary one); None when it is none.

    An integer of more than 64 bits is `numerator/1`: signals are written as messagepack, which has none that large.
    """
    found = number_of(value)
    if found is None:
        return None
    number = found if isinstance(found, int) else Fraction(str(value).strip() if isinstance(value, str) else repr(found))
    if number.denominator == 1 and _LEAST <= number.numerator <= _LARGEST:
        return number.numerator
    return f"{number.numerator}/{number.denominator}"


def key_text(value: Any) -> tuple[str, str]:
    """A value as it tells groups apart (folded), and as it is shown."""
    shown = text_of(value)
    if not shown.isascii():
        shown = shown.encode("utf-8", "backslashreplace").decode("utf-8")  # half a character cannot be written to any log
    key = fold(shown)
    if len(key) > MOST_TEXT:
        key = key[: MOST_TEXT - 32] + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return key, shown[:MOST_TEXT]


_key_text = lru_cache(maxsize=8_192)(key_text)
"""Of texts only: devices repeat them, and 1 and True are one key."""


def _scalars(doc: Mapping[str, Any], fields: tuple[str, ...]) -> list[Any]:
    for field in fields:
        found = list(islice(scalars(doc.get(field)), MOST_KEYS))
        if found:
            return found
    return []


def _texts(doc: Mapping[str, Any], fields: tuple[str, ...]) -> list[tuple[str, str]]:
    value = doc.get(fields[0]) if fields else None
    if value.__class__ is str:
        return [_key_text(value) if len(value) <= MOST_TEXT else key_text(value)]
    return [key_text(value) for value in _scalars(doc, fields)]


def chained(rule: Correlation, child: Correlation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the group values and the values that `rule` needs stand among the group values of one of its rules, a correlation.

    Raises: KeyError (the name) for one that the child is not grouped by.
    """

    def place_of(name: str) -> int:
        field = rule.aliases.get(name, {}).get(child.id, name)
        if field not in child.group_by:
            raise KeyError(field)
        return child.group_by.index(field)

    return tuple(map(place_of, rule.group_by)), tuple(map(place_of, rule.fields))


def of_alert(rule: Correlation, place: int, child: Correlation, ts: int, alert_id: str, key: tuple[str, ...], shown: tuple[str, ...]) -> Signal | None:
    """The signal that an alert of a correlation is to `rule`; None when its value is no number where one is needed."""
    group, fields = chained(rule, child)
    values: tuple[str | int, ...] = ()
    if fields and rule.type in NUMERIC:
        found = exact(shown[fields[0]])
        if found is None:
            return None
        values = (found,)
    elif fields:
        values = ("\x1f".join(key[1 + at] for at in fields),)
    keys, texts = tuple(key[1 + at] for at in group), tuple(shown[at] for at in group)
    if len(shown) > len(child.group_by) and any(map(is_private, texts)):  # the place of private addresses goes with them
        keys, texts = (*keys, key[-1]), (*texts, shown[-1])
    return Signal(ts, (key[0], *keys), alert_id, 1 << place, rule.id, values, texts)
