"""Rules that others wrote, looked at before they are taken over: which can be used here, which can never match, and why not.

Nothing is changed in a rule: fields are mapped when rules are loaded, so a rule keeps its text, author, id and licence.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from soc.errors import RuleError
from soc.rules.ast import MOST_BYTES, And, Leaf, LogSource, Node, Not, Or, Rule, leaves
from soc.rules.collection import Collection, load_collection
from soc.rules.correlation import Correlation
from soc.rules.documents import read
from soc.rules.fields import Taxonomy, ecs_fields, has_events, taxonomy
from soc.rules.lint import residual
from soc.rules.load import rule_files
from soc.rules.match import leaf_holds

READY, NEVER, DUPLICATE, REFUSED = "ready", "never", "duplicate", "refused"
VERDICTS = (READY, NEVER, DUPLICATE, REFUSED)

Written = Callable[[LogSource], frozenset[str] | None]
"""The fields that events of a log source have here; None = no source that is set up gives such events."""


class Candidate(msgspec.Struct):
    """One rule of the folder. `verdict`: ready, never (it could not match), duplicate or refused; `reason` says why it is not ready.

    `unmapped`: fields without an ECS counterpart; `absent`: ECS fields that no event of its log source has; `residual`: the
    index cannot find it. `text`: its document as it stands.
    """

    path: str
    line: int
    verdict: str
    reason: str = ""
    id: str = ""
    title: str = ""
    kind: str = ""
    level: str = ""
    logsource: str = ""
    author: str = ""
    license: str = ""
    unmapped: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    residual: bool = False
    text: str = ""


class Gap(msgspec.Struct, frozen=True):
    """A field that rules name and that is nothing here. `near`: the field of this log source whose name is nearest, "" = none."""

    field: str
    logsource: str
    rules: int
    near: str


class Survey(msgspec.Struct):
    """What a folder of rules holds."""

    candidates: list[Candidate]
    gaps: list[Gap]

    def counts(self) -> dict[str, int]:
        """How many rules have each verdict."""
        return {verdict: sum(one.verdict == verdict for one in self.candidates) for verdict in VERDICTS}

    def reasons(self) -> list[tuple[str, str, int]]:
        """Verdict, reason and number of rules, the most first."""
        found: dict[tuple[str, str], int] = {}
        for one in self.candidates:
            found[one.verdict, one.reason] = found.get((one.verdict, one.reason), 0) + 1
        return sorted(((verdict, reason, count) for (verdict, reason), count in found.items()), key=lambda row: (VERDICTS.index(row[0]), -row[2], row[1]))


def survey(folder: Path, existing: Mapping[str, str], written: Written) -> Survey:
    """Look at all rules of a folder or file. `existing`: ids that are taken, and by which file.

    Cost: about 3 ms a rule.
    """
    collection, errors, _notes = load_collection([folder])
    documents = dict(_documents(folder))
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    out = [_looked_at(rule, collection, existing, written, documents) for rule in every]
    out += [_of_filter(one, existing, documents) for one in {one.id: one for several in collection.filters.values() for one in several}.values()]
    _parents(out, collection)
    out += [Candidate(error.path, error.line, DUPLICATE if "is already that of" in error.reason else REFUSED, _said(error)) for error in errors]
    out.sort(key=lambda one: (one.path, one.line))
    return Survey(out, list(_gaps(out)))


def _said(error: RuleError) -> str:
    return error.reason + (f" ({error.hint})" if error.hint else "")


def _documents(folder: Path) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """Text and data of each document, by the hash that its rule has."""
    import hashlib  # noqa: PLC0415 - only an import needs it

    for path, _placeholders in rule_files([folder], []):
        try:
            content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
        except OSError:
            continue  # loading has said so
        for document in read(str(path), content):
            if not isinstance(document, RuleError):
                yield hashlib.blake2b(document.text.encode(), digest_size=16).hexdigest(), (document.text, document.data)


def _looked_at(
    rule: Rule | Correlation, collection: Collection, existing: Mapping[str, str], written: Written, documents: Mapping[str, tuple[str, dict[str, Any]]]
) -> Candidate:
    source = collection.written[rule.id] if isinstance(rule, Rule) else rule
    text, data = documents.get(source.hash, ("", {}))
    out = Candidate(
        rule.path,
        rule.line,
        READY,
        "",
        rule.id,
        rule.title,
        rule.type if isinstance(rule, Correlation) else "detection",
        rule.level,
        author=rule.author,
        text=text,
    )
    out.license = str(data.get("license") or "")
    if isinstance(rule, Rule):
        out.logsource = str(rule.logsource)
        out.unmapped = rule.unmapped
        out.residual = residual(rule)
        reason, out.absent = why_never(rule, written)
        if reason:
            out.verdict, out.reason = NEVER, reason
    if rule.id in existing:
        out.verdict, out.reason = DUPLICATE, f"the id is already that of {existing[rule.id]}"
    return out


def _of_filter(one: Any, existing: Mapping[str, str], documents: Mapping[str, tuple[str, dict[str, Any]]]) -> Candidate:
    text, data = documents.get(one.hash, ("", {}))
    out = Candidate(one.path, one.line, READY, "", one.id, one.title, "filter", logsource=str(one.logsource), text=text)
    out.license = str(data.get("license") or "")
    if one.id in existing:
        out.verdict, out.reason = DUPLICATE, f"the id is already that of {existing[one.id]}"
    return out


def _parents(candidates: list[Candidate], collection: Collection) -> None:
    """Correlations of rules that can never match cannot either, unless they are about silence or need only some of them."""
    verdicts = {one.id: one for one in candidates}
    for rule in collection.correlations:
        dead = [member for member in rule.rules if member in verdicts and verdicts[member].verdict == NEVER]
        own = verdicts[rule.id]
        if dead and own.verdict == READY and (len(dead) == len(rule.rules) or rule.type == "temporal_ordered") and not rule.by_time:
            own.verdict, own.reason = NEVER, "it is made of rules that can never match"


def why_never(rule: Rule, written: Written) -> tuple[str, tuple[str, ...]]:
    """Why a rule (with mapped fields) can never match here ("" = it can), and the ECS fields that its events do not have."""
    names = taxonomy()
    if not has_events(rule.logsource, names):
        return f"no source gives events of {rule.logsource}", ()
    fields = written(rule.logsource)
    if fields is None:
        return f"no source that is set up gives events of {rule.logsource}", ()
    named = {leaf.field for leaf in leaves(rule.condition) if leaf.field}
    prefix = names.prefix.get("product", {}).get(rule.logsource.product, "")
    absent = frozenset(field for field in named if field in rule.unmapped or (field not in fields and not (prefix and field.startswith(prefix))))
    missing = tuple(sorted(absent - set(rule.unmapped)))
    if absent and not _can(rule.condition, absent, want=True):
        shown = ", ".join(sorted(absent)[:3]) + (" …" if len(absent) > 3 else "")  # noqa: PLR2004 - a few are enough to see what is the matter
        return f"no event of {rule.logsource} has what it needs: {shown}", missing
    return "", missing


def _can(node: Node, absent: frozenset[str], *, want: bool) -> bool:
    """Whether a condition can come out as wanted for events that lack these fields; True where that depends on the event."""
    if isinstance(node, Leaf):
        return leaf_holds(node, {}) is want if node.field in absent else True
    if isinstance(node, Not):
        return _can(node.arg, absent, want=not want)
    every = isinstance(node, And) is want
    assert isinstance(node, (And, Or))
    return (all if every else any)(_can(arg, absent, want=want) for arg in node.args)


def _gaps(candidates: Iterable[Candidate]) -> Iterator[Gap]:
    """Unmapped fields by log source, the most wanted first."""
    counts: dict[tuple[str, str], int] = {}
    for one in candidates:
        for field in one.unmapped:
            counts[field, one.logsource] = counts.get((field, one.logsource), 0) + 1
    names = taxonomy()
    for (field, source), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield Gap(field, source, count, nearest(field, source, names))


def nearest(field: str, source: str, names: Taxonomy) -> str:
    """The known Sigma field of a log source (as text) whose name is nearest, with what it is in ECS; "" when none is near."""
    parts = dict(part.split(": ", 1) for part in source.split(", ") if ": " in part)
    known: dict[str, str] = {}
    for kind, tables in names.fields.items():
        for table, fields in tables.items():
            if parts.get(kind) == table or not any(parts.get(kind) in names.fields.get(kind, {}) for kind in parts):
                known |= {name.lower(): name for name in fields}
    found = difflib.get_close_matches(field.lower(), known, n=1, cutoff=0.6)
    if not found:
        return ""
    target = ecs_fields(known[found[0]], LogSource(**{kind: parts.get(kind, "") for kind in ("category", "product", "service")}), names)
    return known[found[0]] + (f" ({', '.join(target)})" if target else "")
