"""`soc deadletters`: list, show, redrive, discard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._query import limit_option
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import ngettext

if TYPE_CHECKING:
    from soc.model.deadletter import DeadLetter


@click.group(help=_("Dead letters: records that could not become events, kept whole."))
def command() -> None:
    """The noun."""


def _item(letter: DeadLetter) -> dict[str, Any]:
    from base64 import b64encode

    from soc.clock import iso

    item: dict[str, Any] = {
        "id": letter.id,
        "source": letter.source,
        "partition": letter.partition,
        "seq": letter.seq,
        "reason": letter.reason,
        "error": letter.error,
        "received_at": iso(letter.received_us),
        "state": letter.state,
        "note": letter.note,
        "scope": letter.scope,
        "bytes": len(letter.raw),
        "raw": letter.raw.decode("utf-8", "replace"),
    }
    try:
        letter.raw.decode()
    except UnicodeDecodeError:
        item["raw_base64"] = b64encode(letter.raw).decode()
    return item


@command.command("list", help=_("List dead letters, the oldest first."))
@click.option("--state", type=click.Choice(["open", "redriven", "discarded"]), default="open", show_default=True, help=_("Which ones."))
@click.option("--source", default="", metavar="NAME", help=_("Only of this source."))
@limit_option()
@list_options
@pass_session
def list_command(session: Session, state: str, source: str, limit: int, form: str | None, fields: tuple[str, ...]) -> None:
    """List dead letters."""
    from soc.application import deadletters

    app = session.app()
    total, letters = deadletters.listed(app, state=state, source=source, limit=limit)
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
        Column("received_at", _("Received"), lambda item: _show.when(item["received_at"], zone), whole=True),
        Column("source", _("Source"), whole=True),
        Column("reason", _("Reason")),
        Column("error", _("Error"), most=80),
        Column("bytes", _("Bytes"), lambda item: _show.number(item["bytes"]), right=True),
    ]
    session.out.items("deadletters", [_item(letter) for letter in letters], columns, total=total, form=form, fields=fields)
    if not total:
        session.out.say(_("no dead letters"))
        session.out.warn_of_source(app, source)


@command.command(help=_("Show one dead letter whole."))
@click.argument("id")
@json_option
@click.option("--raw", is_flag=True, help=_("Write only its bytes, as they were received, to stdout."))
@pass_session
def show(session: Session, id: str, as_json: bool, raw: bool) -> None:
    """Show one dead letter."""
    from soc.application import deadletters

    letter = deadletters.get(session.app(), id)
    if raw:
        # The one place that passes bytes on as they are: for files and pipes, so a terminal is refused.
        stream = sys.stdout.buffer
        if stream.isatty():
            raise click.UsageError(_("--raw writes unchecked bytes; send them to a file or a pipe"))
        stream.write(letter.raw)
        return
    item = _item(letter)
    if as_json:
        write_json(item)
        return
    for key, value in item.items():
        session.out.text(f"{key:<12} {_show.when(value, session.settings.timezone) if key == 'received_at' else value}")
    session.out.say(_("Next: soc deadletters redrive {id}").format(id=letter.id[:10]))


@command.command(help=_("Process dead letters again with the present parsers and rules."))
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help=_("All open ones."))
@click.option(
    "--raw-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help=_("Take the mended bytes of this file instead (one dead letter).")
)
@json_option
@pass_session
def redrive(session: Session, ids: tuple[str, ...], everything: bool, raw_file: Path | None, as_json: bool) -> int:
    """Process dead letters again."""
    import msgspec

    from soc.application import redrive as work

    if bool(ids) == everything:
        raise click.UsageError(_("name dead letters, or give --all"))
    if raw_file is not None and len(ids) != 1:
        raise click.UsageError(_("--raw-file mends one dead letter"))
    done = work.redrive(session.app(), None if everything else ids, raw_override=raw_file.read_bytes() if raw_file else None)
    failed = [one for one in done if not one.event]
    judged = work.judge(session.app()) if len(failed) < len(done) else None
    if as_json:
        write_json({"schema_version": 1, "kind": "redriven", "total": len(done), "truncated": False, "items": msgspec.to_builtins(done)})
    else:
        for one in done:
            session.out.text(f"{one.letter} → {one.event}" if one.event else f"{one.letter} ✖ {one.reason}")
        session.out.say(_("{count} became events, {failed} stay").format(count=len(done) - len(failed), failed=len(failed)))
        if judged:
            session.out.say(ngettext("correlations told of them: {count} alert", "correlations told of them: {count} alerts", judged).format(count=judged))
    return 1 if failed else 0


@command.command(help=_("Give dead letters up, with a reason; they stay readable."))
@click.argument("ids", nargs=-1, required=True)
@click.option("--why", required=True, help=_("The reason, for the record."))
@click.option("--yes", is_flag=True, help=_("Do not ask."))
@json_option
@pass_session
def discard(session: Session, ids: tuple[str, ...], why: str, yes: bool, as_json: bool) -> None:
    """Give dead letters up."""
    from soc.application import redrive as work

    if len(ids) > 1 and not yes:
        if not may_ask(session):
            raise click.UsageError(_("several at once need --yes"))
        click.confirm(ngettext("Give up {count} dead letter?", "Give up {count} dead letters?", len(ids)).format(count=len(ids)), abort=True, err=True)
    done = work.discard(session.app(), ids, why=why)
    if as_json:
        items = [{"id": letter_id, "state": "discarded"} for letter_id in done]
        write_json({"schema_version": 1, "kind": "discarded", "total": len(items), "truncated": False, "items": items})
        return
    for letter_id in done:
        session.out.say(_("given up: {id}").format(id=letter_id))
