"""What every command and query works on: the wired parts, handed over by `soc.bootstrap.open_app`.

Parts are made when first asked for, so that `soc alerts list` loads no rules and `soc parse` opens no store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from soc.clock import Clock
from soc.config import RulesSettings, Settings, SourceBase
from soc.errors import RuleError
from soc.model.evidence import EvidenceFiles
from soc.model.journal import Journal
from soc.model.record import RawRecord
from soc.model.signal import Signal
from soc.ports import Classifier, CrashPoint, Lists, MailReader, Messenger, Metrics, RecordSink, RecordSource, SignalLog, Store, no_crash

if TYPE_CHECKING:
    from soc.application.correlating import SignalTopic
    from soc.application.ruleset import Loaded
    from soc.model.signing import SigningKey  # brings cryptography along, which few commands need


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the name of an account, for the record; its role stands in the registry (`soc.application.access`).

    `service`: the program itself, where nobody sits before it.
    """

    name: str
    service: bool = False


class Collector(Protocol):
    """Receives lines from outside and appends them to a sink, in threads of its own."""

    def start(self) -> None:
        """Begin to listen.

        Raises: ConfigError, NotAllowed (the port is taken or privileged), naming address and source.
        """

    def addresses(self) -> list[str]:
        """What it listens to, as `udp 127.0.0.1:5514`."""

    def lost(self) -> int:
        """Records known to be lost since the start (socket drop counters)."""

    def stop(self) -> None:
        """Stop receiving; what was received is flushed first."""


class Sample(Protocol):
    """A part of `RecordSource`: some of what is there."""

    def open(self, positions: Mapping[str, int], /) -> None:
        """See `RecordSource.open`."""

    def poll(self, most: int, timeout_s: float) -> list[RawRecord]:
        """See `RecordSource.poll`."""

    def close(self) -> None:
        """See `RecordSource.close`."""


class Forwarder(Protocol):
    """Carries what was spooled on to Kafka."""

    def step(self, timeout_s: float) -> int:
        """Forward what is there; how many records. Waits up to `timeout_s` for the first."""

    def close(self) -> None:
        """Give everything back."""


class Wiring(Protocol):
    """Makes the parts out of the settings: `soc.bootstrap` implements it, nothing else knows adapters."""

    def use(self, settings: Settings) -> None:
        """Make parts by these settings from now on."""

    def store(self, *, pipeline: bool, crash: CrashPoint = no_crash) -> Store:
        """Open the store of the settings; for the pipeline it is locked."""

    def memory_store(self) -> Store:
        """A store that forgets everything."""

    def journal(self) -> Journal:
        """Open the journal beside the store of the settings."""

    def messenger(self, channel: str) -> Messenger | None:
        """What hands messages of a channel (`mail`, `webhook`, `webhook:<name>`) over; None when nothing is configured for it."""

    def mailbox(self) -> MailReader:
        """The mailbox of the settings, to which agencies answer.

        Raises: ConfigError when none is configured, or what reads it is not installed.
        """

    def lists(self, journal: Journal) -> Lists:
        """The kept lists of a journal of the settings."""

    def signing_key(self, *, make: bool = False) -> SigningKey | None:
        """The key that signs checkpoints; with `make` a new one, which takes the place of the one there was."""

    def evidence(self, folder: Path | None = None) -> EvidenceFiles:
        """The folder of evidence beside the store, or one in a backup."""

    def keep_key(self, folder: Path, key: SigningKey) -> None:
        """Write a signing key into a folder, for its owner only."""

    def restore_key(self, folder: Path) -> None:
        """Take over the signing key of a folder; there is none yet."""

    def backup_journal(self, folder: Path) -> Journal | None:
        """The journal in a backup, to read; None when there is none."""

    def restore(self, source: Path, progress: Callable[[str, int, int], None] | None) -> dict[str, Any]:
        """Put a backup into the (empty) store of the settings."""

    def classifier(self, rules: RulesSettings) -> tuple[Classifier, list[RuleError]]:
        """The compiled rules, and the rules that could not be used."""

    def spool(self) -> AbstractContextManager[tuple[RecordSink, Sequence[RecordSource]]]:
        """The spool of received lines: its sink, and a source per receiving source of the settings."""

    def samples(self) -> list[Sample]:
        """What `sources` would read, to be looked at: nothing is committed, and no group of workers is joined."""

    def sources(self) -> list[RecordSource]:
        """Sources that are read (files, Kafka), by the settings."""

    def file_source(self, name: str, paths: Sequence[Path], settings: SourceBase | None) -> RecordSource:
        """Files read once."""

    def collectors(self, sink: RecordSink) -> list[Collector]:
        """The receivers of the settings (syslog, HTTP)."""

    def kafka_forward(self, source: RecordSource, topic: str, *, crash: CrashPoint = no_crash) -> Forwarder:
        """Carries the records of `source` to a topic under their own positions."""

    def signal_log(self, key_of: Callable[[Signal], bytes]) -> SignalLog:
        """The topic of signals, to write to; signals of one key stand in one partition."""

    def signal_topic(self) -> SignalTopic:
        """The topic of signals, to read from."""

    def signal_ends(self) -> dict[str, int]:
        """Where each partition of the topic of signals ends, by the name that positions have; {} when there is none yet."""

    def signals_kept_us(self) -> int | None:
        """For how long the topic of signals keeps its records; None for ever, or when that is not known."""


@dataclass
class App:
    """The application as one command sees it."""

    settings: Settings
    actor: Actor
    clock: Clock
    metrics: Metrics
    wiring: Wiring
    pipeline: bool = False
    crash: CrashPoint = no_crash
    rule_errors: list[RuleError] = field(default_factory=list)
    _opened: list[Store | Journal | Lists] = field(default_factory=list)

    @cached_property
    def store(self) -> Store:
        """The store of the settings."""
        store = self.wiring.store(pipeline=self.pipeline, crash=self.crash)
        self._opened.append(store)
        return store

    @cached_property
    def journal(self) -> Journal:
        """The journal of the settings."""
        journal = self.wiring.journal()
        self._opened.append(journal)
        return journal

    @cached_property
    def lists(self) -> Lists:
        """What lists show of the journal's objects, kept so that nobody folds everything to see a page."""
        lists = self.wiring.lists(self.journal)
        self._opened.append(lists)
        return lists

    @cached_property
    def rules(self) -> Loaded:
        """The rule set in force: by files, settings, and what the store holds about rules; unusable rules stand in `rule_errors`."""
        from soc.application.ruleset import load_set, recorded_states  # noqa: PLC0415 - most commands ask no rules

        found = load_set(self.settings.rules_in_zone, recorded_states(self.store))
        self.rule_errors = found.errors
        return found

    @property
    def classifier(self) -> Classifier:
        """The compiled rule set in force."""
        return self.rules.engine

    def take_rules(self, loaded: Loaded) -> None:
        """Go on with another rule set."""
        self.__dict__["rules"] = loaded
        self.rule_errors = loaded.errors

    def use(self, settings: Settings) -> None:
        """Go on with other settings; what was made already stays."""
        self.settings = settings
        self.wiring.use(settings)

    def known_sources(self) -> set[str]:
        """The names of sources that are configured, or of which something was received. Cost: the ledger's."""
        return {*self.settings.sources, *(row.source for row in self.store.ledger())}

    def close(self) -> None:
        """Close what was opened; idempotent."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
