from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson

import soc.rules
from bench.lines import lines as bench_lines
from soc.application.demo.traffic import firewall_lines, mail_lines
from soc.ingest.assembly import Assembly
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.parsers.postfix.parser import ASSEMBLER
from soc.ingest.registry import installed
from soc.model.event import Doc
from soc.rules.collection import load_collection
from soc.rules.engine import compile_ruleset
from soc.rules.evaluate import evaluate
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


CORRELATED = {
    "mail_spam_wave",
    "mail_spam_wave_delivered",
    "net_admin_password_guessed",
    "net_beacon_botnet",
    "net_exploit_then_botnet",
    "web_bad_page_many_computers",
}
"""What they set off together: waves, guessing, a server that was taken, a page that many ask for."""
LINES_PER_ALERT = 2_000


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


def with_mails(product: str, lines: Iterable[str]) -> list[Doc]:
    """The events of raw lines, and the mails that their lines make."""
    out: list[Doc] = []
    assembly = Assembly(ASSEMBLER, {})
    for number, doc in enumerate(docs(product, lines)):
        out.append(doc)
        if product == "postfix":
            moment = round(datetime.fromisoformat(doc["@timestamp"]).timestamp() * 1e6)
            out += [mail.doc for mail in assembly.fold(f"e{number}", moment, 0, doc)]
    return out


def correlated(events: list[Doc]) -> Counter[tuple[str, str]]:
    """How often each correlation alerts, with its level."""
    collection, errors, _ = load_collection([Path(soc.rules.__file__).parent / "content"])
    assert not errors
    names = {rule.id: Path(rule.path).stem for rule in collection.correlations}
    found = evaluate(collection, [orjson.dumps(event) for event in events])
    return Counter((names[alert["rule_id"]], alert["level"]) for alert in found.alerts if alert["rule_id"] in names)


def test_correlations_find_the_incidents_and_little_else() -> None:
    """Of the same half-hour the incidents and the waves of spam; none of the others."""
    events = with_mails("fortinet_fortigate", firewall_lines(2026, BEGIN)) + with_mails("postfix", mail_lines(2026, BEGIN))
    found = correlated(events)
    assert {name for name, _ in found} == CORRELATED
    assert sum(found.values()) < 10


def test_correlations_are_rare_on_traffic_of_a_network() -> None:
    """Less than one alert in 2,000 lines, none of them critical; the lines call eight popular sites malicious now and then, which is most of it."""
    lines = list(bench_lines(30_000))
    mail = [line for line in lines if " postfix/" in line or " amavis[" in line]
    chosen = set(mail)
    events = with_mails("fortinet_fortigate", (line for line in lines if line not in chosen)) + with_mails("postfix", mail)
    found = correlated(events)
    assert sum(found.values()) < len(lines) / LINES_PER_ALERT
    assert "critical" not in {level for _, level in found}
