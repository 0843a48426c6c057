"""Settings: what the operator may choose, from one TOML file and `SOC_*` variables.

The models here say what there is; `soc.config_files` finds and reads the files and tells where each value came from.
Secrets exist only as `<name>_file` or `<name>_command`, never as a value. Every field has a sane default: `soc run`
works without any file.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from soc.errors import ConfigError, Phrase

DEFAULT_TIMEZONE = "Asia/Ho_Chi_Minh"


def _zone(name: str) -> str:
    """The name of a zone that there is.

    Raises: ValueError.
    """
    try:
        ZoneInfo(name or DEFAULT_TIMEZONE)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(Phrase("there is no such time zone")) from error
    return name


ZoneName = Annotated[str, AfterValidator(_zone)]


class Section(BaseModel):
    """A table of the configuration file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StoreSettings(Section):
    """Where events, alerts and dead letters are kept."""

    kind: Literal["embedded", "elasticsearch", "memory"] = "embedded"
    """`embedded` needs no server; `memory` forgets everything at the end (tests, trials)."""
    path: Path | None = None
    """Folder of the embedded store; default `<data_dir>/store`."""
    hosts: list[str] = ["http://127.0.0.1:9200"]
    """Elasticsearch nodes."""
    prefix: str = Field(default="soc", pattern=r"^[a-z][a-z0-9_]*$")
    """Index names begin with it and a hyphen."""
    username: str = ""
    """Elasticsearch user; "" = none is sent."""
    password_file: Path | None = None
    """File with the password, readable by its owner only."""
    password_command: str = ""
    """Command that prints the password."""
    ca_file: Path | None = None
    """Certificate authority of the Elasticsearch nodes (PEM); default: the system's."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """How long one request to Elasticsearch may take."""
    stall_budget_s: float = Field(default=120.0, gt=0)
    """How long one batch is tried before the pipeline says that the store is unavailable; a frozen node costs 33 s."""
    look_up_budget_s: float = Field(default=8.0, gt=0)
    """How long one look-up in Elasticsearch (a search, a list) is tried while the cluster is away or busy: a person sits before it."""
    shards: int = Field(default=1, ge=1, le=64)
    """Primary shards of each new index."""
    replicas: int = Field(default=0, ge=0, le=4)
    """Copies of each new index; at least 1 where there are several nodes."""
    events_per_file: int = Field(default=2_000_000, ge=1_000)
    """Embedded: an event file is cut at this size, so that the rate does not fall."""


class KafkaSettings(Section):
    """The Kafka cluster that sources of type `kafka` and `--to-kafka` use."""

    bootstrap_servers: list[str] = ["127.0.0.1:9092"]
    """Brokers to begin with, as `host:port`."""
    group: str = "soc-ingest"
    """Consumer group: workers of one group share the partitions."""
    instance_id: str = ""
    """Static membership (KIP-345): a worker that restarts within the session keeps its partitions."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers; anything but PLAINTEXT across a network."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How to log in when the protocol is SASL_*."""
    username: str = ""
    """SASL user."""
    password_file: Path | None = None
    """File with the password, readable by its owner only."""
    password_command: str = ""
    """Command that prints the password."""
    ca_file: Path | None = None
    """Certificate authority of the brokers (PEM); default: the system's."""
    cert_file: Path | None = None
    """Our certificate, where brokers ask for one (PEM)."""
    key_file: Path | None = None
    """Its key (PEM)."""
    topic_prefix: str = "soc.raw."
    """Collectors write to `<topic_prefix><kind>`."""
    signals_topic: str = "soc.signals"
    """What rules tell correlations goes through it, where the store is Elasticsearch and lines come through Kafka; created when it is missing."""
    signals_partitions: int = Field(default=8, ge=1, le=1_000)
    """With so many partitions the topic is created: at most so many processes correlate. To change it later, stop all `ingest` workers first."""
    correlate_group: str = "soc-correlate"
    """Consumer group of the role `correlate`."""
    session_timeout_s: float = Field(default=45.0, ge=6)
    """A worker not heard of for so long loses its partitions."""
    bootstrap_timeout_s: float = Field(default=10.0, gt=0)
    """How long to try to reach the brokers at the start."""
    silent_after_s: float = Field(default=30.0, gt=0)
    """A consumer without assignment, or with lag but no records, for so long is closed and made anew (cluster notes C1)."""
    max_batch_bytes: int = Field(default=33_554_432, ge=1_048_576)
    """A packed batch of records that unpacks to more is not read: it becomes one dead letter, and reading goes on behind it. A worker may need several times as much memory."""
    compression: Literal["none", "gzip", "lz4", "zstd"] = "lz4"
    """How batches that we produce are packed."""


SOURCE_NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
"""Of sources and gateways: parts of file names, topics and metrics."""


class SourceBase(Section):
    """What every source has."""

    scope: str = Field(default="real", pattern=r"^(real|exercise:[A-Za-z0-9_.-]+)$")
    """`real`, or `exercise:<id>`: everything that comes from the source carries it."""
    product: str = ""
    """Parser to try first (folder name, as `fortinet_fortigate`); "" = recognise."""
    kind: Literal["firewall", "mail", "endpoint", "web", "dns", "auth", "other", ""] = ""
    """Kind of lines that no parser recognises; also the topic that collected lines go to."""
    timezone: str = DEFAULT_TIMEZONE
    """Completes times without a zone."""
    rhythm_s: float = Field(default=0.0, ge=0)
    """Longest silence to be expected; 0 = learned by hour of the week."""
    clock_offset_s: float = 0.0
    """Added to device times (a device left on UTC that should write local time without zone: 25200)."""
    agency: str = ""
    """Agency id that the source belongs to."""
    network_point: str = ""
    """Network point (private addresses mean nothing without it)."""


class SyslogSource(SourceBase):
    """A syslog receiver: RFC 3164/5424 lines by UDP, TCP (both RFC 6587 framings) and TLS."""

    type: Literal["syslog"]
    """A syslog receiver."""
    udp: str = ""
    """`host:port` to receive on; "" = off."""
    tcp: str = ""
    """`host:port` to receive on, both framings of RFC 6587; "" = off."""
    tls: str = ""
    """`host:port` to receive on with TLS (RFC 5425); needs `cert_file` and `key_file`; "" = off."""
    cert_file: Path | None = None
    """Our certificate (PEM)."""
    key_file: Path | None = None
    """Its key (PEM)."""
    client_ca_file: Path | None = None
    """With it, TLS senders must show a certificate of this authority."""
    max_record_bytes: int = Field(default=65_536, ge=480)
    """Longer lines are cut; `soc.truncated_bytes` of their events says by how much."""
    max_connections: int = Field(default=512, ge=1)
    """TCP connections at a time; further ones are closed."""


class FileSource(SourceBase):
    """Lines of files: once, or followed through rotation; `.gz` files are read once."""

    type: Literal["file"]
    """Lines of files."""
    paths: list[str]
    """Files or glob patterns."""
    follow: bool = True
    """Go on reading what is appended, through rotation; false = read once, to the end."""
    max_record_bytes: int = Field(default=1_048_576, ge=480)
    """Longer lines are cut, and end as dead letters that say so."""


class KafkaSource(SourceBase):
    """Records of Kafka topics."""

    type: Literal["kafka"]
    """Kafka topics."""
    topics: list[str]
    """Names of topics."""
    trust_positions: bool = False
    """Believe the `soc-pos` header: only for topics that nobody but our collectors can write to."""


class HttpSource(SourceBase):
    """NDJSON or plain lines by HTTP POST (`[web]` extra)."""

    type: Literal["http"]
    """An HTTP receiver (needs the extra `[web]`)."""
    listen: str = "127.0.0.1:5580"
    """`host:port` to listen on."""
    token_file: Path | None = None
    """Bearer token that senders must show; needed for any address but loopback."""
    cert_file: Path | None = None
    """Our certificate (PEM); with it, HTTPS."""
    key_file: Path | None = None
    """Its key (PEM)."""
    max_body_bytes: int = Field(default=16_777_216, ge=1024)
    """Larger requests are refused with 413."""
    max_record_bytes: int = Field(default=1_048_576, ge=480)
    """Longer lines are cut; `soc.truncated_bytes` of their events says by how much."""


SourceSettings = Annotated[SyslogSource | FileSource | KafkaSource | HttpSource, Field(discriminator="type")]


class RulesSettings(Section):
    """Which rules are used."""

    directories: list[Path] = []
    """Folders of own rules, beside the shipped ones."""
    shipped: bool = True
    """Whether the rules that come with the program are used."""
    timezone: ZoneName = ""
    """In which rules tell hours, days and weeks; "" = in `timezone`."""
    disabled: list[str] = []
    """Ids or file names of rules that are not used."""
    enable_limit_per_day: float = Field(default=50.0, ge=0)
    """`soc rules enable` refuses a rule that would have made more alerts than this on an average day of the last seven."""
    storm_per_hour: int = Field(default=1_000, ge=0)
    """Alerts of one rule, source partition and hour of event time; further ones are kept in one group, with one message. 0 = no limit."""


class PoliciesSettings(Section):
    """Which automated alert rules (policies) are used."""

    directories: list[Path] = []
    """Folders of own policies, beside the shipped ones; one of the same name takes the place of the shipped one."""
    shipped: bool = True
    """Whether the policies that come with the program are used."""
    disabled: list[str] = []
    """Names of policies that do not run."""


class PlaybooksSettings(Section):
    """Which playbooks there are."""

    directories: list[Path] = []
    """Folders of own playbooks, beside the shipped ones; one of the same name takes the place of the shipped one."""


class PipelineSettings(Section):
    """How the pipeline works."""

    batch_size: int = Field(default=2_000, ge=1, le=50_000)
    """Records that are processed and committed together; unless it is set, `soc ingest` takes 6,000 for the embedded store."""
    batch_wait_s: float = Field(default=1.0, ge=0.01)
    """A batch that is not full is processed after this time."""
    lateness_s: float = Field(default=60.0, ge=0)
    """How late events may come and still count as in order."""
    idle_s: float = Field(default=120.0, ge=1)
    """Correlation does not wait for a source partition that has not been heard for so long."""
    keep_signals_s: float = Field(default=3_600.0, ge=0)
    """How long signals are kept beyond what the correlations look back, for events that come later than the lateness."""
    heartbeat_s: float = Field(default=30.0, gt=0)
    """How often collectors write into the log that time goes on."""
    max_record_bytes: int = Field(default=1_048_576, ge=480)
    """Longer records end as dead letters."""
    spool_max_bytes: int = Field(default=2_147_483_648, ge=1_048_576)
    """When the spool of received lines is this large, TCP senders are made to wait and UDP lines are dropped and counted."""


class MailSettings(Section):
    """The mail server that messages are handed over to."""

    host: str = ""
    """Name of the server; "" = no mail is sent, messages are held."""
    port: int = Field(default=587, ge=1, le=65_535)
    """587 with `starttls`, 465 with `tls`, 25 inside."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` only on the own machine or network: the password and all texts can be read on the way."""
    username: str = ""
    """To log in with; "" = none."""
    password_file: Path | None = None
    """File with the password, readable by its owner only."""
    password_command: str = ""
    """Command that prints the password."""
    ca_file: Path | None = None
    """Certificate authority of the server (PEM); default: the system's."""
    sender: str = ""
    """Our address, as `soc@example.vn`; also makes the Message-ID."""
    sender_name: str = ""
    """The name shown beside it."""
    reply_to: str = ""
    """Where answers go; "" = to the sender."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """How long the server may take over one answer; one message takes at most four times that."""
    exercise_to: str = ""
    """Address that gets all mail of exercises, in the place of the real recipients; "" = such mail is held."""


class WebhookSettings(Section):
    """A gateway for SMS, voice or chat that takes JSON by HTTP POST."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Where to post; `https` anywhere but on the own machine."""
    fields: dict[str, str] = {"id": "{id}", "to": "{to}", "subject": "{subject}", "text": "{body}", "scope": "{scope}"}
    """The JSON object that is posted: name = text, in which `{id}`, `{to}`, `{subject}`, `{body}`, `{kind}`, `{about}`, `{step}`, `{scope}` are replaced; dots in a name make objects inside (`message.text`)."""
    headers: dict[str, str] = {}
    """Further headers; never secrets."""
    token_file: Path | None = None
    """File with a bearer token, readable by its owner only."""
    token_command: str = ""
    """Command that prints the bearer token."""
    hmac_key_file: Path | None = None
    """File with a key; with it `X-Soc-Signature: sha256=…` signs time and body."""
    hmac_key_command: str = ""
    """Command that prints the key."""
    ca_file: Path | None = None
    """Certificate authority of the gateway (PEM); default: the system's."""
    text_most: int = Field(default=0, ge=0, le=50_000)
    """Longer texts are cut (SMS: 160 or 70 letters a part); 0 = never."""
    without_accents: bool = False
    """Write Vietnamese without accents, for gateways that know only the letters of GSM."""
    timeout_s: float = Field(default=10.0, gt=0, le=600)
    """How long one message may take; what was not answered by then may have arrived, and is posted once more with the same key."""
    exercise_to: str = ""
    """Recipient of all messages of exercises, in the place of the real ones; "" = they are held."""


class RepliesSettings(Section):
    """The mailbox to which agencies answer, read by `soc notices replies fetch` (IMAP); nothing in it is changed."""

    host: str = ""
    """Name of the server; "" = no mailbox is read."""
    port: int = Field(default=993, ge=1, le=65_535)
    """993 with `tls`, 143 with `starttls`."""
    security: Literal["tls", "starttls", "none"] = "tls"
    """`none` only on the own machine or network: the password and all mails can be read on the way."""
    username: str = ""
    """To log in with."""
    password_file: Path | None = None
    """File with the password, readable by its owner only."""
    password_command: str = ""
    """Command that prints the password."""
    ca_file: Path | None = None
    """Certificate authority of the server (PEM); default: the system's."""
    folder: str = "INBOX"
    """The folder that is read."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """How long the server may take over one answer."""


class OutboxSettings(Section):
    """How messages are tried again, and who hears of those that cannot be delivered."""

    attempts: int = Field(default=100, ge=1, le=1_000)
    """So many failed tries, and a message is given up (with the pauses below: after four days)."""
    backoff_s: float = Field(default=60.0, gt=0)
    """Pause after the first failed try; it doubles each time."""
    backoff_most_s: float = Field(default=3_600.0, gt=0)
    """The longest pause."""
    held_days: float = Field(default=7.0, gt=0)
    """A message that nothing is configured for is given up after this time."""
    leads: list[str] = []
    """Mail addresses that hear of messages that were given up, beside the leads among the people of the registry."""
    language: Literal["vi", "en"] = "vi"
    """The language that messages to people are written in."""


class OnCallSettings(Section):
    """How people are woken."""

    minutes: float = Field(default=10.0, gt=0, le=1_440)
    """A call that is not acknowledged for so long goes on to the next one: who is on shift by post, who comes on next, the leads."""
    rounds: int = Field(default=3, ge=1, le=20)
    """So often everybody is called before the call is given up."""


class DutiesSettings(Section):
    """What is done again and again beside the stream: reminders, escalation, delivery of messages."""

    every_s: float = Field(default=30.0, ge=1, le=3_600)
    """How often `soc run` looks for what is due."""
    reminders: Path | None = None
    """File with the steps of reminders (`soc duties steps` prints the shipped one); default: the shipped one."""


class JournalSettings(Section):
    """The record of people's work."""

    checkpoint_every_s: float = Field(default=3_600.0, ge=0)
    """How often `soc run` signs where the journal ends, when something was recorded (role `notify`); 0 = never."""


class MetricsSettings(Section):
    """Prometheus metrics over HTTP."""

    listen: str = ""
    """`host:port`; "" = off."""


class LogSettings(Section):
    """Our own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on messages are written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, JSON otherwise."""


class ReportsSettings(Section):
    """Who issues reports and letters: what stands in their head and at their foot."""

    agency: str = ""
    """Id of the agency that issues them (`soc agencies list`); its superior, address and telephone come from the registry."""
    place: str = ""
    """The place before the date, as `Đồng Xoài`."""
    sign: str = ""
    """The agency's part of number and sign, as `SKHCN` in `Số: 12/BC-SKHCN`."""
    addressee: str = ""
    """Whom reports go to; "" = whom the regime names."""
    copies: list[str] = []
    """Who else gets them («Nơi nhận»), beside the addressee and the archive."""
    signer_title: str = ""
    """Whose signature, as `GIÁM ĐỐC`."""
    signer_name: str = ""
    """The name below it."""
    contact: str = ""
    """Id of the person to call (`soc people list`); "" = the contact person of the agency."""
    situation_to: list[str] = []
    """Mail addresses that get the situation report every morning at 06:00 (`soc run`, `soc duties run`); none = nobody."""
    templates: Path | None = None
    """Folder of DOCX templates that are used instead of the shipped ones of the same names."""


class Settings(Section):
    """Everything the operator may choose."""

    data_dir: Path | None = None
    """Default: `$XDG_DATA_HOME/soc`, or `~/.local/share/soc`."""
    language: Literal["", "vi", "en"] = ""
    """"" = from the environment (`SOC_LANG`, `LANGUAGE`, `LC_ALL`, `LC_MESSAGES`, `LANG`)."""
    timezone: ZoneName = DEFAULT_TIMEZONE
    """Times are shown in it, with the zone; rules tell hours and days in it."""
    read_only: bool = False
    """Refuse everything that would change the store."""
    roles: list[Literal["collect", "ingest", "correlate", "notify"]] = ["collect", "ingest", "correlate", "notify"]
    """What this process does: `collect` receives lines, `ingest` makes events and alerts of them, `correlate` judges what several events say together (with the embedded store, or without Kafka, `ingest` does both), `notify` reminds, calls who is on call and delivers messages."""
    transport: Literal["spool", "kafka"] = "spool"
    """Where collected lines go: `spool` = ingested by this process; `kafka` = on to `<kafka.topic_prefix><kind>` (spooled until the brokers have them)."""
    store: StoreSettings = StoreSettings()
    kafka: KafkaSettings = KafkaSettings()
    sources: dict[Annotated[str, Field(pattern=SOURCE_NAME)], SourceSettings] = {}
    rules: RulesSettings = RulesSettings()
    policies: PoliciesSettings = PoliciesSettings()
    playbooks: PlaybooksSettings = PlaybooksSettings()
    pipeline: PipelineSettings = PipelineSettings()
    mail: MailSettings = MailSettings()
    webhook: dict[Annotated[str, Field(pattern=SOURCE_NAME)], WebhookSettings] = {}
    outbox: OutboxSettings = OutboxSettings()
    replies: RepliesSettings = RepliesSettings()
    on_call: OnCallSettings = OnCallSettings()
    duties: DutiesSettings = DutiesSettings()
    journal: JournalSettings = JournalSettings()
    reports: ReportsSettings = ReportsSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def rules_in_zone(self) -> RulesSettings:
        """The settings of rules, with the zone that counts."""
        return self.rules.model_copy(update={"timezone": self.rules.timezone or self.timezone})


SECRET_S = 30
"""A command that prints a secret ends before; one that waits for a person never would."""


def secret(name: str, file: Path | None, command: str) -> str:
    """The secret `name` from its file or command ("" when neither is set), without the line end.

    Raises: ConfigError when the file cannot be read, others may read it, or the command fails.
    """
    if file is not None:
        try:
            mode = file.stat().st_mode
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                Phrase("the file of {name} cannot be read: {strerror}", name=name, strerror=error.strerror), file=str(file), key=f"{name}_file"
            ) from error
        except UnicodeDecodeError:
            raise ConfigError(Phrase("the file of {name} is not UTF-8 text", name=name), file=str(file), key=f"{name}_file") from None
        if mode & 0o077:
            raise ConfigError(
                Phrase("others may read the file of {name}", name=name), file=str(file), key=f"{name}_file", hint=Phrase("chmod 600 {file}", file=file)
            )
        return text.rstrip("\r\n")
    if command:
        try:
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=SECRET_S, check=False)  # noqa: S602 - the operator's own command from a file that only they may write
        except UnicodeDecodeError:
            raise ConfigError(Phrase("what the command of {name} prints is not UTF-8 text", name=name), key=f"{name}_command") from None
        except subprocess.TimeoutExpired as error:
            raise ConfigError(
                Phrase("the command of {name} did not end within {seconds} s", name=name, seconds=SECRET_S),
                key=f"{name}_command",
                hint="it must print the secret without asking for anything",
            ) from error
        if done.returncode:
            raise ConfigError(
                Phrase("the command of {name} failed with {returncode}: {stderr}", name=name, returncode=done.returncode, stderr=done.stderr.strip()[:200]),
                key=f"{name}_command",
            )
        return done.stdout.rstrip("\r\n")
    return ""
