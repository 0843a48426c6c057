"""Asking for sources: what is configured, how each is doing, whether it works."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from soc.application.app import App
from soc.application.correlate_topic import SOURCE as SIGNALS
from soc.application.correlating import by_topic, signal_lag
from soc.application.listening import listener
from soc.clock import iso
from soc.config import FileSource, HttpSource, KafkaSource, Settings, SourceBase, SyslogSource
from soc.errors import AccessDenied, ConfigError, NotFound, Phrase, SocError, Unreachable, near
from soc.ingest.registry import installed
from soc.model.query.tree import Term
from soc.ports import EventQuery, LedgerItem
from soc.telemetry import get_logger

log = get_logger(__name__)
TAKEN = "{kind} {address} of source {source} is taken by another program"
"""What collectors say of a port that somebody else listens at."""


class SourceStatus(msgspec.Struct):
    """How one source is doing. `state`: `ok`, `silent` (a gap is open), `quiet` (nothing yet)."""

    source: str
    type: str
    scope: str
    state: str
    last_event_at: str
    last_hour: int
    received: int
    stored: int
    dead_lettered: int
    difference: int
    lost: int
    silent_since: str
    clock_offset_s: float
    proposed_offset_s: float | None
    lag: int | None = None
    """Records of the topic of signals that wait to be judged; None for other sources, and when the brokers do not answer."""


def listed(app: App) -> list[dict[str, Any]]:
    """What is configured, by name."""
    return [
        {
            "source": name,
            "type": source.type,
            "reads": ", ".join(reads(source)),
            "product": source.product,
            "scope": source.scope,
            "agency": source.agency,
            "network_point": source.network_point,
            "rhythm_s": source.rhythm_s,
            "timezone": source.timezone,
        }
        for name, source in sorted(app.settings.sources.items())
    ]


def reads(source: SourceBase) -> list[str]:
    """Where a source gets its lines from."""
    if isinstance(source, SyslogSource):
        return [f"{word} {address}" for word, address in (("udp", source.udp), ("tcp", source.tcp), ("tls", source.tls)) if address]
    if isinstance(source, FileSource):
        return list(source.paths)
    if isinstance(source, KafkaSource):
        return list(source.topics)
    return [f"http {source.listen}"] if isinstance(source, HttpSource) else []


def faults(settings: Settings) -> list[ConfigError]:
    """What is wrong with sources although each of their values is possible: such a source would receive nothing, and say nothing."""
    parsers = installed().names()
    taken: dict[str, str] = {}
    out = []
    for name, source in settings.sources.items():
        at = f"sources.{name}."
        places = reads(source)
        if not places:
            out.append(ConfigError(Phrase("source {name} reads nothing", name=name), key=at + "type", hint=_WANTED[type(source)]))
        if source.product and source.product not in parsers:
            told = Phrase("source {name}: no parser is named {product!r}", name=name, product=source.product)
            out.append(ConfigError(told, key=at + "product", hint=Phrase("there are: {names}", names=", ".join(parsers))))
        for place in places if isinstance(source, SyslogSource | HttpSource) else ():
            address = place.replace("tls ", "tcp ").replace("http ", "tcp ")
            other = taken.setdefault(address, name)
            if other != name and not address.endswith(":0"):
                told = Phrase("source {name}: {place} is that of source {other} already", name=name, place=place, other=other)
                out.append(ConfigError(told, key=at + "type", hint="each receives on a port of its own"))
    return out


_WANTED: dict[type[SourceBase], str] = {
    SyslogSource: 'udp = "0.0.0.0:5514", and tcp or tls',
    FileSource: 'paths = ["/var/log/mail.log"]',
    KafkaSource: 'topics = ["soc.raw.firewall"]',
}


def require(settings: Settings) -> None:
    """Go on if every source can receive something.

    Raises: ConfigError.
    """
    for fault in faults(settings):
        raise fault


def missing_files(source: SourceBase) -> list[str]:
    """The paths and patterns of a source that follows files to which there is no file yet; one that reads once fails without."""
    if not isinstance(source, FileSource) or not source.follow:
        return []
    return [path for path in source.paths if not (Path(path).exists() or glob.glob(path, recursive=True))]  # noqa: PTH207 - patterns may be absolute


def status(app: App) -> list[SourceStatus]:
    """Every source that is configured or known to the ledger."""
    rows = app.store.ledger()
    open_gaps = {gap.source: gap for gap in app.store.gaps() if not gap.until_us}
    offsets = {str(fact["source"]): float(fact["offset_s"]) for fact in app.store.facts("clock-offset")}
    proposals = {str(fact["source"]): float(fact["offset_s"]) for fact in app.store.facts("clock-offset-proposal")}
    names = sorted((set(app.settings.sources) | {row.source for row in rows}) - {SIGNALS})
    out = [_signals(app, [row for row in rows if row.source == SIGNALS])] if by_topic(app.settings) else []
    for name in names:
        configured = app.settings.sources.get(name)
        own = [row for row in rows if row.source == name]
        scope = configured.scope if configured else "real"
        last_at, last_hour = _recent(app, name, scope)
        gap = open_gaps.get(name)
        offset = offsets.get(name, configured.clock_offset_s if configured else 0.0)
        proposed = proposals.get(name)
        out.append(
            SourceStatus(
                source=name,
                type=configured.type if configured else "-",
                scope=scope,
                state="silent" if gap else "ok" if own else "quiet",
                last_event_at=last_at,
                last_hour=last_hour,
                received=sum(row.received for row in own),
                stored=sum(row.stored for row in own),
                dead_lettered=sum(row.dead_lettered for row in own),
                difference=sum(row.difference for row in own),
                lost=sum(row.lost for row in own),
                silent_since=iso(gap.from_us) if gap else "",
                clock_offset_s=offset,
                proposed_offset_s=proposed if proposed is not None and proposed != offset else None,
            )
        )
    return out


def _signals(app: App, rows: Sequence[LedgerItem]) -> SourceStatus:
    """How the topic of signals is doing: what it holds becomes alerts, and no events."""
    try:
        lag: int | None = sum(signal_lag(app).values())
    except (Unreachable, AccessDenied) as error:
        log.warning("the lag of the topic of signals is not known", error=error.message, hint=error.hint)
        lag = None
    return SourceStatus(
        source=SIGNALS,
        type="kafka",
        scope="",
        state="ok" if rows else "quiet",
        last_event_at="",
        last_hour=0,
        received=sum(row.received for row in rows),
        stored=0,
        dead_lettered=0,
        difference=sum(row.difference for row in rows),
        lost=sum(row.lost for row in rows),
        silent_since="",
        clock_offset_s=0.0,
        proposed_offset_s=None,
        lag=lag,
    )


def _recent(app: App, name: str, scope: str) -> tuple[str, int]:
    query = EventQuery(where=Term("soc.source", name), scope=scope, limit=1)
    docs = app.store.search(query).docs
    if not docs:
        return "", 0
    hour = msgspec.structs.replace(query, since_us=app.clock.now_us() - 3_600_000_000)
    return str(docs[0].get("@timestamp", "")), app.store.count(hour)


class SourceTest(msgspec.Struct):
    """What a test of a source showed: steps with `ok` or the error, and the lines that were read."""

    source: str
    ok: bool
    steps: list[tuple[str, bool, str]]
    sample: list[dict[str, Any]]


def strange(app: App, name: str) -> str | None:
    """The name that a source's is perhaps a slip of ("" = none) where nothing of it was ever configured or received; None = it is known.

    Cost: the ledger's, for a source that is not configured.
    """
    if name in app.settings.sources:
        return None
    known = app.known_sources()
    return None if name in known else next(iter(difflib.get_close_matches(name, sorted(known), 1)), "")


def settings_for_test(settings: Settings, name: str, scratch: Path) -> Settings:
    """Settings that reach one source only and disturb nothing: a spool in `scratch`.

    Raises: NotFound for a source that is not configured.
    """
    if name not in settings.sources:
        raise NotFound(Phrase("no source {name}", name=name), hint=near(name, settings.sources, "soc sources list"))
    return settings.model_copy(update={"sources": {name: settings.sources[name]}, "data_dir": scratch})


def probe(app: App, name: str, *, most: int = 5, wait_s: float = 5.0) -> SourceTest:
    """Open one source of the (test) settings, and read a few records without storing or committing anything."""
    steps: list[tuple[str, bool, str]] = []
    sample: list[dict[str, Any]] = []
    try:
        if isinstance(app.settings.sources[name], SyslogSource | HttpSource):
            _listen(app, steps)
        else:
            _read(app, most, wait_s, steps, sample)
    except SocError as error:
        text, hint = _told(error)
        steps.append((text, False, hint))
    return SourceTest(name, all(ok for _, ok, _ in steps), steps, sample)


def _told(error: SocError) -> tuple[str, str]:
    """Text and hint of an error; of a port that is taken: by whom, and what to do then."""
    facts = error.message.facts if isinstance(error.message, Phrase) and error.message.template == TAKEN else {}
    port = str(facts.get("address", "")).rpartition(":")[2]
    found = listener(facts["kind"], int(port)) if port.isdecimal() else None
    if found is None:
        return error.message, error.hint
    told = {name: facts[name] for name in ("kind", "address", "source")}
    if not found.is_run:
        text = Phrase("{kind} {address} of source {source} is taken by process {pid}: {command}", **told, pid=found.pid, command=found.command)
        return text, Phrase("end it (kill {pid}), or choose another port", pid=found.pid)
    text = Phrase("{kind} {address} of source {source} is taken by a run of soc, process {pid}: {command}", **told, pid=found.pid, command=found.command)
    return text, Phrase("that run receives here; what came in: soc sources status; to test the port by itself, end it first (kill {pid})", pid=found.pid)


def _listen(app: App, steps: list[tuple[str, bool, str]]) -> None:
    with app.wiring.spool() as (sink, _sources):
        for collector in app.wiring.collectors(sink):
            collector.start()
            try:
                steps += [(Phrase("listens to {address}", address=address), True, "") for address in collector.addresses()]
            finally:
                collector.stop()


def _read(app: App, most: int, wait_s: float, steps: list[tuple[str, bool, str]], sample: list[dict[str, Any]]) -> None:
    for source in app.wiring.samples():
        try:
            source.open({})
            steps.append(("opened", True, ""))
            records = source.poll(most, wait_s)
        finally:
            source.close()
        whole = [record for record in records if not record.fault]
        steps.append((Phrase("read {count} records", count=len(whole)), True, "" if records else "nothing to read at the moment"))
        steps += [
            (Phrase("not readable: {fault}", fault=record.fault), True, Phrase("a run makes it a dead letter: soc deadletters list"))
            for record in records
            if record.fault
        ]
        sample += [{"seq": record.seq, "received_at": iso(record.received_us), "raw": record.raw.decode("utf-8", "replace")} for record in whole]
