"""What a parser is, and what it gets and gives.

A parser is a folder `soc/ingest/parsers/<vendor>_<product>/` whose `parser.py` has a module-level `PARSER`; the
registry finds it, nothing else has to change. It is a pure function: no clock, no network, no state.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

import msgspec

from soc.model.event import Doc


class Line(msgspec.Struct, gc=False):
    """A decoded record after framing.

    `text` is the whole record, `message` what follows the syslog header (all of it where there is none). Header parts
    are "" / -1 where absent. `header_time` is as written.
    """

    text: str
    message: str
    priority: int = -1
    header_time: str = ""
    host: str = ""
    app: str = ""
    pid: str = ""
    message_id: str = ""
    structured_data: str = ""


class Context(msgspec.Struct, gc=False):
    """What the collector and the configuration know of a record.

    Units: `received_us` microseconds since 1970; `offset_us` is added to device times.
    """

    received_us: int
    timezone: str = "Asia/Ho_Chi_Minh"
    offset_us: int = 0
    host: str = ""
    """Address that the record was received from."""


class Parsed(msgspec.Struct, gc=False):
    """One parsed line.

    `doc`: flat ECS, with `@timestamp` (RFC 3339 UTC), `event.kind|category|type|action|outcome` where known,
    `event.module` and `event.dataset`; no `soc.*`, no `event.original` (the pipeline adds them). `ts_us`: `@timestamp` in
    microseconds (0 = the line has no time). `natural_key`: identifies the occurrence at the device so that a resent
    line has the same ("" = none). `error`: why the line is only partly read ("" = whole).
    """

    doc: Doc
    ts_us: int
    natural_key: str = ""
    error: str = ""


class Parser(Protocol):
    """The lines of one product."""

    name: str
    """Folder name: `<vendor>_<product>`."""
    version: int
    """Grows with every change of what comes out; `soc.parser` is `name@version`."""
    kind: str
    """One of `soc.model.level.KINDS`."""

    def claims(self, line: Line) -> bool:
        """Whether the line is of this product. Cheap: runs for every line of an unknown source; never raises."""

    def parse(self, line: Line, context: Context) -> Parsed:
        """The line as ECS.

        Raises: UnknownFormat when the line is not of this product after all; MalformedRecord (with `fields`) when it
        is broken. Nothing else, whatever the bytes.
        """


class Assembled(msgspec.Struct, gc=False):
    """One finished occurrence: the event made of it, and the events it was made of.

    `base_event_id` is the id of the first line; the pipeline names the event `derived_event_id(base_event_id, assembler.name)`.
    `event_ids`: the ids of its lines, oldest first, the first `MOST_EVENT_IDS` of them.
    """

    parsed: Parsed
    base_event_id: str
    event_ids: list[str]


MOST_EVENT_IDS = 40
"""How many contributing event ids an assembled event names; beyond them lines still count."""


class Assembler(Protocol):
    """Joins the lines of one occurrence (a mail passing a gateway) into one event.

    A pure fold over a keyed state: the same lines in the same order give the same states and events, wherever batches
    are cut; a line that was folded already (same event id, or same bytes resent) changes nothing.

    `states` is a view on all states of one source partition (key → bytes). The pipeline hands in a mapping that
    remembers what was written or deleted (`Effects.state`), notes for every *written* key the received time of the line
    that wrote it, and after each batch calls `expire` for each key whose note is older than `rest_s(states[key])` (the
    time goes on with records' received time, heartbeats included; order: oldest note first, then key). A key that
    `expire` leaves in place, changed or not, rests once more. Beyond `most_states` keys the oldest are expired early.
    An assembler reads and writes few keys a line, never iterates, and stores no key of another partition.
    """

    name: str
    version: int
    most_states: int
    """More keys than this in one partition are not kept: the oldest are expired early, and deleted if they stay."""

    def wants(self, doc: Doc) -> bool:
        """Whether the line has anything to assemble. Cheap: runs for every line of the parsers beside the assembler."""

    def fold(self, states: MutableMapping[str, bytes], event_id: str, ts_us: int, doc: Doc) -> list[Assembled]:
        """Take in one line; what it finishes. `ts_us`: usable event time of the line. Never raises."""

    def expire(self, states: MutableMapping[str, bytes], key: str) -> list[Assembled]:
        """Give up waiting for `key`: finish it as it stands, or forget it. Never raises."""

    def rest_s(self, state: bytes) -> float:
        """Seconds (by received time) that a state may rest unwritten before `expire`. Cheap."""
