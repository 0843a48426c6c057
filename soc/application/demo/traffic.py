"""A half-hour of made-up but realistic traffic, with two incidents in it; the same seed gives the same lines.

All outside addresses are from the documentation ranges (RFC 5737), all names are invented.
Shape: FortiOS 7.4 key=value syslog of six gateways; Postfix with amavis as on a Zimbra mail host.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random

LOCAL = timezone(timedelta(hours=7))
HALF_HOUR_S = 1800.0
Timed = tuple[float, str]
"""Seconds since the beginning, and the line."""

POINTS = ("so-noi-vu", "so-tai-chinh", "so-y-te", "ubnd-dong-phu", "ubnd-loc-ninh", "trung-tam-du-lieu")
SERVICES = (("HTTPS", 443, 6), ("HTTPS", 443, 6), ("HTTPS", 443, 6), ("HTTP", 80, 6), ("DNS", 53, 17), ("NTP", 123, 17), ("SMTP", 25, 6), ("QUIC", 443, 17))
SITES = ("dichvucong.gov.vn", "vnexpress.net", "dantri.com.vn", "update.microsoft.com", "zalo.me", "baochinhphu.vn", "fonts.gstatic.com", "www.google.com")
SUBJECTS = (
    "Báo cáo tuần",
    "Giấy mời họp giao ban",
    "V/v rà soát hồ sơ",
    "Lịch công tác tháng",
    "Xin ý kiến dự thảo kế hoạch",
    "Kết quả kiểm tra",
    "Thông báo nghỉ lễ",
)
SPAM_SUBJECTS = ("Giảm giá 70% hôm nay", "You have won", "Cheap watches", "Vay tiền nhanh không thế chấp", "Re: invoice overdue")
DEPARTMENTS = ("snv", "stc", "syt", "sgddt", "vpubnd", "dongphu", "locninh")
DOMAIN = "tinh-mau.gov.vn"


class Gateway:
    """One FortiGate: knows its name, serial number and clock."""

    def __init__(self, index: int, begin: datetime, *, name: str = "", serial: str = "") -> None:
        self.name = name or f"FGT-{POINTS[index]}"
        self.serial = serial or f"FG100FTK2000{index:04d}"
        self.index = index
        self._begin = begin

    def line(self, at: float, priority: int, fields: str) -> Timed:
        moment = (self._begin + timedelta(seconds=at)).astimezone(LOCAL)
        nanoseconds = round(moment.timestamp() * 1e6) * 1000
        return at, (
            f'<{priority}>date={moment:%Y-%m-%d} time={moment:%H:%M:%S} devname="{self.name}" devid="{self.serial}" eventtime={nanoseconds} tz="+0700" {fields}'
        )


def firewall_lines(seed: int, begin: datetime) -> Iterator[str]:
    """FortiGate lines in time order: about 5,000 of ordinary traffic, and the first incident."""
    random = Random(seed)
    gateways = [Gateway(index, begin) for index in range(len(POINTS))]
    for _, line in heapq.merge(sorted(_traffic(random, gateways)), sorted(_intrusion(random, gateways[5]))):
        yield line


def _outside(random: Random) -> str:
    return f"{random.choice(('192.0.2', '198.51.100', '203.0.113'))}.{random.randrange(1, 250)}"


def _traffic(random: Random, gateways: list[Gateway]) -> Iterator[Timed]:
    for _ in range(5000):
        gateway = random.choice(gateways)
        at = random.uniform(0, HALF_HOUR_S)
        inside = f"10.{20 + gateway.index}.{random.randrange(4)}.{random.randrange(10, 200)}"
        session = random.randrange(10**6, 10**9)
        if random.random() < 0.03:
            yield gateway.line(at, 188, _web_filter(random, inside, session))
            continue
        service, port, protocol = random.choice(SERVICES)
        action = random.choices(("close", "accept", "deny", "timeout"), (60, 25, 10, 5))[0]
        yield gateway.line(
            at,
            188 if action == "deny" else 189,
            f'logid="0000000013" type="traffic" subtype="forward" level="{"warning" if action == "deny" else "notice"}" vd="root" srcip={inside} srcport={random.randrange(1024, 65535)} srcintf="port2" '
            f'srcintfrole="lan" dstip={_outside(random)} dstport={port} dstintf="wan1" dstintfrole="wan" sessionid={session} proto={protocol} action="{action}" policyid={random.randrange(1, 20)} policytype="policy" '
            f'service="{service}" dstcountry="Vietnam" srccountry="Reserved" trandisp="snat" duration={random.randrange(1, 300)} sentbyte={random.randrange(60, 20000)} rcvdbyte={random.randrange(0, 300000)} '
            f'sentpkt={random.randrange(1, 40)} rcvdpkt={random.randrange(1, 60)} appcat="unscanned"',
        )


def _web_filter(random: Random, inside: str, session: int) -> str:
    category, name = random.choice(((37, "Social Networking"), (25, "Streaming Media and Download"), (26, "Malicious Websites")))
    return (
        f'logid="0316013056" type="utm" subtype="webfilter" eventtype="ftgd_blk" level="warning" vd="root" policyid=5 sessionid={session} srcip={inside} srcport={random.randrange(1024, 65535)} srcintf="port2" '
        f'dstip={_outside(random)} dstport=443 dstintf="wan1" proto=6 service="HTTPS" hostname="{random.choice(SITES) if category != 26 else "cap-nhat-phan-mem.example"}" profile="default" action="blocked" reqtype="direct" '
        f'url="/" sentbyte=517 rcvdbyte=0 direction="outgoing" msg="URL belongs to a denied category in policy" method="domain" cat={category} catdesc="{name}" crscore=30 craction=4194304 crlevel="high"'
    )


def _intrusion(random: Random, gateway: Gateway) -> Iterator[Timed]:
    """The first incident: a web server of the data center is attacked, gives in, and calls home."""
    attacker, server = "203.0.113.66", "10.25.0.21"
    start = 700.0
    for step in range(24):
        yield gateway.line(
            start + step * 4 + random.random(),
            188,
            f'logid="0000000013" type="traffic" subtype="forward" level="warning" vd="root" srcip={attacker} srcport={40000 + step} srcintf="wan1" srcintfrole="wan" dstip=198.51.100.20 dstport={(22, 23, 3389, 445, 8080, 8443)[step % 6]} '
            f'dstintf="dmz" dstintfrole="dmz" sessionid={700000 + step} proto=6 action="deny" policyid=0 policytype="policy" service="tcp" dstcountry="Vietnam" srccountry="Reserved" duration=0 sentbyte=0 rcvdbyte=0 appcat="unscanned"',
        )
    for step, action in enumerate(("dropped", "dropped", "detected", "detected", "dropped", "detected")):
        yield gateway.line(
            start + 150 + step * 9,
            185,
            f'logid="0419016384" type="utm" subtype="ips" eventtype="signature" level="alert" vd="root" severity="critical" srcip={attacker} srccountry="Reserved" dstip={server} dstcountry="Reserved" srcintf="wan1" srcintfrole="wan" '
            f'dstintf="dmz" dstintfrole="dmz" sessionid={710000 + step} action="{action}" proto=6 service="HTTPS" policyid=12 attack="Apache.Log4j.Error.Log.Remote.Code.Execution" srcport={45000 + step} dstport=443 '
            f'hostname="motcua.{DOMAIN}" url="/login" direction="outgoing" attackid=51006 profile="bao-ve-may-chu" ref="http://www.fortinet.com/ids/VID51006" incidentserialno={33000000 + step} '
            f'msg="applications3: Apache.Log4j.Error.Log.Remote.Code.Execution" crscore=50 craction=4096 crlevel="critical"',
        )
    for step in range(12):
        yield gateway.line(
            start + 260 + step * 60 + random.random() * 3,
            185,
            f'logid="0422016400" type="utm" subtype="ips" eventtype="botnet" level="warning" vd="root" msg="Botnet C&C Communication." severity="critical" srcip={server} srccountry="Reserved" dstip={attacker} dstcountry="Reserved" '
            f'srcintf="dmz" srcintfrole="dmz" dstintf="wan1" dstintfrole="wan" sessionid={720000 + step} action="detected" srcport={50000 + step} dstport=4444 proto=6 service="tcp/4444" direction="outgoing" '
            f'policyid=14 attack="CobaltStrike.Beacon" attackid=7630212 ref="http://www.fortinet.com/be?bid=7630212" incidentserialno={33100000 + step} crscore=50 craction=4 crlevel="critical"',
        )
    for step, (status, level) in enumerate((("failed", "alert"),) * 5 + (("success", "information"),)):
        yield gateway.line(
            start + 500 + step * 6,
            185 if status == "failed" else 190,
            f'logid="01000320{"02" if status == "failed" else "01"}" type="event" subtype="system" level="{level}" vd="root" logdesc="Admin login {"failed" if status == "failed" else "successful"}" sn="0" user="admin" '
            f'ui="https({attacker})" method="https" srcip={attacker} dstip=198.51.100.1 action="login" status="{status}" reason="{"passwd_invalid" if status == "failed" else "none"}" '
            f'msg="Administrator admin {"login failed" if status == "failed" else "logged in successfully"} from https({attacker})"',
        )


class MailHost:
    """One Postfix host with amavis: writes the lines of whole messages."""

    def __init__(self, random: Random, begin: datetime) -> None:
        self._random = random
        self._begin = begin
        self._pid = 2000

    def _stamp(self, at: float) -> str:
        moment = (self._begin + timedelta(seconds=at)).astimezone(LOCAL)
        return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S}"

    def _line(self, at: float, program: str, text: str) -> Timed:
        return at, f"<22>{self._stamp(at)} mx1 {program}: {text}"

    def _queue_id(self) -> str:
        letters = "BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789"
        return "4" + "".join(self._random.choice(letters) for _ in range(10)) + "z" + self._random.choice(letters) * 2

    def message(
        self,
        at: float,
        sender: str,
        recipients: list[str],
        subject: str,
        client: str,
        verdict: str = "Passed CLEAN",
        hits: float = -1.2,
        size: int = 0,
        account: str = "",
    ) -> Iterator[Timed]:
        """The lines of one message through smtpd → amavis → delivery; `account`: who logged in to hand it in."""
        random = self._random
        self._pid += 3
        first, second = self._queue_id(), self._queue_id()
        size = size or random.randrange(2_000, 400_000)
        message_id = f"{random.getrandbits(64):x}@{sender.partition('@')[2]}"
        to = ",".join(f"<{recipient}>" for recipient in recipients)
        yield self._line(
            at, f"postfix/smtpd[{self._pid}]", f"{first}: client=unknown[{client}]" + (f", sasl_method=LOGIN, sasl_username={account}" if account else "")
        )
        yield self._line(at + 0.2, f"postfix/cleanup[{self._pid + 1}]", f"{first}: message-id=<{message_id}>")
        yield self._line(at + 0.3, "postfix/qmgr[990]", f"{first}: from=<{sender}>, size={size}, nrcpt={len(recipients)} (queue active)")
        blocked = verdict.startswith("Blocked")
        queued_as = "" if blocked else f", queued_as: {second}"
        if not blocked:
            yield self._line(at + 1.0, f"postfix/smtpd[{self._pid + 2}]", f"{second}: client=localhost[127.0.0.1]")
            yield self._line(at + 1.1, f"postfix/cleanup[{self._pid + 1}]", f"{second}: message-id=<{message_id}>")
            yield self._line(at + 1.2, "postfix/qmgr[990]", f"{second}: from=<{sender}>, size={size + 480}, nrcpt={len(recipients)} (queue active)")
        action = "DiscardedInbound,Quarantined" if blocked else "RelayedInbound"
        yield self._line(
            at + 1.3,
            f"amavis[{self._pid}]",
            f"({self._pid}-{self._pid % 20:02d}) {verdict} {{{action}}}, [{client}]:{random.randrange(1024, 65535)} [{client}] <{sender}> -> {to}, Queue-ID: {first}, Message-ID: <{message_id}>, mail_id: {random.getrandbits(60):x}, "
            f'Hits: {hits:.3f}, size: {size}{queued_as}, Subject: "{subject}", From: <{sender}>, {random.randrange(300, 4000)} ms',
        )
        why = "INFECTED: Win.Trojan.Agent-36452" if "INFECTED" in verdict else "spam"
        for recipient in recipients:
            answer = (
                f"(250 2.7.0 Ok, discarded, id={self._pid}-{self._pid % 20:02d} - {why})"
                if blocked
                else f"(250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {second})"
            )
            yield self._line(
                at + 1.4,
                f"postfix/smtp[{self._pid + 1}]",
                f"{first}: to=<{recipient}>, relay=127.0.0.1[127.0.0.1]:10024, delay=1.4, delays=0.3/0/0/1.1, dsn=2.0.0, status=sent {answer}",
            )
        yield self._line(at + 1.5, "postfix/qmgr[990]", f"{first}: removed")
        if not blocked:
            for recipient in recipients:
                yield self._line(
                    at + 1.8,
                    f"postfix/lmtp[{self._pid + 2}]",
                    f"{second}: to=<{recipient}>, relay=store1.{DOMAIN}[10.9.0.5]:7025, delay=0.6, delays=0.1/0/0.2/0.3, dsn=2.1.5, status=sent (250 2.1.5 Delivery OK)",
                )
            yield self._line(at + 2.0, "postfix/qmgr[990]", f"{second}: removed")

    def reject(self, at: float, sender: str, recipient: str, client: str) -> Iterator[Timed]:
        """A connection refused because of a block list."""
        self._pid += 1
        yield self._line(
            at,
            f"postfix/smtpd[{self._pid}]",
            f"NOQUEUE: reject: RCPT from unknown[{client}]: 554 5.7.1 Service unavailable; Client host [{client}] blocked using zen.spamhaus.org; from=<{sender}> to=<{recipient}> proto=ESMTP helo=<mail.{sender.partition('@')[2]}>",
        )

    def login_failure(self, at: float, account: str, client: str) -> Iterator[Timed]:
        """A wrong password at submission."""
        self._pid += 1
        yield self._line(
            at,
            f"postfix/submission/smtpd[{self._pid}]",
            f"warning: unknown[{client}]: SASL LOGIN authentication failed: authentication failure, sasl_username={account}",
        )


def mail_lines(seed: int, begin: datetime) -> Iterator[str]:
    """Mail log lines in time order: ordinary mail, spam, and the second incident, a phishing wave."""
    random = Random(seed + 1)
    host = MailHost(random, begin)
    timed: list[Timed] = []
    for _ in range(260):
        sender = f"nguoi.gui{random.randrange(400)}@{random.choice(('bo-mau.example', 'cong-ty-mau.example', DOMAIN))}"
        recipients = [f"cb{random.randrange(8023):04d}.{random.choice(DEPARTMENTS)}@{DOMAIN}" for _ in range(random.choice((1, 1, 1, 2, 4)))]
        timed += host.message(random.uniform(0, HALF_HOUR_S), sender, recipients, random.choice(SUBJECTS), _outside(random))
    for _ in range(90):
        sender, recipient = f"promo{random.randrange(999)}@quang-cao.example", f"cb{random.randrange(8023):04d}.{random.choice(DEPARTMENTS)}@{DOMAIN}"
        timed += host.message(
            random.uniform(0, HALF_HOUR_S), sender, [recipient], random.choice(SPAM_SUBJECTS), _outside(random), "Blocked SPAM", random.uniform(7, 24)
        )
    for _ in range(120):
        timed += host.reject(
            random.uniform(0, HALF_HOUR_S), f"bulk{random.randrange(999)}@spam.example", f"cb{random.randrange(8023):04d}.snv@{DOMAIN}", _outside(random)
        )
    timed += _phishing_wave(random, host)
    for _, line in sorted(timed, key=lambda item: item[0]):
        yield line


def _phishing_wave(random: Random, host: MailHost) -> Iterator[Timed]:
    """The second incident: a phishing wave in Vietnamese, partly delivered; an infected attachment; a password guessed."""
    client = "198.51.100.77"
    for step in range(40):
        recipient = f"cb{1000 + step * 7:04d}.{DEPARTMENTS[step % len(DEPARTMENTS)]}@{DOMAIN}"
        passed = step % 8 == 0
        yield from host.message(
            900 + step * 5 + random.random(),
            f"ho-tro{step % 5}@hopthu-capnhat.example",
            [recipient],
            "Khẩn: Xác minh tài khoản hộp thư trước 17h hôm nay",
            client,
            "Passed SPAMMY" if passed else "Blocked SPAM",
            5.6 if passed else 14.2,
        )
    for step in range(4):
        yield from host.message(
            1150 + step * 11,
            "ke.toan@hopthu-capnhat.example",
            [f"cb{2000 + step:04d}.stc@{DOMAIN}"],
            "Hóa đơn tháng này",
            client,
            "Blocked INFECTED (Win.Trojan.Agent-36452)",
            0.0,
        )
    for step in range(15):
        yield from host.login_failure(1300 + step * 3, f"cb1056.snv@{DOMAIN}", client)
