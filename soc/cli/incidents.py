"""`soc incidents`: new, list, show, history, due, edit, note, assign, tasks, reports, and the steps of the workflow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soc.cli import _agencies, _observables, _playbook, _record, _show, _words
from soc.cli._io import Column, cell_width, json_option, list_options, write_json
from soc.cli._session import Session, may_ask, pass_session
from soc.i18n import current
from soc.i18n import gettext as _
from soc.incidents.classes import CHANNELS, FLAGS, GROUPS, LEGAL, SEVERITIES, TLP

if TYPE_CHECKING:
    from soc.incidents.clocks import Obligation
    from soc.incidents.model import Incident
    from soc.model.fact import Behalf

F = TypeVar("F", bound=Callable[..., Any])


@click.group(help=_("Incidents: what somebody follows to its end, with its clocks."))
def command() -> None:
    """The noun."""


def state_word(state: str) -> str:
    """The word for a state."""
    words = {
        "new": _("New"),
        "triaged": _("Triaged"),
        "contained": _("Contained"),
        "eradicated": _("Eradicated"),
        "recovered": _("Recovered"),
        "closed": _("Closed"),
        "rejected": _("Rejected"),
        "merged": _("Merged"),
    }
    return words.get(state, state)


def _duty_word(state: str) -> str:
    words = {
        "tentative": _("tentative"),
        "due": _("due"),
        "overdue": _("OVERDUE"),
        "met": _("done"),
        "met-late": _("done late"),
        "void": _("void"),
        "waiting": _("not yet"),
    }
    return words.get(state, state)


# --- options ---------------------------------------------------------------------------------------------------------


def _fields(function: F) -> F:
    """The options that describe an incident."""
    options = [
        click.option("--summary", metavar="TEXT", help=_("What is known, in a few sentences.")),
        click.option("--severity", type=click.Choice(SEVERITIES), help=_("How bad it is for us.")),
        click.option("--rsit", "--class", "rsit", metavar="CODE", help=_("RSIT class, as malicious-code/infected-system (soc incidents classes).")),
        click.option("--group", type=click.Choice(tuple(GROUPS)), help=_("Vietnamese group; follows from the class where left out.")),
        click.option("--tlp", type=click.Choice(TLP, case_sensitive=False), help=_("Traffic Light Protocol 2.0.")),
        click.option("--legal-class", type=click.Choice(LEGAL), help=_("Ordinary or serious by law: a person decides it, with --reason.")),
        click.option("--personal-data/--no-personal-data", default=None, help=_("Personal data are concerned: a clock of its own.")),
        click.option("--national-security/--no-national-security", default=None, help=_("Signs of harm to national security, or serious disruption.")),
        click.option("--beyond-capacity/--no-beyond-capacity", default=None, help=_("The agency cannot handle it alone.")),
        click.option("--complex/--not-complex", "complex", default=None, help=_("A complex incident: preliminary, further and final reports.")),
        click.option(
            "--agency",
            "agencies",
            multiple=True,
            metavar="ID",
            help=_("Agency concerned: id or part of the name (may be repeated)."),
        ),
        click.option("--system", "systems", multiple=True, metavar="ID", help=_("Information system concerned (may be repeated).")),
        click.option("--detected", "detected_at", metavar="TIME", help=_("When it was detected locally (T0), to the minute; default: now.")),
        click.option("--detected-by", metavar="NAME", help=_("Who or what detected it.")),
        click.option("--reported", "reported_at", metavar="TIME", help=_("When it was reported to us.")),
        click.option("--reported-by", metavar="NAME", help=_("Who reported it, with a telephone number.")),
        click.option("--channel", type=click.Choice(CHANNELS), help=_("How it came to us.")),
        click.option("--reference", metavar="TEXT", help=_("Number of the letter, call or warning.")),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _with_version(function: F) -> F:
    return click.option("--expect", "expected", type=int, metavar="VERSION", help=_("Only if nobody changed it since this version."))(function)


def _given(session: Session, values: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given, times read in the zone of the settings."""
    found = {name: value for name, value in values.items() if value is not None and value != ()}
    if "agencies" in found:
        found["agencies"] = _agencies.resolved(session.app(), found["agencies"])
    if "systems" in found:
        found["systems"] = list(found["systems"])
    for name in ("detected_at", "reported_at"):
        if name in found:
            found[name] = _record.past(session, found[name])
    return found


# --- showing ---------------------------------------------------------------------------------------------------------


def tell_changed(session: Session, incident: Incident, as_json: bool) -> None:
    """What every command that changed something says."""
    from soc.application import incidents

    duties = incidents.duties(session.app(), incident)
    if as_json:
        write_json({"schema_version": 1, "kind": "incident", "item": incidents.item(incident, duties)})
        return
    head = f"{incident.id}  {state_word(incident.state)}  {incident.title}"
    session.out.text(session.out.folded(head, more="    "), _show.style_of(incident.severity))
    for duty in duties:
        _tell_duty(session, duty)


def _tell_duty(session: Session, duty: Obligation) -> None:
    zone = session.settings.timezone
    title = duty.title.get(current()) or duty.title.get("en", duty.id)
    when = _show.when(duty.due_at, zone) if duty.due_at else ""
    done = " ".join(filter(None, (_show.when(duty.met_at, zone), duty.reference)))
    mark = {"overdue": "✖", "met": "✔", "met-late": "✔", "void": "·"}.get(duty.state, "○")
    text = "  ".join(filter(None, (f"  {mark} {_duty_word(duty.state)}", when, title, done, f"[{duty.id}]")))
    session.out.text(session.out.folded(text, more="      "), "bold red" if duty.state == "overdue" else "")
    if duty.state == "void" and duty.reason:
        session.out.text(session.out.folded("      " + _("because: {why}").format(why=duty.reason), more="      "), "dim")
    for was in duty.earlier:
        said = _("was due {due} until {by} changed it on {at}: {why}").format(
            due=_show.when(was.due_at, zone), by=was.ended_by, at=_show.when(was.ended_at, zone), why=was.reason or "-"
        )
        session.out.text(session.out.folded("      " + said, more="      "), "dim")
    if duty.unverified:
        session.out.text(session.out.folded("      " + _("unverified: {why}").format(why=duty.unverified), more="      "), "dim")


@command.command(
    help=_(
        "Open an incident: what comes by telephone, letter or mail, or from alerts. TITLE is one line; without it questions are asked on a terminal. "
        "Example: soc incidents new 'Máy bị mã hóa' --agency 'so y te' --detected 22:05 --reported-by 'Chị Hoa 0912 345 678' --channel telephone"
    )
)
@click.argument("title", required=False, default="")
@_fields
@click.option("--alert", "alerts", multiple=True, metavar="ID", help=_("Alert or group that it comes from (may be repeated)."))
@click.option("--owner", default="", metavar="NAME", help=_("Who handles it."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real, or exercise:<id>."))
@_record.reason_option
@json_option
@pass_session
@_record.behalf_options
def new(
    session: Session,
    /,
    title: str,
    alerts: tuple[str, ...],
    owner: str,
    scope: str,
    reason: str,
    behalf: Behalf | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Open an incident."""
    from soc.application import incidents

    app = session.app(new_store=True)
    given = {**({"title": title} if title else {}), **_given(session, fields)}
    if not title and may_ask(session):
        from soc.cli._register import ask

        given = ask(session, app, given)
    found = incidents.alert_ids(app, alerts)
    opened = incidents.open_incident(app, given, alerts=found, owner=owner, reason=reason, behalf=behalf, scope=scope)
    _record.warn_of_unknown(session, owner)
    tell_changed(session, opened, as_json)
    if not as_json:
        session.out.say(_("Next: soc incidents triage {id} --class CODE, soc incidents show {id}").format(id=opened.id))


@command.command("list", help=_("List incidents, what is due first comes first; those at work unless --state or --all says otherwise."))
@click.option("--state", "states", multiple=True, metavar="STATE", help=_("In this state (may be repeated)."))
@click.option("--all", "every", is_flag=True, help=_("Also closed, rejected and merged ones."))
@click.option("--overdue", is_flag=True, help=_("Only with something overdue."))
@click.option("--agency", default="", metavar="ID", help=_("Only of this agency."))
@click.option("--scope", default="real", metavar="SCOPE", help=_("real (default), exercise:<id>, or all."))
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help=_("At most so many (0 = all)."))
@list_options
@pass_session
def list_command(
    session: Session, states: tuple[str, ...], every: bool, overdue: bool, agency: str, scope: str, limit: int, form: str | None, fields: tuple[str, ...]
) -> None:
    """List incidents."""
    from soc.application import incidents
    from soc.incidents.workflow import OPEN, STATES

    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise click.BadParameter(_("{state} is none of {known}").format(state=unknown[0], known=", ".join(STATES)))
    asked: Any = {"states": STATES if every else states or OPEN, "scope": None if scope == "all" else scope, "overdue": overdue, "agency": agency}
    total, found = incidents.page(session.app(), **asked, limit=limit)
    zone = session.settings.timezone
    columns = [
        Column("id", "ID", whole=True),
        Column("state", _("State"), lambda item: state_word(item["state"])),
        Column("severity", _("Severity"), lambda item: _show.level(item["severity"]), lambda item: _show.style_of(item["severity"]), whole=True),
        Column("title", _("Title"), most=80),
        Column("agencies", _("Agency")),
        Column("owner", _("Owner")),
        Column("next_due_at", _("Due"), lambda item: _show.when(item["next_due_at"], zone) + (" " + _("OVERDUE") if item["overdue"] else ""), whole=True),
    ]

    def line(item: dict[str, Any]) -> tuple[str, str]:
        due = _("due {at}").format(at=_show.when(item["next_due_at"], zone)) if item["next_due_at"] else ""
        parts = (
            item["id"],
            _show.level(item["severity"]),
            state_word(item["state"]),
            item["title"],
            ", ".join(item["agencies"]),
            item["owner"],
            due,
            _("OVERDUE") if item["overdue"] else "",
        )
        return "  ".join(filter(None, parts)), "bold red" if item["overdue"] else _show.style_of(item["severity"])

    items = [incidents.item(incident, duties) for incident, duties in found]
    session.out.items("incidents", items, columns, total=total, form=form, fields=fields, narrow=line)
    if not items:
        session.out.say(_("no incidents; to open one: soc incidents new TITLE"))


@command.command(help=_("Show one incident whole: facts, clocks, tasks, notes, what can be done next. ID may be the number alone."))
@click.argument("id")
@json_option
@pass_session
def show(session: Session, id: str, as_json: bool) -> None:
    """Show an incident."""
    import msgspec

    from soc.application import incidents, playbooks
    from soc.incidents.model import commands

    app = session.app()
    incident = incidents.get(app, id)
    duties = incidents.duties(app, incident)
    if as_json:
        whole = {
            **msgspec.to_builtins(incident),
            **incidents.item(incident, duties),
            "obligations": msgspec.to_builtins(duties),
            "playbooks": msgspec.to_builtins(playbooks.progress(incident)),
            "possible": commands(incident),
        }
        write_json({"schema_version": 1, "kind": "incident", "item": whole})
        return
    tell_changed(session, incident, as_json=False)
    _tell_whole(session, incident)
    session.out.say("\n" + session.out.folded(_("Possible now: {commands}").format(commands=", ".join(commands(incident)))))


def _tell_whole(session: Session, incident: Incident) -> None:
    from soc.application import registry
    from soc.cli._io import cell

    out, zone = session.out, session.settings.timezone
    known = incident.class_
    agencies, systems = (registry.names(session.app(), kind, ids) for kind, ids in (("agencies", incident.agencies), ("systems", incident.systems)))
    rows = [
        (_("Detected"), " ".join(filter(None, (_show.when(incident.detected_at, zone), incident.detected_by)))),
        (
            _("Reported"),
            " ".join(filter(None, (_show.when(incident.reported_at, zone), incident.reported_by, _words.channel(incident.channel), incident.reference))),
        ),
        (_("Opened"), f"{_show.when(incident.opened_at, zone)} {incident.opened_by}"),
        (_("Severity"), _show.level(incident.severity)),
        (_("Class"), f"{known['rsit']} {known['group']}".strip()),
        (_("Legal class"), "  ".join(filter(None, (_words.legal_class(incident.legal_class), incident.legal_reason)))),
        (_("Concerns"), ", ".join(_words.flag(name) for name in FLAGS if getattr(incident, name))),
        (_("Regime"), incident.regime),
        ("TLP", incident.tlp),
        (_("Agency"), _words.named(agencies, incident.agencies)),
        (_("System"), _words.named(systems, incident.systems)),
        (_("Owner"), incident.owner),
        (_("Alerts"), cell(incident.alerts)),
        (_("Linked"), cell(list(incident.links))),
        (_("Merged into"), incident.merged_into),
        (_("Merged from"), cell(incident.merged)),
        (_("Policy"), incident.policy),
        (_("Defect"), incident.defect),
        (_("Reason"), incident.reason),
        (_("Result"), incident.resolution),
        (_("Scope"), incident.scope if incident.scope != "real" else ""),
        (_("Version"), str(incident.version)),
    ]
    out.text("")
    shown = [(title, value) for title, value in rows if value.strip()]
    widest = max(cell_width(title) for title, _value in shown)
    for title, value in shown:
        out.text(out.folded(f"  {title}{' ' * (widest - cell_width(title))}  {value}", more=" " * (widest + 4)))
    if incident.summary:
        out.text("\n" + "\n".join(out.folded(line, indent="  ") for line in incident.summary.split("\n")))
    if incident.tasks:
        out.text("\n" + _("Tasks"), "bold")
        _playbook.tell_tasks(session, incident)
    if incident.notes:
        out.text("\n" + _("Notes"), "bold")
        for one in incident.notes:
            who = one.actor + (" " + _("on behalf of {name}").format(name=one.behalf) if one.behalf else "")
            out.text(f"  {_show.when(one.at, zone)}  {who}")
            out.text("\n".join(out.folded(line, indent="    ") for line in one.text.split("\n")))


@command.command(help=_("Every fact that was recorded of an incident, the oldest first."))
@click.argument("id")
@list_options
@pass_session
def history(session: Session, id: str, form: str | None, fields: tuple[str, ...]) -> None:
    """List an incident's facts."""
    import msgspec

    from soc.application import incidents
    from soc.incidents.model import PREFIX

    app = session.app()
    facts = [msgspec.to_builtins(one.fact) for one in app.journal.read(PREFIX + incidents.get(app, id).id)]
    zone = session.settings.timezone
    columns = [
        Column("sequence", _("No."), right=True),
        Column("at", _("Time"), lambda item: _show.when(item["at"], zone), whole=True),
        Column("actor", _("Who")),
        Column("kind", _("What"), lambda item: _words.fact(item["kind"])),
        Column(
            "data",
            _("Details"),
            lambda item: _words.content({key: value for key, value in item["data"].items() if key != "facts"}, zone),
        ),
        Column("reason", _("Why")),
        Column("behalf", _("On behalf of"), lambda item: (item["behalf"] or {}).get("person", "")),
    ]
    session.out.items("facts", facts, columns, form=form, fields=fields)


@command.command(help=_("What has to be reported of incidents at work, by due time; exit code 1 when something is overdue."))
@click.option("--overdue", is_flag=True, help=_("Only what is overdue."))
@list_options
@pass_session
def due(session: Session, overdue: bool, form: str | None, fields: tuple[str, ...]) -> int:
    """List obligations."""
    import msgspec

    from soc.application import incidents
    from soc.incidents.workflow import CLOSED, OPEN

    open_states = ("tentative", "due", "overdue")
    items = [
        {"incident": incident.id, **msgspec.to_builtins(duty)}
        for incident, duties in incidents.listed(session.app(), states=(*OPEN, CLOSED), overdue=overdue, waiting=True)
        for duty in duties
        if duty.state in open_states and (not overdue or duty.state == "overdue")
    ]
    items.sort(key=lambda item: item["due_at"])
    zone = session.settings.timezone
    columns = [
        Column("incident", _("Incident"), whole=True),
        Column("state", _("State"), lambda item: _duty_word(item["state"]), lambda item: "bold red" if item["state"] == "overdue" else ""),
        Column("due_at", _("Due"), lambda item: _show.when(item["due_at"], zone), whole=True),
        Column("title", _("What"), lambda item: item["title"].get(current()) or item["title"]["en"]),
        Column("to", _("To")),
        Column("id", "ID", whole=True),
    ]
    session.out.items("obligations", items, columns, form=form, fields=fields)
    if not items:
        session.out.say(_("nothing is due"))
    return 1 if any(item["state"] == "overdue" for item in items) else 0


@command.command(help=_("The RSIT classes and their Vietnamese groups."))
@list_options
@pass_session
def classes(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List the classes."""
    from soc.incidents.classes import CODES, GROUPS, group_of

    items = [{"rsit": code, "group": group_of(code), "name": GROUPS[group_of(code)]} for code in sorted(CODES)]
    columns = [Column("rsit", "RSIT", whole=True), Column("group", _("Group"), whole=True), Column("name", _("Name"))]
    session.out.items("classes", items, columns, form=form, fields=fields)


# --- changing --------------------------------------------------------------------------------------------------------


@command.command(help=_("Change what is known of an incident; a new legal class or time of detection needs --reason and moves the clocks."))
@click.argument("id")
@click.option("--title", metavar="TEXT", help=_("Another title."))
@_fields
@_with_version
@_record.reason_option
@json_option
@pass_session
@_record.behalf_options
def edit(session: Session, /, id: str, expected: int | None, reason: str, behalf: Behalf | None, as_json: bool, **fields: Any) -> None:
    """Change an incident."""
    from soc.application import incidents

    app = session.app()
    tell_changed(session, incidents.edit(app, id, _given(session, fields), reason=reason, behalf=behalf, expected=expected), as_json)


@command.command(help=_("Write something down; - reads the text from standard input."))
@click.argument("id")
@click.argument("text")
@json_option
@pass_session
@_record.behalf_options
def note(session: Session, id: str, text: str, behalf: Behalf | None, as_json: bool) -> None:
    """Add a note."""
    from soc.application import incidents

    written = sys.stdin.read(incidents.MOST_NOTE + 1) if text == "-" else text
    tell_changed(session, incidents.note(session.app(), id, written, behalf=behalf), as_json)


@command.command(help=_("Give an incident to somebody."))
@click.argument("id")
@click.argument("owner", required=False)
@click.option("--to", "to", metavar="OWNER", help=_("The same as OWNER; an empty name is nobody."))
@json_option
@pass_session
def assign(session: Session, id: str, owner: str | None, to: str | None, as_json: bool) -> None:
    """Assign an incident."""
    from soc.application import incidents

    app = session.app()  # who may not is told so first
    if (owner is None) == (to is None):
        raise click.UsageError(_("to whom? OWNER, or --to OWNER"))
    owner = to if owner is None else owner
    assert owner is not None  # one of them is there
    changed = incidents.assign(app, id, owner)
    _record.warn_of_unknown(session, owner)
    tell_changed(session, changed, as_json)


@command.command("task", help=_("Add a task."))
@click.argument("id")
@click.argument("title")
@click.option("--owner", default="", metavar="NAME", help=_("Who does it."))
@click.option("--due", "due_at", default="", metavar="TIME", help=_("Until when: 3d (from now), or a day, or a time."))
@json_option
@pass_session
def task(session: Session, id: str, title: str, owner: str, due_at: str, as_json: bool) -> None:
    """Add a task."""
    from soc.application import incidents

    given = {"title": title, "owner": owner, "due_at": _record.ahead(session, due_at)}
    changed = incidents.add_tasks(session.app(), id, [given])
    _record.warn_of_unknown(session, owner)
    tell_changed(session, changed, as_json)


@command.command("task-done", help=_("Say that a task is done."))
@click.argument("id")
@click.argument("task")
@click.option("--result", default="", metavar="TEXT", help=_("What came of it."))
@click.option("--at", "at", default="", metavar="TIME", help=_("When; default: now."))
@json_option
@pass_session
@_record.behalf_options
def task_done(session: Session, id: str, task: str, result: str, at: str, behalf: Behalf | None, as_json: bool) -> None:
    """Finish a task."""
    from soc.application import incidents

    tell_changed(session, incidents.finish_task(session.app(), id, task, result=result, at=_record.past(session, at), behalf=behalf), as_json)


@command.command(help=_("Tie alerts or groups to an incident."))
@click.argument("id")
@click.argument("alerts", nargs=-1, required=True)
@json_option
@pass_session
def attach(session: Session, id: str, alerts: tuple[str, ...], as_json: bool) -> None:
    """Attach alerts."""
    from soc.application import incidents

    tell_changed(session, incidents.attach(session.app(), id, alerts), as_json)


@command.command(help=_("Record that a report was sent: OBLIGATION as shown in brackets. Nothing is sent to an authority by itself."))
@click.argument("id")
@click.argument("obligation")
@click.option("--at", "at", default="", metavar="TIME", help=_("When it was sent; default: now."))
@click.option("--number", "reference", default="", metavar="TEXT", help=_("Number and sign of the document."))
@click.option("--channel", default="", metavar="TEXT", help=_("How it was sent: document, mail, …"))
@json_option
@pass_session
@_record.behalf_options
def report(session: Session, id: str, obligation: str, at: str, reference: str, channel: str, behalf: Behalf | None, as_json: bool) -> None:
    """Record a report."""
    from soc.application import incidents

    found = incidents.report(session.app(), id, obligation, at=_record.past(session, at), reference=reference, channel=channel, behalf=behalf)
    tell_changed(session, found, as_json)


def _step(name: str, help: str, *more: click.Option) -> None:
    """A command of the workflow."""

    def carry_out(session: Session, /, id: str, at: str, expected: int | None, reason: str, behalf: Behalf | None, as_json: bool, **given: Any) -> None:
        from soc.application import incidents

        app = session.app()
        values = {**_given(session, given), "at": _record.past(session, at)}
        moved = incidents.move(app, id, name, values, reason=reason, behalf=behalf, expected=expected)
        tell_changed(session, moved, as_json)
        if name == "triage" and not as_json:
            _playbook.propose(session, moved)

    told = _record.behalf_options(carry_out)
    function: Callable[..., Any] = update_wrapper(pass_session(told), told)
    function = click.option("--at", "at", default="", metavar="TIME", help=_("When it was so, to the minute; default: now."))(function)
    made = command.command(name, help=help)(click.argument("id")(_with_version(_record.reason_option(json_option(function)))))
    made.params += more


_step(
    "triage",
    _("It is an incident: say of which class."),
    click.Option(["--rsit", "--class", "rsit"], metavar="CODE", help=_("RSIT class, as malicious-code/infected-system (soc incidents classes).")),
    click.Option(["--severity"], type=click.Choice(SEVERITIES), help=_("How bad it is for us.")),
    click.Option(["--legal-class"], type=click.Choice(LEGAL), help=_("Ordinary or serious by law: a person decides it, with --reason.")),
)
_step("contain", _("It cannot spread any more."))
_step("eradicate", _("Its cause is gone."))
_step("recover", _("What it stopped works again."))
_step("close", _("Everything is done: say what came of it."), click.Option(["--resolution"], metavar="TEXT", help=_("Cause, extent, what was done.")))
_step("reject", _("It is none: say why."))
_step("reopen", _("It goes on: say why."))
_step("merge", _("It is the same as another one; can be taken back by unmerge."), click.Option(["--into"], metavar="ID", help=_("The one that goes on.")))
_step("unmerge", _("Take a merge back: it goes on where it was."))

for _more in (*_observables.COMMANDS, _playbook.playbook):
    command.add_command(_more)
