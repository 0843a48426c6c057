"""Identities are functions of what they identify, and of nothing else."""

from __future__ import annotations

import base64
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.model.ids import alert_id, derived_event_id, digest_id, event_id, group_id, raw_hash

PARTS = st.lists(st.text(max_size=10), min_size=1, max_size=4)


@given(PARTS)
def test_an_id_is_the_hash_in_base32(parts: list[str]) -> None:
    """The fast spelling is that of the standard library: the first 100 bits, lower case."""
    digest = blake2b("\x1f".join(parts).encode("utf-8", "surrogateescape"), digest_size=13).digest()
    assert digest_id(*parts) == base64.b32encode(digest).decode().lower()[:20]


def test_ids_do_not_change_between_versions() -> None:
    """Stored ids must be found again: these were given by the first version."""
    assert event_id("collector:0123456789abcdef/fw", 7) == "mhihrygan5sef3i236vs"
    assert raw_hash(b"line") == "36093ea6e992cef0"


@pytest.mark.parametrize(
    "other", [event_id("p", 1, 1), event_id("p", 2), event_id("q", 1), derived_event_id("p", "1"), alert_id("p", "1"), group_id("p", "1", "real")]
)
def test_what_is_different_has_another_id(other: str) -> None:
    """Position, sub-record, log and sort of thing all count."""
    assert other != event_id("p", 1)


def test_scope_and_generation_part_groups() -> None:
    """An exercise never falls into a real group, and a closed group is not opened again."""
    assert len({group_id("r", "k", scope, generation) for scope in ("real", "exercise:1") for generation in (0, 1)}) == 4
