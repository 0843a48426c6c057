"""Scenes of single incidents, as log lines that end now: what the pages that walk through an incident begin with.

The same seed gives the same lines. Names and addresses are invented or from the documentation ranges (RFC 5737, RFC 6761), of which the sample
registry has some for itself;
mailboxes and agencies are those of the sample registry (`soc agencies sample`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from importlib.resources import files as files_of
from importlib.resources.abc import Traversable
from random import Random

import msgspec

from soc.application.demo.traffic import DOMAIN, Gateway, MailHost, Timed

MAIL, FIREWALL = ("thu-dien-tu", "postfix"), ("tuong-lua", "fortinet_fortigate")
"""Source and product of the two kinds of files."""


SAMPLE = ("agencies", "points", "people", "systems", "mailboxes")
"""The files of the sample registry, in the order in which they are imported."""


def sample_file(kind: str) -> Traversable:
    """A file of the sample registry."""
    return files_of("soc.organization").joinpath("sample", f"{kind}.csv")


def _mailboxes() -> list[str]:
    """The personal mailboxes of the sample registry."""
    rows = sample_file("mailboxes").read_text(encoding="utf-8").splitlines()[1:]
    return [address for address, _, shared in (row.split(",") for row in rows) if not shared]


class File(msgspec.Struct, frozen=True):
    """Lines of one source in the order of their times."""

    source: str
    product: str
    lines: Sequence[str]


class Scene(msgspec.Struct, frozen=True):
    """An incident as it stands in the logs. `make(seed, end)`: its files, of which the last line is not later than `end`."""

    name: str
    title: str
    make: Callable[[int, datetime], list[File]]
    silent_s: float = 0.0
    """How long before now the lines end, and nothing was heard since."""


def _file(kind: tuple[str, str], timed: list[Timed]) -> File:
    return File(*kind, [line for _, line in sorted(timed, key=lambda one: one[0])])


_SUBJECTS = (
    "Xác minh tài khoản thư công vụ số {n}",
    "XÁC MINH tài khoản thư công vụ số {n}!",
    "Re: Xac minh tai khoan thu cong vu so {n}",
    "[SPAM] Xác minh tài khoản thư công vụ số {n}",
)


def spam_wave(seed: int, end: datetime) -> list[File]:
    """5,000 mails of 300 senders with 40 subjects within 80 minutes, 60 of them delivered, among ordinary mail."""
    random = Random(seed)
    begin = end - timedelta(minutes=90)
    host, mailboxes = MailHost(random, begin), _mailboxes()
    timed: list[Timed] = []
    passed = set(random.sample(range(5_000), 60))
    for number in range(5_000):
        sender = f"thong-bao{number % 300:03d}@cap-nhat-thu.example"
        subject = _SUBJECTS[number % 4].format(n=100 + number // 4 % 10 * 7)
        verdict, hits = ("Passed SPAMMY", 5.4) if number in passed else ("Blocked SPAM", 13.0)
        client = f"192.0.2.{1 + number % 120}"
        timed += host.message(300 + number * 0.96, sender, [mailboxes[number % len(mailboxes)]], subject, client, verdict, hits, 18_000)
    for number in range(120):
        timed += host.message(random.uniform(0, 5_390), f"van-thu{number % 9}@bo-mau.example", [random.choice(mailboxes)], "Báo cáo tuần", "198.51.100.220")
    return [_file(MAIL, timed)]


def account_taken_over(seed: int, end: datetime) -> list[File]:
    """A commune's mailbox: its password is guessed, then it sends from four networks under the names of others, 120 mails in ten minutes."""
    random = Random(seed)
    host, mailboxes = MailHost(random, end - timedelta(minutes=60)), _mailboxes()
    account, attacker = next(address for address in mailboxes if ".x-long-hoa@" in address), "192.0.2.66"
    timed: list[Timed] = []
    for number in range(40):
        timed += host.message(
            random.uniform(0, 3_500), f"van-thu{number % 9}@bo-mau.example", [random.choice(mailboxes)], "Giấy mời họp giao ban", "198.51.100.220"
        )
    for number in range(14):
        timed += host.login_failure(300 + number * 40, account, attacker)
    for number in range(120):
        client = attacker if number < 10 else f"{('192.0.2', '198.51.100', '203.0.113', '198.18.7')[number % 4]}.{random.randrange(200, 250)}"
        sender = account if number % 3 else f"phong{number % 8}@{DOMAIN}"
        timed += host.message(1_500 + number * 5, sender, [f"khach{number:03d}@cong-ty-mau.example"], "Hóa đơn quá hạn", client, account=account)
    return [_file(MAIL, timed)]


def gateway_silent(seed: int, end: datetime) -> list[File]:
    """Two hours of ordinary mail, the last of them six hours and a half ago; then nothing."""
    random = Random(seed)
    host, mailboxes = MailHost(random, end - timedelta(hours=2)), _mailboxes()
    timed: list[Timed] = []
    for number in range(240):
        timed += host.message(number * 29.8, f"van-thu{number % 9}@bo-mau.example", [random.choice(mailboxes)], "Lịch công tác tháng", "198.51.100.220")
    return [_file(MAIL, timed)]


def wrong_rule(seed: int, end: datetime) -> list[File]:
    """Ten hours of ordinary traffic of a printer server that 20,000 times does what a rule written in haste calls an attack."""
    random = Random(seed)
    gateway = Gateway(4, end - timedelta(hours=10), name="FGT-SO-TC", serial="FGT40FTK23000004")
    timed: list[Timed] = []
    for number in range(20_000):
        inside = f"10.60.4.{number % 250 + 1}"
        timed.append(
            gateway.line(
                number * 1.79 + random.random(),
                189,
                f'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip={inside} srcport={30000 + number % 20000} srcintf="port2" srcintfrole="lan" '
                f'dstip=10.9.0.40 dstport=9100 dstintf="port5" dstintfrole="lan" sessionid={900000 + number} proto=6 action="close" policyid=7 policytype="policy" service="tcp/9100" '
                f'dstcountry="Reserved" srccountry="Reserved" duration=3 sentbyte={random.randrange(3_000, 90_000)} rcvdbyte=800 sentpkt=20 rcvdpkt=9 appcat="unscanned"',
            )
        )
    return [_file(FIREWALL, timed)]


def machine_encrypted(seed: int, end: datetime) -> list[File]:
    """A department's computer calls a command server every minute for an hour before its files are locked."""
    random = Random(seed)
    gateway = Gateway(9, end - timedelta(minutes=80), name="FGT-SO-YT", serial="FGT40FTK23000009")
    inside, outside = "10.60.9.45", "192.0.2.90"
    timed = [
        gateway.line(
            600 + number * 60 + random.random() * 2,
            185,
            f'logid="0422016400" type="utm" subtype="ips" eventtype="botnet" level="warning" vd="root" msg="Botnet C&C Communication." severity="critical" srcip={inside} srccountry="Reserved" dstip={outside} '
            f'dstcountry="Reserved" srcintf="port2" srcintfrole="lan" dstintf="wan1" dstintfrole="wan" sessionid={820000 + number} action="detected" srcport={50000 + number} dstport=443 proto=6 service="HTTPS" '
            f'direction="outgoing" policyid=14 attack="LockBit.Botnet" attackid=7630412 ref="http://www.fortinet.com/be?bid=7630412" incidentserialno={33200000 + number} crscore=50 craction=4 crlevel="critical"',
        )
        for number in range(60)
    ]
    return [_file(FIREWALL, timed)]


SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        Scene("spam-wave", "5,000 mails of one campaign, 60 of them delivered", spam_wave),
        Scene("account-takeover", "a mailbox is entered after guessing and sends for a stranger", account_taken_over),
        Scene("gateway-silent", "the mail gateway has said nothing for six hours", gateway_silent, silent_s=6.5 * 3600),
        Scene("wrong-rule", "20,000 ordinary lines, which a rule written in haste calls an attack", wrong_rule),
        Scene("ransomware", "a computer that calls a command server, an hour before its files are locked", machine_encrypted),
    )
}


def files(scene: Scene, seed: int, now: datetime) -> list[File]:
    """The files of a scene as they would be now."""
    return scene.make(seed, now - timedelta(seconds=scene.silent_s))
