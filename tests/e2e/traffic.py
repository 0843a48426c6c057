"""Small but complete traffic for end-to-end tests: firewall and mail, threats, repeats, and lines that are broken."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from soc.application.demo.traffic import firewall_lines, mail_lines
from soc.clock import SystemClock, to_datetime

BEGIN = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)


def session_now(number: int) -> bytes:
    """What a FortiGate says of a session that ends now."""
    at = to_datetime(SystemClock().now_us())
    return (
        f'<189>date={at:%Y-%m-%d} time={at:%H:%M:%S} devname="FGT-A" devid="FG1" tz="+0000" logid="0000000013" type="traffic" subtype="forward" level="notice" '
        f'vd="root" srcip=10.1.0.{number % 250} dstip=203.0.113.6 sessionid={number} action="accept"\n'
    ).encode()


def write(folder: Path, *, lines: int = 400, seed: int = 7) -> list[Path]:
    """Two files: every tenth line is sent twice, and some are not what they should be."""
    folder.mkdir(parents=True, exist_ok=True)
    firewall = folder / "firewall.log"
    mail = folder / "mail.log"
    firewall.write_bytes(b"".join(_disturbed(_sampled(firewall_lines(seed, BEGIN), lines))))
    mail.write_bytes(b"".join(_disturbed(list(islice(mail_lines(seed, BEGIN), lines)))))
    return [firewall, mail]


def _sampled(lines_from: object, most: int) -> list[str]:
    everything = list(lines_from)  # type: ignore[call-overload]
    threats = [line for line in everything if 'type="utm"' in line][: most // 4]
    ordinary = [line for line in everything if 'type="utm"' not in line][: most - len(threats)]
    return sorted(threats + ordinary)


def _disturbed(lines: list[str]) -> list[bytes]:
    out = []
    for number, line in enumerate(lines):
        out.append(line.encode() + b"\n")
        if number % 10 == 3:
            out.append(line.encode() + b"\n")
        if number % 97 == 5:
            out += [b"\n", b"<134>nonsense \xff\xfe here\n", b"date=2026-11-21 time=08:00:00 devname=\n"]
    return out
