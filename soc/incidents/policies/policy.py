"""A policy as its file states it: when it applies, what it joins, what it does, and how often at most.

A file is `<name>.yml`; its cases stand beside it in `<name>.test.yml`. Nothing in it is evaluated: the condition is a query, texts
hold `{field}` places that are filled from a fixed list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from soc.errors import ConfigError, Phrase, QuerySyntaxError
from soc.incidents.classes import CODES, TLP
from soc.incidents.document import Document, Words, convert, parsed, read
from soc.incidents.policies.condition import condition, unknown_fields, why_not
from soc.model.ids import digest_id
from soc.model.query import Node

TEST_SUFFIX = ".test.yml"
SAME = ("agency", "system", "observable", "rule", "class", "policy")
PLACES = ("rule", "level", "count", "agency", "system", "key", "source", "minutes", "first", "last", "group", "incident")
"""What texts may name in braces."""
TO = ("on-call", "shift", "lead", "owner", "contact")
"""Whom a policy may tell or assign to, beside `person:<id>`: those on call or on shift, leads, the owner of the incident, the contact of the agency."""
MOST_TEXT = 2_000
MOST_FIRST = 1_000
# Reference: `24h`, `90m`, `7d`
_SPAN = re.compile(r"([0-9]{1,4})(m|h|d)")
_UNIT_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
# Reference: file names of policies and playbooks: `malware-let-through`
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PLACE = re.compile(r"\{([^{}]{0,40})\}")


class Attach(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An open incident that a group joins: all of `same` must be the same, and something joined it no longer ago than `within`."""

    same: tuple[Literal["agency", "system", "observable", "rule", "class", "policy"], ...]
    within: str


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many incidents (or messages, of a policy that opens none) may begin `within` a time; beyond that all go into one."""

    most: int
    within: str


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """The incident that a policy opens. `class_`: RSIT code, which a person confirms at triage."""

    title: Words
    severity: Literal["critical", "high", "medium", "low"] = "medium"
    class_: str = ""
    tlp: str = "AMBER"
    playbook: str = ""
    summary: Words | None = None


class Telling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is told."""

    to: str
    text: Words


class Then(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy does, in this order."""

    open: Opening | None = None
    assign: str = ""
    notify: tuple[Telling, ...] = ()
    page: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy. `hash`: of its text; `path`, `hash` and `node` are set when it is read."""

    title: Words
    when: str
    then: Then
    description: Words | None = None
    version: int = 1
    attach: Attach | None = None
    limit: Limit = Limit(5, "1h")
    scopes: Literal["all", "real", "exercise"] = "all"
    enabled: bool = True
    name: str = ""

    def applies_to(self, scope: str) -> bool:
        """Whether groups of a scope are its business."""
        return self.scopes == "all" or (scope == "real") == (self.scopes == "real")


class Loaded(msgspec.Struct, frozen=True):
    """A policy that can be used, with what was made of its file."""

    policy: Policy
    node: Node
    hash: str
    path: str
    shipped: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.policy.name


def span_us(text: str) -> int:
    """Microseconds of `24h`, `90m`, `7d`.

    Raises: ValueError.
    """
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]):
        raise ValueError(text)
    return int(found[1]) * _UNIT_US[found[2]]


def load(path: Path | Any, *, shipped: bool = False, shown: str = "") -> Loaded:
    """The policy of a file.

    Raises: ConfigError with file, line and reason.
    """
    return checked(read(path, shown), Path(path.name).stem, shipped=shipped)


def load_text(content: bytes, name: str) -> Loaded:
    """The policy of a text; for tests and previews.

    Raises: ConfigError.
    """
    return checked(parsed(content, f"{name}.yml"), name)


def checked(document: Document, name: str, *, shipped: bool = False) -> Loaded:
    """The policy of a document.

    Raises: ConfigError with the line of the first part that cannot be.
    """
    policy = convert(document, Policy)
    if not NAME.fullmatch(name):
        raise document.error("the file name is no name of a policy", hint="lower-case letters, digits and hyphens: spam-delivered.yml")
    if policy.name not in ("", name):
        raise document.error(Phrase("name: {name} is not the name of the file", name=policy.name), "name")
    try:
        node = condition(policy.when)
    except QuerySyntaxError as error:
        raise document.error(why_not(error), "when", hint=error.hint) from error
    odd = unknown_fields(node)
    if odd:
        raise document.error(Phrase("when: {field} is no field of a group", field=odd[0]), "when", hint="fields: soc policies fields")
    _check_spans(document, policy)
    _check_then(document, policy)
    return Loaded(msgspec.structs.replace(policy, name=name), node, digest_id("policy", document.text), document.path, shipped)


def _check_spans(document: Document, policy: Policy) -> None:
    for key, part in (("attach", policy.attach), ("limit", policy.limit)):
        if part is None:
            continue
        try:
            span_us(part.within)
        except ValueError as error:
            raise document.error(Phrase("{key}: {value} is no period", key=f"{key}.within", value=part.within), key, "within", hint="90m, 24h, 7d") from error
    if policy.attach is not None and not policy.attach.same:
        raise document.error("attach.same is empty", "attach", "same", hint=Phrase("one or more of {names}", names=", ".join(SAME)))
    if not 1 <= policy.limit.most <= MOST_FIRST:
        raise document.error(Phrase("limit.most lies between 1 and {most}", most=MOST_FIRST), "limit", "most")


def _check_then(document: Document, policy: Policy) -> None:
    then = policy.then
    if then.open is None and not then.notify and not then.page:
        raise document.error("the policy does nothing", "then", hint="open, notify or page")
    if then.open is None and (policy.attach is not None or then.assign):
        raise document.error("attach and assign need an incident: open is missing", "then")
    if then.open is not None:
        if then.open.class_ and then.open.class_ not in CODES:
            raise document.error(Phrase("{value} is no RSIT class", value=then.open.class_), "then", "open", "class", hint="soc incidents classes")
        if then.open.tlp not in TLP:
            raise document.error(Phrase("{field}: {value} is none of {known}", field="tlp", value=then.open.tlp, known=", ".join(TLP)), "then", "open", "tlp")
    if then.assign and not _is_somebody(then.assign):
        raise document.error(
            Phrase("{value}: nobody is called so", value=then.assign), "then", "assign", hint=Phrase("one of {names}, person:ID", names=", ".join(TO))
        )
    for number, telling in enumerate(then.notify):
        if not _is_somebody(telling.to):
            where = ("then", "notify", number, "to")
            raise document.error(
                Phrase("{value}: nobody is called so", value=telling.to), *where, hint=Phrase("one of {names}, person:ID", names=", ".join(TO))
            )
    for steps, text in _texts(policy):
        for language in ("vi", "en"):
            _check_text(document, getattr(text, language), (*steps, language))


def _texts(policy: Policy) -> Iterator[tuple[tuple[str | int, ...], Words]]:
    yield ("title",), policy.title
    if policy.description is not None:
        yield ("description",), policy.description
    opening = policy.then.open
    if opening is not None:
        yield ("then", "open", "title"), opening.title
        if opening.summary is not None:
            yield ("then", "open", "summary"), opening.summary
    for number, telling in enumerate(policy.then.notify):
        yield ("then", "notify", number, "text"), telling.text


def _check_text(document: Document, text: str, steps: tuple[str | int, ...]) -> None:
    if not text.strip() or len(text) > MOST_TEXT:
        raise document.error(Phrase("{key}: between 1 and {most} characters", key=".".join(map(str, steps)), most=MOST_TEXT), *steps)
    for place in _PLACE.finditer(text):
        if place[1] not in PLACES:
            raise document.error(
                Phrase("{key}: {place} stands for nothing", key=".".join(map(str, steps)), place=place[0]),
                *steps,
                hint=Phrase("known: {names}", names=", ".join(f"{{{name}}}" for name in PLACES)),
            )


def _is_somebody(text: str) -> bool:
    return text in TO or (text.startswith("person:") and len(text) > len("person:"))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its places filled; values are never read as places themselves."""
    return _PLACE.sub(lambda place: values.get(place[1], ""), text)


def policy_files(folder: Path | Any) -> list[Any]:
    """The policy files of a folder (not their tests), by name."""
    return sorted((one for one in folder.iterdir() if one.name.endswith(".yml") and not one.name.endswith(TEST_SUFFIX)), key=lambda one: str(one.name))


def load_all(folders: list[tuple[Any, bool]]) -> tuple[list[Loaded], list[ConfigError]]:
    """The policies of folders (with whether they are shipped), by name, and the files that cannot be used: one bad file stops no other.

    A file of a later folder takes the place of one of the same name.
    """
    found: dict[str, Loaded] = {}
    errors: list[ConfigError] = []
    for folder, shipped in folders:
        try:
            paths = policy_files(folder)
        except OSError as error:
            errors.append(ConfigError(Phrase("the folder cannot be read: {reason}", reason=error.strerror or type(error).__name__), file=str(folder)))
            continue
        for path in paths:
            try:
                one = load(path, shipped=shipped)
            except ConfigError as error:
                errors.append(error)
            else:
                found[one.name] = one
    return [found[name] for name in sorted(found)], errors
