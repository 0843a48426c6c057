"""The composition root: settings in, a wired application out. The only importer of `soc.adapters`.

Everything is imported when it is first needed: `soc --help` must not wait for Elasticsearch's client.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.application.app import Actor, App, Collector, Forwarder, Sample
from soc.clock import Clock, SystemClock
from soc.config import FileSource, HttpSource, KafkaSource, RulesSettings, Settings, SourceBase, SyslogSource
from soc.errors import ConfigError, NotAllowed, RuleError
from soc.model.evidence import EvidenceFiles
from soc.model.journal import Journal
from soc.model.signal import Signal
from soc.ports import Classifier, CrashPoint, Lists, MailReader, Messenger, Metrics, RecordSink, RecordSource, SignalLog, Store, no_crash

if TYPE_CHECKING:
    from soc.application.correlating import SignalTopic
    from soc.model.signing import SigningKey


def open_app(
    settings: Settings,
    actor: Actor,
    *,
    pipeline: bool = False,
    reading: bool = False,
    serve_metrics: bool = False,
    clock: Clock | None = None,
    crash: CrashPoint | None = None,
) -> App:
    """The application of these settings; close it, or use it in a `with`.

    `pipeline`: it will run the pipeline, so the embedded store is locked when it is opened. `reading`: it will change nothing, so an
    embedded store that is not there is not made, and looks empty. `serve_metrics`: it goes on until it is
    stopped, so what the settings say of metrics is for it; every other command would ask for a port that this one has.
    """
    if pipeline:
        from soc.adapters.heap import give_large_blocks_back

        give_large_blocks_back()
    clock = clock or SystemClock()
    metrics = make_metrics(settings if serve_metrics else Settings())
    return App(settings, actor, clock, metrics, _Wiring(settings, clock, metrics, reading=reading), pipeline, crash or crash_point_from_environment())


def data_dir(settings: Settings) -> Path:
    """Where everything is kept that has no place of its own: the setting, else the XDG data folder."""
    if settings.data_dir is not None:
        return settings.data_dir
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "soc"


def key_file(settings: Settings) -> Path:
    """The file of the key that signs checkpoints."""
    from soc.adapters.keys import FILE

    return data_dir(settings) / "keys" / FILE


def store_path(settings: Settings) -> Path:
    """The folder of the embedded store."""
    return settings.store.path or data_dir(settings) / "store"


def diagnose_kafka(settings: Settings) -> list[tuple[str, bool, str, str]]:
    """What each broker of the settings says, for `soc doctor`: (server, whether it is fine, text, what to do).

    Raises: ConfigError when certificate or password files cannot be read.
    """
    from soc.adapters.kafka.health import diagnose

    return [(finding.server, finding.state == "ok", finding.message, finding.hint) for finding in diagnose(settings.kafka)]


def crash_point_from_environment() -> CrashPoint:
    """For crash tests: with `SOC_TEST_CRASH=<point>[:<n>]` the process kills itself at the n-th pass of that point."""
    wanted = os.environ.get("SOC_TEST_CRASH", "")
    if not wanted:
        return no_crash
    name, _, count = wanted.partition(":")
    left = [int(count or 1)]

    def crash(point: str) -> None:
        if point == name:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), 9)

    return crash


def make_metrics(settings: Settings) -> Metrics:
    """Prometheus metrics when they are served, else nothing."""
    if settings.metrics.listen:
        from soc.adapters.metrics import PrometheusMetrics

        return PrometheusMetrics(settings.metrics.listen)
    from soc.adapters.metrics import NoMetrics

    return NoMetrics()


class _Wiring:
    """See `soc.application.app.Wiring`."""

    def __init__(self, settings: Settings, clock: Clock, metrics: Metrics, *, reading: bool = False) -> None:
        self._settings = settings
        self._reading = reading
        self._clock = clock
        self._metrics = metrics

    def use(self, settings: Settings) -> None:
        self._settings = settings

    def store(self, *, pipeline: bool, crash: CrashPoint = no_crash) -> Store:
        settings = self._settings
        if settings.store.kind == "memory" or (self._absent() and not pipeline):
            return self.memory_store()
        if settings.store.kind == "elasticsearch":
            from soc.adapters.elastic.store import open_store as open_elastic

            return open_elastic(settings.store, pipeline=pipeline, read_only=settings.read_only, clock=self._clock, crash=crash)
        from soc.adapters.sqlite.store import open_store as open_sqlite

        return open_sqlite(settings.store, store_path(settings), pipeline=pipeline, read_only=settings.read_only, clock=self._clock, crash=crash)

    def _absent(self) -> bool:
        return self._reading and self._settings.store.kind == "embedded" and not store_path(self._settings).exists()

    def memory_store(self) -> Store:
        from soc.adapters.memory import MemoryStore

        return MemoryStore(clock=self._clock)

    def journal(self) -> Journal:
        settings = self._settings
        if settings.store.kind == "memory":
            from soc.adapters.memory_journal import MemoryJournal

            return MemoryJournal(clock=self._clock, read_only=settings.read_only)
        if settings.store.kind == "elasticsearch":
            from soc.adapters.elastic.journal import ElasticJournal

            return ElasticJournal(settings.store, clock=self._clock, read_only=settings.read_only)
        from soc.adapters.sqlite.journal import SqliteJournal

        return SqliteJournal(store_path(settings), clock=self._clock, read_only=settings.read_only)

    def messenger(self, channel: str) -> Messenger | None:
        if channel == "mail":
            from soc.adapters.smtp import SmtpMessenger

            return SmtpMessenger(self._settings.mail, clock=self._clock) if self._settings.mail.host else None
        name = channel.partition(":")[2] or next(iter(self._settings.webhook), "")
        if name not in self._settings.webhook:
            return None
        from soc.adapters.webhook import WebhookMessenger

        return WebhookMessenger(name, self._settings.webhook[name], clock=self._clock)

    def lists(self, journal: Journal) -> Lists:
        settings = self._settings
        if settings.store.kind == "elasticsearch":
            from soc.adapters.elastic.journal import ElasticJournal
            from soc.adapters.elastic.lists import ElasticLists

            if isinstance(journal, ElasticJournal):
                return ElasticLists(settings.store, journal, clock=self._clock, read_only=settings.read_only)
        elif settings.store.kind == "embedded" and not self._absent():
            from soc.adapters.sqlite.journal import SqliteJournal
            from soc.adapters.sqlite.lists import SqliteLists

            if isinstance(journal, SqliteJournal):
                return SqliteLists(store_path(settings), journal, read_only=settings.read_only)
        from soc.application.lists import FoldingLists

        return FoldingLists(journal)

    def mailbox(self) -> MailReader:
        settings = self._settings.replies
        if not settings.host:
            raise ConfigError("no mailbox is configured", key="replies.host", hint='[replies] host = "imap.example.vn", username, password_file')
        try:
            from soc.adapters.imap import ImapReader
        except ImportError as error:
            raise ConfigError("what reads mailboxes is not installed", key="replies.host", hint="pip install 'soc[imap]'") from error
        return ImapReader(settings)

    def signing_key(self, *, make: bool = False) -> SigningKey | None:
        from soc.adapters.keys import load_key, make_key

        folder = data_dir(self._settings) / "keys"
        if not make:
            return load_key(folder)
        if self._settings.read_only:
            raise NotAllowed("a key is not made while read_only is set", hint="leave out read_only")
        return make_key(folder)

    def evidence(self, folder: Path | None = None) -> EvidenceFiles:
        from soc.adapters.evidence import FolderOfEvidence

        if folder is not None:
            return FolderOfEvidence(folder)
        return FolderOfEvidence(data_dir(self._settings) / "evidence", read_only=self._settings.read_only)

    def keep_key(self, folder: Path, key: SigningKey) -> None:
        from soc.adapters.keys import write_key

        write_key(folder, key)

    def restore_key(self, folder: Path) -> None:
        from soc.adapters.keys import load_key, write_key

        key = load_key(folder)
        if key is not None:
            write_key(data_dir(self._settings) / "keys", key)

    def backup_journal(self, folder: Path) -> Journal | None:
        from soc.adapters.elastic.keep import JOURNAL_EXPORT, exported_journal
        from soc.adapters.memory_journal import MemoryJournal
        from soc.adapters.sqlite.journal import FILE, SqliteJournal

        if (folder / FILE).exists():
            return SqliteJournal(folder, clock=self._clock, read_only=True)
        if (folder / JOURNAL_EXPORT).exists():
            return MemoryJournal(clock=self._clock, read_only=True, stored=exported_journal(folder / JOURNAL_EXPORT))
        return None

    def restore(self, source: Path, progress: Callable[[str, int, int], None] | None) -> dict[str, Any]:
        settings = self._settings
        if settings.store.kind == "elasticsearch":
            from soc.adapters.elastic.keep import restore as restore_elastic

            return restore_elastic(settings.store, source, clock=self._clock, progress=progress)
        if settings.store.kind == "memory":
            raise ConfigError("a backup cannot be restored into the memory store", key="store.kind", hint="set store.kind to embedded or elasticsearch")
        from soc.adapters.sqlite.keep import restore as restore_sqlite

        return restore_sqlite(source, store_path(settings), progress)

    def classifier(self, rules: RulesSettings) -> tuple[Classifier, list[RuleError]]:
        from soc.application.ruleset import load_set

        found = load_set(rules)
        return found.engine, found.errors

    def spool(self) -> AbstractContextManager[tuple[RecordSink, Sequence[RecordSource]]]:
        return _open_spool(self._settings)

    def sources(self) -> list[RecordSource]:
        sources, topics = self._files(), self._topics()
        if topics:
            from soc.adapters.kafka.source import KafkaRecordSource

            sources.append(KafkaRecordSource(self._settings.kafka, topics, clock=self._clock, metrics=self._metrics))
        return sources

    def samples(self) -> list[Sample]:
        samples: list[Sample] = [*self._files()]
        topics = self._topics()
        if topics:
            from soc.adapters.kafka.sample import KafkaSample

            samples.append(KafkaSample(self._settings.kafka, topics, clock=self._clock))
        return samples

    def _files(self) -> list[RecordSource]:
        return [
            self.file_source(name, [Path(path) for path in source.paths], source)
            for name, source in self._settings.sources.items()
            if isinstance(source, FileSource)
        ]

    def _topics(self) -> dict[str, KafkaSource]:
        return {name: source for name, source in self._settings.sources.items() if isinstance(source, KafkaSource)}

    def file_source(self, name: str, paths: Sequence[Path], settings: SourceBase | None) -> RecordSource:
        from soc.adapters.files import FileRecordSource

        file = settings if isinstance(settings, FileSource) else FileSource(type="file", paths=[str(path) for path in paths], follow=False)
        return FileRecordSource(name, file.model_copy(update={"paths": [str(path) for path in paths]}), clock=self._clock)

    def collectors(self, sink: RecordSink) -> list[Collector]:
        collectors: list[Collector] = []
        for name, source in self._settings.sources.items():
            if isinstance(source, SyslogSource):
                from soc.adapters.syslog import SyslogReceiver

                collectors.append(SyslogReceiver(name, source, sink, clock=self._clock))
            elif isinstance(source, HttpSource):
                from soc.adapters.http import HttpReceiver

                collectors.append(HttpReceiver(name, source, sink, clock=self._clock))
        return collectors

    def signal_log(self, key_of: Callable[[Signal], bytes]) -> SignalLog:
        from soc.adapters.kafka.signals import KafkaSignalLog

        return KafkaSignalLog(self._settings.kafka, key_of, clock=self._clock, metrics=self._metrics)

    def signal_topic(self) -> SignalTopic:
        from soc.adapters.kafka.signals import KafkaReadBack, KafkaSignalSource, partition_of
        from soc.application.correlate_topic import SOURCE
        from soc.application.correlating import SignalTopic

        read_back = KafkaReadBack(self._settings.kafka, clock=self._clock)
        source = KafkaSignalSource(self._settings.kafka, SOURCE, clock=self._clock, metrics=self._metrics)
        return SignalTopic(source, read_back, partition_of, read_back.close)

    def signal_ends(self) -> dict[str, int]:
        from soc.adapters.kafka.signals import log_ends

        return log_ends(self._settings.kafka)

    def signals_kept_us(self) -> int | None:
        from soc.adapters.kafka.signals import log_keeps

        return log_keeps(self._settings.kafka)

    def kafka_forward(self, source: RecordSource, topic: str, *, crash: CrashPoint = no_crash) -> Forwarder:
        from soc.adapters.kafka.sink import KafkaForwarder

        return KafkaForwarder(self._settings.kafka, source, topic, clock=self._clock, metrics=self._metrics, crash=crash)


@contextmanager
def _open_spool(settings: Settings) -> Iterator[tuple[RecordSink, Sequence[RecordSource]]]:
    from soc.adapters.spool import Spool

    spool = Spool(data_dir(settings) / "spool", most_bytes=settings.pipeline.spool_max_bytes)
    names = [name for name, source in settings.sources.items() if isinstance(source, SyslogSource | HttpSource)]
    try:
        yield spool, [spool.source(name) for name in names]
    finally:
        spool.close()
