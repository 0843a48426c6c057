"""What a parser is, and what it gets and gives.

A parser is a folder `soc/ingest/parsers/<vendor>_<product>/` whose `parser.py` has a module-level `PARSER`; the
registry finds it, nothing else has to change. It is a pure function: no clock, no network, no state.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Protocol, runtime_checkable

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
    tokens: bool = False
    """Whether `Parsed.tokens` is wanted."""
    last_us: int = 0
    """Of lines read together, when the last of them was received (and `received_us` the first)."""


class Parsed(msgspec.Struct, gc=False):
    """One parsed line.

    `doc`: flat ECS, with `@timestamp` (RFC 3339 UTC), `event.kind|category|type|action|outcome` where known,
    `event.module` and `event.dataset`; no `soc.*`, no `event.original` (the pipeline adds them). `ts_us`: `@timestamp` in
    microseconds (0 = the line has no time). `natural_key`: identifies the occurrence at the device so that a resent
    line has the same ("" = none). `error`: why the line is only partly read ("" = whole). `tokens`: the tokens of all searched
    fields of `doc`, and of the line unless the fields hold it (`soc.model.text.event_tokens`), by a parser who comes by them cheaply, where they are wanted
    ("" = they are worked out).
    """

    doc: Doc
    ts_us: int
    natural_key: str = ""
    error: str = ""
    tokens: str = ""


class Parser(Protocol):
    """The lines of one product."""

    name: str
    """Folder name: `<vendor>_<product>`."""
    version: int
    """Grows with every change of what comes out; `soc.parser` is `name@version`."""
    kind: str
    """One of `soc.model.level.KINDS`."""
    fields_hold_line: bool
    """Whether the fields of a whole line hold every value of it (key=value products): searches then need not the line itself."""

    def claims(self, line: Line) -> bool:
        """Whether the line is of this product. Cheap: runs for every line of an unknown source; never raises."""

    def parse(self, line: Line, context: Context) -> Parsed:
        """The line as ECS.

        Raises: UnknownFormat when the line is not of this product after all; MalformedRecord (with `fields`) when it
        is broken. Nothing else, whatever the bytes.
        """


@runtime_checkable
class BatchParser(Parser, Protocol):
    """A parser that reads many lines quicker together than one by one."""

    def parse_many(self, lines: Sequence[Line], context: Context) -> list[Parsed | None]:
        """What `parse` gives for each line, None for a line that must be read by itself (what is odd, what raises).

        `context`: all but its host may be used. Raises: nothing.
        """


class Assembler(Protocol):
    """Joins the lines of one occurrence (a mail passing a gateway) into one event.

    A module-level `ASSEMBLER` in the `parser.py` of the parser whose lines it joins. A pure fold over a keyed state: the
    same lines in the same order give the same states and events, wherever batches are cut; a line that was folded
    already (same event id, or same bytes resent) changes nothing.

    `states` is a view on all states of one source partition (key → bytes), which the pipeline keeps with the positions.
    Every write notes the received time of the line at hand (`__setitem__` with the same bytes too: that is a touch). A key
    unwritten for `timeout_s` is handed to `expire`, oldest note first; so is the oldest when there are too many. A key that
    `expire` wrote rests once more, a key that it left untouched is forgotten. An assembler reads and writes few keys a
    line and never iterates.
    """

    name: str
    version: int
    timeout_s: float
    """A state that was not written for so long (by received time) is expired."""

    def fold(self, states: MutableMapping[str, bytes], event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        """Take in one line of the parser; the occurrences that it finished. `ts_us`: usable event time of the line. Never raises.

        Each `Parsed` has a `natural_key` that names the occurrence: the event's id is made of it.
        """

    def expire(self, states: MutableMapping[str, bytes], key: str) -> list[Parsed]:
        """Give up waiting for `key`: finish it as it stands, or let it go. Never raises."""
