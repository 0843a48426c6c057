"""What the inside needs of the outside world: the protocols that adapters implement.

One contract suite per port (`tests/contracts/`) runs on every adapter: memory, embedded SQLite, Elasticsearch for
`Store`; files, spool, Kafka for `RecordSource`. Errors: only those of `soc.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from soc.model.alert import Alert, AlertGroup
from soc.model.deadletter import DeadLetter
from soc.model.event import Doc, Event
from soc.model.message import Message
from soc.model.projection import Difference, Document, ListQuery, Projection
from soc.model.query import Node
from soc.model.record import RawRecord
from soc.model.signal import Signal

# --- sources -----------------------------------------------------------------------------------------------------


class RecordSource(Protocol):
    """An ordered, re-readable supply of raw records, in one or more partitions.

    Delivery: at least once. After `open` (or a restart) reading begins at the positions that the store holds, for
    partitions that it knows, and at the configured start for others. `poll` never skips and never reorders within a
    partition. A record that cannot be handed over whole comes with `fault` or `truncated_bytes` set, never as an error.
    """

    name: str

    def open(self, positions: Mapping[str, int]) -> None:
        """Begin; `positions` maps partition to the next position to read.

        Raises: SourceUnavailable, AccessDenied, ConfigError (a missing topic or file, named).
        """

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        """Up to `most` records, waiting up to `timeout_s` for the first; [] when there are none yet.

        Raises: SourceUnavailable, AccessDenied.
        """

    def commit(self, positions: Mapping[str, int]) -> None:
        """Tell the outside that everything before these positions is durable (consumer group, spool clean-up).

        Raises: SourceUnavailable; a partition that was lost meanwhile is left out silently (it is read again elsewhere).
        """

    def lost(self) -> set[str]:
        """Partitions taken away since the last call: state about them must be forgotten."""

    def lag(self) -> dict[str, int]:
        """Records (bytes for files) not yet handed over, per partition, as far as known without blocking."""

    def exhausted(self) -> bool:
        """True when nothing more will ever come (a file read once, at its end)."""

    def close(self) -> None:
        """Give everything back; idempotent."""


@runtime_checkable
class SharedSource(RecordSource, Protocol):
    """A source whose partitions several workers share (Kafka): others move positions on."""

    def follow_positions(self, fresh: Callable[[], Mapping[str, int]]) -> None:
        """Ask `fresh` for the store's positions whenever partitions are taken over."""

    def rewind(self, positions: Mapping[str, int]) -> None:
        """Go on at these positions without leaving the group."""

    def hold(self) -> None:
        """Called while nobody takes records: stay a member of the group, which else waits for this one."""

    def take_lost_ranges(self) -> list[tuple[str, int, int]]:
        """Positions (partition, first, last) that were gone before they could be read, since the last call."""


@runtime_checkable
class MarkedSource(RecordSource, Protocol):
    """A source that knows its partitions, and which of them have nothing to say: time goes on without records there."""

    def partitions(self) -> list[str]:
        """Every partition that there is to read, by this worker or another; for any thread."""

    def idle(self) -> dict[str, int]:
        """Partitions whose records are all durable, and when (microseconds since 1970) there were no others; for any thread."""


class RecordSink(Protocol):
    """Where collectors put records so that they can be read again: the embedded spool, or a Kafka topic."""

    def append(self, stream: str, records: Sequence[tuple[bytes, int, str, int]]) -> None:
        """Append `(raw, received_us, host, truncated_bytes)` to `stream`; durable (synced, acknowledged) on return.

        Raises: StoreFull, Unreachable. After an error nothing of the call may be taken as written, or as lost.
        """

    def close(self) -> None:
        """Flush and give everything back."""


# --- the store: writing --------------------------------------------------------------------------------------------


class Progress(msgspec.Struct):
    """What one batch took from one partition: `received` records at positions [first, last], `next` to go on at."""

    source: str
    partition: str
    first: int
    last: int
    next: int
    received: int
    dropped: dict[str, int] = {}
    """Records that end neither as event nor as dead letter, by reason."""
    knowledge: Literal["proved", "counted", "unknowable"] = "counted"
    lost: int = 0
    """Records known to be lost before us (socket drop counters, gaps in device sequence numbers)."""


class Gap(msgspec.Struct):
    """A stretch of time in which a source said nothing although it should have (contract 8).

    Units: microseconds since 1970; `until_us` 0 = still silent.
    """

    source: str
    scope: str
    from_us: int
    until_us: int
    cause: str
    expected_s: float
    """The longest silence that was to be expected."""


class Effects(msgspec.Struct):
    """All that one batch does. Committed as one: events first, then alerts, dead letters and state, progress last."""

    progress: list[Progress]
    events: list[Event] = []
    alerts: list[Alert] = []
    dead_letters: list[DeadLetter] = []
    claims: dict[str, str] = {}
    """Natural key → id of the event that owns it (see `Store.owners`)."""
    state: dict[str, bytes | None] = {}
    """Pipeline state to keep (None = forget): key = `<partition>\\x1f<what>`. Read back by `Store.state`."""
    gaps: list[Gap] = []
    rules_hash: str = ""
    excepted: dict[str, int] = {}
    """Per id of an exception how many matches it let pass, for metrics; the counts themselves are `state`."""
    signals: list[Signal] = []
    """What correlations are told of the events: durable no later than the progress."""
    marks: dict[str, int] = {}
    """Per source partition (as in `Progress`) the largest usable event time seen, microseconds since 1970; never beyond the received time."""


class Committed(msgspec.Struct):
    """What became of a batch."""

    stored: int
    """Events written now, or by an earlier attempt at this very batch."""
    replayed: int
    """Records whose event stood already in the store from *another* position with the same bytes: dropped, counted."""
    faults: list[str]
    """Ids that came again with other bytes: stored under a second id, a ledger fault."""
    new_alerts: list[Alert]
    """Those that were not known before."""
    rejected: list[str] = []
    """Ids of events that the store could not take (a mapping refuses them): kept as dead letters with reason `rejected`."""


class LedgerItem(msgspec.Struct):
    """One row of the ledger: per source partition, what came in and where it is now, recounted from the store.

    difference = received − stored − dead_lettered − sum(dropped) − in_flight; anything but 0 is a fault.
    """

    source: str
    partition: str
    first: int
    last: int
    received: int
    stored: int
    dead_lettered: int
    dropped: dict[str, int]
    in_flight: int
    difference: int
    knowledge: Literal["proved", "counted", "unknowable"]
    lost: int = 0
    faults: int = 0


# --- the store: reading --------------------------------------------------------------------------------------------


class EventQuery(msgspec.Struct):
    """Which events, in which order. Times: microseconds since 1970, since inclusive, until exclusive, None = open.

    Order: by usable event time in milliseconds, then id, both descending (or both ascending); the same on every store.
    """

    where: Node
    scope: str | None = "real"
    """None = all scopes."""
    since_us: int | None = None
    until_us: int | None = None
    descending: bool = True
    limit: int = 100
    after: str = ""
    """Cursor: `next` of the page before ("" = from the start)."""


class EventPage(msgspec.Struct):
    """A page of flat documents; `next` is the cursor of the page after it ("" = that was the last)."""

    docs: list[Doc]
    next: str


class Bucket(msgspec.Struct):
    """One bar of a histogram: the time it begins (RFC 3339 UTC), the value of the `by` field ("" = none), the count."""

    at: str
    by: str
    count: int


class AlertQuery(msgspec.Struct):
    """Which alerts or groups; newest first."""

    scope: str | None = "real"
    levels: tuple[str, ...] = ()
    rule: str = ""
    group: str = ""
    source: str = ""
    since_us: int | None = None
    until_us: int | None = None
    limit: int = 100
    offset: int = 0
    shadow: bool = False
    """The alerts of shadow rules instead of those of live ones; they never stand together."""
    retracted: bool = False
    """The alerts that recorded defects of rules withdrew instead of those that count; they never stand together."""
    ids: frozenset[str] | None = None
    """Only these groups (None = all); of `alert_groups`."""
    without: frozenset[str] = frozenset()
    """Not these groups; of `alert_groups`."""


@runtime_checkable
class OnePipelineStore(Protocol):
    """A store of which one process at a time is the pipeline."""

    def pipeline_pid(self) -> int:
        """The process that is the pipeline (0 = none is running)."""


@runtime_checkable
class TwoStepStore(Protocol):
    """A store whose commits have a part that computes and one that mostly leaves the interpreter to other threads."""

    def begin_commit(self, effects: Effects) -> Callable[[], Committed]:
        """What is left of `Store.commit` once everything is worked out: to be called, from any thread, before the next commit begins.

        Raises: as `Store.commit`; nothing is stored then.
        """


@runtime_checkable
class EncodingStore(Protocol):
    """A store that writes documents as bytes of their own: made for each as soon as it is complete, they cost half of what they cost at the commit, when 2,000 others were built since."""

    def encode(self, doc: Doc) -> bytes:
        """The document as it is stored; never raises."""


class Store(Protocol):
    """Events, alerts, dead letters, positions and ledger: everything that the pipeline writes and commands read."""

    # writing (one pipeline)
    def positions(self) -> dict[str, int]:
        """The next position of every partition ever committed."""

    def owners(self, claims: Mapping[str, str]) -> dict[str, str]:
        """For each natural key the id of the event that owns it: the first that ever claimed it, else the one given.

        Durable no later than the commit of the batch; safe against other workers.
        """

    def commit(self, effects: Effects) -> Committed:
        """Make a batch durable, exactly once whatever was killed when; the same effects may come again.

        Raises: StoreUnavailable (nothing is lost: give the same effects again), StoreFull, StoreRefused, AccessDenied.
        """

    def state(self, partition: str) -> dict[str, bytes]:
        """The pipeline state kept for a partition."""

    # correlation
    def signals(self, since_us: int, of: Mapping[str, int] | None = None) -> Iterator[Signal]:
        """The signals of events at or after `since_us`, in any order, perhaps some of them twice.

        `of`: those of these correlations only, of each at or after a time of its own too.
        """

    def drop_signals(self, before_us: int) -> None:
        """Forget signals of events before `before_us` (some may stay)."""

    def marks(self) -> dict[str, int]:
        """Per source partition the largest usable event time ever committed; it only grows."""

    # events
    def get_events(self, ids: Sequence[str]) -> list[Doc]:
        """The events of these ids or unique id prefixes (unknown ones are left out), in the order asked.

        Raises: Conflict when a prefix fits several.
        """

    def search(self, query: EventQuery) -> EventPage:
        """One page of events."""

    def stream(self, query: EventQuery) -> Iterator[Doc]:
        """All events of a query (limit and after are ignored), in order, in constant memory."""

    def count(self, query: EventQuery) -> int:
        """How many events fit, all of them."""

    def histogram(self, query: EventQuery, interval: Literal["hour", "day", "month"], by: str = "", tz: str = "UTC") -> list[Bucket]:
        """Counts per interval of the zone `tz`, and per value of the field `by`; empty intervals are left out."""

    def facets(self, query: EventQuery, field: str, most: int = 10) -> list[tuple[str, int]]:
        """The commonest values of a field and their counts; equal counts by value."""

    def threats(self, query: EventQuery) -> dict[tuple[str, str], int]:
        """Counted events by (threat level, category): each occurrence once (natural keys)."""

    # alerts
    def alert_groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        """Total and one page of groups, newest last_at first."""

    def group_ends(self, query: AlertQuery) -> dict[str, tuple[str, int]]:
        """By id the time of the newest alert and the count of every group of a query (limit and offset are ignored)."""

    def alerts(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        """Total and one page of alerts, newest first."""

    def get_alert(self, prefix: str) -> Alert | AlertGroup | None:
        """The alert (`a-…`) or group (`g-…`) of an id or unique prefix.

        Raises: Conflict when it fits several.
        """

    def retract(self, fact: Mapping[str, Any]) -> None:
        """Record a fact of kind `retraction` (`soc.model.retraction`), or one that undoes it, and put the alerts concerned aside or back.

        From then on every store answers for the alerts that count as if the withdrawn ones were not there, also for those
        written later; `retracted` of a query asks for these, and `get_alert` finds both.
        """

    # dead letters
    def dead_letters(self, *, state: str = "open", source: str = "", limit: int = 100, offset: int = 0) -> tuple[int, list[DeadLetter]]:
        """Total and one page, oldest first."""

    def get_dead_letter(self, prefix: str) -> DeadLetter | None:
        """The dead letter of an id or unique prefix."""

    def settle_dead_letter(self, letter_id: str, state: Literal["redriven", "discarded"], note: str, event: Event | None, alerts: Sequence[Alert] = ()) -> None:
        """Close a dead letter; a redriven one becomes `event` in the same step (stored + 1, dead_lettered − 1)."""

    # ledger, silence
    def ledger(self) -> list[LedgerItem]:
        """All rows by (source, partition); stored and dead_lettered are counted anew from the stored documents."""

    def gaps(self, *, source: str = "", since_us: int | None = None) -> list[Gap]:
        """Gap facts, oldest first."""

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """Recorded facts of a kind (`clock-offset`, `retention`, `reclassification`, `migration`, `rules`), oldest first."""

    def record_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Append a fact; facts are never rewritten."""

    # keeping house
    def status(self) -> dict[str, Any]:
        """What `soc store status` shows: kind, place, schema, partitions (name, events, bytes, from, until), free space."""

    def backup(self, target: Path, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
        """A consistent copy at `target` while the pipeline goes on; the manifest (files, hashes, counts) is returned."""

    def drop_partitions(self, *, kind: str, before_us: int, dry_run: bool) -> list[dict[str, Any]]:
        """Whole partitions of `kind` that end before the time; removed unless `dry_run`. A fact records it."""

    def reclassify(self, query: EventQuery, change: Callable[[Doc], tuple[str, str] | None], *, fact: Mapping[str, Any], dry_run: bool) -> dict[str, int]:
        """Give events another threat level and category; both figures stay readable (`soc.threat.previous`).

        `change` returns (level, category) or None to leave an event; `fact` is read when every event was seen. Returns counts `seen`, `changed`, and per `old→new`.
        """

    def revise(self, query: EventQuery, change: Callable[[Doc], Doc | None], *, dry_run: bool) -> None:
        """Put other documents in the place of those of stored events, beside whoever stores more; the events of a partition in order of time.

        `change` gets a copy and returns the new document, None to leave the event; id, times, original and natural key must stay.
        Delivery: killed in between, some events are changed; the same call again changes the rest. With `dry_run` only `change` is called.
        """

    def attribute(self, agencies: Mapping[str, str]) -> None:
        """Say whose alerts are, by alert id; their groups follow. Ids that are not known are left out."""

    def migrate(self, reparse: Callable[[Doc], Doc] | None, *, dry_run: bool, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Bring the store to this version's schema; with `reparse` a new generation of every partition is written beside the old and swapped."""

    def close(self) -> None:
        """Give everything back; idempotent."""


# --- lists ----------------------------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """Groups in some states: only those of `ids` (None = all) without those of `without`.

    With a `total` it is that of the whole query, and `ids` are its page already.
    """

    ids: frozenset[str] | None
    without: frozenset[str] = frozenset()
    total: int | None = None


class GroupEnd(NamedTuple):
    """What of a group of alerts changes with its alerts: the time of the newest (also in microseconds), and the count."""

    id: str
    scope: str
    last_us: int
    last_at: str
    occurrences: int


@runtime_checkable
class TellingStore(Protocol):
    """A store that tells which groups changed, so that nobody has to look at all of them."""

    def group_changes(self, after: int) -> tuple[int, list[str]]:
        """The number of the newest change, and the ids of the groups that changed after a number."""

    def ends_of(self, ids: Sequence[str] | None) -> Iterator[GroupEnd]:
        """The ends of these groups (None = all) as far as they count: shadows, withdrawn ones and those that are gone are left out."""


class Lists(Protocol):
    """Kept projections of one journal; every answer includes all facts that were appended before it was asked for.

    One contract suite (`tests/contracts/test_lists.py`) on memory, the embedded store and Elasticsearch.
    """

    def page(self, projection: Projection, query: ListQuery) -> tuple[int, list[Document]]:
        """How many documents fit, and one page of them."""

    def some(self, projection: Projection, streams: Sequence[str]) -> dict[str, Document]:
        """The documents of these streams; those without facts are left out."""

    def standing(self, projection: Projection, store: Store, query: AlertQuery, states: Sequence[str], hidden: frozenset[str]) -> Chosen:
        """Which groups of alerts are in these states, by what people said (a projection of groups) and what their alerts say now.

        `hidden` ones are in none.
        """

    def rebuild(self, projection: Projection, store: Store | None = None) -> Difference:
        """Make all documents (and with `store` the states of its groups) anew; safe beside everything that reads and writes."""

    def close(self) -> None:
        """Give everything back; idempotent."""


# --- rules ----------------------------------------------------------------------------------------------------------


class Verdict(msgspec.Struct, gc=False):
    """What the rules say of one event: its class, and the alerts' rules that matched (as indices of `Classifier.rules`)."""

    level: str
    category: str
    classified_by: str
    matches: tuple[int, ...]
    excepted: tuple[tuple[int, str], ...] = ()
    """Rules (as `matches`) that would have matched but for an exception, and its id."""


class Classifier(Protocol):
    """A compiled rule set: classification and detection."""

    hash: str
    """Over all rules' sources; recorded with each batch."""

    def classify(self, doc: Doc) -> Verdict:
        """Class and matches of one event. Cost: the hot path's second largest; see soc/rules/compile.py."""

    silent: frozenset[int]
    """The rules (as in `Verdict.matches`) that make no alerts of their own: correlations use them."""

    def alert(self, index: int, event: Event, detected_at: str) -> Alert:
        """The alert of rule `index` for an event that it matched, with its explanation."""

    def rule_id(self, index: int) -> str:
        """The id of rule `index`."""

    def signals(self, matches: Sequence[int], event: Event) -> list[Signal]:
        """What correlations are to be told of an event that these rules matched; [] when none uses them."""


class SignalLog(Protocol):
    """A log of signals in the place of the store's own (a topic that several correlators share, keyed by correlation and group)."""

    def append(self, signals: Sequence[Signal], marks: Mapping[str, int]) -> None:
        """Append signals, and the marks of the source partitions that they came from; durable on return, at least once.

        Raises: Unreachable, StoreFull. After an error the whole call is to be repeated.
        """

    def close(self) -> None:
        """Give everything back; idempotent."""


# --- messages -------------------------------------------------------------------------------------------------------


class Outcome(msgspec.Struct, frozen=True):
    """What became of one try to hand a message over.

    `sent`: the other side has taken it; `failed`: it has not, a later try may help; `refused`: it never will; `unknown`: the
    connection ended when it may have had the whole of it. `gateway`: the failure is the server's, not this message's, so the
    next ones would fail as well. `retry_after_s`: the wait that the other side asked for.
    """

    result: Literal["sent", "failed", "refused", "unknown"]
    text: str
    gateway: bool = False
    retry_after_s: float = 0.0


class AttachedFile(msgspec.Struct, frozen=True):
    """A file as it goes along with a message."""

    name: str
    type: str
    data: bytes


class Messenger(Protocol):
    """Hands messages over to a mail server or a gateway (SMS, voice, chat)."""

    longest_s: float
    """No call of `send` takes longer, whatever the other side does."""

    def send(self, message: Message, to: str, files: Sequence[AttachedFile]) -> Outcome:
        """Try once to hand `message` over for `to` (its recipient, or whom an exercise is redirected to); the id of the message goes along, so that the
        other side can tell a repetition. Never raises for what the other side does.

        Raises: ConfigError (a secret that cannot be read).
        """

    def check(self) -> list[tuple[str, bool, str, str]]:
        """Step by step whether messages could be handed over, without sending any: (step, whether it is fine, text, what to do)."""

    def close(self) -> None:
        """Give everything back; idempotent."""


class ReceivedMail(msgspec.Struct, frozen=True):
    """A mail of a mailbox. `raw` None: it is too large to be fetched."""

    uid: int
    size: int
    raw: bytes | None


class MailReader(Protocol):
    """A mailbox that is read and never changed. Not for several threads.

    Raises, from every call: ConfigError, Unreachable, NotAllowed (it does not let us in).
    """

    name: str
    """Server, user and folder."""

    def validity(self) -> int:
        """The number under which `uid` means the same mail for ever; another one, and all mails are new (RFC 3501 section 2.3.1.1)."""

    def since(self, uid: int) -> Iterator[ReceivedMail]:
        """The mails with a larger number, in order."""

    def close(self) -> None:
        """Give the connection back; idempotent."""


# --- small things ----------------------------------------------------------------------------------------------------


class Metrics(Protocol):
    """Counters and gauges, named `soc_<noun>_<verb>_<unit>[_total]`."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""


CrashPoint = Callable[[str], None]
"""Called with the name of each step whose border a crash test may kill at; does nothing in real life."""


def no_crash(_name: str) -> None:
    """The crash point of real life."""
