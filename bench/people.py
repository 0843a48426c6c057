"""What people wait for: the queue, the lists of incidents, closing ten thousand groups; and what the journal costs.

    python -m bench.people [--full]

A store with alerts, groups (nine in ten of them closed) and incidents (one in ten of them open) is made once for each size and kept.
Times are those of the command's own work, warm; what a whole process takes stands beside them. `--full`: 1,000,000 alerts in 100,000
groups and 50,000 incidents instead of a tenth.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench._measure import FOLDER, Measure, fresh, median_ms, opened, show
from soc.adapters.sqlite.journal import SqliteJournal
from soc.adapters.sqlite.lists import FILE as LISTS
from soc.application import audit, incidents, triage
from soc.clock import SystemClock, iso
from soc.incidents.listing import incidents as incident_lists
from soc.incidents.workflow import OPEN
from soc.model.alert import Alert, RuleRef
from soc.model.fact import NewFact
from soc.model.ids import digest_id
from soc.model.journal import Append
from soc.ports import AlertQuery, Effects

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR
BULK = 10_000
GOAL_MS = 200
LEVELS = ("critical", "high", "medium", "low")
AGENCIES = [f"a-{number:03d}" for number in range(152)]
APPENDS_S = 4.0
WRITERS = 8


def alerts_of(count: int, groups: int) -> Iterator[Alert]:
    """Alerts of forty rules over a year, each group some of them, in the order of their times."""
    rng = random.Random(11)
    rules = [RuleRef(f"rule-{n:02d}", f"Quy tắc {n}", LEVELS[n % 4], f"h{n}", ("attack.t1046",)) for n in range(40)]
    for number in range(count):
        key = number % groups if number < groups else rng.randrange(groups)
        rule, address = rules[key % 40], f"203.{key >> 16 & 255}.{key >> 8 & 255}.{key & 255}"
        at = iso(T0 + number * (365 * DAY // count))
        event = digest_id("event", str(number))
        explanation = {"node": "field", "matched": True, "field": "source.ip", "test": "equals", "pattern": address, "matched_value": address, "children": []}
        document = {"source": {"ip": address}, "destination": {"ip": "10.1.2.3"}, "@timestamp": at, "event": {"original": "x" * 400}}
        yield Alert(
            "a-" + digest_id("alert", event),
            "g-" + digest_id("group", str(key)),
            {"source.ip": address},
            rule,
            "real",
            at,
            at,
            [event],
            [document],
            explanation,
            "fw",
            "high",
            "attack",
            AGENCIES[key % 152],
        )


def facts_of(number: int) -> list[NewFact]:
    """The life of an incident: one in ten is still open."""
    detected = T0 + number * (365 * DAY // 50_000)
    opened_ = {
        "title": f"Máy chủ bị mã hóa {number}",
        "detected_at": iso(detected),
        "regime": "vn-2026" if number % 2 else "vn-2017",
        "agencies": [AGENCIES[number % 152]],
        "owner": f"an{number % 5}",
        "severity": "high",
        "rsit": "malicious-code/infected-system",
    }
    facts = [
        NewFact("IncidentOpened", opened_),
        NewFact("IncidentMoved", {"to": "triaged"}),
        NewFact("IncidentEdited", {"legal_class": "serious" if number % 9 == 0 else "ordinary"}, "xét"),
    ]
    if number % 10:
        facts += [NewFact("IncidentMoved", {"to": state}) for state in ("contained", "eradicated", "recovered")]
        facts.append(NewFact("IncidentMoved", {"to": "closed", "resolution": "đã gỡ"}))
    return facts


def some(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Slices of a sequence."""
    for begin in range(0, len(values), size):
        yield values[begin : begin + size]


def made(alerts: int, groups: int, count: int) -> Path:
    """The folder of a store of this size, made when it is not there."""
    folder = FOLDER / f"people-{alerts}-{groups}-{count}"
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with opened(folder, pipeline=True) as app:
        held: list[Alert] = []
        for alert in alerts_of(alerts, groups):
            held.append(alert)
            if len(held) == 20_000:
                app.store.commit(Effects(progress=[], alerts=held))
                held = []
        app.store.commit(Effects(progress=[], alerts=held))
        for part in some(range(count), 1_000):
            app.journal.append_each([Append(f"incident/INC-2026-{number:05d}", 0, tuple(facts_of(number))) for number in part], actor="bench")
        items = triage.queue(app, AlertQuery(limit=0)).items
        random.Random(3).shuffle(items)
        for chosen in some(items[: groups * 9 // 10], 5_000):
            triage.close(app, list(chosen), "benign")
    (folder / "complete").touch()
    return folder


def command_s(folder: Path, *words: str) -> float:
    """What a whole process takes, the better of two."""
    config = folder / "soc.toml"
    config.write_text(f'data_dir = "{folder}"\n', encoding="utf-8")
    config.chmod(0o600)
    took = []
    for _ in range(2):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "soc", "--config", str(config), *words], stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - begin)
    return min(took)


def lists(folder: Path, size: str) -> Iterator[Measure]:
    """The queue and the lists of incidents."""
    with opened(folder) as app:
        begin = time.perf_counter()
        triage.queue(app, AlertQuery(limit=100))
        app.lists.rebuild(incident_lists())
        anew_s = time.perf_counter() - begin

        def queue(**asked: Any) -> Callable[[], object]:
            return lambda: triage.queue(app, AlertQuery(limit=100, **asked))

        yield timed(f"queue of groups, newest 100, {size}", queue(), command_s(folder, "alerts", "list", "--json"))
        yield timed(f"queue of groups, one level, {size}", queue(levels=("critical",)))
        yield timed(f"queue of groups, one rule, {size}", queue(rule="rule-07"))
        yield timed(f"queue of groups, a week, {size}", queue(since_us=T0 + 200 * DAY, until_us=T0 + 207 * DAY))
        yield timed(f"closed groups, newest 100, {size}", lambda: triage.queue(app, AlertQuery(limit=100), states=("closed",)))
        yield timed(f"incidents, open, first 100 by due time, {size}", lambda: incidents.page(app, limit=100), command_s(folder, "incidents", "list", "--json"))
        yield timed(f"incidents, all states, first 100, {size}", lambda: incidents.page(app, states=(*OPEN, "closed"), limit=100))
        yield timed(
            f"incidents, overdue, first 100, {size}",
            lambda: incidents.page(app, overdue=True, limit=100),
            command_s(folder, "incidents", "list", "--overdue", "--json"),
        )
        yield timed(f"incidents of one agency, {size}", lambda: incidents.page(app, states=(*OPEN, "closed"), agency=AGENCIES[7], limit=100))
        yield Measure(
            f"lists of groups and incidents made anew from the journal, {size}", f"{anew_s:.1f} s ({(folder / 'store' / LISTS).stat().st_size / 1e6:.0f} MB)"
        )


def timed(what: str, work: Callable[[], object], process_s: float | None = None) -> Measure:
    """A row with the goal of lists."""
    taken = median_ms(work)
    whole = f" (the whole process {process_s * 1000:.0f} ms)" if process_s is not None else ""
    return Measure(what, f"{taken:.1f} ms{whole}", f"< {GOAL_MS} ms", taken < GOAL_MS)


def bulk(folder: Path, size: str) -> Iterator[Measure]:
    """Close many groups, then look, then take it back; in the store itself, which is as before then but for some facts."""
    with opened(folder) as app:
        items = triage.queue(app, AlertQuery(limit=0)).items[:BULK]
        begin = time.perf_counter()
        outcome = triage.close(app, items, "benign")
        took = time.perf_counter() - begin
        begin = time.perf_counter()
        left = triage.queue(app, AlertQuery(limit=100)).total
        look = time.perf_counter() - begin
        begin = time.perf_counter()
        triage.undo(app, outcome.done)
        undo = time.perf_counter() - begin
        triage.queue(app, AlertQuery(limit=100))
    yield Measure(
        f"bulk close of {len(items):,} groups, {size}",
        f"{took:.2f} s (undo {undo:.2f} s; the first look at the queue after it {look:.2f} s, {left:,} left)",
        "< 5 s for 10,000",
        took < 5 * len(items) / BULK,
    )


def synced_rate(folder: Path, seconds: float = 1.0) -> float:
    """Writes of 4 KiB with fdatasync a second, at the end of a file."""
    file = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    block, count, begin = b"x" * 4096, 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        os.write(file, block)
        os.fdatasync(file)
        count += 1
    took = time.perf_counter() - begin
    os.close(file)
    (folder / "sync").unlink()
    return count / took


_WRITER = """
import sys, time
from pathlib import Path
from soc.adapters.sqlite.journal import SqliteJournal
from soc.clock import SystemClock
from soc.model.fact import ANY_VERSION, NewFact
journal = SqliteJournal(Path(sys.argv[1]), clock=SystemClock())
fact = NewFact("NoteAdded", {"text": "đã gọi lại, chờ đơn vị trả lời " * 4})
journal.append("warm/" + sys.argv[2], ANY_VERSION, [fact], actor="bench")
print("ready", flush=True)
sys.stdin.readline()
count, begin = 0, time.perf_counter()
while time.perf_counter() - begin < float(sys.argv[3]):
    journal.append(f"incident/{sys.argv[2]}-{count % 50}", ANY_VERSION, [fact], actor="bench")
    count += 1
print(count / (time.perf_counter() - begin), flush=True)
"""


def append_rate(folder: Path, writers: int) -> float:
    """Facts a second that so many processes append, one by one, each durable."""
    command = [sys.executable, "-c", _WRITER, str(folder)]
    running = [subprocess.Popen([*command, f"w{n}", str(APPENDS_S)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in range(writers)]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    return sum(float(one.communicate()[0].split()[-1]) for one in running)


def journal(folder: Path) -> Iterator[Measure]:
    """Appends against the disk, and the proof."""
    rounds = []
    for _ in range(3):
        disk = synced_rate(folder)
        one, eight = append_rate(folder, 1), append_rate(folder, WRITERS)
        rounds.append((one / ((disk + synced_rate(folder)) / 2), eight / one, one, eight, disk))
    rounds.sort()
    share, together, one, eight, disk = rounds[len(rounds) // 2]
    yield Measure("journal: durable facts a second / 4 KiB fdatasync a second", f"{share:.2f} ({one:,.0f} / {disk:,.0f})", "≥ 0.4", share >= 0.4)
    together = sorted(each[1] for each in rounds)[len(rounds) // 2]
    yield Measure(f"journal: {WRITERS} writing processes / one", f"{together:.2f} ({eight:,.0f} facts a second together)", "≥ 0.5", together >= 0.5)


def proof(folder: Path, size: str) -> Iterator[Measure]:
    """`soc audit verify` over everything."""
    book = SqliteJournal(folder / "store", clock=SystemClock(), read_only=True)
    begin = time.perf_counter()
    verdict = audit.verify(book)
    took = time.perf_counter() - begin
    book.close()
    rate = verdict.facts / took
    yield Measure(
        f"audit verify, {verdict.facts:,} facts, {size}: facts/s",
        f"{rate:,.0f}{'' if verdict.ok else ' (problems!)'}",
        "≥ 20,000",
        rate >= 20_000 and verdict.ok,
    )


def measure(full: bool = False) -> list[Measure]:
    """The rows of this measure."""
    alerts, groups, count = (1_000_000, 100_000, 50_000) if full else (100_000, 10_000, 5_000)
    size = f"{alerts:,} alerts, {groups:,} groups, {count:,} incidents"
    folder = made(alerts, groups, count)
    rows = [*lists(folder, size), *bulk(folder, size), *proof(folder, size)]
    return [*rows, *journal(fresh("journal"))]


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--full", action="store_true")
    for row in show(measure(options.parse_args().full)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
