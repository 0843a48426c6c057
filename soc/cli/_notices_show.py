"""How notices and their recipients look, as JSON and to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from soc.cli import _show
from soc.cli._io import Column, write_json
from soc.cli._session import Session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.application.notices_send import Delivery, Way
    from soc.incidents.notices import Notice, Recipient


def word(state: str) -> str:
    """The word for a state of a notice, a recipient, a message or a reply."""
    words = {
        "draft": _("Draft"),
        "approved": _("Approved"),
        "sent": _("Sent"),
        "withdrawn": _("Withdrawn"),
        "waiting": _("not sent"),
        "received": _("received"),
        "acted": _("acted"),
        "verified": _("verified"),
        "recorded": _("recorded"),
        "unclear": _("UNCLEAR"),
        "discarded": _("discarded"),
    }
    return words.get(state, state)


def mail_word(state: str) -> str:
    """The word for how far a message is."""
    words = {
        "ordered": _("not in the outbox yet"),
        "due": _("in the outbox"),
        "held": _("held"),
        "trying": _("is being sent"),
        "failed": _("failed, is tried again"),
        "unknown": _("nobody knows"),
        "sent": _("handed over"),
        "given-up": _("GIVEN UP"),
        "cancelled": _("cancelled"),
    }
    return words.get(state, state)


def item(notice: Notice) -> dict[str, Any]:
    """A notice as the JSON of lists."""
    counts = Counter(one.state for one in notice.recipients)
    return {
        "id": notice.id,
        "state": notice.state,
        "subject": notice.subject,
        "number": notice.number,
        "due_at": notice.due_at,
        "tlp": notice.tlp,
        "incident": notice.incident,
        "warning": notice.warning,
        "recipients": len(notice.recipients),
        "counts": {state: counts.get(state, 0) for state in ("waiting", "sent", "received", "acted", "verified")},
        "unanswered": len(notice.unanswered()),
        "urgent": notice.urgent,
        "confirmed": notice.confirmed,
        "scope": notice.scope,
        "version": notice.version,
    }


def answer(session: Session, notice: Notice, as_json: bool) -> None:
    """What every command that changed something says."""
    found = item(notice)
    if as_json:
        write_json({"schema_version": 1, "kind": "notice", "item": found})
        return
    session.out.text(f"{notice.id}  {word(notice.state)}  {notice.subject}", "bold")
    counts = "  ".join(f"{word(state)}: {count}" for state, count in found["counts"].items() if count)
    session.out.text("  " + _("{count} recipients").format(count=found["recipients"]) + "  " + counts)
    if notice.urgent and not notice.confirmed:
        session.out.text("  ✖ " + _("sent on the word of {name}; the written confirmation is still due").format(name=notice.signer), "yellow")


def tell(session: Session, one: Recipient, mails: Sequence[Delivery], name: str = "") -> None:
    """One recipient, how far it is, what it said, and what became of its mails."""
    zone = session.settings.timezone
    marks = {"waiting": "·", "sent": "○", "received": "◔", "acted": "✔", "verified": "✔"}
    last = one.answers[-1] if one.answers else {}
    said = " ".join(filter(None, (last.get("text", ""), _("on behalf of {name}").format(name=last["behalf"]) if last.get("behalf") else "")))
    reminded = _("{count} reminders").format(count=one.reminders) if one.reminders else ""
    parts = (f"  {marks[one.state]} {one.agency:<16} {word(one.state)}", name, _show.when(one.at.get(one.state, ""), zone), reminded, said, f"[{one.code}]")
    session.out.text(session.out.folded("  ".join(filter(None, parts)), more="      "))
    for mail in mails:
        twice = _("possibly there twice") if mail.possibly_twice else ""
        line = "  ".join(
            filter(None, (f"      ✉ {mail.to}", mail_word(mail.state), _show.when(mail.sent_at, zone), mail.reason if mail.state != "sent" else "", twice))
        )
        session.out.text(session.out.folded(line, more="        "), "bold red" if mail.state == "given-up" else "dim")


def rows(session: Session, found: list[tuple[Notice, Recipient]], kind: str, form: str | None, fields: tuple[str, ...]) -> None:
    """Recipients of notices as a list, with whom to call."""
    from soc.application.recipients import contacts

    zone = session.settings.timezone
    known = contacts(session.app(), {one.agency for _notice, one in found})
    items = [
        {
            "notice": notice.id,
            "agency": one.agency,
            **dict(zip(("name", "contact", "phone"), known[one.agency], strict=True)),
            "state": one.state,
            "subject": notice.subject,
            "sent_at": one.at.get("sent", ""),
            "due_at": notice.due_at,
            "reminders": one.reminders,
            "second_letters": one.count("second-letter"),
            "code": one.code,
        }
        for notice, one in found
    ]
    columns = [
        Column("agency", _("Agency"), whole=True),
        Column("name", _("Name"), most=40),
        Column("notice", _("Notice"), whole=True),
        Column("state", _("State"), lambda one: word(one["state"])),
        Column("subject", _("Subject"), most=60),
        Column("sent_at", _("Sent"), lambda one: _show.when(one["sent_at"], zone), whole=True),
        Column("due_at", _("Due"), lambda one: _show.when(one["due_at"], zone), whole=True),
        Column("reminders", _("Reminders"), right=True),
        Column("second_letters", _("Second letters"), right=True),
        Column("contact", _("To call"), lambda one: " ".join(filter(None, (one["contact"], one["phone"]))), most=40),
    ]
    session.out.items(kind, items, columns, form=form, fields=fields)


def way_items(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """Whom a sending goes to, as JSON."""
    return [{"agency": way.agency, "name": way.name, "channel": way.channel, "to": list(way.to), "why": str(way.why)} for way in ways]


def tell_ways(session: Session, ways: Sequence[Way], most: int = 20) -> None:
    """Whom a sending goes to, those who cannot be reached first."""
    bad = [way for way in ways if way.why]
    for way in bad[:most]:
        session.out.say(f"  ✖ {way.agency}  {way.name}: {translated(way.why)}")
    good = [way for way in ways if not way.why]
    for way in good[:most]:
        session.out.say("  " + "  ".join(filter(None, (way.agency, way.name, way.channel, ", ".join(way.to)))))
    if len(good) > most or len(bad) > most:
        session.out.say("  " + _("… and {count} more").format(count=_show.number(max(len(good) - most, 0) + max(len(bad) - most, 0))))
