"""Playbooks as commands use them: which there are, and giving an incident the tasks of one."""

from __future__ import annotations

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.incidents import get
from soc.application.policies_people import name_of, people_of
from soc.clock import iso
from soc.config import Settings
from soc.errors import ConfigError, Conflict, NotFound, Phrase, near
from soc.incidents.model import PREFIX, Incident
from soc.incidents.playbook import Job, Playbook, due_at, load_all, shipped
from soc.incidents.workflow import OPEN, step
from soc.model.fact import NewFact
from soc.organization.model import Person


class Progress(msgspec.Struct, frozen=True):
    """How far the tasks of a playbook are in an incident."""

    playbook: str
    version: int
    done: int
    total: int


def load(settings: Settings) -> tuple[list[Playbook], list[ConfigError]]:
    """The playbooks of the settings, by name, and the files that cannot be used."""
    return load_all([shipped(), *settings.playbooks.directories])


def find(settings: Settings, name: str) -> Playbook:
    """The playbook of a name.

    Raises: NotFound, ConfigError when its file cannot be used.
    """
    found, errors = load(settings)
    for one in found:
        if one.name == name:
            return one
    for error in errors:
        if error.file.endswith(f"/{name}.yml"):
            raise error
    raise NotFound(Phrase("there is no playbook {name}", name=name), hint=near(name, (one.name for one in found), "soc playbooks list"))


def fitting(app: App, incident: Incident) -> list[Playbook]:
    """The playbooks that are for the class of an incident at work, none once it has tasks of one of them."""
    found = [one for one in load(app.settings)[0] if incident.rsit in one.classes] if incident.state in OPEN else []
    begun = {one.playbook for one in progress(incident)}
    return [] if begun & {one.name for one in found} else found


def start(app: App, name: str, playbook_name: str) -> tuple[Incident, int]:
    """Give an incident the tasks of a playbook; those that it has stay. The incident, and how many tasks came.

    Raises: NotFound, IllegalTransition, FactConflict, Conflict when it has them all.
    """
    incident = get(app, name)
    require(app, "playbooks.start", incident)
    step(incident.state, "task")
    playbook = find(app.settings, playbook_name)
    facts = task_facts(app, playbook, incident)
    if not facts:
        raise Conflict(
            Phrase("{id} has the tasks of {playbook} already", id=incident.id, playbook=playbook.name), hint=Phrase("soc incidents show {id}", id=incident.id)
        )
    app.journal.append(PREFIX + incident.id, incident.version, facts, actor=app.actor.name, scope=incident.scope)
    return get(app, incident.id), len(facts)


def task_facts(app: App, playbook: Playbook, incident: Incident) -> list[NewFact]:
    """The facts that add the tasks of a playbook which the incident does not have, in any version of it."""
    language = app.settings.language or "vi"
    there = {task.origin.partition("#")[2] for task in incident.tasks if task.origin.partition("@")[0] == playbook.name}
    number = len(incident.tasks)
    facts = []
    for job in playbook.tasks:
        if job.id in there:
            continue
        number += 1
        data = {
            "id": f"t{number}",
            "title": job.title.of(language),
            "owner": _owner(app, job, incident),
            "due_at": due_at(job, incident.detected_at, iso(app.clock.now_us())),
            "origin": playbook.origin(job),
            "role": job.who,
            "phase": job.phase,
            "how": "\n".join(f"{at}. {text}" for at, text in enumerate(job.how.of(language), 1)),
            "record": job.record.of(language),
            "call": job.call.of(language) if job.call is not None else "",
        }
        facts.append(NewFact("TaskAdded", {key: value for key, value in data.items() if value}))
    return facts


def _owner(app: App, job: Job, incident: Incident) -> str:
    """Who does a task: the owner of the incident for analysts, else who has that role; "" = nobody known."""
    if job.who == "analyst":
        if incident.owner:
            return incident.owner
        found: list[Person] = people_of(app, "on-call")
    elif job.who == "administrator":
        found = people_of(app, "contact", incident.agencies)
    else:
        found = people_of(app, job.who, incident.agencies)
    return name_of(found[0]) if found else ""


def progress(incident: Incident) -> list[Progress]:
    """How far each playbook of an incident is."""
    found: dict[tuple[str, int], list[bool]] = {}
    for task in incident.tasks:
        name, sign, rest = task.origin.partition("@")
        version = rest.partition("#")[0]
        if sign and version.isdigit():
            found.setdefault((name, int(version)), []).append(bool(task.done_at))
    return [Progress(name, version, sum(done), len(done)) for (name, version), done in found.items()]
