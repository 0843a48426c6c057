"""`soc policies`: list, show, fields, lint, test, run, enable, disable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import Column, json_option, list_options, write_json
from soc.cli._query import scope_option
from soc.cli._session import Session, pass_session
from soc.i18n import current, translated
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.policies import Did, Report, Would
    from soc.application.policies_set import Known
    from soc.errors import ConfigError
    from soc.incidents.policies.policy import Loaded, Policy

REFUSED = 1


@click.group(help=_("Policies: automated alert rules that open incidents, join them, tell people and call who is on call."))
def command() -> None:
    """The noun."""


def _does(policy: Policy) -> list[str]:
    then = policy.then
    return [
        word
        for word, does in (
            ("open", then.open is not None),
            ("attach", policy.attach is not None),
            ("assign", bool(then.assign)),
            ("notify", bool(then.notify)),
            ("page", then.page),
        )
        if does
    ]


def _does_word(word: str) -> str:
    words = {"open": _("opens an incident"), "attach": _("joins one"), "assign": _("assigns"), "notify": _("tells"), "page": _("calls")}
    return words.get(word, word)


def _item(one: Known) -> dict[str, Any]:
    loaded, policy = one.loaded, one.loaded.policy
    return {
        "name": loaded.name,
        "running": one.running,
        "says": one.says,
        "why": one.switch.why,
        "by": one.switch.by,
        "title": {"vi": policy.title.vi, "en": policy.title.en},
        "does": _does(policy),
        "limit": {"most": policy.limit.most, "within": policy.limit.within},
        "shipped": loaded.shipped,
        "version": policy.version,
        "hash": loaded.hash,
        "path": loaded.path,
    }


def _title(item: dict[str, Any]) -> str:
    return str(item["title"].get(current()) or item["title"]["vi"])


def _tell_errors(session: Session, errors: list[ConfigError]) -> None:
    for error in errors:
        session.out.warn(translated(error.message))


@command.command("list", help=_("List the policies, and whether they run."))
@list_options
@pass_session
def list_command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List policies."""
    from soc.application import policies_people, policies_set

    app = session.app()
    found, errors = policies_set.known(app)
    nobody = policies_people.unreached(app, [one.loaded for one in found if one.running])
    says = {"people": _("by a person"), "settings": _("by the settings"), "file": ""}
    columns = [
        Column("name", _("Name"), whole=True),
        Column("running", _("Runs"), lambda item: " ".join(filter(None, (_("yes") if item["running"] else _("no"), says[item["says"]])))),
        Column("title", _("Title"), _title),
        Column("does", _("Does"), lambda item: ", ".join(_does_word(word) for word in item["does"])),
        Column("limit", _("Limit"), lambda item: f"{item['limit']['most']}/{item['limit']['within']}", whole=True),
    ]
    items = [{**_item(one), "reaches_nobody": nobody.get(one.loaded.name, [])} for one in found]
    session.out.items("policies", items, columns, form=form, fields=fields)
    for name, words in nobody.items():
        session.out.warn(_("{name} reaches nobody: {words}; soc roster import, soc people import, outbox.leads").format(name=name, words=", ".join(words)))
    _tell_errors(session, errors)


@command.command(help=_("Show one policy: its condition, what it does, and what it did."))
@click.argument("name")
@json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show a policy."""
    import msgspec

    from soc.application import policies_set

    app = session.app()
    one = policies_set.one(app, name)
    did = policies_set.done(app, name)
    if as_json:
        policy = msgspec.to_builtins(one.loaded.policy)
        write_json({"schema_version": 1, "kind": "policy", "item": {**_item(one), "policy": policy, "did": msgspec.to_builtins(did)}})
        return
    item, out, policy = _item(one), session.out, one.loaded.policy
    out.text(f"{one.loaded.name}  {_title(item)}", "bold")
    rows = [
        (_("Runs"), (_("yes") if one.running else _("no")) + (f"  {one.switch.by}: {one.switch.why}" if one.switch.why else "")),
        (_("When"), " ".join(policy.when.split())),
        (_("Joins"), _("same {names} within {within}").format(names=", ".join(policy.attach.same), within=policy.attach.within) if policy.attach else ""),
        (_("Does"), ", ".join(_does_word(word) for word in item["does"])),
        (_("Playbook"), policy.then.open.playbook if policy.then.open else ""),
        (_("Tells"), ", ".join(telling.to for telling in policy.then.notify)),
        (_("Limit"), f"{policy.limit.most}/{policy.limit.within}"),
        (_("File"), item["path"]),
    ]
    if policy.description:
        out.text(out.folded(policy.description.of(current()), indent="  "))
    for title, value in rows:
        if value.strip():
            out.text(out.folded(f"  {title:<11} {value}", more=" " * 14))
    for scope, counts in did.items():
        words = (
            _("{count} groups").format(count=_show.number(counts.groups)),
            _("{count} incidents").format(count=_show.number(counts.incidents)),
            _("waiting: {count}").format(count=counts.pending),
        )
        out.text(f"  {scope:<11} {'  '.join(words)}  " + _("since {at}").format(at=_show.when(counts.since, session.settings.timezone)))
    out.say(_("Next: soc policies test {name} --since 90d").format(name=name))


@command.command("fields", help=_("What a condition may ask of a group by itself, beside the fields of its key and of the events of its alerts."))
@list_options
@pass_session
def fields_command(session: Session, form: str | None, fields: tuple[str, ...]) -> None:
    """List the fields of groups."""
    from soc.incidents.policies.condition import OF_GROUPS

    items = [{"field": name, "meaning": str(text)} for name, text in OF_GROUPS.items()]
    columns = [Column("field", _("Field"), whole=True), Column("meaning", _("Meaning"), lambda item: translated(OF_GROUPS[item["field"]]))]
    session.out.items("policy-fields", items, columns, form=form, fields=fields)


def _files(session: Session, words: tuple[str, ...]) -> tuple[list[Loaded], list[ConfigError]]:
    """The policies of files, folders or names; all of the settings when none is given.

    Raises: NotFound.
    """
    from pathlib import Path

    from soc.application import policies_set
    from soc.errors import ConfigError, NotFound, Phrase
    from soc.incidents.policies.policy import load, load_all

    known, errors = policies_set.load(session.settings)
    if not words:
        return known, errors
    found: list[Loaded] = []
    wrong: list[ConfigError] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            more, bad = load_all([(path, False)])
            found += more
            wrong += bad
        elif path.suffix == ".yml":
            try:
                found.append(load(path))
            except ConfigError as error:
                wrong.append(error)
        else:
            named = [one for one in known if one.name == word]
            bad = [error for error in errors if Path(error.file).stem == word]
            if not named and not bad:
                raise NotFound(Phrase("there is no policy {name}", name=word), hint="soc policies list")
            found += named
            wrong += bad
    return found, wrong


@command.command(help=_("Check policy files, and run the cases beside them; exit code 1 when something is wrong."))
@click.argument("policies", metavar="[POLICY]...", nargs=-1)
@list_options
@pass_session
def lint(session: Session, policies: tuple[str, ...], form: str | None, fields: tuple[str, ...]) -> int:
    """Check files, folders or names; all that the settings name when none is given."""
    from soc.application import playbooks, policies_set
    from soc.errors import ConfigError
    from soc.incidents.policies.cases import run_cases

    found, errors = _files(session, policies)
    plays = {one.name for one in playbooks.load(session.settings)[0]}
    rules = policies_set.rule_ids(session.settings)
    items: list[dict[str, Any]] = [{"policy": "", "file": error.file, "line": error.line, "case": "", "reason": translated(error.message)} for error in errors]
    cases = 0
    for one in found:
        about = {"policy": one.name, "file": one.path, "line": 0}
        items += [{**about, "case": "", "reason": translated(text)} for text in policies_set.doubts(one, plays, rules)]
        try:
            results = run_cases(one)
        except ConfigError as error:
            items.append({"policy": one.name, "file": error.file, "line": error.line, "case": "", "reason": translated(error.message)})
            continue
        cases += len(results)
        items += [{**about, "case": result.case, "reason": result.reason} for result in results if not result.passed]
    columns = [Column("policy", _("Policy"), whole=True), Column("file", _("File")), Column("case", _("Case")), Column("reason", _("Reason"))]
    session.out.items("policy-findings", items, columns, form=form, fields=fields)
    session.out.say(_("{count} policies, {cases} cases, {wrong} findings").format(count=len(found), cases=cases, wrong=len(items)))
    return REFUSED if items else 0


@command.command(help=_("What policies would have opened and told since a time, had they run then; nothing is recorded, nobody is told."))
@click.argument("policies", metavar="[POLICY]...", nargs=-1)
@click.option("--since", default="90d", show_default=True, metavar="TIME", help=_("From this time on: 90d, 2026-11-20, …"))
@scope_option
@list_options
@pass_session
def test(session: Session, policies: tuple[str, ...], since: str, scope: str | None, form: str | None, fields: tuple[str, ...]) -> int:
    """Rehearse policies."""
    import msgspec

    from soc.application import policies as carried

    app = session.app()
    zone = session.settings.timezone
    found, errors = _files(session, policies)
    would = carried.rehearse(app, found, since_us=_show.read_time(since, app.clock.now_us(), zone), scope=scope)
    columns = [
        Column("policy", _("Policy"), whole=True),
        Column("groups", _("Groups"), lambda item: _show.number(item["groups"]), right=True),
        Column("opened", _("Incidents"), lambda item: _show.number(item["opened"]), right=True),
        Column("joined", _("Joined"), lambda item: _show.number(item["joined"]), right=True),
        Column("storms", _("Storms"), lambda item: _show.number(item["storms"]), right=True),
        Column("messages", _("Messages"), lambda item: _show.number(item["messages"]), right=True),
        Column("pages", _("Calls"), lambda item: _show.number(item["pages"]), right=True),
    ]
    session.out.items("policy-rehearsals", [msgspec.to_builtins(one) for one in would], columns, form=form, fields=fields)
    if form in (None, "", "plain"):
        for one in would:
            _tell_examples(session, one, zone)
    _tell_errors(session, errors)
    return REFUSED if errors else 0


def _tell_examples(session: Session, would: Would, zone: str) -> None:
    for number, example in enumerate(would.examples):
        if not number:
            session.out.say(would.policy)
        title = _show.title({"title": example["rule"], "title_vi": example["rule_vi"]})
        session.out.say(f"  {_show.when(example['at'], zone)}  {_how(example['how'])}  {_show.level(example['level'])}  {title}  {example['group'][:10]}")


def _how(word: str) -> str:
    return {"opened": _("opens"), "storm": _("storm"), "told": _("tells")}.get(word, word)


@command.command(help=_("Carry the policies out now; soc run does it by itself. What was done is never done again."))
@click.option("--only", default="", metavar="NAME", help=_("Only this policy."))
@click.option("--since", default="", metavar="TIME", help=_("Look at groups since this time, also those from before a policy was taken up: 7d, 2026-11-20, …"))
@json_option
@pass_session
def run(session: Session, only: str, since: str, as_json: bool) -> int:
    """Run policies."""
    from soc.application import policies, policies_set

    app = session.app()
    if only:
        policies_set.one(app, only)
    since_us = _show.read_time(since, app.clock.now_us(), session.settings.timezone) if since else None
    report = policies.run(app, since_us=since_us, only=only)
    if as_json:
        write_json(_report(report))
    else:
        for did in report.did:
            session.out.text(_line(did))
        settled = report.settled
        if settled.withdrawn or settled.restored or settled.left:
            session.out.text(
                _("defects of rules: {withdrawn} incidents withdrawn, {restored} brought back, {left} left to people").format(
                    withdrawn=len(settled.withdrawn), restored=len(settled.restored), left=len(settled.left)
                )
            )
        session.out.say(_("{count} groups were looked at").format(count=_show.number(report.groups)))
        if not report.did:
            session.out.say(_("nothing is to be done"))
    _tell_errors(session, report.errors)
    return REFUSED if report.errors else 0


def _line(did: Did) -> str:
    parts = (
        did.policy,
        did.scope if did.scope != "real" else "",
        _("opened: {count}").format(count=_show.number(did.opened + did.storms)) if did.opened + did.storms else "",
        _("joined: {count}").format(count=_show.number(did.joined + did.known)) if did.joined + did.known else "",
        _("told: {count}").format(count=_show.number(did.told)) if did.told else "",
        _("counted: {count}").format(count=_show.number(did.counted)) if did.counted else "",
        " ".join(did.incidents[:5]) + (" …" if len(did.incidents) > 5 else ""),  # noqa: PLR2004
    )
    return "  ".join(filter(None, parts))


def _report(report: Report) -> dict[str, Any]:
    import msgspec

    return {
        "schema_version": 1,
        "kind": "policy-run",
        "groups": report.groups,
        "items": [msgspec.to_builtins(did) for did in report.did],
        "settled": msgspec.to_builtins(report.settled),
        "errors": [{"file": error.file, "line": error.line, "reason": str(error.message)} for error in report.errors],
    }


@command.command(help=_("Switch a policy on; what came while it was off is left alone."))
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def enable(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Switch a policy on."""
    from soc.application import policies_set

    _switched(session, policies_set.enable(session.app(), name, why=reason), as_json)


@command.command(help=_("Switch a policy off; what it did stays."))
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help=_("Why, for the record."))
@json_option
@pass_session
def disable(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Switch a policy off."""
    from soc.application import policies_set

    _switched(session, policies_set.disable(session.app(), name, why=reason), as_json)


def _switched(session: Session, one: Known, as_json: bool) -> None:
    if as_json:
        write_json({"schema_version": 1, "kind": "policy", "item": _item(one)})
        return
    session.out.text(_("{name} runs").format(name=one.loaded.name) if one.running else _("{name} does not run").format(name=one.loaded.name))
