"""`soc audit`: log, verify, checkpoint, export, key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _export, _show, _words
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._query import limit_option
from soc.cli._session import Session, pass_session
from soc.errors import ConfigError, NotAllowed, NotFound, Phrase
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.audit import Anchor
    from soc.model.fact import Fact

_MOST_ANCHOR_BYTES = 256 * 1_048_576


@click.group(help=_("The journal: what people did, and the proof that nobody changed it."))
def command() -> None:
    """The noun."""


def _item(fact: Fact) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(fact)
    return found


@command.command(help=_("List what was recorded last, the newest first; STREAM (or its beginning) shows one object's history, oldest first."))
@click.argument("stream", required=False, default="")
@limit_option()
@list_options
@pass_session
def log(session: Session, stream: str, limit: int, form: str | None, fields: tuple[str, ...]) -> None:
    """List facts."""
    from soc.application import audit

    app = session.app()
    if stream:
        facts = [one.fact for one in audit.history(app.journal, stream)]
        total = len(facts)
        facts = facts[-limit:] if limit else facts
    else:
        facts = app.journal.latest(limit or 1 << 31)
        total = len(facts) if not limit or len(facts) < limit else sum(head.sequence for head in app.journal.heads())
    zone = session.settings.timezone
    columns = [
        Column("at", _("Time"), lambda item: _show.when(item["at"], zone), whole=True),
        Column("actor", _("Who")),
        Column("stream", _("Object")),
        Column("sequence", _("No."), right=True),
        Column("kind", _("What"), lambda item: _words.fact(item["kind"])),
        Column("reason", _("Why"), most=80),
        Column("behalf", _("On behalf of"), lambda item: (item["behalf"] or {}).get("person", "")),
    ]

    def line(item: dict[str, Any]) -> tuple[str, str]:
        behalf = _("on behalf of {name}").format(name=item["behalf"]["person"]) if item["behalf"] else ""
        parts = (_show.when(item["at"], zone), item["actor"], behalf, _words.fact(item["kind"]), f"{item['stream']} #{item['sequence']}", item["reason"])
        return "  ".join(filter(None, parts)), ""

    session.out.items("facts", [_item(fact) for fact in facts], columns, total=total, form=form, fields=fields, narrow=line)
    if not total:
        session.out.say(_("nothing has been recorded yet"))


@command.command(help=_("Check that no fact was changed, left out, put in between or cut off; with --anchor against a checkpoint kept elsewhere."))
@click.option("--anchor", type=click.Path(path_type=Path, dir_okay=False), help=_("A file written by soc audit checkpoint --anchor."))
@json_option
@pass_session
def verify(session: Session, anchor: Path | None, as_json: bool) -> int:
    """Check the journal."""
    import msgspec

    from soc.application import audit
    from soc.cli._progress import Progress

    known = None if anchor is None else read_anchor(anchor)
    app = session.app()
    with Progress(session) as progress:
        verdict = audit.verify(app.journal, known, lambda facts: progress(_("{facts} facts checked").format(facts=_show.number(facts))))
    if as_json:
        write_json(msgspec.to_builtins(verdict))
        return 0 if verdict.ok else 1
    for problem in verdict.problems:
        session.out.text(f"✖ {problem.stream} #{problem.sequence}: {_problem(problem.kind)}", "bold red")
    summary = _("{facts} facts in {streams} streams, {checkpoints} checkpoints").format(
        facts=_show.number(verdict.facts), streams=_show.number(verdict.streams), checkpoints=_show.number(verdict.checkpoints)
    )
    if verdict.ok:
        session.out.text(f"✔ {summary}: " + _("everything holds"))
        if not verdict.checkpoints:
            session.out.say(_("There is no checkpoint yet, so what was cut off at the end would not show: soc audit checkpoint"))
        return 0
    session.out.text(f"✖ {summary}: " + _("{count} problems").format(count=len(verdict.problems)))
    session.out.say(_("Keep a copy of the store as it is, find out who could write to it, then restore the last good backup."))
    return 1


def _problem(kind: str) -> str:
    words = {
        "hash": _("the bytes are not those that were recorded"),
        "gap": _("a fact is missing here"),
        "fork": _("another history than the one that was recorded or signed"),
        "truncated": _("facts that were signed once are gone from here on"),
        "signature": _("the signature does not hold"),
    }
    return words[kind]


@command.command(help=_("Sign where every stream ends now; --anchor writes it to a file that should be kept elsewhere."))
@click.option("--anchor", type=click.Path(path_type=Path, dir_okay=False), help=_("Write this new file."))
@json_option
@pass_session
def checkpoint(session: Session, anchor: Path | None, as_json: bool) -> None:
    """Sign the ends of all streams."""
    import msgspec

    from soc.application import audit

    app = session.app()
    key = app.wiring.signing_key() or app.wiring.signing_key(make=True)
    assert key is not None  # made above
    made = audit.checkpoint(app.journal, key, actor=app.actor.name)
    if anchor is not None:
        with _export.new_file(anchor, hint="give a new name: anchors are not overwritten", mode=0o644) as file:
            file.write(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    if as_json:
        write_json(msgspec.to_builtins(made))
    else:
        session.out.text(_("checkpoint {number}  {root}").format(number=made.checkpoint, root=made.root))
    if anchor is not None:
        session.out.say(_("written: {path}; keep it where nobody who can write to this store can change it").format(path=anchor))


def read_anchor(path: Path) -> Anchor:
    """The anchor of a file.

    Raises: NotFound, NotAllowed, ConfigError.
    """
    import msgspec

    from soc.application.audit import Anchor

    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_ANCHOR_BYTES), type=Anchor)
    except FileNotFoundError:
        raise NotFound(Phrase("there is no file {path}", path=path), hint="soc audit checkpoint --anchor FILE writes one") from None
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be read: {strerror}", path=path, strerror=error.strerror)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(Phrase("this is no anchor: {error}", error=error), file=str(path), hint="soc audit checkpoint --anchor FILE writes one") from error


@command.command(help=_("Write every fact with its hash as one JSON line, to a file or to standard output."))
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def export(session: Session, file: Path | None) -> None:
    """Write all facts."""
    from soc.application import audit

    app = session.app()
    if file is None:
        out = sys.stdout.buffer
        count = audit.export(app.journal, out.write)
        out.flush()
    else:
        with _export.new_file(file) as target:
            count = audit.export(app.journal, target.write)
    session.out.say(_("{count} facts written").format(count=_show.number(count)))


@command.command(help=_("Show the key that signs checkpoints; --rotate makes a new one, for which the old one signs."))
@click.option("--rotate", is_flag=True, help=_("Make a new key; the old one is kept beside it."))
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def key(session: Session, rotate: bool, reason: str, as_json: bool) -> None:
    """Show or rotate the signing key."""
    from soc.application import audit

    app = session.app()
    now = app.wiring.signing_key()
    if rotate or now is None:
        before, now = now, app.wiring.signing_key(make=True)
        assert now is not None  # made above
        audit.introduce(app.journal, now, actor=app.actor.name, before=before, reason=reason)
    if as_json:
        write_json({"key": now.id, "public": now.public})
    else:
        session.out.text(f"{now.id}  {now.public}")
