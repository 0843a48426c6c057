"""Who may do what: one table of actions, roles and whose objects; the account that asks; the question that every command puts.

A person's role stands in the registry (`soc people import`: account, role, agency). While nobody there has an account, whoever
may run `soc` on the machine is its administrator: one analyst on one laptop needs no registration. With the first account that
ends, and an account that nobody registered may only look at itself and run the pipeline.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from soc.application.app import Actor, App
from soc.application.numbered import local_day
from soc.errors import NotAllowed, Phrase
from soc.model.alert import AlertGroup
from soc.model.role import ADMINISTRATOR, ANY, NONE, OFFICER, OWN, ROLES, SERVICE, Reach
from soc.organization.model import Agency, Person, System
from soc.organization.registry import Registry, stream_of

T = TypeVar("T")
_MOST_NAMED = 5
EVERYBODY = "everybody"


class Row(NamedTuple):
    """One action. `roles`: who may, a `*` after a role meaning only with objects of the own agencies; administrators always may.

    `commands`: the commands of the command line that are this action.
    """

    action: str
    what: str
    roles: str
    commands: str = ""

    def reach(self, role: str) -> Reach:
        """How far the right of a role reaches."""
        words = self.roles.split()
        if EVERYBODY in words or role == ADMINISTRATOR or role in words:
            return ANY
        return OWN if role + "*" in words else NONE


TABLE: tuple[Row, ...] = (
    Row(
        "soc.use",
        Phrase("help, checks, and what works on files that one may read anyway"),
        "everybody",
        "access show, agencies sample, commands, completion, config path, config schema, config show, config validate, doctor, demo, evidence dossier-verify, help,"
        " incidents classes, init,"
        " duties steps, parse, playbooks list, playbooks show, playbooks lint, policies fields, policies lint, reports templates check, reports templates export,"
        " rules coverage, rules diff, rules eval, rules import, rules lint, rules test, version, whoami",
    ),
    Row("pipeline.run", Phrase("run the pipeline, the automated rules and reminders"), "everybody service", "run, ingest file, duties run"),
    Row("events.view", Phrase("see events"), "viewer analyst lead officer* service", "events search, events get, events stats, events tail, events export"),
    Row("alerts.view", Phrase("see alerts and groups"), "viewer analyst lead officer* service", "alerts list, alerts get, alerts why, alerts recipients"),
    Row(
        "alerts.triage",
        Phrase("decide about groups of alerts"),
        "analyst lead service",
        "alerts ack, alerts assign, alerts close, alerts reopen, alerts undo, alerts verdict",
    ),
    Row("suppressions.view", Phrase("see suppressions"), "viewer analyst lead", "suppressions list"),
    Row("suppressions.change", Phrase("hide groups of alerts for a while"), "analyst lead", "suppressions add, suppressions end"),
    Row(
        "incidents.view",
        Phrase("see incidents, their history, clocks and observables"),
        "viewer analyst lead officer* service",
        "incidents list, incidents show, incidents history, incidents due, incidents observables, incidents related",
    ),
    Row("incidents.open", Phrase("open incidents"), "analyst lead officer* service", "incidents new, incidents import-eml"),
    Row("incidents.note", Phrase("write something down about an incident"), "analyst lead officer* service", "incidents note"),
    Row("incidents.task-done", Phrase("say that a task is done"), "analyst lead officer* service", "incidents task-done"),
    Row(
        "incidents.handle",
        Phrase("change incidents, their tasks, alerts, links, observables and reports"),
        "analyst lead service",
        "incidents edit, incidents assign, incidents task, incidents attach, incidents observe, incidents ignore, incidents link, incidents unlink, incidents report,"
        " incidents triage, incidents contain, incidents eradicate, incidents recover",
    ),
    Row(
        "incidents.decide",
        Phrase("close, reject, reopen and merge incidents"),
        "analyst lead",
        "incidents close, incidents reject, incidents reopen, incidents merge, incidents unmerge",
    ),
    Row(
        "notices.view",
        Phrase("see notices and how far recipients are"),
        "viewer analyst lead officer* service",
        "notices list, notices show, notices unanswered, notices overdue, notices confirmations",
    ),
    Row("notices.draft", Phrase("draft notices"), "analyst lead service", "notices new, notices edit, notices export"),
    Row("notices.approve", Phrase("record that a notice was signed, by another person than its author"), "analyst lead", "notices approve"),
    Row("notices.send", Phrase("send notices, reminders and second letters"), "analyst lead service", "notices send, notices remind, notices second-letter"),
    Row(
        "notices.replies",
        Phrase("take in mails that answer notices, and say what unclear ones mean"),
        "analyst lead service",
        "notices replies import, notices replies fetch, notices replies list, notices replies show, notices replies settle, notices replies discard",
    ),
    Row("approval.change", Phrase("say whether what goes out needs two people"), "lead", "notices approval"),
    Row("warnings.view", Phrase("see warnings of the national centre"), "viewer analyst lead service", "warnings list, warnings show"),
    Row(
        "warnings.handle",
        Phrase("record warnings of the national centre and pass them on"),
        "analyst lead service",
        "warnings new, warnings fan-out, warnings close",
    ),
    Row("notices.answer", Phrase("record what an agency answered"), "analyst lead officer* service", "notices ack, notices answer"),
    Row("notices.withdraw", Phrase("withdraw notices"), "lead", "notices withdraw"),
    Row(
        "registry.view",
        Phrase("see agencies, network points, people, systems, mailboxes and partners"),
        "viewer analyst lead officer* service",
        "agencies list, agencies show, agencies gaps, agencies coverage, points list, points show, people list, people show, systems list, systems show, mailboxes list,"
        " mailboxes show, partners list, partners show",
    ),
    Row(
        "registry.import",
        Phrase("change agencies, network points, systems, mailboxes and partners"),
        "analyst lead",
        "agencies import, points import, systems import, mailboxes import, partners import",
    ),
    Row("people.import", Phrase("change people, their accounts and roles"), "", "people import"),
    Row("audit.view", Phrase("see and check the journal"), "viewer analyst lead", "audit log, audit verify"),
    Row("audit.checkpoint", Phrase("sign where the journal ends"), "analyst lead service", "audit checkpoint"),
    Row("audit.export", Phrase("write the whole journal to a file"), "lead", "audit export"),
    Row("audit.key", Phrase("show and change the key that signs"), "service", "audit key"),
    Row("intel.view", Phrase("see blocking lists and whether they worked"), "viewer analyst lead", "intel list, intel show, intel check, intel allowed"),
    Row("intel.propose", Phrase("propose blocking lists and write approved ones"), "analyst lead", "intel propose, intel export"),
    Row("intel.approve", Phrase("approve and withdraw blocking lists"), "lead", "intel approve, intel withdraw, intel allow"),
    Row("policies.view", Phrase("see and try automated rules"), "viewer analyst lead service", "policies list, policies show, policies test"),
    Row("policies.change", Phrase("switch automated rules on and off"), "lead", "policies enable, policies disable"),
    Row("policies.run", Phrase("carry out automated rules now"), "analyst lead service", "policies run"),
    Row("playbooks.view", Phrase("see playbooks"), "viewer analyst lead officer service", ""),
    Row("playbooks.start", Phrase("give an incident the tasks of a playbook"), "analyst lead service", "incidents playbook"),
    Row(
        "oncall.view",
        Phrase("see who is on call, rosters, shifts and messages"),
        "viewer analyst lead service",
        "roster show, roster now, oncall list, outbox list, outbox show, handover list, handover show, duties list, duties calendar",
    ),
    Row(
        "oncall.acknowledge",
        Phrase("acknowledge calls and hand shifts over"),
        "analyst lead",
        "oncall ack, oncall escalate, handover write, handover accept",
    ),
    Row("oncall.change", Phrase("change rosters and calendars"), "lead", "roster import, roster swap"),
    Row(
        "messages.send",
        Phrase("send messages"),
        "analyst lead service",
        "outbox deliver, outbox retry, outbox cancel, outbox test, oncall page",
    ),
    Row(
        "reports.view",
        Phrase("see reports"),
        "viewer analyst lead",
        "reports kinds, reports list, reports show",
    ),
    Row(
        "reports.make",
        Phrase("make reports and the handbook"),
        "analyst lead service",
        "reports draft, reports export, reports import-signed, reports sent, reports situation, handbook",
    ),
    Row("evidence.view", Phrase("see and check evidence"), "analyst lead", "evidence list, evidence show, evidence verify"),
    Row(
        "evidence.change",
        Phrase("add evidence and record custody"),
        "analyst lead service",
        "evidence add, evidence register, evidence events, evidence hand-over",
    ),
    Row("evidence.export", Phrase("write dossiers"), "lead", "evidence dossier"),
    Row(
        "rules.view",
        Phrase("see and try rules"),
        "viewer analyst lead",
        "rules backtest, rules compare, rules except list, rules explain, rules history, rules list, rules retractions, rules show, rules stats, replay",
    ),
    Row(
        "rules.change",
        Phrase("change which rules are in force"),
        "analyst lead",
        "rules disable, rules enable, rules except add, rules promote, rules reload, rules shadow",
    ),
    Row("events.enrich", Phrase("ask the registry anew whose stored events are"), "lead", "enrich"),
    Row("rules.retract", Phrase("withdraw alerts, give events another class"), "lead", "rules retract, rules unretract, reclassify"),
    Row("deadletters.view", Phrase("see dead letters"), "viewer analyst lead", "deadletters list, deadletters show"),
    Row("deadletters.change", Phrase("process dead letters again, or give them up"), "analyst lead", "deadletters redrive, deadletters discard"),
    Row("sources.view", Phrase("see and try sources"), "viewer analyst lead", "sources list, sources status, sources test"),
    Row("sources.change", Phrase("correct the clocks of sources"), "lead", "sources offset"),
    Row("store.view", Phrase("see the ledger and the store"), "viewer analyst lead", "store ledger, store status"),
    Row(
        "store.keep", Phrase("back up, restore, clear and rebuild the store"), "", "store backup, store restore, store retention, store migrate, store rebuild"
    ),
)
"""The whole truth: what is not here, nobody but an administrator may do."""
ACTIONS: Mapping[str, Row] = {row.action: row for row in TABLE}
COMMANDS: Mapping[str, Row] = {command.strip(): row for row in TABLE for command in row.commands.split(",") if command.strip()}
"""The words of a command without `soc` → its row."""


class Standing(msgspec.Struct, frozen=True):
    """What somebody is here. `why`: `registered`, `sole` (nobody has an account), `service`, or `unknown`.

    `agencies`: the own agency and all below it, for officers.
    """

    account: str
    role: str
    why: Literal["registered", "sole", "service", "unknown"]
    person: str = ""
    name: str = ""
    agency: str = ""
    agencies: frozenset[str] = frozenset()
    orphaned: bool = False
    """There are accounts, but no administrator among those that count today."""


def standing(app: App) -> Standing:
    """What the one who asks is; looked up once per application and actor."""
    known: Standing | None = app.__dict__.get("_standing")
    if known is None or known.account != app.actor.name:
        known = app.__dict__["_standing"] = _standing(app)
    return known


def _standing(app: App) -> Standing:
    account = app.actor.name
    if app.actor.service:
        return Standing(account, SERVICE, "service")
    every = _with_accounts(app)
    if not every:
        return Standing(account, ADMINISTRATOR, "sole")
    today = local_day(app)
    counting = [one for one in every if one.valid(today)]
    orphaned = all(one.role != ADMINISTRATOR for one in counting)
    mine = next((one for one in counting if one.account == account), None)
    if mine is None:
        return Standing(account, "", "unknown", orphaned=orphaned)
    below = frozenset(Registry(app.journal, ("agencies",)).below(mine.agency)) if mine.role == OFFICER else frozenset[str]()
    return Standing(account, mine.role, "registered", mine.id, mine.name, mine.agency, below, orphaned)


def _with_accounts(app: App) -> list[Person]:
    """The people of the registry who have an account; the others, of whom there are many more, are not even checked."""
    rows: dict[str, Any] = {}
    for stored in app.journal.read(stream_of(Person.kind)):
        rows |= {str(row.get("id")): row for row in stored.fact.data.get("rows", ())}
    return [Person.model_validate(row) for row in rows.values() if row.get("account")]


def acting(app: App, name: str) -> App:
    """The same application with the program itself as actor, under a name for the record (`policy/ransomware`)."""
    other = copy.copy(app)
    other.__dict__.pop("_standing", None)
    other.actor = Actor(name, service=True)
    return other


def reach(app: App, action: str) -> Reach:
    """How far the right of the one who asks reaches."""
    row = ACTIONS[action]
    if EVERYBODY in row.roles.split():
        return ANY
    who = standing(app)
    if action == "people.import" and who.orphaned:
        return ANY  # accounts ran out: whoever has the files may name an administrator again
    return row.reach(who.role)


def allowed(app: App, action: str, obj: Any = None) -> bool:
    """Whether the one who asks may do it (`obj`: with this object)."""
    far = reach(app, action)
    return far == ANY or (far == OWN and (obj is None or is_own(standing(app), obj)))


def require(app: App, action: str, obj: Any = None) -> None:
    """Go on if the one who asks may do it (`obj`: with this object, an agency's id or what is to become one).

    Raises: NotAllowed, which names who may.
    """
    if allowed(app, action, obj):
        return
    row, who = ACTIONS[action], standing(app)
    if row.reach(who.role) == OWN:
        raise NotAllowed(
            Phrase("{account} may do this only with what belongs to {agency} and below: {what}", account=who.account, agency=who.agency, what=row.what),
            hint=_who_may(app, row),
        )
    if not who.role:
        raise NotAllowed(Phrase("the account {account} stands in no role here: {what}", account=who.account, what=row.what), hint=_who_may(app, row))
    raise NotAllowed(Phrase("{account} ({role}) may not do this: {what}", account=who.account, role=who.role, what=row.what), hint=_who_may(app, row))


def require_command(app: App, words: str) -> None:
    """Go on if the one who asks may use this command at all; one that the table does not know is for administrators.

    Raises: NotAllowed.
    """
    row = COMMANDS.get(words)
    if row is not None:
        require(app, row.action)
    elif standing(app).role not in (ADMINISTRATOR, SERVICE):
        raise NotAllowed(Phrase("{words} is for administrators", words=f"soc {words}"), hint="soc access show")


def visible(app: App, action: str, objects: Iterable[T]) -> list[T]:
    """Those of the objects that the one who asks may see.

    Raises: NotAllowed when it is nothing at all.
    """
    require(app, action)
    if reach(app, action) == ANY:
        return list(objects)
    who = standing(app)
    return [one for one in objects if is_own(who, one)]


def only_agencies(app: App, action: str) -> frozenset[str] | None:
    """The agencies to whose objects one is bound (None = to none), for queries that a store narrows.

    Raises: NotAllowed.
    """
    require(app, action)
    return None if reach(app, action) == ANY else standing(app).agencies


def is_own(who: Standing, obj: Any) -> bool:
    """Whether an object belongs to the agencies of an officer, or was begun by them; a group of alerts only when all of it does, as it tells of all."""
    of = agencies_of(obj)
    if isinstance(obj, AlertGroup):
        return bool(of) and of <= who.agencies
    return not who.agencies.isdisjoint(of) or who.account == getattr(obj, "opened_by", "")


def agencies_of(obj: Any) -> set[str]:
    """The agencies that an object belongs to: incident, group, alert, notice, recipient, registry entry, event, or ids as they are."""
    if isinstance(obj, str):
        return {obj} - {""}
    if isinstance(obj, Mapping):
        return {str(obj.get("soc.agency.id") or obj.get("agency") or "")} - {""}
    if isinstance(obj, (Sequence, set, frozenset)):
        return {str(one) for one in obj}
    if isinstance(obj, Agency):
        return {obj.id}
    if isinstance(obj, System):
        return {obj.owner, obj.operator} - {""}
    if hasattr(obj, "recipients"):
        return {one.agency for one in obj.recipients}
    found = getattr(obj, "agencies", None)
    return set(found) if found is not None else {str(getattr(obj, "agency", ""))} - {""}


def _who_may(app: App, row: Row) -> str:
    """Roles, and the people of the registry who have them."""
    able = [role for role in ROLES if row.reach(role) == ANY]
    today = local_day(app)
    names = [f"{one.name} ({one.account})" for one in _with_accounts(app) if one.valid(today) and one.role in able]
    more = ", …" if len(names) > _MOST_NAMED else ""
    roles = ", ".join(able)
    if names:
        return Phrase("who may: {roles}: {names}; all rights: soc access show", roles=roles, names=", ".join(names[:_MOST_NAMED]) + more)
    return Phrase("who may: {roles}; all rights: soc access show", roles=roles)
