"""Exceptions to rules: written as Sigma filters with owner, reason and end, previewed on what the rule told lately, counted afterwards."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import msgspec
import yaml

from soc.application.access import require
from soc.application.app import App
from soc.application.rules_backtest import Hit, backtest
from soc.application.rules_choice import Choice, only
from soc.application.rules_retract import correlations_above
from soc.application.ruleset import one_named
from soc.clock import iso, to_datetime
from soc.errors import Conflict, NotAllowed, NotFound, Phrase, RuleError, StoreFull, UsageError
from soc.ingest.exceptions import Passed, kept_counts
from soc.model.event import Doc, flatten
from soc.model.query import Term
from soc.ports import AlertQuery, EventQuery, Store
from soc.rules.ast import Rule, RuleException
from soc.rules.correlation import Correlation
from soc.rules.documents import read
from soc.rules.fields import mapped, taxonomy, zoned
from soc.rules.filters import Filter, applied
from soc.rules.match import matches
from soc.rules.read import read_document

PREVIEW_DAYS = 7
SOON_DAYS = 14
MOST_EXAMPLES = 10
MOST_WHERE = 10_000
PAGE = 1_000
DAY_US = 86_400_000_000
# Reference: a span of days as in `30d`
_DAYS = re.compile(r"([0-9]{1,4})d")
# Reference: what stands in a file name
_NO_NAME = re.compile(r"[^a-z0-9]+")


class Plan(msgspec.Struct):
    """An exception that may be written: its file and text, and what it would have let pass in the last days.

    `told`: alerts of the rule (events of a classification rule) in that time; `hidden`: those that the exception covers.
    Of a rule that makes no alerts of its own they are those of the correlations `through` which it tells, by a back-test.
    """

    rule: str
    title: str
    path: str
    text: str
    expires: str
    days: int
    told: int
    hidden: int
    examples: list[dict[str, str]]
    through: list[str] = []


def plan(app: App, name: str, *, where: list[str], owner: str, expires: str, reason: str, folder: Path | None = None) -> Plan:
    """The exception as it would be written, and what it would have hidden.

    `where`: YAML mappings of fields to values, which all must hold. `expires`: a day, a time, `30d`, or `never`.
    Raises: UsageError, NotFound, RuleError when the words are no filter.
    """
    require(app, "rules.change")
    rule = one_named(app.rules.engine.collection, name)
    if not isinstance(rule, Rule):
        raise UsageError(
            Phrase("{title} is a correlation: exceptions are made to the rules that it counts", title=rule.title),
            hint=Phrase("one of {names}", names=", ".join(rule.rules)),
        )
    for option, value in (("--owner", owner), ("--reason", reason)):
        if not value.strip():
            raise UsageError(Phrase("an exception needs {option}", option=option), hint="it is read by people who come later")
    selection = _selection(where)
    ends = _end(app, expires)
    path, text = _written(app, rule, selection, owner.strip(), ends, reason.strip(), folder)
    found = _filter(path, text).in_zone(app.settings.rules_in_zone.timezone)
    collection = app.rules.engine.collection
    covering = zoned(applied(collection.written.get(rule.id, rule), [found]), collection.ruleset.zone)
    (exception,) = mapped(covering, taxonomy()).exceptions
    above = [one for one in correlations_above(collection, rule.id) if one.shadow == rule.shadow] if rule.id in collection.silent else []
    told, hidden, examples = _preview_above(app, rule, exception, above) if above else _preview(app, rule, exception)
    return Plan(rule.id, rule.title, str(path), text, found.expires, PREVIEW_DAYS, told, hidden, examples, [one.id for one in above])


def write(app: App, planned: Plan) -> None:
    """Write a planned exception; a running pipeline takes it up by itself.

    Raises: NotAllowed, Conflict when there is such a file, StoreFull.
    """
    require(app, "rules.change")
    if app.settings.read_only:
        raise NotAllowed("this is read-only", hint="set read_only = false")
    path = Path(planned.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(planned.text, encoding="utf-8")
        try:
            path.hardlink_to(temporary)  # whole or not at all, and never over another
        finally:
            temporary.unlink()
    except FileExistsError as error:
        raise Conflict(Phrase("{path} exists", path=path), hint="soc rules except list") from error
    except OSError as error:
        raise StoreFull(Phrase("{path} cannot be written: {reason}", path=path, reason=error.strerror), hint="choose another folder with --to") from error


def _selection(where: list[str]) -> dict[str, Any]:
    """The fields and values of `--where`.

    Raises: UsageError.
    """
    selection: dict[str, Any] = {}
    for text in where:
        found: Any = None
        if len(text) <= MOST_WHERE and not set("&*") & set(text.split(":", 1)[0]):
            try:
                found = yaml.safe_load(text)
            except (yaml.YAMLError, ValueError, RecursionError):
                found = None
        if not isinstance(found, dict) or not found or not all(isinstance(field, str) for field in found):
            raise UsageError(Phrase("{text!r} names no fields with values", text=text), hint="--where 'source.ip: 10.1.2.3'")
        selection |= found
    if not selection:
        raise UsageError("an exception says what it covers", hint="--where 'source.ip: 10.1.2.3'")
    return selection


def _end(app: App, expires: str) -> str:
    """What stands under `expires`: a day, a time, or never."""
    days = _DAYS.fullmatch(expires.strip())
    if days is None:
        return expires.strip()
    now = to_datetime(app.clock.now_us()).astimezone(ZoneInfo(app.settings.rules_in_zone.timezone))
    return (now + timedelta(days=int(days[1]))).date().isoformat()


def _written(app: App, rule: Rule, selection: dict[str, Any], owner: str, ends: str, reason: str, folder: Path | None) -> tuple[Path, str]:
    """Where the file goes, and its text.

    Raises: UsageError when there is no own folder of rules.
    """
    if folder is None:
        if not app.settings.rules.directories:
            raise UsageError("there is no folder of own rules", hint="set rules.directories, or give --to DIR")
        folder = app.settings.rules.directories[0] / "exceptions"
    written = app.rules.engine.collection.written.get(rule.id, rule)
    identity = str(uuid5(NAMESPACE_URL, "\x1f".join(["soc-exception", rule.id, repr(sorted(selection.items(), key=str)), owner, ends, reason])))
    logsource = {kind: value for kind in ("category", "product", "service") if (value := getattr(written.logsource, kind))}
    document = {
        "title": f"Exception to {rule.title}",
        "id": identity,
        "status": "stable",
        "logsource": logsource,
        "filter": {"rules": [rule.id], "selection": selection, "condition": "not selection"},
        "soc": {"owner": owner, "expires": ends, "reason": reason},
    }
    stem = _NO_NAME.sub("-", Path(rule.path).stem.lower()).strip("-")[:60] or "rule"
    return folder / f"{stem}-{identity[:8]}.yml", yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)


def _filter(path: Path, text: str) -> Filter:
    """The filter of a text, read as rule files are.

    Raises: UsageError with what is wrong with it.
    """
    (document,) = read(str(path), text.encode())
    try:
        if isinstance(document, RuleError):
            raise document
        found = read_document(document)
    except RuleError as error:
        raise UsageError(Phrase("that is no exception: {reason}", reason=error.reason), hint=error.hint or "--expires 2027-01-31, 30d, never") from error
    assert isinstance(found, Filter)
    return found


def _preview(app: App, rule: Rule, exception: RuleException) -> tuple[int, int, list[dict[str, str]]]:
    since = app.clock.now_us() - PREVIEW_DAYS * DAY_US
    told = hidden = 0
    examples: list[dict[str, str]] = []
    for doc in _told(app, rule, since):
        told += 1
        if not matches(exception.condition, doc):
            hidden += 1
            if len(examples) < MOST_EXAMPLES:
                examples.append({"id": str(doc.get("soc.id", "")), "at": str(doc.get("@timestamp", "")), "original": str(doc.get("event.original", ""))})
    return told, hidden, examples


def _preview_above(app: App, rule: Rule, exception: RuleException, above: list[Correlation]) -> tuple[int, int, list[dict[str, str]]]:
    now_us = app.clock.now_us()
    ids = frozenset(one.id for one in above)
    before = only(app.rules.engine.collection, ids)
    excepted = msgspec.structs.replace(rule, exceptions=(*rule.exceptions, exception))
    rules = tuple(excepted if one.id == rule.id else one for one in before.ruleset.rules)
    after = msgspec.structs.replace(before, ruleset=msgspec.structs.replace(before.ruleset, rules=rules))
    since = now_us - PREVIEW_DAYS * DAY_US
    first, second = (backtest(app, Choice(one, ids), since_us=since, until_us=now_us, examples=0) for one in (before, after))
    left = {(hit.rule, hit.ts, tuple(hit.key.items())) for hit in second.examples}
    gone = [hit for hit in first.examples if (hit.rule, hit.ts, tuple(hit.key.items())) not in left]
    shown = [{"id": hit.events[0] if hit.events else "", "at": hit.ts, "original": f"{hit.title}: {_group(hit)}"} for hit in gone[-MOST_EXAMPLES:]]
    return first.alerts, max(0, first.alerts - second.alerts), shown[::-1]


def _group(hit: Hit) -> str:
    return ", ".join(f"{field}={value}" for field, value in hit.key.items())


def _told(app: App, rule: Rule, since_us: int) -> Any:
    """The events that the rule told of, or that it classified, newest first."""
    if rule.classify is not None:
        yield from app.store.stream(EventQuery(Term("soc.threat.rule", rule.id), since_us=since_us))
        return
    offset = 0
    while True:
        total, page = app.store.alerts(AlertQuery(rule=rule.id, since_us=since_us, limit=PAGE, offset=offset, shadow=rule.shadow))
        for alert in page:
            if alert.documents:
                doc: Doc = flatten(alert.documents[0])
                yield doc
        offset += len(page)
        if not page or offset >= total:
            return


# --- what there is ----------------------------------------------------------------------------------------------------


class Listed(msgspec.Struct):
    """One exception. `state`: `in force`, `soon` (it ends within two weeks) or `expired`; `hits`: matches that it let pass."""

    id: str
    title: str
    rules: list[str]
    owner: str
    reason: str
    expires: str
    state: str
    hits: int
    last_hit_at: str
    path: str
    line: int


def listed(app: App) -> list[Listed]:
    """Every exception that is loaded: what ends soonest first, expired ones before it, those without end last."""
    now_us = app.clock.now_us()
    now, soon = iso(now_us), iso(now_us + SOON_DAYS * DAY_US)
    passed = hits(app.store)
    collection = app.rules.engine.collection
    rules: dict[str, list[str]] = {}
    found: dict[str, Filter] = {}
    for rule_id, filters in collection.filters.items():
        for one in filters:
            if one.owner:
                found[one.id] = one
                rules.setdefault(one.id, []).append(rule_id)
    out = []
    for one in found.values():
        mine = [count for (exception, _rule), count in passed.items() if exception == one.id]
        state = "in force" if not one.expires or one.expires > soon else "soon" if one.expires > now else "expired"
        last = max((count.last_at for count in mine), default="")
        out.append(
            Listed(
                one.id,
                one.title,
                sorted(rules[one.id]),
                one.owner,
                one.reason,
                one.expires,
                state,
                sum(count.count for count in mine),
                last,
                one.path,
                one.line,
            )
        )
    return sorted(out, key=lambda one: (one.expires or "~", one.id))


def hits(store: Store) -> dict[tuple[str, str], Passed]:
    """By exception and rule what was let pass, over all partitions.

    Cost: one read of the kept state of each partition.
    """
    total: dict[tuple[str, str], Passed] = {}
    for partition in sorted(store.positions()):
        for key, one in kept_counts(store.state(partition)).items():
            known = total.get(key)
            if known is None:
                total[key] = one
                continue
            known.count += one.count
            known.first_at = min(known.first_at, one.first_at)
            known.last_at = max(known.last_at, one.last_at)
            known.events = [*known.events, *one.events][-5:]
    return total


def one_exception(app: App, name: str) -> Listed:
    """The exception of an id or its beginning.

    Raises: NotFound.
    """
    found = [one for one in listed(app) if one.id.startswith(name)]
    if len(found) != 1:
        raise NotFound(Phrase("no exception {name}, or several", name=name), hint="soc rules except list")
    return found[0]
