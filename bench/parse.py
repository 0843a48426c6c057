"""FortiGate lines to ECS JSON, file to file, one core: ours against syslog-ng's kv-parser and VRL in the same run.

    python -m bench.parse [--lines 100000] [--passes 3]

Ours: frame, recognise, parse, nest, serialise, as `soc parse` does, but without the raw line in the output, as the peers
do not repeat it either; start-up is left out on all sides. syslog-ng takes pairs apart and formats JSON, VRL also moves the commonest fields to ECS:
both do less than the ECS document of ours. The peers are fetched by `bench/peers.sh`.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import orjson

from bench import lines
from bench._measure import FOLDER, Measure, fresh, pin, show
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.registry import installed
from soc.model.event import nest

PEERS = FOLDER / "peers"
_NOW_US = 1_795_000_000_000_000
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
    """Lines to ECS JSON."""
    registry, context = installed(), Context(_NOW_US, "Asia/Ho_Chi_Minh", 0, "")
    with source.open("rb", buffering=1 << 20) as stream, target.open("wb", buffering=1 << 20) as out:
        recognise, dumps, write, newline = registry.recognise, orjson.dumps, out.write, orjson.OPT_APPEND_NEWLINE
        for raw in stream:
            line = frame(decode(raw.removesuffix(b"\n"))[0])
            parser = recognise(line)
            if parser is not None:
                write(dumps(nest(parser.parse(line, context).doc), option=newline))


def run_ours(source: Path, target: Path, count: int) -> float:
    """Lines per second, from the first output on."""
    first = target.with_suffix(".first")
    with source.open("rb") as stream:
        first.write_bytes(b"".join(islice(stream, 100)))
    ours(first, target)
    first.unlink()
    gc.freeze()
    begin = time.perf_counter()
    ours(source, target)
    return count / (time.perf_counter() - begin)


def run_vrl(source: Path, target: Path, count: int) -> float:
    """Lines per second of the program around VRL, start-up included (a few milliseconds)."""
    begin = time.perf_counter()
    subprocess.run([str(PEERS / "vrl"), str(source), str(target)], check=True)
    return count / (time.perf_counter() - begin)


def run_syslog_ng(source: Path, target: Path, count: int) -> float:
    """Lines per second of syslog-ng, from its first output to its last."""
    folder = fresh("syslog-ng")
    (folder / "syslog-ng.conf").write_text(_SYSLOG_NG.format(source=source, target=target), encoding="utf-8")
    root = PEERS / "root"
    command = [str(root / "usr/sbin/syslog-ng"), "-F", "-f", str(folder / "syslog-ng.conf"), "--module-path", str(module_path()), "--no-caps"]
    command += ["-R", str(folder / "persist"), "-p", str(folder / "pid"), "-c", str(folder / "control")]
    return daemon_rate(command, target, count, {"LD_LIBRARY_PATH": library_path()}, folder)


def daemon_rate(command: Sequence[str], target: Path, count: int, environment: dict[str, str], folder: Path) -> float:
    """Lines per second at which a daemon writes `count` lines to `target`; it is ended then.

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


def _watched(process: subprocess.Popen[bytes], target: Path, count: int) -> float:
    begin = time.perf_counter()
    first, at_first, seen, position = 0.0, 0, 0, 0
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
                first, at_first = time.perf_counter(), seen
        time.sleep(0.02)
    return (seen - at_first) / (time.perf_counter() - first)


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
    known: list[tuple[str, Path, Callable[[Path, Path, int], float]]] = [
        ("syslog-ng kv-parser", PEERS / "root/usr/sbin/syslog-ng", run_syslog_ng),
        ("VRL", PEERS / "vrl", run_vrl),
    ]
    peers = {name: run for name, program, run in known if program.exists()}
    rows = [Measure(f"{what}: against {name}", "left out: not fetched (`bench/peers.sh`)", "≥ 1.0") for name, _, _ in known if name not in peers]
    rates: dict[str, list[float]] = {"soc": [], **{name: [] for name in peers}}
    for _ in range(passes):
        rates["soc"].append(run_ours(source, target, count))
        for name, run in peers.items():
            rates[name].append(run(source, target, count))
    target.unlink(missing_ok=True)
    shutil.rmtree(FOLDER / "syslog-ng", ignore_errors=True)
    rows.insert(0, Measure(f"{what}: lines/s", f"{median(rates['soc']):,.0f}"))
    for name in peers:
        ratio = median(rate / peer for rate, peer in zip(rates["soc"], rates[name], strict=True))
        rows.append(Measure(f"{what}: against {name}", f"{ratio:.2f} ({name}: {median(rates[name]):,.0f}/s)", "≥ 1.0", ratio >= 1.0))
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
