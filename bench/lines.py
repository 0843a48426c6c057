"""Log lines for the measures: FortiGate and Postfix with amavis, in time order, the same for the same seed.

    python -m bench.lines COUNT FILE [--mail 0.2] [--harsh]

What repeats, as it does in life: a policy keeps its name and UUID, a device its serial number; 12 devices stand before
4,000 computers, which talk to 20,000 outside addresses, the popular ones often; session numbers rise; ports, byte counts
and queue ids are new nearly every time. Mail is whole conversations (smtpd, cleanup, qmgr, amavis, smtp, lmtp, `removed`)
of several messages under way at a time, beside refusals by block lists; the message event is assembled from them.

Shares of the FortiGate lines: 86 % traffic, 10 % web filter, 1.5 % intrusion prevention, 0.3 % virus, 2.2 % admin logins.
`--harsh`: 72, 14, 6, 2 and 6 %, far more alerts than a network survives; it shows what alerts cost.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b
from heapq import heappop, heappush
from pathlib import Path
from random import Random

LOCAL = timezone(timedelta(hours=7))
BEGIN_S = int(datetime(2026, 10, 30, tzinfo=UTC).timestamp())
STEP_S = 0.05
"""Twenty lines a second: five million are three days, across the end of a month."""
SHARES = (0.86, 0.96, 0.975, 0.978)
HARSH = (0.72, 0.86, 0.92, 0.94)

_COUNTRIES = ["Vietnam"] * 9 + ["United States", "China", "Russian Federation", "Germany", "Singapore", "Brazil"]
_RESOLVERS = ("203.113.131.1", "203.162.4.191")
_SERVICES = (
    ("HTTPS", 443, 6),
    ("HTTPS", 443, 6),
    ("HTTP", 80, 6),
    ("DNS", 53, 17),
    ("SMTPS", 465, 6),
    ("IMAPS", 993, 6),
    ("NTP", 123, 17),
    ("QUIC", 443, 17),
    ("SMTP", 25, 6),
)
_ATTACKS = (
    ("Apache.Log4j.Error.Log.Remote.Code.Execution", 51006, "critical"),
    ("MS.SMB.Server.Trans.Peeking.Data.Information.Disclosure", 43799, "high"),
    ("SSH.Connection.Brute.Force", 12719, "medium"),
    ("HTTP.URI.SQL.Injection", 15621, "high"),
    ("Port.Scanning", 100663402, "low"),
)
_VIRUSES = ("W32/Agent.TQ!tr", "JS/Phish.ADL!tr", "MSIL/Kryptik.AGDT!tr", "EICAR_TEST_FILE")
_WEB = ((26, "Malicious Websites"), (61, "Phishing"), (37, "Social Networking"), (36, "News and Media"), (25, "Streaming Media and Download"))
_SITES = ["www.google.com", "dantri.com.vn", "vnexpress.net", "update.microsoft.com", "dichvucong.gov.vn", "cdn.jsdelivr.net", "zalo.me", "fonts.gstatic.com"]
_PATHS = ("/", "/index.html", "/api/v1/users?id=%d", "/static/js/app.%d.js", "/search?q=thu+tuc+%d", "/download/file_%d.exe", "/img/%d.png")
_DOMAINS = ("gmail.com", "outlook.com", "yahoo.com", "vnpt.vn", "mail.ru", "dhl-invoice.xyz", "fpt.com.vn")
_AGENCIES = ("sotttt", "sonv", "stc", "sgddt", "syt", "vpubnd", "dongxoai", "binhlong", "locninh")
_LETTERS = "0123456789ABCDEF"


class Firewalls:
    """Twelve FortiGates and the traffic through them."""

    def __init__(self, random: Random, shares: tuple[float, ...]) -> None:
        self._random = random
        self._shares = shares
        self._sessions = [random.randrange(10**6, 10**8) for _ in range(12)]
        self._inside = [[f"10.{20 + device}.{random.randrange(8)}.{random.randrange(10, 250)}" for _ in range(333)] for device in range(12)]
        self._outside = [
            f"{random.choice((1, 14, 27, 42, 103, 113, 118, 171, 203, 222))}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
            for _ in range(20_000)
        ]
        self._country = {address: random.choice(_COUNTRIES) for address in self._outside}
        self._policies = [f"{random.getrandbits(32):08x}-5b1c-51ec-{random.getrandbits(16):04x}-9a7d0c2f{random.getrandbits(16):04x}" for _ in range(120)]
        self._stamp = (0, "")

    def line(self, at_s: float) -> str:
        """The next line, written at this time."""
        random = self._random
        device = random.randrange(12)
        second = int(at_s)
        if self._stamp[0] != second:
            self._stamp = (second, f"{datetime.fromtimestamp(second, LOCAL):date=%Y-%m-%d time=%H:%M:%S}")
        self._sessions[device] += 1 + int(random.random() * 3)
        inside = self._inside[device][int(random.random() ** 2 * 333)]
        outside = self._outside[int(random.random() ** 3 * 20_000)]
        kind = random.random()
        shares = self._shares
        body = (
            self._traffic(device, inside, outside)
            if kind < shares[0]
            else self._web(device, inside, outside)
            if kind < shares[1]
            else self._attack(device, outside)
            if kind < shares[2]
            else self._virus(device, inside, outside)
            if kind < shares[3]
            else self._login(device, inside)
        )
        priority = 188 + int(kind * 997) % 3
        return f'<{priority}>{self._stamp[1]} devname="BP-FGT-{device:02d}" devid="FG100FTK{20000000 + device}" eventtime={int(at_s * 1000 + random.random() * 49) * 1_000_000 + random.randrange(10**6)} tz="+0700" {body}'

    def _traffic(self, device: int, inside: str, outside: str) -> str:
        random = self._random
        number = random.random
        service, port, protocol = _SERVICES[int(number() * 9)]
        country = self._country[outside]
        if service == "DNS":  # names are asked of the provider's resolvers, as in life
            outside, country = _RESOLVERS[device % 2], "Vietnam"
        chance = number()
        action = "close" if chance < 0.5 else "accept" if chance < 0.75 else "deny" if chance < 0.87 else "timeout" if chance < 0.92 else "client-rst"
        policy = int(number() ** 2 * 120)
        sent, received, source_port = int(number() ** 3 * 200_000) + 60, int(number() ** 3 * 3_000_000), 1024 + int(number() * 64_000)
        line = (
            f'logid="0000000013" type="traffic" subtype="forward" level="{"warning" if action == "deny" else "notice"}" vd="root" srcip={inside} srcport={source_port} srcintf="port{device % 8 + 1}" '
            f'srcintfrole="lan" dstip={outside} dstport={port} dstintf="wan{1 + policy % 2}" dstintfrole="wan" srccountry="Reserved" dstcountry="{country}" sessionid={self._sessions[device]} '
            f'proto={protocol} action="{action}" policyid={policy + 1} policytype="policy" poluuid="{self._policies[policy]}" policyname="LAN to WAN {policy + 1}" service="{service}" trandisp="snat" '
            f'transip=103.45.{device}.10 transport={source_port} duration={int(number() ** 2 * 3600) + 1} sentbyte={sent} rcvdbyte={received} sentpkt={sent // 500 + 1} rcvdpkt={received // 900 + 1} appcat="unscanned"'
        )
        if number() < 0.4:
            host = inside.replace(".", "")
            line += f' srcname="PC-{host}" osname="Windows" mastersrcmac="00:1b:44:11:3a:{int(host) % 256:02x}"'
        return line

    def _web(self, device: int, inside: str, outside: str) -> str:
        random = self._random
        category, name = random.choice(_WEB)
        site = random.choice(_SITES)
        action = "blocked" if category in {26, 61} else "passthrough"
        return (
            f'logid="0316013056" type="utm" subtype="webfilter" eventtype="ftgd_blk" level="warning" vd="root" policyid={random.randrange(1, 121)} sessionid={self._sessions[device]} srcip={inside} '
            f'srcport={random.randrange(1024, 65_024)} dstip={outside} dstport=443 service="HTTPS" hostname="{site}" profile="default" action="{action}" reqtype="direct" url="https://{site}{self._path()}" '
            f'sentbyte={random.randrange(2000)} rcvdbyte=0 direction="outgoing" msg="URL belongs to a denied category in policy" method="domain" cat={category} catdesc="{name}" crscore=30 craction=4194304 crlevel="high"'
        )

    def _attack(self, device: int, outside: str) -> str:
        random = self._random
        attack, number, severity = random.choice(_ATTACKS)
        return (
            f'logid="0419016384" type="utm" subtype="ips" eventtype="signature" level="alert" vd="root" severity="{severity}" srcip={outside} srccountry="{self._country[outside]}" dstip=103.45.{device}.20 srcintf="wan1" '
            f'dstintf="dmz" policyid={random.randrange(1, 121)} sessionid={self._sessions[device]} action="{random.choice(("dropped", "detected", "reset"))}" proto=6 service="HTTP" attack="{attack}" '
            f'srcport={random.randrange(1024, 65_024)} dstport=443 hostname="{random.choice(_SITES)}" url="{self._path()}" direction="incoming" attackid={number} profile="protect_http_server" '
            f'ref="http://www.fortinet.com/ids/VID{number}" incidentserialno={random.randrange(10**9)} msg="applications3: {attack}" crscore=50 crlevel="critical"'
        )

    def _virus(self, device: int, inside: str, outside: str) -> str:
        random = self._random
        return (
            f'logid="0211008192" type="utm" subtype="virus" eventtype="infected" level="warning" vd="root" policyid={random.randrange(1, 121)} msg="File is infected." action="blocked" service="HTTP" '
            f'sessionid={self._sessions[device]} srcip={inside} dstip={outside} srcport={random.randrange(1024, 65_024)} dstport=80 proto=6 direction="incoming" filename="invoice \\"{random.randrange(999)}\\".doc" '
            f'quarskip="Quarantine-disabled" virus="{random.choice(_VIRUSES)}" dtype="Virus" url="http://{random.choice(_SITES)}{self._path()}" profile="g-default" analyticscksum="{random.getrandbits(256):064x}" crscore=50 crlevel="critical"'
        )

    def _login(self, device: int, inside: str) -> str:
        random = self._random
        good = random.random() < 0.9
        user = random.choice(("admin", "noc", "quantri"))
        return (
            f'logid="010003200{1 if good else 2}" type="event" subtype="system" level="{"information" if good else "alert"}" vd="root" logdesc="Admin login {"successful" if good else "failed"}" sn="0" user="{user}" '
            f'ui="https({inside})" method="https" srcip={inside} dstip=103.45.{device}.1 action="login" status="{"success" if good else "failed"}" reason="{"none" if good else "passwd_invalid"}" '
            f'msg="Administrator {user} login {"OK" if good else "failed"} from https({inside})"'
        )

    def _path(self) -> str:
        path = self._random.choice(_PATHS)
        return path % self._random.randrange(100_000) if "%d" in path else path


class Mail:
    """Three Postfix hosts with amavis; `lines` gives what they have written until a time, whole conversations in the end."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: list[tuple[float, int, str]] = []
        self._number = 0
        self._senders = [f"user{number}@{random.choice(_DOMAINS)}" for number in range(9000)]
        self._recipients = [f"cb{number:04d}.{random.choice(_AGENCIES)}@binhphuoc.gov.vn" for number in range(8023)]
        self._clients = [
            f"{random.choice((14, 27, 103, 113, 171, 203))}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}" for _ in range(4000)
        ]

    def line(self, at_s: float) -> str:
        """The next line in time order; a new conversation is begun where none is due."""
        while not self._due or self._due[0][0] > at_s:
            self._begin(at_s)
        return heappop(self._due)[2]

    def _say(self, at_s: float, host: int, program: str, text: str) -> None:
        moment = datetime.fromtimestamp(at_s, LOCAL)
        self._number += 1
        heappush(self._due, (at_s, self._number, f"<22>{moment:%b} {moment.day:2d} {moment:%H:%M:%S} mail{host} {program}: {text}"))

    def _begin(self, at_s: float) -> None:
        random = self._random
        host = random.randrange(1, 4)
        sender, client = self._senders[int(random.random() ** 2 * 9000)], self._clients[int(random.random() ** 2 * 4000)]
        recipients = [self._recipients[random.randrange(8023)] for _ in range(random.choice((1, 1, 1, 1, 2, 4)))]
        if random.random() < 0.4:
            self._refuse(at_s, host, sender, recipients[0], client)
        else:
            self._deliver(at_s, host, sender, recipients, client)

    def _refuse(self, at_s: float, host: int, sender: str, recipient: str, client: str) -> None:
        self._say(
            at_s,
            host,
            f"postfix/smtpd[{self._random.randrange(1000, 1200)}]",
            f"NOQUEUE: reject: RCPT from unknown[{client}]: 554 5.7.1 Service unavailable; Client host [{client}] blocked using zen.spamhaus.org; from=<{sender}> to=<{recipient}> proto=ESMTP helo=<mail.{sender.partition('@')[2]}>",
        )

    def _queue_id(self) -> str:
        return "".join(self._random.choices(_LETTERS, k=10))

    def _deliver(self, at_s: float, host: int, sender: str, recipients: list[str], client: str) -> None:
        random = self._random
        first, second, pid = self._queue_id(), self._queue_id(), random.randrange(1000, 1200)
        size, number = int(900 + random.random() ** 4 * 9_000_000), random.randrange(20)
        message_id = f"{random.getrandbits(64):x}@{sender.partition('@')[2]}"
        verdict = random.choices(("Passed CLEAN", "Blocked SPAM", f"Blocked INFECTED ({random.choice(_VIRUSES)})"), (80, 18, 2))[0]
        passed = verdict[0] == "P"
        smtpd, cleanup, qmgr, smtp = f"postfix/smtpd[{pid}]", f"postfix/cleanup[{pid + 200}]", f"postfix/qmgr[{900 + host}]", f"postfix/smtp[{pid + 400}]"
        say = self._say
        say(at_s, host, smtpd, f"{first}: client=mx{int(client.rpartition('.')[2]) % 99}.{sender.partition('@')[2]}[{client}]")
        say(at_s + 0.2, host, cleanup, f"{first}: message-id=<{message_id}>")
        say(at_s + 0.3, host, qmgr, f"{first}: from=<{sender}>, size={size}, nrcpt={len(recipients)} (queue active)")
        if passed:
            say(at_s + 1.0, host, smtpd, f"{second}: client=localhost[127.0.0.1]")
            say(at_s + 1.1, host, cleanup, f"{second}: message-id=<{message_id}>")
            say(at_s + 1.2, host, qmgr, f"{second}: from=<{sender}>, size={size + 480}, nrcpt={len(recipients)} (queue active)")
        say(
            at_s + 1.3,
            host,
            f"amavis[{pid + 600}]",
            f"({pid + 600:05d}-{number:02d}) {verdict} {{{'RelayedInbound' if passed else 'DiscardedInbound,Quarantined'}}}, [{client}]:{random.randrange(1024, 65_024)} [{client}] <{sender}> -> {','.join(f'<{to}>' for to in recipients)}, "
            f"Queue-ID: {first}, Message-ID: <{message_id}>, mail_id: {random.getrandbits(60):x}, Hits: {random.uniform(-2, 4) if passed else random.uniform(6, 25):.3f}, size: {size}, {f'queued_as: {second}, ' if passed else ''}{random.randrange(200, 9000)} ms",
        )
        answer = (
            f"(250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {second})"
            if passed
            else f"(250 2.7.0 Ok, discarded, id={pid + 600:05d}-{number:02d} - {'spam' if 'SPAM' in verdict else 'INFECTED'})"
        )
        for to in recipients:
            say(
                at_s + 1.4,
                host,
                smtp,
                f"{first}: to=<{to}>, relay=127.0.0.1[127.0.0.1]:10024, delay=1.4, delays=0.3/0/0/{random.random() * 9:.2f}, dsn=2.0.0, status=sent {answer}",
            )
        say(at_s + 1.5, host, qmgr, f"{first}: removed")
        if passed:
            for to in recipients:
                say(
                    at_s + 1.8,
                    host,
                    f"postfix/lmtp[{pid + 800}]",
                    f"{second}: to=<{to}>, relay=store1.binhphuoc.gov.vn[10.9.0.5]:7025, delay=0.6, delays=0.1/0/0.2/{random.random():.2f}, dsn=2.1.5, status=sent (250 2.1.5 Delivery OK)",
                )
            say(at_s + 2.0, host, qmgr, f"{second}: removed")


def lines(count: int, *, mail: float = 0.2, harsh: bool = False, seed: int = 20261120) -> Iterator[str]:
    """`count` lines, of which about the share `mail` come from mail gateways."""
    random = Random(seed)
    firewalls, gateways = Firewalls(random, HARSH if harsh else SHARES), Mail(random)
    for number in range(count):
        at_s = BEGIN_S + number * STEP_S
        yield gateways.line(at_s) if random.random() < mail else firewalls.line(at_s)


def write(path: Path, count: int, *, mail: float = 0.2, harsh: bool = False) -> None:
    """Write a file of lines; one that this very generator made with these arguments is kept."""
    mark = path.with_suffix(".made")
    wanted = f"{count} {mail} {harsh} {blake2b(Path(__file__).read_bytes(), digest_size=8).hexdigest()}"
    if path.exists() and mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return
    mark.unlink(missing_ok=True)
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        for line in lines(count, mail=mail, harsh=harsh):
            file.write(line + "\n")
    mark.write_text(wanted, encoding="utf-8")


def main() -> None:
    """Write a file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("count", type=int)
    options.add_argument("file", type=Path)
    options.add_argument("--mail", type=float, default=0.2)
    options.add_argument("--harsh", action="store_true")
    chosen = options.parse_args()
    write(chosen.file, chosen.count, mail=chosen.mail, harsh=chosen.harsh)


if __name__ == "__main__":
    main()
