"""`soc incidents playbook`, how tasks are shown, and whether texts name commands that exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import current
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.incidents.model import Incident


def who_word(role: str) -> str:
    """The word for who does a task."""
    from soc.incidents.playbook import WHO

    return WHO[role].of(current()) if role in WHO else role


@click.command(
    help=_(
        "Give an incident the tasks of a playbook, with owners and due times; those of the law count from T0, the others from now. Example: soc incidents playbook INC-2026-0007 ransomware"
    )
)
@click.argument("id")
@click.argument("playbook", metavar="NAME")
@json_option
@pass_session
def playbook(session: Session, id: str, playbook: str, as_json: bool) -> None:
    """Add the tasks of a playbook."""
    import msgspec

    from soc.application import playbooks

    incident, count = playbooks.start(session.app(), id, playbook)
    if as_json:
        tasks = [msgspec.to_builtins(task) for task in incident.tasks[-count:]]
        write_json(
            {"schema_version": 1, "kind": "tasks", "total": count, "truncated": False, "incident": incident.id, "version": incident.version, "items": tasks}
        )
        return
    session.out.text(_("{id}: {count} tasks of {playbook}").format(id=incident.id, count=count, playbook=playbook))
    tell_tasks(session, incident)
    session.out.say(
        _("How each is done: soc playbooks show {name}; done: soc incidents task-done {id} TASK --result TEXT").format(name=playbook, id=incident.id)
    )


def propose(session: Session, incident: Incident) -> None:
    """Say which playbooks are for the class of an incident, as they are begun."""
    from soc.application.playbooks import fitting

    for one in fitting(session.app(), incident):
        session.out.say(_("Playbook for it: {title}: soc incidents playbook {id} {name}").format(title=one.title.of(current()), id=incident.id, name=one.name))


def tell_tasks(session: Session, incident: Incident) -> None:
    """The tasks of an incident: how far each playbook is, then task by task; with -v how each is done."""
    from soc.application.playbooks import progress
    from soc.clock import iso

    out, zone = session.out, session.settings.timezone
    now = iso(session.app().clock.now_us()) if incident.tasks else ""
    for one in progress(incident):
        out.text("  " + _("{playbook}: {done} of {total} done").format(playbook=f"{one.playbook}@{one.version}", done=one.done, total=one.total))
    for task in incident.tasks:
        late = bool(task.due_at) and not task.done_at and task.due_at < now
        mark = "✔" if task.done_at else "✖" if late else "○"
        due = _show.when(task.due_at, zone) + (" " + _("OVERDUE") if late else "") if task.due_at else ""
        owner = task.owner or (who_word(task.role) if task.role else "")
        line = "  ".join(filter(None, (f"  {mark} {task.id}", task.title, owner, due, task.result)))
        out.text(out.folded(line, more="      "), "bold red" if late else "")
        if session.verbosity > 0:
            for text in (*task.how.split("\n"), _("Record: {text}").format(text=task.record) if task.record else "", task.call):
                if text:
                    out.text(out.folded(text, indent="      "), "dim")


def unknown_commands(named: Iterable[str]) -> list[str]:
    """Those of the commands that texts name which do not exist, or have no such option."""
    from soc.cli.commands import described

    known = {str(item["command"]): {name for option in item["options"] for name in option["names"]} for item in described()}
    wrong = []
    for text in named:
        words = text.split()
        length = next((length for length in range(len(words), 1, -1) if " ".join(words[:length]) in known), 0)
        options = known.get(" ".join(words[:length]), set())
        if not length or any(word.startswith("--") and word not in options for word in words[length:]):
            wrong.append(text)
    return wrong
