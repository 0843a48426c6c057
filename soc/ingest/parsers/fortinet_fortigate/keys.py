"""Says what identifies one occurrence at its device, from `natural_key.yml` (dated data)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from hashlib import blake2b
from importlib import resources
from operator import itemgetter
from typing import Any, NamedTuple

import yaml

from soc.ingest.normalize import midnight_us

SEPARATOR = "\x1f"
PREFIX = "fortigate" + SEPARATOR


class Entry(NamedTuple):
    """One way to identify an occurrence, for events since `since_us` (microseconds since 1970)."""

    since_us: int
    fields: tuple[str, ...]
    digits: dict[str, int]


@cache
def entries() -> tuple[Entry, ...]:
    """The content of `natural_key.yml`."""
    data: list[dict[str, Any]] = yaml.safe_load(resources.files(__package__).joinpath("natural_key.yml").read_text(encoding="utf-8"))
    return tuple(Entry(_since(item["since"]), tuple(item["fields"]), dict(item.get("digits", {}))) for item in data)


def _since(value: date | str) -> int:
    us: int = midnight_us(str(value))
    return us


Identify = Callable[[Sequence[str], int], str]


def natural_key_fields(at: Mapping[str, int]) -> Identify:
    """What makes the key of a line whose values stand at these positions: (values, time in microseconds) → key, "" = by its text."""
    identify: Identify = _by_text
    for entry in reversed(entries()):
        if all(name in at for name in entry.fields):
            identify = _by_fields(entry, at, identify)
    return identify


IdentifyAll = Callable[[Sequence[Sequence[str]], Sequence[int]], "list[str] | None"]


def natural_keys(at: Mapping[str, int]) -> IdentifyAll:
    """What makes the keys of many lines, given their values key by key and their times; None where each must be asked for by itself."""
    entry = next((entry for entry in entries() if all(name in at for name in entry.fields)), None)
    if entry is None:
        return lambda _columns, times: [""] * len(times)
    since_us = entry.since_us
    places = [at[name] for name in entry.fields]
    digits = [(at[name], length) for name, length in entry.digits.items()]

    def identify(columns: Sequence[Sequence[str]], times: Sequence[int]) -> list[str] | None:
        if min(times) < since_us or any(set(map(len, columns[place])) != {length} for place, length in digits):
            return None
        return [PREFIX + key for key in map(SEPARATOR.join, zip(*(columns[place] for place in places), strict=True))]

    return identify


def _by_text(_values: Sequence[str], _ts_us: int) -> str:
    return ""


def _by_fields(entry: Entry, at: Mapping[str, int], otherwise: Identify) -> Identify:
    since_us = entry.since_us
    get = itemgetter(*[at[name] for name in entry.fields])  # at least two fields
    digits = [(at[name], length) for name, length in entry.digits.items()]

    def identify(values: Sequence[str], ts_us: int) -> str:
        if ts_us < since_us:
            return otherwise(values, ts_us)
        for position, length in digits:
            if len(values[position]) != length:
                return otherwise(values, ts_us)
        return PREFIX + SEPARATOR.join(get(values))

    return identify


def key_of_text(message: str) -> str:
    """The key of a line that only its text identifies."""
    return PREFIX + blake2b(message.strip().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
