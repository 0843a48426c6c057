"""Deterministic identities: nothing here is random, so a replay gives the same ids.

An event's id is the hash of its origin position, an alert's of its rule and event. 20 base32 characters carry
100 bits: at 10^10 events the chance of any collision is below 10^-10.
"""

from __future__ import annotations

from hashlib import blake2b

_SEPARATOR = "\x1f"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


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


def event_id(origin: str, seq: int, sub: int = 0) -> str:
    """The id of the event at position `seq` (and sub-record `sub`) of the ordered log `origin`."""
    return _digest(f"event\x1f{origin}\x1f{seq}\x1f{sub}")  # `digest_id`, written out


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
    return blake2b(raw, digest_size=8).hexdigest()
