"""`soc alerts ack`, `assign`, `close`, `reopen`, `undo`: on one group, on many, or on all that a query finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soc.cli import _record, _show, _words
from soc.cli._io import json_option, write_json
from soc.cli._query import period_options, scope_option
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import gettext as _
from soc.i18n import ngettext

if TYPE_CHECKING:
    from soc.application.triage import Item, Outcome

F = TypeVar("F", bound=Callable[..., Any])
_LEVELS = ("critical", "high", "medium", "low", "informational")
_STATES = ("waiting", "open", "acknowledged", "closed", "all")
_VERDICTS = ("true-positive", "false-positive", "benign", "duplicate", "test")
_TOLD = 20
CONFLICT = 6


def state_word(state: str) -> str:
    """The word for a state of a group."""
    return {"open": _("open"), "acknowledged": _("acknowledged"), "closed": _("closed")}.get(state, state)


def state_options(function: F) -> F:
    """`--state`, `--suppressed`."""
    function = click.option("--suppressed", is_flag=True, help=_("Those that a suppression hides instead."))(function)
    return click.option(
        "--state",
        type=click.Choice(_STATES),
        default="waiting",
        show_default=True,
        help=_("Only groups in this state; waiting: open or acknowledged."),
    )(function)


def states_of(choice: str) -> tuple[str, ...]:
    """The states that a choice means."""
    return {"waiting": ("open", "acknowledged"), "all": ("open", "acknowledged", "closed")}.get(choice, (choice,))


def _selection(state: str) -> Callable[[F], F]:
    """Which groups a command is about; gives the one parameter `chosen`, which finds them."""

    def decorate(function: F) -> F:
        from functools import update_wrapper

        def wrapped(session: Session, names: tuple[str, ...], **given: Any) -> int | None:
            asked = {
                name: given.pop(name) for name in ("all_matching", "yes", "levels", "rule", "source", "state", "suppressed", "since_us", "until_us", "scope")
            }
            items, lenient = _chosen(session, names, asked)
            done: int | None = function(session, items, lenient, **given)
            return done

        command: Any = update_wrapper(wrapped, function)
        options = [
            click.argument("names", nargs=-1, metavar="[ID]…"),
            click.option("--all-matching", is_flag=True, help=_("All groups that the options below find; their number is shown and asked about.")),
            click.option("--yes", is_flag=True, help=_("Do not ask.")),
            click.option("--level", "levels", multiple=True, type=click.Choice(_LEVELS), help=_("Only this level (may be repeated).")),
            click.option("--rule", default="", metavar="ID", help=_("Only this rule.")),
            click.option("--source", default="", metavar="NAME", help=_("Only alerts of this source.")),
            click.option("--state", type=click.Choice(_STATES), default=state, show_default=True, help=_("Only groups in this state.")),
            click.option("--suppressed", is_flag=True, help=_("Those that a suppression hides instead.")),
            period_options,
            scope_option,
            json_option,
        ]
        for option in reversed(options):
            command = option(command)
        return pass_session(command)  # type: ignore[return-value]

    return decorate


def _chosen(session: Session, names: tuple[str, ...], asked: dict[str, Any]) -> tuple[list[Item], bool]:
    from soc.application import alerts, triage
    from soc.errors import Phrase, UsageError
    from soc.ports import AlertQuery

    filters = any(asked[name] for name in ("levels", "rule", "source", "suppressed")) or asked["since_us"] is not None or asked["until_us"] is not None
    if names and (asked["all_matching"] or filters):
        raise UsageError("either ids or a selection, not both", hint="soc alerts close --all-matching --rule ID, or soc alerts close g-…")
    if names:
        return triage.named(session.app(), names), False
    if not asked["all_matching"]:
        raise UsageError("say which groups", hint="ids, or --all-matching with the options of soc alerts list")
    query = AlertQuery(
        scope=asked["scope"],
        levels=asked["levels"],
        rule=alerts.rule_named(session.app(), asked["rule"]) if asked["rule"] else "",
        source=asked["source"],
        since_us=asked["since_us"],
        until_us=asked["until_us"],
        limit=0,
    )
    items = triage.queue(session.app(), query, states=states_of(asked["state"]), suppressed=asked["suppressed"]).items
    count = len(items)
    question = ngettext("{count} group fits", "{count} groups fit", count).format(count=_show.number(count))
    if not asked["yes"] and items:
        if not may_ask(session):
            raise UsageError(Phrase("{found}: nothing is done without --yes", found=question), hint="--yes")
        click.confirm(question + ". " + _("Do it?"), abort=True, err=True)
    return items, True


def _tell(session: Session, outcome: Outcome, as_json: bool) -> int:
    from soc.application.triage import fields

    items = [{"id": one.group.id, **fields(one)} for one in outcome.done]
    if as_json:
        conflicts = [{"stream": one.stream, "expected": one.expected, "said": str(one.message)} for one in outcome.conflicts]
        head = {"schema_version": 1, "kind": "triage", "total": len(items), "truncated": False}
        write_json({**head, "items": items, "skipped": outcome.skipped, "conflicts": conflicts})
    else:
        for item in items[:_TOLD]:
            words = (item["id"][:10], state_word(item["state"]), _words.verdict(item["verdict"]), item["owner"])
            session.out.say("  ".join(filter(None, words)))
        if len(items) > _TOLD:
            session.out.say(_("… {count} groups in all").format(count=_show.number(len(items))))
        if outcome.skipped:
            session.out.say(_("{count} groups are in another state: nothing was said of them").format(count=_show.number(len(outcome.skipped))))
        if not items and not outcome.conflicts:
            session.out.say(_("nothing was changed"))
    for conflict in outcome.conflicts[:_TOLD]:
        first, *said = _show.conflict(conflict.stream, conflict.since, session.settings.timezone)
        session.out.warn(first)
        for line in said:
            session.out.say(line)
    if len(outcome.conflicts) > _TOLD:
        session.out.warn(_("… {count} conflicts in all").format(count=_show.number(len(outcome.conflicts))))
    return CONFLICT if outcome.conflicts else 0


@click.command(help=_("Acknowledge groups: you look at them, and own those that nobody owned."))
@_selection("open")
def ack(session: Session, items: list[Item], lenient: bool, as_json: bool) -> int:
    """Acknowledge."""
    from soc.application import triage

    return _tell(session, triage.acknowledge(session.app(), items, lenient=lenient), as_json)


@click.command(help=_("Give groups to somebody."))
@click.option("--to", "owner", required=True, metavar="NAME", help=_("Whom; an empty name is nobody."))
@_selection("waiting")
def assign(session: Session, items: list[Item], lenient: bool, owner: str, as_json: bool) -> int:
    """Assign."""
    from soc.application import triage

    done = triage.assign(session.app(), items, owner, lenient=lenient)
    _record.warn_of_unknown(session, owner.strip())
    return _tell(session, done, as_json)


@click.command(help=_("Close groups as what they were; the next alert opens a group again, as its next generation."))
@click.option("--verdict", required=True, type=click.Choice(_VERDICTS), help=_("What they were."))
@click.option("--note", default="", metavar="TEXT", help=_("A note, for the record."))
@_selection("waiting")
def close(session: Session, items: list[Item], lenient: bool, verdict: str, note: str, as_json: bool) -> int:
    """Close."""
    from soc.application import triage

    return _tell(session, triage.close(session.app(), items, verdict, note, lenient=lenient), as_json)


@click.command(help=_("Open closed groups again; their verdict no longer counts."))
@click.option("--note", default="", metavar="TEXT", help=_("A note, for the record."))
@_selection("closed")
def reopen(session: Session, items: list[Item], lenient: bool, note: str, as_json: bool) -> int:
    """Reopen."""
    from soc.application import triage

    return _tell(session, triage.reopen(session.app(), items, note, lenient=lenient), as_json)


@click.command(help=_("Take back the last thing that you said of groups, unless somebody said something since."))
@_selection("all")
def undo(session: Session, items: list[Item], lenient: bool, as_json: bool) -> int:
    """Undo."""
    from soc.application import triage

    return _tell(session, triage.undo(session.app(), items, lenient=lenient), as_json)


COMMANDS = (ack, assign, close, reopen, undo)
