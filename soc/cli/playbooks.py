"""`soc playbooks`: list, show, lint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._playbook import unknown_commands, who_word
from soc.cli._session import Session, pass_session
from soc.i18n import current, translated
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.errors import ConfigError
    from soc.incidents.playbook import Playbook

REFUSED = 1


@click.group(help=_("Playbooks: what to do about a sort of incident, task by task, in plain words."))
def command() -> None:
    """The noun."""


@command.command("list", help=_("List the playbooks."))
@list_options
@pass_session
def list_command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List playbooks."""
    from soc.application import playbooks

    found, errors = playbooks.load(session.settings)
    items = [
        {
            "name": one.name,
            "version": one.version,
            "title": {"vi": one.title.vi, "en": one.title.en},
            "tasks": len(one.tasks),
            "classes": list(one.classes),
            "path": one.path,
        }
        for one in found
    ]
    columns = [
        Column("name", _("Name"), whole=True),
        Column("title", _("Title"), lambda item: item["title"][current()]),
        Column("tasks", _("Tasks"), right=True),
        Column("classes", _("For")),
    ]
    session.out.items("playbooks", items, columns, form=form, fields=fields)
    for error in errors:
        session.out.warn(translated(error.message))


@command.command(
    help=_("Show one playbook whole: each task with its steps, who does it, until when, what to write down. Example: soc playbooks show ransomware")
)
@click.argument("name")
@json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show a playbook."""
    import msgspec

    from soc.application import playbooks

    found = playbooks.find(session.settings, name)
    if as_json:
        write_json({"schema_version": 1, "kind": "playbook", "item": msgspec.to_builtins(found)})
        return
    _tell(session, found)


def _tell(session: Session, found: Playbook) -> None:
    from soc.incidents.playbook import PHASES, T0

    out, language = session.out, current()
    out.text(f"{found.title.of(language)}  ({found.name}@{found.version})", "bold")
    out.text(out.folded(found.summary.of(language), indent="  "))
    out.text(out.folded(_("National centre: {text}").format(text=found.national_centre.of(language)), indent="  "), "yellow")
    phase = ""
    for number, job in enumerate(found.tasks, 1):
        if job.phase != phase:
            phase = job.phase
            out.text("\n" + PHASES[phase].of(language), "bold")
        out.text(f"{number}. {job.title.of(language)}  [{job.id}]  {who_word(job.who)}  {job.due if job.due.startswith(T0) else '+' + job.due}")
        for at, step in enumerate(job.how.of(language), 1):
            out.text(out.folded(f"{at}) {step}", indent="   ", more="      "))
        out.text(out.folded(_("Record: {text}").format(text=job.record.of(language)), indent="   "), "dim")
        if job.call is not None:
            out.text(out.folded(job.call.of(language), indent="   "), "yellow")
    out.text("")
    for source in found.sources:
        text = source.name + ("  (" + _("unverified: {why}").format(why=source.unverified) + ")" if source.unverified else "")
        out.text(out.folded(text, indent="  "), "dim")
    out.say(_("Next: soc incidents playbook ID {name}").format(name=found.name))


def _files(session: Session, words: tuple[str, ...]) -> tuple[list[Playbook], list[ConfigError]]:
    """The playbooks of files, folders or names; all of the settings when none is given.

    Raises: NotFound.
    """
    from pathlib import Path

    from soc.application import playbooks
    from soc.errors import ConfigError
    from soc.incidents.playbook import load, load_all

    if not words:
        return playbooks.load(session.settings)
    found: list[Playbook] = []
    wrong: list[ConfigError] = []
    for word in words:
        path = Path(word)
        try:
            if path.is_dir():
                more, bad = load_all([path])
                found += more
                wrong += bad
            else:
                found.append(load(path) if path.suffix == ".yml" else playbooks.find(session.settings, word))
        except ConfigError as error:
            wrong.append(error)
    return found, wrong


@command.command(
    help=_("Check playbook files: shape, both languages, classes, periods, and that the commands they name exist; exit code 1 when something is wrong.")
)
@click.argument("playbooks", metavar="[PLAYBOOK]...", nargs=-1)
@list_options
@pass_session
def lint(session: Session, playbooks: tuple[str, ...], form: str | None, fields: tuple[str, ...]) -> int:
    """Check files, folders or names; all that the settings name when none is given."""
    from soc.errors import Phrase

    found, errors = _files(session, playbooks)
    items: list[dict[str, Any]] = [{"playbook": "", "file": error.file, "line": error.line, "reason": translated(error.message)} for error in errors]
    for one in found:
        items += [
            {"playbook": one.name, "file": one.path, "line": 0, "reason": translated(Phrase("there is no command {command}", command=text))}
            for text in unknown_commands(one.commands())
        ]
    columns = [Column("playbook", _("Playbook"), whole=True), Column("file", _("File")), Column("reason", _("Reason"))]
    session.out.items("playbook-findings", items, columns, form=form, fields=fields)
    session.out.say(_("{count} playbooks, {wrong} findings").format(count=len(found), wrong=len(items)))
    return REFUSED if items else 0
