"""Which policies are in force: the shipped ones and those of the operator's folders, by settings and by what people switched."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

import msgspec

from soc.application.access import require
from soc.application.alerts import HEALTH
from soc.application.app import App
from soc.application.rules_choice import configured
from soc.clock import iso
from soc.config import Settings
from soc.errors import ConfigError, Conflict, NotFound, Phrase, UsageError, near
from soc.incidents.policies.condition import leaves
from soc.incidents.policies.policy import Loaded, load_all
from soc.incidents.policies.state import PREFIX, STATE, Switch, fold, stream_of, switched
from soc.model.fact import NewFact
from soc.model.query import Term

"""What stands as a rule in the groups that the platform raises about itself."""
ON, OFF, BY_SETTINGS, BY_FILE = "on", "off", "settings", "file"


class Known(msgspec.Struct, frozen=True):
    """A policy, whether it runs, and who says so: `people`, `settings`, or its `file`."""

    loaded: Loaded
    switch: Switch
    running: bool
    says: str


class Done(msgspec.Struct, frozen=True):
    """What a policy did in a scope: groups, incidents opened, decisions that are not carried out yet, since when groups count."""

    since: str
    groups: int
    incidents: int
    pending: int


def load(settings: Settings) -> tuple[list[Loaded], list[ConfigError]]:
    """The policies of the settings, by name, and the files that cannot be used."""
    folders = [(files("soc.incidents.policies").joinpath("content"), True)] if settings.policies.shipped else []
    return load_all([*folders, *((folder, False) for folder in settings.policies.directories)])


def known(app: App) -> tuple[list[Known], list[ConfigError]]:
    """All policies with whether they run, and the files that cannot be used."""
    loaded, errors = load(app.settings)
    facts = app.journal.read_each([stream_of(one.name, STATE) for one in loaded])
    return [_known(app, one, switched([held.fact for held in facts.get(stream_of(one.name, STATE), ())])) for one in loaded], errors


def _known(app: App, one: Loaded, switch: Switch) -> Known:
    if one.name in app.settings.policies.disabled:
        return Known(one, switch, running=False, says=BY_SETTINGS)
    if switch.state:
        return Known(one, switch, running=switch.state == ON, says="people")
    return Known(one, switch, running=one.policy.enabled, says=BY_FILE)


def one(app: App, name: str) -> Known:
    """The policy of a name.

    Raises: NotFound, ConfigError when its file cannot be used.
    """
    found, errors = known(app)
    for policy in found:
        if policy.loaded.name == name:
            return policy
    for error in errors:
        if error.file.endswith(f"{name}.yml"):
            raise error
    raise NotFound(Phrase("there is no policy {name}", name=name), hint=near(name, (policy.loaded.name for policy in found), "soc policies list"))


def enable(app: App, name: str, *, why: str = "") -> Known:
    """Switch a policy on; what came while it was off is left alone.

    Raises: NotFound, Conflict when it runs already or the settings switch it off.
    """
    require(app, "policies.change")
    found = one(app, name)
    if found.says == BY_SETTINGS:
        raise Conflict(Phrase("the settings switch {name} off", name=name), hint="take it out of policies.disabled")
    if found.running:
        raise Conflict(Phrase("the policy {name} runs already", name=name), hint="soc policies list")
    return _switch(app, found, "PolicyEnabled", why)


def disable(app: App, name: str, *, why: str) -> Known:
    """Switch a policy off, with the reason; what it did stays.

    Raises: UsageError without a reason, NotFound, Conflict when it is off already.
    """
    require(app, "policies.change")
    if not why.strip():
        raise UsageError("switching a policy off needs a reason", hint="--reason '…'")
    found = one(app, name)
    if not found.running:
        raise Conflict(Phrase("the policy {name} is off already", name=name), hint="soc policies list")
    return _switch(app, found, "PolicyDisabled", why)


def _switch(app: App, found: Known, kind: str, why: str) -> Known:
    fact = NewFact(kind, {"hash": found.loaded.hash}, why.strip())
    app.journal.append(stream_of(found.loaded.name, STATE), found.switch.version, [fact], actor=app.actor.name)
    return one(app, found.loaded.name)


def done(app: App, name: str) -> dict[str, Done]:
    """By scope what a policy did: groups, incidents, what is not carried out yet, since when."""
    found: dict[str, Done] = {}
    for stream, facts in app.journal.under(f"{PREFIX}{name}/"):
        scope = stream.rpartition("/")[2]
        if scope != STATE:
            state = fold([one.fact for one in facts])
            since = iso(state.since_us) if state.since_us else ""
            found[scope] = Done(since, len(state.fired), len(state.reserved), len(state.pending()))
    return found


def rule_ids(settings: Settings) -> frozenset[str]:
    """The ids of all rules that the settings name, and of what the platform says of itself."""
    collection, _errors = configured(settings.rules)
    return frozenset({*(rule.id for rule in collection.ruleset.rules), *(rule.id for rule in collection.correlations), *HEALTH})


def doubts(loaded: Loaded, playbooks: Collection[str], rules: Collection[str]) -> list[str]:
    """What a policy names that is not there: rules, a playbook."""
    found: list[str] = []
    opening = loaded.policy.then.open
    if opening is not None and opening.playbook and opening.playbook not in playbooks:
        found.append(Phrase("there is no playbook {name}", name=opening.playbook))
    named = [part.value for part in leaves(loaded.node) if isinstance(part, Term) and part.field == "rule.id" and not part.wildcard]
    return found + [Phrase("there is no rule {name}", name=name) for name in named if name not in rules]
