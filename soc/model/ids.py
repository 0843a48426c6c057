"""Deterministic identities: nothing here is random, so a replay gives the same ids.

An event's id is the hash of its origin position, an alert's of its rule and event. 20 base32 characters carry
100 bits: at 10^10 events the chance of any collision is below 10^-10.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

_SEPARATOR = "\x1f"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 20
_DIGEST = 13
_HASH = blake2b(digest_size=8)
"""Copied for each hash, which is quicker than setting one up."""
_TOGETHER = 256
"""Ids whose characters are found by the same few operations on one large number."""


def digest_id(*parts: str) -> str:
    """20 lower-case base32 characters that identify `parts` (their order and borders count)."""
    return _digest(_SEPARATOR.join(parts))


def _digest(text: str) -> str:
    n = int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=13).digest(), "big") >> 4
    pairs = _PAIRS  # ten bits a step: base64.b32encode is Python and takes three times as long
    return (
        pairs[n >> 90]
        + pairs[n >> 80 & 1023]
        + pairs[n >> 70 & 1023]
        + pairs[n >> 60 & 1023]
        + pairs[n >> 50 & 1023]
        + pairs[n >> 40 & 1023]
        + pairs[n >> 30 & 1023]
        + pairs[n >> 20 & 1023]
        + pairs[n >> 10 & 1023]
        + pairs[n & 1023]
    )


def _steps() -> list[tuple[int, int, int]]:
    """How the groups of five bits at the top of 20 bytes get a byte each: (bits that stay, bits that move, how far to the right).

    Character k moves by 3(k + 1) bits, in as many steps as that has binary digits, the widest first, so that no two ever meet.
    """
    whole = (1 << 8 * _LENGTH) - 1
    at = [8 * _LENGTH - 5 * (place + 1) for place in range(_LENGTH)]
    steps = []
    for digit in (16, 8, 4, 2, 1):
        moving = [place for place in range(_LENGTH) if place + 1 & digit]
        mask = sum(0b11111 << at[place] for place in moving)
        steps.append((_repeated(whole & ~mask), _repeated(mask), 3 * digit))
        for place in moving:
            at[place] -= 3 * digit
    return steps


def _repeated(mask: int) -> int:
    return int.from_bytes(mask.to_bytes(_LENGTH, "big") * _TOGETHER, "big")


_STEPS = _steps()
_USED = _repeated(((1 << 5 * _LENGTH) - 1) << 3 * _LENGTH)
_CHARACTERS = _ALPHABET.encode() + bytes(256 - len(_ALPHABET))
_REST = bytes(_LENGTH - _DIGEST)


def event_ids(positions: Iterable[tuple[str, int, int]]) -> list[str]:
    """`event_id` of each (origin, seq, sub). Cost: half of `event_id` for many."""
    digests = [blake2b(_event_name(*position).encode("utf-8", "surrogateescape"), digest_size=_DIGEST).digest() for position in positions]
    out: list[str] = []
    for begin in range(0, len(digests), _TOGETHER):
        some = digests[begin : begin + _TOGETHER]
        size = _LENGTH * len(some)
        bits = int.from_bytes(_REST.join(some) + _REST, "big") & _USED
        for stay, move, by in _STEPS:
            bits = bits & stay | (bits & move) >> by
        text = bits.to_bytes(size, "big").translate(_CHARACTERS).decode()
        out += [text[at : at + _LENGTH] for at in range(0, size, _LENGTH)]
    return out


def event_id(origin: str, seq: int, sub: int = 0) -> str:
    """The id of the event at position `seq` (and sub-record `sub`) of the ordered log `origin`."""
    return _digest(_event_name(origin, seq, sub))


def _event_name(origin: str, seq: int, sub: int) -> str:
    return f"event\x1f{origin}\x1f{seq}\x1f{sub}"  # what `digest_id` joins, written out


def derived_event_id(base_event_id: str, what: str) -> str:
    """The id of an event that is made from others (`what` says how), named by the first of them."""
    return digest_id("derived", base_event_id, what)


def alert_id(rule_id: str, event: str) -> str:
    """The id of the alert of a single-event rule."""
    return "a-" + digest_id("alert", rule_id, event)


def shadow_name(rule_id: str) -> str:
    """What stands for a shadow rule in the ids of its alerts and groups: should it become live, those are others."""
    return "shadow\x1f" + rule_id


def group_id(rule_id: str, key: str, scope: str, generation: int = 0) -> str:
    """The id of the group that holds the alerts of one rule with one group key."""
    return "g-" + digest_id("group", rule_id, key, scope, str(generation))


def raw_hash(raw: bytes) -> str:
    """The hash that tells whether two records of one id hold the same bytes (16 hex characters)."""
    state = _HASH.copy()
    state.update(raw)
    return state.hexdigest()
