from __future__ import annotations

import re

from soc.rules.attack import attack, attack_tags, read_tags


def test_the_shipped_data_hold_together() -> None:
    """Every sub-technique has its technique, every tactic is one of the matrix, what is revoked points at what is not."""
    data = attack()
    tactics = set(data.tactic_names())
    assert len(tactics) == 15
    assert len(data.techniques) > 650
    for name, (title, where) in data.techniques.items():
        assert re.fullmatch(r"T[0-9]{4}(\.[0-9]{3})?", name)
        assert title
        assert where
        assert set(where) <= tactics
        assert name.partition(".")[0] in data.techniques
    assert set(data.revoked.values()) <= set(data.techniques)
    assert not set(data.revoked) & set(data.techniques)
    assert {new for several in data.former_tactics.values() for new in several} <= tactics
    assert "MITRE" in data.source


def test_tags_are_told_apart() -> None:
    """Techniques, tactics, revoked and unknown ones, sub-techniques of a later version; groups, software and other tags are no techniques."""
    tags = read_tags(
        (
            "attack.t1190",
            "attack.t1566.002",
            "attack.initial-access",
            "attack.defense-evasion",
            "attack.t1562.004",
            "attack.t1566.099",
            "attack.t9999",
            "attack.g0016",
            "attack.s0002",
            "cve.2026.1",
            "attack.x",
        )
    )
    assert tags.techniques == ("T1190", "T1566.002", "T1686", "T1566")
    assert tags.tactics == ("initial-access", "defense-evasion")
    assert tags.revoked == {"T1562.004": "T1686"}
    assert tags.newer == ("attack.t1566.099",)
    assert tags.unknown == ("attack.t9999", "attack.x")


def test_tags_that_rules_may_name() -> None:
    """None that was revoked."""
    assert {"attack.initial-access", "attack.t1190", "attack.t1566.002", "attack.g0016"} <= attack_tags()
    assert not {"attack.t1562.004", "attack.defense-evasion"} & attack_tags()
