"""Commands and queries about evidence: what was kept, who had it when, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from soc.application import access, incidents
from soc.application.app import App
from soc.application.numbered import identity, local_day, not_later, take
from soc.clock import from_iso
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.evidence import PREFIX, Evidence, fold
from soc.incidents.model import PREFIX as INCIDENTS
from soc.incidents.model import Incident
from soc.incidents.model import fold as fold_incident
from soc.model.alert import Alert
from soc.model.event import Doc, nest, usable_us
from soc.model.fact import ANY_VERSION, Behalf, NewFact
from soc.ports import AlertQuery

LETTERS = "EV"
MOST_COPIED = 2_147_483_648
"""Bytes of a file that is copied; larger ones are registered where they are."""
_BUSY = "too much evidence is recorded at the same moment"
_MOST_NAME = 255
_PAGE = 500


def add(
    app: App,
    incident: str,
    file: Path,
    *,
    why: str,
    origin: str = "",
    description: str = "",
    collected_by: str = "",
    collected_at: str = "",
    behalf: Behalf | None = None,
) -> Evidence:
    """Copy a file into the store of evidence and record it; durable before it is recorded.

    Raises: UsageError (no reason, no plain file, too large), NotFound (incident), StoreFull.
    """
    access.require(app, "evidence.change")
    owner = incidents.get(app, incident)
    _reason(why)
    try:
        size = file.lstat().st_size
    except OSError as error:
        raise UsageError(Phrase("{path} cannot be read: {strerror}", path=file, strerror=error.strerror)) from error
    if size > MOST_COPIED:
        raise UsageError(
            Phrase("{path} has {size} bytes, more than the {most} that are copied", path=file, size=size, most=MOST_COPIED),
            hint="soc evidence register ID FILE --place … --seal …",
        )
    collected_at = not_later(app, "collected_at", collected_at)
    kept = app.wiring.evidence().add(file)
    return _recorded(app, owner.id, owner.scope, "EvidenceAdded", why, behalf, form="kept", name=_name(file), sha256=kept.sha256, size=kept.size,
        origin=origin, description=description, collected_by=collected_by, collected_at=collected_at)  # fmt: skip


def add_once(app: App, incident: str, file: Path, *, why: str, origin: str = "", description: str = "") -> Evidence:
    """The evidence of an incident (its whole id) with the content of this file, kept now unless it was before: for what may be tried again."""
    access.require(app, "evidence.change")
    found = app.wiring.evidence().measure(file).sha256
    known = next((one for one in of_incident(app, incident) if one.sha256 == found and one.form == "kept"), None)
    return known or add(app, incident, file, why=why, origin=origin, description=description)


def register(
    app: App,
    incident: str,
    file: Path | None = None,
    *,
    why: str,
    place: str = "",
    seal: str = "",
    sha256: str = "",
    name: str = "",
    reference: str = "",
    paper: bool = False,
    origin: str = "",
    description: str = "",
    collected_by: str = "",
    collected_at: str = "",
    behalf: Behalf | None = None,
) -> Evidence:
    """Record evidence that stays elsewhere, by hash, place and seal; `paper`: it may not be stored, only a reference is.

    Raises: UsageError when what makes it findable is missing, NotFound (incident).
    """
    access.require(app, "evidence.change")
    owner = incidents.get(app, incident)
    _reason(why)
    collected_at = not_later(app, "collected_at", collected_at)
    about = {"place": place, "seal": seal, "origin": origin, "collected_by": collected_by, "collected_at": collected_at}
    if paper:
        if file is not None or sha256 or name or description:
            raise UsageError(
                "of what may not be stored nothing is recorded but the reference of its paper record", hint="leave out file, hash, name and description"
            )
        if not reference.strip():
            raise UsageError("where is the paper record?", hint="--reference 'Sổ theo dõi … số …'")
        return _recorded(app, owner.id, owner.scope, "EvidenceRegistered", why, behalf, form="paper", reference=reference, **about)
    if not place.strip() or not (seal.strip() or reference.strip()):
        raise UsageError("where is it, and under which seal?", hint="--place 'Tủ 3, phòng máy' --seal 0123456")
    size = 0
    if file is not None:
        measured = app.wiring.evidence().measure(file)
        if sha256 and measured.sha256 != sha256.lower():
            raise Conflict(Phrase("{path} has another SHA-256: {hash}", path=file, hash=measured.sha256), hint="find out which of them is the evidence")
        sha256, size, name = measured.sha256, measured.size, name or _name(file)
    if len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):  # noqa: PLR2004 - hexadecimal digits of SHA-256
        raise UsageError("evidence that stays elsewhere is known by its hash", hint="name the file, or --sha256 HASH")
    return _recorded(app, owner.id, owner.scope, "EvidenceRegistered", why, behalf, form="registered", name=name[:_MOST_NAME], sha256=sha256.lower(),
        size=size, reference=reference, description=description, **about)  # fmt: skip


def keep_bytes(app: App, incident: str, data: bytes, *, name: str, description: str, why: str, events: int = 0, scope: str = "real") -> Evidence:
    """Keep what we made or got ourselves (a signed document, cited events) as evidence of an incident."""
    kept = app.wiring.evidence().put(data)
    known = next((one for one in of_incident(app, incident) if one.sha256 == kept.sha256 and one.form == "kept"), None)
    if known is not None:
        return known
    return _recorded(app, incident, scope, "EvidenceAdded", why, None, form="kept", name=name, sha256=kept.sha256, size=kept.size,
        origin="soc", description=description, events=events)  # fmt: skip


def _recorded(app: App, incident: str, scope: str, kind: str, why: str, behalf: Behalf | None, **data: Any) -> Evidence:
    content = {"incident": incident, **{key: value for key, value in data.items() if value not in ("", 0)}}
    made = take(app, f"{PREFIX}{LETTERS}-{local_day(app).year}-", NewFact(kind, content, why, behalf), scope=scope, busy=_BUSY)
    return fold(made[0].fact.stream.removeprefix(PREFIX), [one.fact for one in made])


def _reason(why: str) -> None:
    if not why.strip():
        raise UsageError("why is it kept?", hint="--why TEXT")


def _name(file: Path) -> str:
    """What a file is called, as text: bytes that are no UTF-8 are shown."""
    return file.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\x00", "")[:_MOST_NAME]


def get(app: App, name: str) -> Evidence:
    """The evidence of this id (`EV-2026-0007`, or `7` of this year).

    Raises: NotFound.
    """
    access.require(app, "evidence.view")
    found = identity(f"{LETTERS}-{local_day(app).year}-", name)
    facts = app.journal.read(PREFIX + found)
    if not facts:
        raise NotFound(Phrase("there is no evidence {name}", name=name), hint="soc evidence list")
    return fold(found, [one.fact for one in facts])


def listed(app: App, incident: str = "", *, scope: str | None = "real") -> list[Evidence]:
    """All evidence, or that of an incident, in order of recording."""
    access.require(app, "evidence.view")
    wanted = incidents.get(app, incident).id if incident else ""
    return [one for one in _all(app) if (scope is None or wanted or one.scope == scope) and (not wanted or one.incident == wanted)]


def of_incident(app: App, incident: str) -> list[Evidence]:
    """The evidence of an incident (its whole id)."""
    return [one for one in _all(app) if one.incident == incident]


def _all(app: App) -> list[Evidence]:
    return [fold(stream.removeprefix(PREFIX), [one.fact for one in facts]) for stream, facts in app.journal.under(PREFIX)]


def hand_over(
    app: App, name: str, to: str, *, why: str, giver: str = "", at: str = "", place: str = "", seal: str = "", behalf: Behalf | None = None
) -> Evidence:
    """Record that evidence went from one person to another.

    Raises: UsageError, NotFound, Conflict (`giver` is not who has it), FactConflict.
    """
    access.require(app, "evidence.change")
    found = get(app, name)
    _reason(why)
    if not to.strip():
        raise UsageError("who has it now?", hint="--to NAME")
    if giver and giver.strip().casefold() != found.holder.strip().casefold():
        raise Conflict(
            Phrase("{id} is with {holder}, not with {giver}", id=found.id, holder=found.holder, giver=giver), hint="record the hand-over that is missing first"
        )
    data = {"from": found.holder, "to": to, "at": not_later(app, "at", at), "place": place, "seal": seal}
    fact = NewFact("EvidenceHandedOver", {key: value for key, value in data.items() if value}, why, behalf)
    app.journal.append(PREFIX + found.id, found.version, [fact], actor=app.actor.name, scope=found.scope)
    return get(app, found.id)


def verify(app: App, names: Sequence[str] = (), *, incident: str = "", file: Path | None = None) -> list[tuple[Evidence, str]]:
    """Compare what is kept with the recorded hashes; each result is recorded.

    Results: `ok`, `missing`, `changed`, `elsewhere` (registered: not ours to look at; with `file` that one is compared), `paper`.
    """
    chosen = [get(app, name) for name in names] or listed(app, incident, scope=None)
    if file is not None and len(chosen) != 1:
        raise UsageError("a file is compared with one piece of evidence", hint="soc evidence verify ID --file FILE")
    found = []
    for one in chosen:
        result = _compared(app, one, file)
        if result not in ("elsewhere", "paper") and not app.settings.read_only:
            app.journal.append(PREFIX + one.id, ANY_VERSION, [NewFact("EvidenceChecked", {"result": result})], actor=app.actor.name, scope=one.scope)
        found.append((one, result))
    return found


def _compared(app: App, one: Evidence, file: Path | None) -> str:
    if one.form == "paper":
        return "paper"
    files = app.wiring.evidence()
    if file is not None:
        return "ok" if files.measure(file).sha256 == one.sha256 else "changed"
    return files.check(one.sha256) if one.form == "kept" else "elsewhere"


# --- events that alerts of incidents cite ----------------------------------------------------------------------------


def cited(app: App, alerts: Iterable[str]) -> list[str]:
    """The ids of the events that these alerts and groups speak of, each once."""
    found: dict[str, None] = {}
    for one in alerts:
        known = app.store.get_alert(one)
        if known is None:
            continue
        members = [known] if isinstance(known, Alert) else _members(app, known.id)
        for alert in members:
            found.update(dict.fromkeys(alert.events))
    return list(found)


def _members(app: App, group: str) -> list[Alert]:
    found: list[Alert] = []
    while True:
        _, page = app.store.alerts(AlertQuery(scope=None, group=group, limit=_PAGE, offset=len(found)))
        found += page
        if len(page) < _PAGE:
            return found


def keep_events(app: App, incident: str, *, why: str) -> Evidence | None:
    """Copy the events that an incident's alerts cite, so that they outlive the store's retention; None when there are none.

    What is there already is not kept twice.
    """
    access.require(app, "evidence.change")
    found = incidents.get(app, incident)
    docs = _events(app, cited(app, found.alerts))
    return _keep_docs(app, found, docs, why) if docs else None


def _events(app: App, ids: Sequence[str]) -> list[Doc]:
    return [doc for at in range(0, len(ids), _PAGE) for doc in app.store.get_events(ids[at : at + _PAGE])]


def _keep_docs(app: App, incident: Incident, docs: list[Doc], why: str) -> Evidence:
    docs = sorted(docs, key=lambda doc: (str(doc.get("@timestamp", "")), str(doc.get("soc.id", ""))))
    data = b"".join(orjson.dumps(nest(doc), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE) for doc in docs)
    about = f"{len(docs)} events"
    return keep_bytes(app, incident.id, data, name=f"{incident.id}-events.jsonl", description=about, why=why, events=len(docs), scope=incident.scope)


class Threatened(NamedTuple):
    """An incident and the events that it cites and that retention would remove."""

    incident: Incident
    docs: list[Doc]


def threatened(app: App, partitions: Sequence[Mapping[str, Any]]) -> list[Threatened]:
    """The incidents whose cited events lie in partitions (rows as `Store.drop_partitions` gives them), by id."""
    spans = [(str(one["kind"]), from_iso(str(one["from"])) // 1000, from_iso(str(one["until"])) // 1000) for one in partitions if one.get("from")]
    found = []
    for stream, facts in app.journal.under(INCIDENTS) if spans else ():
        incident = fold_incident(stream.removeprefix(INCIDENTS), [one.fact for one in facts])
        docs = [
            doc
            for doc in _events(app, cited(app, incident.alerts))
            if any(kind == doc.get("soc.kind") and first <= usable_us(doc) // 1000 <= last for kind, first, last in spans)
        ]
        if docs:
            found.append(Threatened(incident, docs))
    return found


def keep_threatened(app: App, found: Sequence[Threatened]) -> list[Evidence]:
    """Copy the events of each incident into its evidence."""
    return [_keep_docs(app, one.incident, one.docs, "retention") for one in found]


def item(one: Evidence) -> dict[str, Any]:
    """Evidence as the JSON of lists."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    found["checked_at"], found["checked"] = (one.checks[-1].at, one.checks[-1].result) if one.checks else ("", "")
    del found["custody"], found["checks"]
    return found
