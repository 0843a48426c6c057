"""FortiGate lines to ECS JSON, file to file, one core: ours against syslog-ng's kv-parser and VRL in the same run.

    python -m bench.parse [--lines 100000] [--passes 3]

Ours: frame, recognise, parse, nest, serialise, some lines at a time as the pipeline does, but without the raw line in the output, as the peers
do not repeat it either; start-up is left out on all sides. syslog-ng takes pairs apart and formats JSON, VRL also moves the commonest fields to ECS:
both do less than the ECS document of ours. The peers are fetched by `bench/peers.sh`.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import orjson

from bench import lines
from bench._measure import FOLDER, Measure, fresh, pin, show
from soc.ingest.framing import decode, frame
from soc.ingest.parser import BatchParser, Context, Line
from soc.ingest.registry import installed
from soc.model.event import Doc, nest

PEERS = FOLDER / "peers"
_NOW_US = 1_795_000_000_000_000
AT_ONCE = 64
"""Lines read together."""
# Reference: syslog-ng 3.38 administration guide, "kv-parser" and "format-json".
_SYSLOG_NG = """@version: 3.35
@module "kvformat"
options {{ keep-hostname(yes); use-dns(no); stats-freq(0); log-msg-size(65536); }};
source s {{ file("{source}" follow-freq(1) flags(no-parse) read-old-records(yes) log-fetch-limit(1000) log-iw-size(100000)); }};
parser kv {{ kv-parser(prefix(".kv.")); }};
destination d {{ file("{target}" template("$(format-json --scope none --key .kv.*)\\n") log-fifo-size(200000)); }};
log {{ source(s); parser(kv); destination(d); flags(flow-control); }};
"""


def ours(source: Path, target: Path) -> None:
    """Lines to ECS JSON, in the order of the file, some at a time as the pipeline reads them."""
    registry, context = installed(), Context(_NOW_US, "Asia/Ho_Chi_Minh", 0, "")
    many = {parser.name: parser.parse_many for parser in registry.parsers() if isinstance(parser, BatchParser)}
    with source.open("rb", buffering=1 << 20) as stream, target.open("wb", buffering=1 << 20) as out:
        dumps, newline = orjson.dumps, orjson.OPT_APPEND_NEWLINE
        while raws := list(islice(stream, AT_ONCE)):
            together: dict[str, list[tuple[int, Line]]] = {}
            for number, raw in enumerate(raws):
                line = frame(decode(raw.removesuffix(b"\n"))[0])
                parser = registry.recognise(line)
                if parser is not None:
                    together.setdefault(parser.name, []).append((number, line))
            docs: list[Doc] = [{}] * len(raws)
            for name, some in together.items():
                texts = [line for _, line in some]
                for (number, line), parsed in zip(some, many[name](texts, context) if name in many else [None] * len(some), strict=True):
                    docs[number] = (parsed or registry.get(name).parse(line, context)).doc
            out.write(b"".join([dumps(nest(doc), option=newline) for doc in docs if doc]))


class Rate(NamedTuple):
    """Lines per second, by the clock and of CPU time."""

    wall: float
    cpu: float


def run_ours(source: Path, target: Path, count: int) -> Rate:
    """From the first output on."""
    first = target.with_suffix(".first")
    with source.open("rb") as stream:
        first.write_bytes(b"".join(islice(stream, 100)))
    ours(first, target)
    first.unlink()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)  # as the pipeline does
    begin, cpu = time.perf_counter(), time.process_time()
    ours(source, target)
    return Rate(count / (time.perf_counter() - begin), count / (time.process_time() - cpu))


def run_vrl(source: Path, target: Path, count: int) -> Rate:
    """The program around VRL, start-up included (a few milliseconds)."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(PEERS / "vrl"), str(source), str(target)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Rate(count / (time.perf_counter() - begin), count / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def run_syslog_ng(source: Path, target: Path, count: int) -> Rate:
    """syslog-ng, from its first output to its last."""
    folder = fresh("syslog-ng")
    (folder / "syslog-ng.conf").write_text(_SYSLOG_NG.format(source=source, target=target), encoding="utf-8")
    root = PEERS / "root"
    command = [str(root / "usr/sbin/syslog-ng"), "-F", "-f", str(folder / "syslog-ng.conf"), "--module-path", str(module_path()), "--no-caps"]
    command += ["-R", str(folder / "persist"), "-p", str(folder / "pid"), "-c", str(folder / "control")]
    return daemon_rate(command, target, count, {"LD_LIBRARY_PATH": library_path()}, folder)


def daemon_rate(command: Sequence[str], target: Path, count: int, environment: dict[str, str], folder: Path) -> Rate:
    """The rate at which a daemon writes `count` lines to `target`; it is ended then.

    Raises: RuntimeError when it does not get there.
    """
    target.unlink(missing_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
        try:
            return _watched(process, target, count)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'log').read_text(encoding='utf-8', errors='replace')[-300:]}") from error
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _cpu_s(process: int) -> float:
    """CPU seconds that a process has taken so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _watched(process: subprocess.Popen[bytes], target: Path, count: int) -> Rate:
    begin = time.perf_counter()
    first, cpu_first, at_first, seen, position = 0.0, 0.0, 0, 0, 0
    while seen < count:
        if process.poll() is not None or time.perf_counter() - begin > 180:
            raise RuntimeError(f"{seen} of {count} lines came")
        if target.exists():
            with target.open("rb") as file:
                file.seek(position)
                while chunk := file.read(1 << 22):
                    position += len(chunk)
                    seen += chunk.count(b"\n")
            if seen and not first:
                first, cpu_first, at_first = time.perf_counter(), _cpu_s(process.pid), seen
        time.sleep(0.02)
    return Rate((seen - at_first) / (time.perf_counter() - first), (seen - at_first) / max(_cpu_s(process.pid) - cpu_first, 0.01))


def module_path() -> Path:
    """Where the unpacked syslog-ng has its modules."""
    return next((PEERS / "root/usr/lib").glob("syslog-ng/*/"), None) or next((PEERS / "root/usr/lib").glob("*/syslog-ng/*/"), PEERS)


def library_path() -> str:
    """Where the unpacked packages have their libraries."""
    found = {str(path.parent) for path in (PEERS / "root").glob("**/*.so.*")}
    return ":".join(sorted(found))


def measure(count: int = 100_000, passes: int = 3) -> list[Measure]:
    """The rows of this measure; all run on the one core that this process is held on."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    source, target = FOLDER / f"fortigate-{count}.log", FOLDER / "parsed.ndjson"
    lines.write(source, count, mail=0)
    what = "FortiGate line to ECS JSON, file to file, one core"
    known: list[tuple[str, Path, Callable[[Path, Path, int], Rate]]] = [
        ("syslog-ng kv-parser", PEERS / "root/usr/sbin/syslog-ng", run_syslog_ng),
        ("VRL", PEERS / "vrl", run_vrl),
    ]
    peers = {name: run for name, program, run in known if program.exists()}
    rows = [Measure(f"{what}: against {name}", "left out: not fetched (`bench/peers.sh`)", "≥ 1.0") for name, _, _ in known if name not in peers]
    rates: dict[str, list[Rate]] = {"soc": [], **{name: [] for name in peers}}
    for _ in range(passes):
        rates["soc"].append(run_ours(source, target, count))
        for name, run in peers.items():
            rates[name].append(run(source, target, count))
    target.unlink(missing_ok=True)
    shutil.rmtree(FOLDER / "syslog-ng", ignore_errors=True)
    own = rates["soc"]
    rows.insert(0, Measure(f"{what}: lines/s", f"{median(one.wall for one in own):,.0f} (CPU {1e6 / median(one.cpu for one in own):.1f} µs a line)"))
    for name in peers:
        wall = median(one.wall / peer.wall for one, peer in zip(own, rates[name], strict=True))
        cpu = median(one.cpu / peer.cpu for one, peer in zip(own, rates[name], strict=True))
        figure = f"{wall:.2f} (by CPU time {cpu:.2f}; {name}: {median(one.wall for one in rates[name]):,.0f}/s, CPU {1e6 / median(one.cpu for one in rates[name]):.1f} µs)"
        rows.append(Measure(f"{what}: against {name}", figure, "≥ 1.0", wall >= 1.0))
    return rows


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=100_000)
    options.add_argument("--passes", type=int, default=3)
    chosen = options.parse_args()
    pin()
    for row in show(measure(chosen.lines, chosen.passes)):
        sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
