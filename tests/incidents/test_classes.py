"""How incidents are classed."""

from __future__ import annotations

import pytest

from soc.incidents.classes import CODES, GROUPS, group_of


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("availability/ddos", "N3"),
        ("availability/dos", "N3"),
        ("availability/outage", "N9"),  # a source gone silent is no denial of service
        ("availability/misconfiguration", "N9"),
        ("availability/sabotage", "N5"),
        ("malicious-code/infected-system", "N1"),
        ("intrusion-attempts/brute-force", "N2"),
        ("information-content-security/data-leak", "N4"),
        ("fraud/phishing", "N6"),
        ("", ""),
    ],
)
def test_codes_belong_to_groups(code: str, group: str) -> None:
    """As the proposal of the office has them."""
    assert group_of(code) == group


def test_every_code_has_a_group() -> None:
    """Of those that documents have a name for."""
    assert {group_of(code) for code in CODES} <= set(GROUPS)
