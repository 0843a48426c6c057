"""`soc notices replies`: import, fetch, list, show, settle, discard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _export, _record, _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._notices_show import word
from soc.cli._session import Session, pass_session
from soc.errors import NotFound, Phrase
from soc.i18n import gettext as _
from soc.i18n import translated
from soc.incidents.classes import ANSWERS

if TYPE_CHECKING:
    from soc.application.replies import Taken
    from soc.incidents.replies import Reply


@click.group(help=_("Answers to notices that came by mail: taken in by their code, unclear ones listed until somebody says what they mean."))
def replies() -> None:
    """The noun."""


def _item(one: Reply) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(one, enc_hook=str)
    return {**found, "why": one.why}


def _columns(session: Session) -> list[Column]:
    zone = session.settings.timezone
    return [
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
        Column("outcome", _("Outcome"), lambda item: word(item["outcome"]), lambda item: "bold red" if item["outcome"] == "unclear" else ""),
        Column("agency", _("Agency")),
        Column("notice", _("Notice"), whole=True),
        Column("state", _("State"), lambda item: word(item["state"])),
        Column("sender", _("Sender")),
        Column("subject", _("Subject"), most=60),
        Column("at", _("Taken in"), lambda item: _show.when(item["at"], zone), whole=True),
        Column("why", _("Why"), lambda item: translated(item["why"]), most=120),
    ]


def _tell(session: Session, done: Taken, as_json: bool) -> int:
    if as_json:
        head = {"schema_version": 1, "kind": "replies", "recorded": done.recorded, "unclear": done.unclear, "known": done.known, "total": len(done.replies)}
        write_json({**head, "truncated": False, "items": [_item(one) for one in done.replies]})
    else:
        for one in done.replies:
            if one.outcome == "unclear":
                session.out.text(f"✖ {one.id[:10]}  {one.sender or '?'}  {one.subject}: {translated(one.why)}", "bold red")
            else:
                session.out.text(f"✔ {one.agency}  {word(one.state)}  {one.notice}  {one.sender}")
        session.out.say(
            _("{recorded} recorded, {unclear} unclear, {known} taken in before").format(recorded=done.recorded, unclear=done.unclear, known=done.known)
        )
        if done.unclear:
            session.out.say(_("Next: soc notices replies settle REPLY CODE, or discard REPLY --reason TEXT"))
    return 1 if done.unclear else 0


@replies.command(
    "import",
    help=_record.example(
        _("Take in mails that were saved as .eml files; a mail that was taken in before changes nothing."), "soc notices replies import tra-loi.eml"
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@json_option
@pass_session
def import_(session: Session, files: tuple[Path, ...], as_json: bool) -> int:
    """Import mails."""
    from soc.application import replies as application

    return _tell(session, application.take_in(session.app(), list(_read(files))), as_json)


def _read(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    from soc.model.mail import MOST_BYTES

    for file in files:
        try:
            with file.open("rb") as opened:
                yield file.name, opened.read(MOST_BYTES + 1)
        except OSError as error:
            raise NotFound(Phrase("{path} cannot be read: {strerror}", path=file, strerror=error.strerror), hint="give .eml files") from error


@replies.command(
    help=_record.example(_("Take in what came to the mailbox of [replies] since the last time; nothing in it is changed."), "soc notices replies fetch")
)
@json_option
@pass_session
def fetch(session: Session, as_json: bool) -> int:
    """Read the mailbox."""
    from soc.application import replies as application

    return _tell(session, application.fetch(session.app()), as_json)


@replies.command("list", help=_record.example(_("List what came in, the newest first."), "soc notices replies list --unclear"))
@click.option("--unclear", is_flag=True, help=_("Only what somebody has to look at."))
@list_options
@pass_session
def list_command(session: Session, unclear: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List replies."""
    from soc.application import replies as application

    found = application.listed(session.app(), unclear_only=unclear)
    session.out.items("replies", [_item(one) for one in found], _columns(session), form=form, fields=fields)
    if not found:
        session.out.say(_("nothing came in: soc notices replies import FILE, or fetch"))


@replies.command(help=_record.example(_("Show one reply whole. REPLY may be the beginning of its id."), "soc notices replies show r-k3xa"))
@click.argument("reply")
@click.option("--eml", type=click.Path(path_type=Path, dir_okay=False), help=_("Write the mail itself to this new file."))
@json_option
@pass_session
def show(session: Session, reply: str, eml: Path | None, as_json: bool) -> None:
    """Show a reply."""
    from soc.application import replies as application

    app = session.app()
    one = application.get(app, reply)
    if eml is not None:
        pieces = list(application.raw(app, one))
        with _export.new_file(eml) as target:
            target.writelines(pieces)
    if as_json:
        write_json({"schema_version": 1, "kind": "reply", "item": _item(one)})
        return
    values = _item(one)
    for column in _columns(session):
        if values[column.key]:
            session.out.text(f"  {column.title:<12} {column.text(values) if column.key != 'id' else one.id}")
    title = _("File")
    for file in one.files:
        session.out.text(f"  {title:<12} {file['name']}  {file['type']}  {file['size']}  {file['sha256']}")
    session.out.text("\n" + "\n".join(session.out.folded(line, indent="  ") for line in one.text.split("\n")))


@replies.command(
    help=_record.example(
        _("Say what an unclear reply means: the answer of the recipient with this code."),
        "soc notices replies settle r-k3xa ABCD2345 --reason 'gọi lại, đúng là họ'",
    )
)
@click.argument("reply")
@click.argument("code")
@click.option("--state", type=click.Choice(ANSWERS), default="received", show_default=True, help=_("What the answer says."))
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def settle(session: Session, reply: str, code: str, state: str, reason: str, as_json: bool) -> None:
    """Settle a reply."""
    from soc.application import replies as application

    _done(session, application.settle(session.app(), reply, code, state=state, reason=reason), as_json)


@replies.command(
    help=_record.example(_("Say that an unclear reply means nothing; it stays on the record."), "soc notices replies discard r-77qz --reason 'thư rác'")
)
@click.argument("reply")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def discard(session: Session, reply: str, reason: str, as_json: bool) -> None:
    """Discard a reply."""
    from soc.application import replies as application

    _done(session, application.discard(session.app(), reply, reason=reason), as_json)


def _done(session: Session, one: Reply, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "reply", "item": _item(one)})
    else:
        session.out.text("  ".join(filter(None, (one.id, word(one.outcome), one.agency, one.notice, word(one.state)))))
