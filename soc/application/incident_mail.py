"""An incident from a forwarded mail: what it proposes, and opening it with the mail kept as evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from soc.application import evidence, incidents
from soc.application.access import acting, require
from soc.application.app import App
from soc.application.numbered import FUTURE_US
from soc.clock import from_iso, iso
from soc.errors import Conflict, Phrase, UsageError
from soc.incidents.model import Incident
from soc.intel.observables import Observable, every, read
from soc.model.fact import Behalf
from soc.model.mail import MOST_BYTES, Mail
from soc.model.mail import read as read_mail
from soc.organization.model import Agency, Mailbox
from soc.organization.registry import Registry

OLDEST_US = 400 * 86_400_000_000
"""A mail says it is older: its clock is wrong, and the time of detection is asked for."""
MOST_SUMMARY = 10_000
MOST_TITLE = 300
# Reference: how programs mark what is forwarded or answered: Fwd: Re: Fw: TR: Chuyển tiếp: (each at most ten times)
_MARKS = re.compile(r"^(?:(?:fwd?|re|tr|aw|wg|chuyển tiếp|trả lời)\s*:\s*){1,10}", re.IGNORECASE)


class Proposal(msgspec.Struct, frozen=True):
    """What a mail proposes: the fields of an incident, what it names, and the incident that it is already ("" = none)."""

    mail: Mail
    raw: bytes
    fields: dict[str, Any]
    observables: list[dict[str, Any]]
    known_as: str = ""


def look(app: App, file: Path) -> Proposal:
    """What a mail proposes; nothing is recorded, and nothing of it is written to the disk.

    Raises: UsageError: no file that can be read, too large, no mail.
    """
    require(app, "incidents.open")
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(Phrase("{path} cannot be read: {strerror}", path=file, strerror=error.strerror)) from error
    mail = read_mail(raw)
    return Proposal(mail, raw, _fields(app, mail), _observables(mail), _known(app, reference(mail)))


def reference(mail: Mail) -> str:
    """How the incident names its mail: the message id, or the hash of the mail where it has none."""
    return f"<{mail.message_id}>"[:500] if mail.message_id else f"sha256:{mail.sha256}"


def _fields(app: App, mail: Mail) -> dict[str, Any]:
    now = app.clock.now_us()
    sent = from_iso(mail.date) if mail.date else 0
    usable = mail.date if now - OLDEST_US <= sent <= now + FUTURE_US else ""
    who = " ".join(filter(None, (mail.sender_name, f"<{mail.sender}>" if mail.sender else "")))[:500]
    agency = _agency(app, mail.sender)
    return {
        "title": _MARKS.sub("", mail.subject).strip()[:MOST_TITLE] or (mail.text.split("\n", 1)[0][:MOST_TITLE]),
        "summary": mail.text[:MOST_SUMMARY],
        "reported_by": who,
        "reported_at": usable or iso(now),
        "detected_at": usable or iso(now),
        "detected_by": who,
        "channel": "mail",
        "reference": reference(mail),
        "agencies": [agency] if agency else [],
    }


def _agency(app: App, sender: str) -> str:
    """Whose mailbox wrote it, or else whose domain."""
    registry = Registry(app.journal, ("agencies", "mailboxes"))
    mailbox = registry.get(Mailbox, sender)
    if mailbox is not None:
        return mailbox.agency
    domain = sender.rpartition("@")[2]
    return next((one.id for one in registry.all(Agency) if domain and domain in {name.lower() for name in one.domains}), "")


def _observables(mail: Mail) -> list[dict[str, Any]]:
    found: dict[Observable, str] = {
        one: "attachment" for file in mail.files for one in (Observable("hash", file.sha256), read(file.name, "file")) if one is not None
    }
    for one in every(f"{mail.subject}\n{mail.text}"):
        found.setdefault(one, "mail")
    return [{"type": one.type, "value": one.value, "origin": origin} for one, origin in found.items()][:500]


def _known(app: App, name: str) -> str:
    whole = acting(app, app.actor.name)  # also one that who asks may not see was opened of this mail
    return next((one.id for one in incidents.without_duties(whole, scope=None) if one.reference == name), "")


def open_from(
    app: App, proposal: Proposal, changed: Mapping[str, Any], *, again: bool = False, owner: str = "", reason: str = "", behalf: Behalf | None = None
) -> Incident:
    """The incident of a mail, with `changed` instead of what the mail proposes; the mail is kept as evidence.

    Raises: Conflict when it was opened of this mail before (unless `again`), UsageError.
    """
    if proposal.known_as and not again:
        raise Conflict(Phrase("this mail is {id} already", id=proposal.known_as), hint="--again opens another one")
    fields = proposal.fields | {name: value for name, value in changed.items() if value not in (None, "", [])}
    opened = incidents.open_incident(app, fields, owner=owner, reason=reason, behalf=behalf, observables=proposal.observables)
    # part of opening it, which officers may do as well
    evidence.keep_bytes(
        acting(app, app.actor.name),
        opened.id,
        proposal.raw,
        name="message.eml",
        description=str(fields["title"]),
        why="the mail that the incident was opened of",
    )
    return opened
