from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import soc.rules
from soc.application.demo.traffic import firewall_lines, mail_lines
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.registry import installed
from soc.model.event import Doc
from soc.rules.engine import compile_ruleset
from soc.rules.load import load_paths

BEGIN = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
RECEIVED_US = 1_795_137_600_000_000
INCIDENTS = {
    "net_firewall_admin_login_from_outside",
    "net_firewall_botnet_c2",
    "net_firewall_ips_critical_from_inside",
    "net_firewall_ips_critical_not_blocked",
}
"""What the two incidents of the demonstration's half-hour set off; all its other lines are ordinary."""


def docs(product: str, lines: Iterable[str]) -> list[Doc]:
    """The events of raw lines."""
    parser = installed().get(product)
    out = []
    for line in lines:
        text, _ = decode(line.encode())
        parsed = parser.parse(frame(text), Context(RECEIVED_US))
        out.append({**parsed.doc, "soc.kind": parser.kind, "event.original": text})
    return out


def test_severe_rules_are_silent_on_ordinary_traffic() -> None:
    """Of half an hour of firewall and mail lines only those of the incidents alert at the levels that wake people."""
    ruleset, errors = load_paths([Path(soc.rules.__file__).parent / "content"])
    assert not errors
    engine = compile_ruleset(ruleset)
    events = docs("fortinet_fortigate", firewall_lines(2026, BEGIN)) + docs("postfix", mail_lines(2026, BEGIN))
    assert len(events) > 5_000
    fired = Counter(number for event in events for number in engine.classify(event).matches)
    severe = {Path(engine.rules[number].path).stem: count for number, count in fired.items() if engine.rules[number].level in {"high", "critical"}}
    assert set(severe) == INCIDENTS
    assert sum(severe.values()) < len(events) / 100
