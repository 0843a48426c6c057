"""How fast the embedded store takes events, what they weigh, and how long queries take: one table on stdout.

    python bench/store_sqlite.py [--events 1000000] [--folder DIR] [--log FILE]

Events are made from FortiGate lines (own ones, or `--log`), crudely parsed into flat ECS; only `Store.commit` is timed.
Lines repeat with new session numbers and times, so that tokens and blocks look as in life.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from soc.adapters.sqlite import open_store
from soc.clock import SystemClock, iso
from soc.config import StoreSettings
from soc.model.alert import Alert, RuleRef
from soc.model.event import Doc, Event
from soc.model.ids import alert_id, digest_id, event_id, group_id, raw_hash
from soc.model.query import All, Not, Term, Text
from soc.model.text import event_tokens
from soc.ports import AlertQuery, Effects, EventQuery, Progress, Store

# Reference: FortiOS log message reference, "Log message format": key=value, values quoted where they hold spaces.
_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')
_LEVELS = ["none"] * 17 + ["low", "medium", "high"]
_CATEGORY = {"none": "", "low": "policy", "medium": "scan", "high": "intrusion"}
_BATCH = 2_000
_T0_US = 1_795_100_000_000_000
_ECS = {
    "srcip": "source.ip",
    "srcport": "source.port",
    "dstip": "destination.ip",
    "dstport": "destination.port",
    "devname": "observer.name",
    "service": "network.protocol",
    "action": "event.action",
}


def line(rng: random.Random, number: int) -> str:
    """One traffic line of 680 bytes or so."""
    src, dst = (
        f"10.{rng.randrange(64)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        f"{rng.randrange(1, 223)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
    )
    policy = rng.randrange(1, 80)
    return (
        f'<189>date=2026-11-20 time=08:{number // 60 % 60:02d}:{number % 60:02d} devname="BP-FGT-{number % 30:02d}" devid="FG100FTK200000{number % 30:02d}" eventtime={_T0_US * 1000 + number * 1_000_000} '
        f'tz="+0700" logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip={src} srcport={rng.randrange(1024, 65535)} srcintf="port{number % 8}" srcintfrole="lan" '
        f'dstip={dst} dstport={rng.choice((443, 443, 80, 53, 445, 25))} dstintf="wan{number % 2}" dstintfrole="wan" srccountry="Reserved" dstcountry="{rng.choice(("Viet Nam", "United States", "Brazil"))}" '
        f'sessionid={rng.randrange(10**9)} proto={rng.choice((6, 17))} action="{rng.choice(("close", "accept", "deny"))}" policyid={policy} policytype="policy" '
        f'poluuid="0db317d9-5b1c-51ec-{policy:04x}-9a7d0c2fb71e" policyname="LAN to WAN {policy}" service="{rng.choice(("HTTPS", "DNS", "SMB"))}" trandisp="snat" transip=103.45.9.10 '
        f'transport={rng.randrange(1024, 65535)} duration={rng.randrange(3000)} sentbyte={rng.randrange(10**6)} rcvdbyte={rng.randrange(10**7)} sentpkt={rng.randrange(999)} rcvdpkt={rng.randrange(9999)} appcat="unscanned"'
    )


def event(raw: str, number: int) -> Event:
    """The event of a line: crude, but of the size and shape that the parser gives."""
    fields = {name: quoted or plain for name, quoted, plain in _PAIR.findall(raw)}
    level = _LEVELS[number * 7 % len(_LEVELS)]
    ts_us = _T0_US + number * 1_000
    doc: Doc = {
        "@timestamp": iso(ts_us),
        "event.kind": "event",
        "event.category": ["network"],
        "event.module": "fortinet",
        "event.dataset": "fortinet.firewall",
    }
    doc |= {
        _ECS.get(name) or "fortinet.firewall." + name: int(value) if name.endswith(("port", "byte", "pkt")) and value.isdigit() else value
        for name, value in fields.items()
        if name not in {"date", "time", "tz"}
    }
    doc |= {
        "soc.id": event_id("bench", number),
        "soc.scope": "real",
        "soc.source": "fw",
        "soc.partition": "bench",
        "soc.seq": number,
        "soc.origin": "bench",
        "soc.origin_seq": number,
        "soc.sub": 0,
        "soc.received_at": iso(ts_us),
        "soc.kind": "firewall",
        "soc.parser": "fortinet_fortigate@1",
        "soc.raw_hash": raw_hash(raw.encode()),
        "soc.schema": 1,
        "soc.threat.level": level,
        "event.original": raw,
    }
    natural = ""
    if level != "none":
        natural = doc["soc.natural_key"] = digest_id("natural", raw)
        doc["soc.threat.category"] = _CATEGORY[level]
    return Event(doc["soc.id"], ts_us, "firewall", "fw", "bench", number, doc["soc.raw_hash"], level, _CATEGORY[level], "real", doc, event_tokens(doc), natural)


def batches(events: int, log: Path | None) -> Iterator[Effects]:
    """Batches of the pipeline's size, with claims of the levelled events."""
    rng = random.Random(3)
    lines = [text for text in log.read_text(encoding="utf-8").splitlines() if "devid=" in text] if log else []
    for first in range(0, events, _BATCH):
        here = [
            event(lines[number % len(lines)].replace("sessionid=", f"sessionid={number % 97}") if lines else line(rng, number), number)
            for number in range(first, min(first + _BATCH, events))
        ]
        claims = {item.natural_key: item.id for item in here if item.natural_key}
        yield Effects([Progress("fw", "bench", first, first + len(here) - 1, first + len(here), len(here))], here, claims=claims)


def fill(store: Store, events: int, log: Path | None) -> list[tuple[float, float]]:
    """Commit all batches; wall and CPU seconds of each commit."""
    times = []
    for effects in batches(events, log):
        wall, cpu = time.perf_counter(), time.process_time()
        store.commit(effects)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def alerts(store: Store, count: int) -> None:
    """Some alerts in a few hundred groups."""
    rule = RuleRef("r-1", "Quét cổng", "high", "h", ("attack.t1046",))
    for first in range(0, count, _BATCH):
        store.commit(Effects([], alerts=[
            Alert(alert_id("r-1", str(n)), group_id("r-1", str(n % 700), "real"), {"source.ip": f"10.0.0.{n % 700}"}, rule, "real", iso(_T0_US + n * 1000), iso(_T0_US + n * 1000), [event_id("bench", n)], [{"source": {"ip": "10.0.0.1"}}], {"node": "field"})
            for n in range(first, min(first + _BATCH, count))
        ]))  # fmt: skip


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """First and median milliseconds of five runs."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1000)
    return times[0], statistics.median(times)


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--alerts", type=int, default=100_000)
    options.add_argument("--folder", type=Path)
    options.add_argument("--log", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        path = Path(name) / "store"
        store = open_store(StoreSettings(), path, pipeline=True, clock=SystemClock())
        times = fill(store, chosen.events, chosen.log)
        tenth = max(1, len(times) // 10)
        rates = [_BATCH * len(part) / sum(wall for wall, _ in part) for part in (times, times[:tenth], times[-tenth:])]
        cpus = [sum(cpu for _, cpu in part) / (_BATCH * len(part)) * 1e6 for part in (times, times[:tenth], times[-tenth:])]
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        out = sys.stdout.write
        out(
            f"commit: {rates[0]:,.0f} events/s; first tenth {rates[1]:,.0f}, last {rates[2]:,.0f}, ratio {rates[2] / rates[1]:.2f}; CPU {cpus[0]:.1f} us/event, first tenth {cpus[1]:.1f}, last {cpus[2]:.1f}; slowest commit {max(times)[0] * 1000:.0f} ms\n"
        )
        store.close()
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        out(f"size: {size / chosen.events:.0f} bytes/event; peak memory {rss:.0f} MiB\n")
        store = open_store(StoreSettings(), path, pipeline=True, clock=SystemClock())
        begin = time.perf_counter()
        alerts(store, chosen.alerts)
        out(f"alerts: {chosen.alerts / (time.perf_counter() - begin):,.0f}/s\n")
        store.close()
        store = open_store(StoreSettings(), path, pipeline=False, read_only=True, clock=SystemClock())
        sample = store.search(EventQuery(All(), limit=1)).docs[0]
        for what, work in (
            ("newest 100 alerts", lambda: store.alerts(AlertQuery())),
            ("newest 100 groups", lambda: store.alert_groups(AlertQuery())),
            ("newest 100 groups, high", lambda: store.alert_groups(AlertQuery(levels=("high", "critical")))),
            ("count by level and month", lambda: store.histogram(EventQuery(All()), "month", "soc.threat.level", "Asia/Ho_Chi_Minh")),
            ("threats", lambda: store.threats(EventQuery(All()))),
            ("newest 100 events", lambda: store.search(EventQuery(All()))),
            ("newest 100 with a level", lambda: store.search(EventQuery(Not(Term("soc.threat.level", "none"))))),
            ("one address, page", lambda: store.search(EventQuery(Term("source.ip", sample["source.ip"])))),
            ("one network, page", lambda: store.search(EventQuery(Term("source.ip", "10.3.7.*", wildcard=True)))),
            ("free text, rare, page", lambda: store.search(EventQuery(Text((str(sample["fortinet.firewall.sessionid"]),))))),
            ("free text, common, page", lambda: store.search(EventQuery(Text(("brazil", "deny"))))),
            ("free text, common, count", lambda: store.count(EventQuery(Text(("brazil", "deny"))))),
            ("event by id", lambda: store.get_events([sample["soc.id"]])),
            ("ledger", store.ledger),
        ):
            first, median = timed(work)
            out(f"{what:28} first {first:8.1f} ms, median {median:8.1f} ms\n")
        store.close()


if __name__ == "__main__":
    main()
