"""MITRE ATT&CK for Enterprise: tactics, techniques with names, what was revoked and by what; shipped as data, never fetched.

Source: `attack.json` (https://attack.mitre.org/). Cost: 3 ms when first asked.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


class Attack(msgspec.Struct, frozen=True):
    """The data. `tactics`: short name by id, in the order of the matrix; `techniques`: name and tactics by id; `former_tactics`: names that a newer version split or changed, and what they became; `revoked`: the technique that took its place."""

    version: str
    source: str
    tactics: dict[str, str]
    former_tactics: dict[str, list[str]]
    groups: frozenset[str]
    software: frozenset[str]
    revoked: dict[str, str]
    techniques: dict[str, tuple[str, tuple[str, ...]]]

    def tactic_names(self) -> tuple[str, ...]:
        """The short names of the tactics, in the order of the matrix."""
        return tuple(self.tactics.values())


class Tags(msgspec.Struct, frozen=True):
    """What the ATT&CK tags of a rule say: techniques that are known, those revoked (old: new), those unknown, and tactics."""

    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    revoked: dict[str, str]
    unknown: tuple[str, ...]
    newer: tuple[str, ...]
    """Sub-techniques that the data do not have of a technique that they have."""


@cache
def attack() -> Attack:
    """The shipped data."""
    return msgspec.json.decode(files("soc.rules").joinpath("attack.json").read_bytes(), type=Attack)


def attack_tags() -> frozenset[str]:
    """The tags that rules may name: tactics, techniques that are not revoked, groups and software."""
    data = attack()
    names = [*data.tactics.values(), *data.techniques, *data.groups, *data.software]
    return frozenset("attack." + name.lower() for name in names)


def read_tags(tags: tuple[str, ...]) -> Tags:
    """What the tags of a rule that begin with `attack.` say. A revoked technique counts as the one that took its place."""
    data = attack()
    techniques: dict[str, None] = {}
    tactics: dict[str, None] = {}
    revoked: dict[str, str] = {}
    unknown: list[str] = []
    newer: list[str] = []
    known_tactics = set(data.tactics.values())
    for tag in tags:
        if not tag.startswith("attack."):
            continue
        name = tag.removeprefix("attack.")
        upper = name.upper()
        if name in known_tactics or name in data.former_tactics:
            tactics[name] = None
        elif upper in data.techniques:
            techniques[upper] = None
        elif upper in data.revoked:
            revoked[upper] = data.revoked[upper]
            techniques[data.revoked[upper]] = None
        elif upper in data.groups or upper in data.software or upper in data.tactics:
            continue
        elif upper.partition(".")[0] in data.techniques:
            newer.append(tag)
            techniques[upper.partition(".")[0]] = None
        else:
            unknown.append(tag)
    return Tags(tuple(techniques), tuple(tactics), revoked, tuple(unknown), tuple(newer))
