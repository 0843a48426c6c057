"""What rsyslog with mmnormalize and omelasticsearch takes to bring FortiGate traffic lines into Elasticsearch: CPU seconds a million lines.

Used by `bench.distributed`. rsyslog is unpacked by `bench/peers.sh`; it reads a file, as its Kafka input is another
package, and knows one rule, for traffic lines in one order of fields: it classifies nothing, keeps no raw line and
assembles no mail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from bench import lines
from bench.parse import PEERS, library_path

_RSYSLOG = PEERS / "root/usr/sbin/rsyslogd"
# Reference: rsyslog 8.2302 documentation, "mmnormalize" and "omelasticsearch".
_CONFIGURATION = """global(workDirectory="{folder}")
module(load="imfile") module(load="mmnormalize") module(load="omelasticsearch")
main_queue(queue.type="direct")
template(name="j" type="list") {{ property(name="$!all-json-plain") }}
input(type="imfile" file="{source}" tag="f" ruleset="r" persistStateInterval="0")
ruleset(name="r") {{
  action(type="mmnormalize" ruleBase="{rules}" useRawMsg="on")
  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="j" searchIndex="{index}" searchType="" bulkmode="on"
         queue.type="linkedlist" queue.size="20000" queue.dequeuebatchsize="2000" action.resumeretrycount="-1")
}}
"""
_BARE = frozenset(
    [
        "date",
        "time",
        "eventtime",
        "srcip",
        "srcport",
        "dstip",
        "dstport",
        "sessionid",
        "proto",
        "policyid",
        "transip",
        "transport",
        "duration",
        "sentbyte",
        "rcvdbyte",
        "sentpkt",
        "rcvdpkt",
    ]
)
_KEYS = [
    "date",
    "time",
    "devname",
    "devid",
    "eventtime",
    "tz",
    "logid",
    "type",
    "subtype",
    "level",
    "vd",
    "srcip",
    "srcport",
    "srcintf",
    "srcintfrole",
    "dstip",
    "dstport",
    "dstintf",
    "dstintfrole",
    "srccountry",
    "dstcountry",
    "sessionid",
    "proto",
    "action",
    "policyid",
    "policytype",
    "poluuid",
    "policyname",
    "service",
    "trandisp",
    "transip",
    "transport",
    "duration",
    "sentbyte",
    "rcvdbyte",
    "sentpkt",
    "rcvdpkt",
    "appcat",
]


def why_not() -> str:
    """Why it cannot be measured, "" when it can."""
    return "" if _RSYSLOG.exists() else "rsyslog is not fetched (`bench/peers.sh`)"


def cpu_per_million(folder: Path, elastic: str, count: int) -> float:
    """CPU seconds of rsyslog for a million lines.

    Raises: RuntimeError when not all lines arrive.
    """
    folder.mkdir(parents=True)
    source, index = folder / "traffic.log", "benchrsyslog"
    traffic = [line for line in lines.lines(count, mail=0) if 'type="traffic"' in line]
    source.write_text("".join(line + "\n" for line in traffic), encoding="utf-8")
    pairs = " ".join(f"{key}=%{key}:word%" if key in _BARE else f'{key}="%{key}:char-to:"%"' for key in _KEYS)
    (folder / "rules").write_text(f"version=2\nrule=:<%pri:number%>{pairs}\nrule=:<%pri:number%>{pairs} %rest:rest%\n", encoding="utf-8")
    port = elastic.rpartition(":")[2]
    (folder / "conf").write_text(_CONFIGURATION.format(folder=folder, source=source, rules=folder / "rules", port=port, index=index), encoding="utf-8")
    modules = next((PEERS / "root/usr/lib").glob("*/rsyslog"))
    command = [str(_RSYSLOG), "-n", "-f", str(folder / "conf"), "-M", str(modules), "-i", str(folder / "pid")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, "LD_LIBRARY_PATH": library_path()}, stdout=log, stderr=log)
        try:
            return _cpu_when_done(process, f"{elastic}/{index}", len(traffic)) / len(traffic) * 1e6
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'log').read_text(encoding='utf-8', errors='replace')[-400:]}") from error
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _cpu_when_done(process: subprocess.Popen[bytes], url: str, expected: int) -> float:
    deadline = time.monotonic() + 120
    seen = 0
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.5)
        try:
            urllib.request.urlopen(f"{url}/_refresh", data=b"", timeout=10).close()
            with urllib.request.urlopen(f"{url}/_count", timeout=10) as answer:
                seen = json.load(answer)["count"]
        except OSError:
            continue
        if seen >= expected:
            ticks = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"rsyslog brought {seen} of {expected} lines")
