"""Checks everything that a run needs, and says how to mend each thing."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from soc.application import access, audit, outbox, policies_people, policies_set, replies, reports, sources
from soc.application.app import App
from soc.application.correlating import by_topic, signal_lag
from soc.application.recipients import leads
from soc.application.sources import probe
from soc.clock import from_iso, iso, to_datetime
from soc.config import HttpSource, KafkaSource, Settings, SyslogSource, secret
from soc.errors import Phrase, SocError, StoreUnavailable
from soc.incidents.replies import UNCLEAR
from soc.organization.model import Agency
from soc.organization.registry import Registry
from soc.rules.rebuild import look_back

LEAST_FREE_BYTES = 1 << 30
"""About a day of a small province; below it a run may stop with a full disk soon."""
MOST_BEHIND = 10_000
"""Records; correlators that keep up are a few behind."""
_DAY_US = 86_400_000_000
_OWN = ("127.0.0.1", "localhost", "::1")
EARLIEST_US = 1_767_225_600_000_000
"""2026-01-01: a clock before this release's year is wrong."""


class Check(msgspec.Struct):
    """One thing that was looked at: `fix` says what to do ("" when it is fine)."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""


def check_python() -> Iterator[Check]:
    """Interpreter and libraries."""
    version = ".".join(map(str, sys.version_info[:3]))
    new_enough = sys.version_info >= (3, 11)
    yield Check(
        "python",
        "ok" if new_enough else "fail",
        Phrase("Python {version}", version=version),
        "" if new_enough else "install Python 3.11 or newer, then: make setup",
    )
    needed = {
        "orjson": "orjson",
        "zstandard": "zstandard",
        "re2": "google-re2",
        "msgspec": "msgspec",
        "sigma": "pysigma",
        "crc32c": "crc32c",
        "lz4": "lz4",
        "kafka": "kafka-python",
        "elasticsearch": "elasticsearch",
    }
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    where = sysconfig.get_path("purelib")
    yield Check(
        "libraries",
        "fail" if missing else "ok",
        Phrase("missing: {names}", names=", ".join(missing)) if missing else Phrase("complete ({where})", where=where),
        "make setup, or install the bundle again" if missing else "",
    )
    web = all(importlib.util.find_spec(module) for module in ("starlette", "uvicorn"))
    yield Check(
        "extra web",
        "ok" if web else "warn",
        "HTTP intake is installed" if web else "HTTP intake is not installed",
        "" if web else "pip install 'soc[web]' (sources of type http)",
    )


def check_clock(app: App) -> Iterator[Check]:
    """The machine's clock and the zone that times are shown in."""
    now_us = app.clock.now_us()
    plausible = now_us >= EARLIEST_US
    zone = app.settings.timezone
    try:
        shown = f"{to_datetime(now_us).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %z}"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        shown = ""
    yield Check("clock", "ok" if plausible else "fail", shown or iso(now_us), "" if plausible else "set the clock (timedatectl set-ntp true)")
    if shown:
        yield Check("time zone", "ok", zone)
    else:
        yield Check("time zone", "fail", Phrase("unknown: {zone}", zone=zone), 'timezone = "Asia/Ho_Chi_Minh"')


def check_secrets(settings: Settings) -> Iterator[Check]:
    """Files and commands of secrets; their values are never told."""
    for name, file, command in (
        ("store.password", settings.store.password_file, settings.store.password_command),
        ("kafka.password", settings.kafka.password_file, settings.kafka.password_command),
        ("mail.password", settings.mail.password_file, settings.mail.password_command),
        *(
            (f"webhook.{name}.{what}", getattr(one, f"{what}_file"), getattr(one, f"{what}_command"))
            for name, one in settings.webhook.items()
            for what in ("token", "hmac_key")
        ),
    ):
        if file is None and not command:
            continue
        try:
            found = secret("password", file, command)
        except SocError as error:
            yield Check(name, "fail", error.message, error.hint)
        else:
            yield Check(
                name,
                "ok" if found else "warn",
                (Phrase("from {file}", file=file) if file else "from its command") if found else "is empty",
                "" if found else "write it into the file",
            )


def check_store(app: App, folder: Path | None) -> Iterator[Check]:
    """The store: can it be opened, written, and is there room. `folder`: the embedded store's."""
    if folder is not None:
        yield from _folder(folder)
        if not folder.exists():
            yield Check("store", "ok", Phrase("{folder} will be made by the first run", folder=folder))
            return
    try:
        found = app.store.status()
    except StoreUnavailable as error:
        yield Check("store", "fail", error.message, error.hint or "start the server, or set store.hosts")
    except SocError as error:
        yield Check("store", "fail", error.message, error.hint)
    else:
        if found.get("kind") == "embedded":
            text: str = Phrase("embedded, in {place}, schema {schema}", place=found.get("place", ""), schema=found.get("schema", ""))
        else:
            text = ", ".join(f"{key} {found[key]}" for key in ("kind", "place", "version", "schema") if key in found)
        yield Check("store", "ok", text)
        for fault in found.get("faults", ()):
            yield Check("store", "fail", fault, "soc store status")
        for problem in found.get("problems", ()):
            yield Check("store", "warn", problem, "soc store status")


def _folder(folder: Path) -> Iterator[Check]:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check("store folder", "fail", Phrase("{existing} cannot be written", existing=existing), "chown it, or set store.path; --store DIR")
        return
    free = shutil.disk_usage(existing).free
    yield Check(
        "disk",
        "ok" if free >= LEAST_FREE_BYTES else "warn",
        Phrase("{free:.1f} GiB free at {existing}", free=free / (1 << 30), existing=existing),
        "" if free >= LEAST_FREE_BYTES else "soc store retention --before 365d, or a larger disk",
    )


def check_kafka(findings: Callable[[], list[tuple[str, bool, str, str]]]) -> Iterator[Check]:
    """The brokers, step by step: name, connection, TLS, protocol, login. `findings`: `soc.bootstrap.diagnose_kafka` of the settings."""
    try:
        for server, fine, text, hint in findings():
            yield Check(f"kafka {server}".strip(), "ok" if fine else "fail", text, hint)
    except SocError as error:
        yield Check("kafka", "fail", error.message, error.hint)


def check_signals(app: App) -> Iterator[Check]:
    """The topic of signals: whether it is there, and whether somebody judges what it holds."""
    if not by_topic(app.settings):
        return
    topic = app.settings.kafka.signals_topic
    try:
        lag = signal_lag(app)
    except SocError as error:
        yield Check("signals", "fail", error.message, error.hint)
        return
    behind = sum(lag.values())
    text = Phrase("topic {topic}: {behind} records in {partitions} partitions wait to be judged", topic=topic, behind=behind, partitions=len(lag))
    if not lag:
        yield Check("signals", "ok", Phrase("topic {topic} will be made by the first run", topic=topic))
    elif behind > MOST_BEHIND:
        yield Check("signals", "warn", text, "start processes with the role correlate; more of them, while there are more partitions than processes")
    else:
        yield Check("signals", "ok", text)
    if lag:
        yield from _kept(app, topic)


def _kept(app: App, topic: str) -> Iterator[Check]:
    try:
        kept, needed = app.wiring.signals_kept_us(), look_back(app.rules.engine.collection.correlations)
    except SocError as error:
        yield Check("signals", "fail", error.message, error.hint)
        return
    if kept is not None and kept < needed:
        yield Check(
            "signals",
            "warn",
            Phrase(
                "topic {topic} keeps signals for {kept:.1f} days, and the rules in force look back {needed:.1f}: after a restart long windows would lack some",
                topic=topic,
                kept=kept / _DAY_US,
                needed=needed / _DAY_US,
            ),
            Phrase(
                "kafka-configs.sh --bootstrap-server {server} --alter --topic {topic} --add-config retention.ms={ms}",
                server=app.settings.kafka.bootstrap_servers[0],
                topic=topic,
                ms=math.ceil(needed / _DAY_US) * 86_400_000,
            ),
        )


def check_access(app: App) -> Iterator[Check]:
    """Who asks, in which role, and whether anybody is administrator."""
    try:
        who = access.standing(app)
    except SocError as error:
        yield Check("access", "fail", error.message, error.hint)
        return
    if who.why == "sole":
        text = Phrase("nobody is registered with an account: {account} is administrator, as is whoever may run soc here", account=who.account)
        yield Check("access", "ok", text)
    elif who.orphaned:
        yield Check("access", "fail", "no account of an administrator counts today", "soc people import FILE: an account with the role administrator")
    elif not who.role:
        text = Phrase("the account {account} is registered nowhere: it may run the pipeline, and nothing else", account=who.account)
        yield Check("access", "warn", text, "soc people import FILE: account, role")
    else:
        yield Check("access", "ok", Phrase("{account} is {role}", account=who.account, role=who.role))


def check_journal(app: App) -> Iterator[Check]:
    """The key that signs checkpoints, its rights, and how long ago the last one was signed."""
    name = Phrase("key of the journal")
    try:
        key = app.wiring.signing_key()
        newest = next(iter(app.journal.latest(1)), None)
        last = next((fact for fact in app.journal.latest(1, audit.CHECKPOINTS) if fact.kind == audit.SIGNED), None)
        known = audit.keys_of([one.fact for one in app.journal.read(audit.KEYS)])
    except SocError as error:
        yield Check(name, "fail", error.message, error.hint)
        return
    if key is None:
        yield Check(
            name, "warn", "there is none, so nobody can prove that the journal was not changed", "soc audit key makes one; then keep an anchor elsewhere"
        )
    elif known and key.id not in known:
        yield Check(
            name,
            "fail",
            Phrase("{id} is not the one that the journal knows", id=key.id),
            "restore the key file from a backup; a new one: soc audit key --rotate",
        )
    else:
        yield Check(name, "ok", Phrase("{id}, readable by this user only", id=key.id))
    if newest is None:
        return
    now, most_s = app.clock.now_us(), 2 * (app.settings.journal.checkpoint_every_s or 86_400.0)
    if last is None:
        yield Check("checkpoint", "warn", "none was signed yet", "soc audit checkpoint; soc run signs one each hour")
        return
    age_s = (now - from_iso(last.at)) / 1e6
    behind = newest.stream != audit.CHECKPOINTS and age_s > most_s
    text = Phrase("number {number}, {hours:.1f} hours ago", number=last.data.get("number"), hours=max(age_s, 0.0) / 3600)
    yield Check(
        "checkpoint",
        "warn" if behind else "ok",
        text,
        "what was recorded since is not signed: is soc run (role notify) running? soc audit checkpoint" if behind else "",
    )


def uses_kafka(settings: Settings) -> bool:
    """Whether anything in the settings needs the brokers."""
    return settings.transport == "kafka" or any(isinstance(source, KafkaSource) for source in settings.sources.values())


def check_mailbox(app: App) -> Iterator[Check]:
    """The mailbox to which agencies answer can be read, and no answer waits to be understood."""
    settings = app.settings
    if settings.replies.host:
        where = f"{settings.replies.host}:{settings.replies.port}"
        try:
            reader = app.wiring.mailbox()
            try:
                reader.validity()
            finally:
                reader.close()
            yield Check("mailbox", "ok", Phrase("{where} can be read", where=where))
        except SocError as error:
            yield Check("mailbox", "fail", error.message, error.hint)
    if settings.store.kind == "memory":
        return
    try:
        waiting = sum(one.outcome == UNCLEAR for one in replies.every_reply(app))
    except SocError as error:
        yield Check("replies", "fail", error.message, error.hint)
        return
    if waiting:
        yield Check("replies", "warn", Phrase("{count} answers by mail are not clear", count=waiting), "soc notices replies list --unclear")


def check_messages(app: App) -> Iterator[Check]:
    """The mail server and the gateways answer, exercises are redirected, somebody hears of what goes wrong, and nothing is stuck."""
    settings = app.settings
    channels = [*(["mail"] if settings.mail.host else []), *(f"webhook:{name}" for name in settings.webhook)]
    if not channels:
        yield Check(
            "messages", "warn", "no mail server and no gateway is configured: messages are held", "set [mail] host and sender; try it: soc outbox test ADDRESS"
        )
        return
    for channel in channels:
        try:
            messenger = app.wiring.messenger(channel)
            steps = messenger.check() if messenger is not None else []
        except SocError as error:
            yield Check(channel, "fail", error.message, error.hint)
            continue
        for name, fine, text, fix in steps:
            yield Check(name, "ok" if fine else "fail", text, fix)
    if settings.mail.host and settings.mail.security == "none" and settings.mail.host not in _OWN:
        yield Check("mail", "warn", "mail.security is none: texts and password can be read on the way", 'security = "starttls"')
    for name, one in settings.webhook.items():
        if one.url.startswith("http://") and urlsplit(one.url).hostname not in _OWN:
            yield Check("webhook " + name, "warn", "its url is http: texts can be read and changed on the way", "use https")
    redirected = settings.mail.exercise_to if settings.mail.host else True
    if not redirected or not all(one.exercise_to for one in settings.webhook.values()):
        yield Check("exercises", "warn", "messages of exercises are held: they go to nobody", "set exercise_to of [mail] and of each [webhook.NAME]")
    if settings.store.kind == "memory":
        return
    try:
        heard = leads(app)
        stuck = outbox.listed(app, problems=True)
    except SocError as error:
        yield Check("messages", "fail", error.message, error.hint)
        return
    if not heard:
        yield Check("leads", "warn", "nobody hears of messages that could not be delivered", "soc people import FILE with a lead, or outbox.leads")
    lost = [one for one in stuck if one.state == "given-up"]
    if lost:
        yield Check("messages", "warn", Phrase("{count} messages were given up", count=len(lost)), "soc outbox list --problems")


def check_policies(app: App) -> Iterator[Check]:
    """The policies can be used, and each that runs reaches whom it is to tell."""
    if app.settings.store.kind == "memory":
        return
    try:
        found, errors = policies_set.known(app)
        running = [one.loaded for one in found if one.running]
        nobody = policies_people.unreached(app, running)
    except SocError as error:
        yield Check("policies", "fail", error.message, error.hint)
        return
    for wrong in errors[:20]:
        yield Check("policy", "warn", wrong.message, wrong.hint or "soc policies lint")
    if nobody:
        listed = "; ".join(f"{name} ({', '.join(words)})" for name, words in nobody.items())
        yield Check(
            "policy",
            "warn",
            Phrase("{count} reach nobody of those they are to tell: {listed}", count=len(nobody), listed=listed),
            "soc roster import FILE, soc people import FILE, or outbox.leads",
        )
    yield Check("policies", "ok", Phrase("{count} run", count=len(running)))


def check_reports(app: App) -> Iterator[Check]:
    """Whether documents can be made: the extra, who issues them, the office's own templates."""
    chosen = app.settings.reports
    able = all(importlib.util.find_spec(module) for module in ("docxtpl", "fpdf"))
    if not able:
        yield Check("reports", "warn", "reports as DOCX and the handbook as PDF cannot be made", "pip install 'soc[docs]'; text and JSON need nothing")
    elif not chosen.agency:
        yield Check("reports", "ok", "nobody is named who issues reports: whoever operates the system does")
    elif Registry(app.journal, ("agencies",)).get(Agency, chosen.agency) is None:
        yield Check(
            "reports",
            "warn",
            Phrase("there is no {key} among the {kind}", key=chosen.agency, kind="agencies"),
            "soc agencies import FILE, or mend reports.agency",
        )
    else:
        yield Check("reports", "ok", Phrase("{agency} issues them", agency=chosen.agency))
    if chosen.templates is None or not able:
        return
    try:
        found = reports.templates(chosen.templates)
        wrong = [f"{name}: {fault.place}: {fault.what}" for name, data in found.items() for fault in reports.faults(data)]
    except SocError as error:
        yield Check("templates", "fail", error.message, error.hint)
        return
    folder = shlex.quote(str(chosen.templates))
    yield Check(
        "templates",
        "fail" if wrong else "ok",
        Phrase("{count} are refused: {first}", count=len(wrong), first=wrong[0]) if wrong else Phrase("{count} of the office", count=len(found)),
        Phrase("soc reports templates check {folder}", folder=folder) if wrong else "",
    )


def check_rules(app: App) -> Iterator[Check]:
    """Every rule compiles; one that does not is left out and named."""
    try:
        classifier = app.classifier
    except SocError as error:
        yield Check("rules", "fail", error.message, error.hint)
        return
    for problem in app.rule_errors[:20]:
        yield Check("rule", "warn", problem.message, problem.hint or "mend the rule, or name it in rules.disabled")
    errors = len(app.rule_errors)
    yield Check(
        "rules",
        "warn" if errors else "ok",
        Phrase("rule set {hash}, {errors} not usable", hash=classifier.hash, errors=errors),
        "mend the rules named above" if errors else "",
    )


def check_sources(settings: Settings) -> Iterator[Check]:
    """What is wrong with sources before any is opened, and which files are not there yet."""
    for fault in sources.faults(settings):
        yield Check("sources", "fail", fault.message, fault.hint)
    for name, source in settings.sources.items():
        missing = sources.missing_files(source)
        if missing:
            yield Check(
                Phrase("source {name}", name=name),
                "warn",
                Phrase("no file is there yet: {paths}", paths=", ".join(missing)),
                "soc run takes it up when it appears; is the path right, and may this user read the folder?",
            )


def check_source(app: App, name: str) -> Iterator[Check]:
    """One source of test settings (`soc.application.sources.settings_for_test`): its topic, file or port."""
    source = app.settings.sources[name]
    if isinstance(source, HttpSource) and importlib.util.find_spec("uvicorn") is None:
        yield Check(Phrase("source {name}", name=name), "fail", "needs the extra [web]", "pip install 'soc[web]'")
        return
    found = probe(app, name, most=1, wait_s=1.0 if isinstance(source, KafkaSource) else 0.1)
    failed = [(text, hint) for text, ok, hint in found.steps if not ok]
    if not failed:
        yield Check(Phrase("source {name}", name=name), "ok", _joined([text for text, _ok, _hint in found.steps]))
    elif "is taken by a run of soc" in failed[0][0]:
        yield Check(Phrase("source {name}", name=name), "ok", failed[0][0])
    elif isinstance(source, SyslogSource | HttpSource) and "is taken" in failed[0][0]:
        yield Check(
            Phrase("source {name}", name=name),
            "warn",
            failed[0][0],
            Phrase("fine when soc run is running; else stop what holds the port ({failed})", failed=failed[0][1]),
        )
    else:
        yield Check(Phrase("source {name}", name=name), "fail", failed[0][0], failed[0][1])


def _joined(steps: list[str]) -> Phrase:
    """The steps in one line, each of which can still be said in another language."""
    return Phrase("; ".join(f"{{step{at}}}" for at in range(len(steps))), **{f"step{at}": step for at, step in enumerate(steps)})
