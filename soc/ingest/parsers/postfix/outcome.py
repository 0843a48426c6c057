"""The event that a mail ends as."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from soc.ingest.normalize import iso
from soc.ingest.parser import Parsed
from soc.ingest.parsers.postfix.address import ip_of
from soc.ingest.parsers.postfix.message import BLOCKED, BOUNCED, DEFERRED, DELIVERED, PASSED, Mail
from soc.model.campaign import campaign_keys, network_of
from soc.model.event import Doc


def natural_key(mail: Mail) -> str:
    """Host, first queue id, second of its first line: a queue id may be used again later."""
    return f"postfix.message\x1f{mail.host}\x1f{mail.queue_id}\x1f{mail.start_us // 1_000_000}"


def _action(mail: Mail, outcomes: AbstractSet[str]) -> str:
    if mail.refused or (BLOCKED in outcomes and not outcomes & {DELIVERED, PASSED, DEFERRED, BOUNCED}):
        return "mail-quarantined" if mail.quarantine else "mail-blocked"
    for became, action in ((DELIVERED, "mail-delivered"), (BOUNCED, "mail-bounced"), (DEFERRED, "mail-deferred")):
        if became in outcomes:
            return action
    if mail.held:
        return "mail-quarantined"
    return "mail-relayed" if outcomes else ""


_OUTCOMES = {"mail-delivered": "success", "mail-relayed": "success", "mail-deferred": "unknown"}


def finished(mail: Mail, key: str = "") -> Parsed | None:
    """The message event; None when nothing was decided about a mail (an abandoned session, an address verification)."""
    recipients: dict[str, list[str]] = {}
    for recipient, became in mail.recipients.items():
        recipients.setdefault(became, []).append(recipient)
    action = _action(mail, recipients.keys())
    if not action or mail.probe:
        return None
    end = iso(mail.end_us)
    start = end if mail.start_us == mail.end_us else iso(mail.start_us)
    blocked = action in ("mail-blocked", "mail-quarantined")
    doc: Doc = {
        "@timestamp": end,
        "event.kind": "event",
        "event.category": ["email", "malware"] if mail.verdict in ("virus", "phish") else ["email"],
        "event.type": ["info"],
        "event.module": "postfix",
        "event.dataset": "postfix.message",
        "event.action": action,
        "event.outcome": _OUTCOMES.get(action, "failure"),
        "event.start": start,
        "event.end": end,
        "event.duration": (mail.end_us - mail.start_us) * 1000,
        "soc.kind": "mail",
        "soc.blocked": blocked,
        "soc.mail.verdict": mail.verdict or ("rejected" if mail.refused else "unknown"),
        "soc.mail.recipients": len(mail.recipients) + mail.more_recipients,
        "soc.mail.event_ids": list(mail.lines),
    }
    if mail.recipients:
        doc["email.to.address"] = list(mail.recipients)
        for became, several in recipients.items():
            doc[_LISTS[became]] = several
    if mail.host:
        doc["host.hostname"] = doc["host.name"] = mail.host
    if mail.queue_id:
        doc["email.local_id"] = mail.queue_id
    if len(mail.closed) + len(mail.open) > 1:
        doc["postfix.queue_ids"] = [mail.queue_id, *(q for q in mail.closed + mail.open if q != mail.queue_id)]
    _optional(mail, doc)
    doc["message"] = _sentence(mail, action)
    return Parsed(doc, mail.end_us, key or natural_key(mail))


_LISTS = {
    DELIVERED: "soc.mail.delivered_to",
    BLOCKED: "soc.mail.blocked_to",
    BOUNCED: "soc.mail.bounced_to",
    DEFERRED: "soc.mail.deferred_to",
    PASSED: "soc.mail.relayed_to",
}


def _optional(mail: Mail, doc: Doc) -> None:
    if mail.sender:
        doc["email.from.address"] = [mail.sender]
    if mail.client_ip and ip_of(mail.client_ip):
        doc["source.ip"] = doc["source.address"] = mail.client_ip
        if mail.client_port:
            doc["source.port"] = mail.client_port
        doc["soc.mail.network"] = network_of(mail.client_ip)
    if campaign := campaign_keys(subject=mail.subject, content=mail.content, address=mail.client_ip, sender=mail.sender):
        doc["soc.mail.campaign"] = campaign
    if mail.score is not None:
        doc["soc.mail.score"] = mail.score
    if mail.size:
        doc["soc.mail.size"] = mail.size
    for field, value in (
        ("source.domain", mail.client_domain),
        ("user.name", mail.user),
        ("email.message_id", mail.message_id),
        ("email.subject", mail.subject),
        ("rule.name", mail.rule),
        ("event.reason", mail.reason),
        ("soc.mail.quarantine", mail.quarantine),
        ("postfix.helo", mail.helo),
        ("postfix.relay", mail.relay),
        ("postfix.dsn", mail.dsn),
        ("amavis.id", mail.filter_id),
    ):
        if value:
            doc[field] = value


def _sentence(mail: Mail, action: str) -> str:
    """The event in one line, for lists and full text."""
    to = ", ".join(f"<{recipient}>" for recipient in list(mail.recipients)[:3]) + (", …" if len(mail.recipients) > 3 else "")  # noqa: PLR2004 - enough to recognise it
    why = f" ({mail.verdict or 'unknown'}{': ' + mail.rule if mail.rule else ''})"
    return f"{action} <{mail.sender}> -> {to or '<>'}{why}{' ' + mail.subject if mail.subject else ''}"
