"""The cases beside a policy: `<name>.test.yml` says of groups what the policy must make of them.

A test file is a list of cases, each with `name`, `groups` and `expect`. A group has

- `rule`: `{id, level, title, kind, tags}`; `key`, `agencies`, `count`, `generation`, `threat`, `category`, `scope`;
- `alerts`: the documents of its alerts (flat or nested ECS), for conditions that ask them;
- `silence`: `{minutes: 70, open: true}` of a group about a silent source;
- `repeat: 300`: as many such groups, each with `{n}` in its key replaced by its number;
- `after: 10m`: so long after the beginning; groups of one time are decided together.

`base` of a case: what all its groups have. `expect`: `nothing`, or how many there are of `opened`, `joined`, `storm`, `told` and `counted`
(those that are left out are none), `system` and `agency` of the first incident where they matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from soc.clock import from_iso, iso
from soc.incidents.document import Document, convert, parsed, read
from soc.incidents.policies.condition import alert_doc, decided, group_doc
from soc.incidents.policies.plan import FIRST, KNOWN, Subject, Target, decide, observables_of
from soc.incidents.policies.policy import TEST_SUFFIX, Loaded, span_us
from soc.model.alert import Alert, AlertGroup, RuleRef
from soc.model.event import flatten
from soc.model.query import matches

START = "2026-11-20T02:00:00.000Z"
MOST_REPEATS = 100_000
_COUNTED = ("opened", "joined", "known", "storm", "told", "counted")


class RuleOf(msgspec.Struct, forbid_unknown_fields=True):
    """The rule of a group."""

    id: str
    level: str = "high"
    title: str = ""
    kind: str = "sigma"
    tags: tuple[str, ...] = ()


class Silence(msgspec.Struct, forbid_unknown_fields=True):
    """How long a source has been silent."""

    minutes: int
    open: bool = True


class GroupOf(msgspec.Struct, forbid_unknown_fields=True):
    """A group of a case."""

    rule: RuleOf | None = None
    key: dict[str, str] = {}
    agencies: list[str] = []
    count: int = 1
    generation: int = 1
    threat: str = "none"
    category: str = ""
    scope: str = "real"
    alerts: list[dict[str, Any]] = []
    silence: Silence | None = None
    repeat: int = 1
    after: str = ""


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One case."""

    name: str
    groups: list[dict[str, Any]]
    expect: dict[str, int | str] | Literal["nothing"]
    base: dict[str, Any] = {}


class Result(msgspec.Struct, frozen=True):
    """What a case came to. `reason` "" = it holds."""

    policy: str
    case: str
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.reason


def run_cases(loaded: Loaded) -> list[Result]:
    """The results of the cases beside a policy; without a file one result that says so.

    Raises: ConfigError when the file cannot be read.
    """
    path = Path(loaded.path)
    file = path.with_name(path.stem + TEST_SUFFIX)
    if not file.exists():
        return [Result(loaded.name, "", "there are no cases beside it")]
    return [run_case(loaded, case) for case in read_cases(read(file))]


def read_cases(document: Document) -> list[Case]:
    """The cases of a test file.

    Raises: ConfigError.
    """
    return convert(document, list[Case])


def cases_of(text: bytes, name: str) -> list[Case]:
    """The cases of a text.

    Raises: ConfigError.
    """
    return read_cases(parsed(text, name))


def run_case(loaded: Loaded, case: Case) -> Result:
    """Whether a policy does with the groups of a case what is expected."""
    counts = dict.fromkeys(_COUNTED, 0)
    targets: dict[str, list[Target]] = {}
    fired: set[str] = set()
    begun: list[int] = []
    first: Subject | None = None
    by_time: dict[int, list[Subject]] = {}
    for at_us, group, written in _groups(case):
        subject = _subject(loaded, group, written, at_us)
        if subject is not None:
            by_time.setdefault(at_us, []).append(subject)
    for at_us, subjects in sorted(by_time.items()):
        for scope in sorted({subject.group.scope for subject in subjects}):
            own = [subject for subject in subjects if subject.group.scope == scope]
            for firing in decide(loaded, own, targets.setdefault(scope, []), fired=fired, begun=begun, now_us=at_us, day=iso(at_us)[:10]):
                fired.add(firing.effect)
                counts[firing.how] += 1
                if firing.how in FIRST:
                    begun.append(at_us)
                    first = first or next(one for one in own if one.group.id == firing.group)
    counts["joined"] += counts.pop(KNOWN)
    return Result(loaded.name, case.name, _difference(case, counts, first))


def _difference(case: Case, counts: dict[str, int], first: Subject | None) -> str:
    if case.expect == "nothing":
        done = {name: count for name, count in counts.items() if count}
        return f"expected nothing, found {done}" if done else ""
    for name, wanted in case.expect.items():
        if name in ("agency", "system"):
            found: Any = ", ".join(first.agencies if name == "agency" else first.systems) if first is not None else ""
        elif name in counts:
            found = counts[name]
        else:
            return f"{name!r} is nothing to expect; known: {', '.join(counts)}, agency, system"
        if found != wanted:
            return f"{name}: expected {wanted}, found {found}"
    unexpected = {name: count for name, count in counts.items() if count and name not in case.expect}
    return f"not expected: {unexpected}" if unexpected else ""


def _groups(case: Case) -> Iterator[tuple[int, AlertGroup, GroupOf]]:
    number = 0
    for values in case.groups:
        one = msgspec.convert({**case.base, **values}, GroupOf)
        rule = one.rule or RuleOf("r-1")
        at_us = from_iso(START) + (span_us(one.after) if one.after else 0)
        for repeat in range(1, min(one.repeat, MOST_REPEATS) + 1):
            number += 1
            key = {name: value.replace("{n}", str(repeat)) for name, value in one.key.items()}
            reference = RuleRef(rule.id, rule.title or rule.id, rule.level, "", tuple(rule.tags), rule.kind)
            at = iso(at_us)
            group = AlertGroup(f"g-{number:06d}", reference, key, one.scope, one.count, at, at, f"a-{number}", one.threat, one.category, list(one.agencies))
            yield at_us, group, one


def _subject(loaded: Loaded, group: AlertGroup, written: GroupOf, at_us: int) -> Subject | None:
    """The group as it is decided, or None when the condition does not hold."""
    if not loaded.policy.applies_to(group.scope):
        return None
    silence = (written.silence.minutes, written.silence.open) if written.silence is not None else None
    doc = group_doc(group, count=group.count, generation=written.generation, silence=silence)
    answer = decided(loaded.node, doc)
    members = [Alert("a", group.id, group.key, group.rule, group.scope, group.first_at, group.first_at, [], [one], {}) for one in written.alerts]
    member = next((one for one in members if answer or matches(loaded.node, alert_doc(doc, one))), None)
    if answer is False or (answer is None and member is None):
        return None
    systems = [str(value) for one in ([member] if member is not None else []) if (value := flatten(one.documents[0]).get("soc.system.id"))]
    return Subject(group, str(written.generation), group.first_at, at_us, doc, list(group.agencies), systems, observables_of(group.key))
