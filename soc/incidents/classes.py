"""How incidents are classed: RSIT codes, and the Vietnamese group that each belongs to.

Source: ENISA Reference Security Incident Taxonomy v1003; groups N1-N9 are a proposal that the office may change, not law.
"""

from __future__ import annotations

RSIT: dict[str, tuple[str, ...]] = {
    "abusive-content": ("spam", "harmful-speech", "violence"),
    "malicious-code": ("infected-system", "c2-server", "malware-distribution", "malware-configuration"),
    "information-gathering": ("scanner", "sniffing", "social-engineering"),
    "intrusion-attempts": ("ids-alert", "brute-force", "exploit"),
    "intrusions": ("privileged-account-compromise", "unprivileged-account-compromise", "application-compromise", "system-compromise", "burglary"),
    "availability": ("dos", "ddos", "misconfiguration", "sabotage", "outage"),
    "information-content-security": ("unauthorised-information-access", "unauthorised-information-modification", "data-loss", "data-leak"),
    "fraud": ("unauthorised-use-of-resources", "copyright", "masquerade", "phishing"),
    "vulnerable": ("weak-crypto", "ddos-amplifier", "potentially-unwanted-accessible", "information-disclosure", "vulnerable-system"),
    "other": ("other", "undetermined"),
    "test": ("test",),
}
CODES = frozenset(f"{group}/{kind}" for group, kinds in RSIT.items() for kind in kinds)
GROUPS = {
    "N1": "mã độc",
    "N2": "xâm nhập, chiếm quyền",
    "N3": "từ chối dịch vụ",
    "N4": "lộ lọt, mất dữ liệu",
    "N5": "thay đổi, phá hoại nội dung",
    "N6": "lừa đảo, giả mạo",
    "N7": "nhà cung cấp",
    "N8": "vi phạm nội bộ",
    "N9": "khác",
}
_OF_GROUP = {"malicious-code": "N1", "intrusions": "N2", "intrusion-attempts": "N2", "fraud": "N6"}
_OF_CODE = {
    "availability/dos": "N3",
    "availability/ddos": "N3",
    "availability/sabotage": "N5",
    "information-content-security/unauthorised-information-modification": "N5",
    "information-content-security/data-leak": "N4",
    "information-content-security/data-loss": "N4",
    "information-content-security/unauthorised-information-access": "N4",
}
TLP = ("RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR")
"""Traffic Light Protocol 2.0, from the closest to the most open."""
SEVERITIES = ("critical", "high", "medium", "low")
LEGAL = ("undecided", "ordinary", "serious")
CHANNELS = ("telephone", "letter", "hotline", "mail", "alert", "national-centre", "in-person", "web", "other")
"""How an incident comes to us."""
FLAGS = ("personal_data", "national_security", "beyond_capacity", "complex")
"""What of an incident is either so or not, and bears on its clocks."""
NOTICE_CHANNELS = ("document", "mail", "webhook", "telephone", "paper")
"""How a notice goes out."""
ANSWERS = ("received", "acted", "verified")
"""How far a recipient of a notice is, in order, once it was sent."""


def group_of(rsit: str) -> str:
    """The Vietnamese group of an RSIT code ("" = none yet)."""
    if not rsit:
        return ""
    return _OF_CODE.get(rsit) or _OF_GROUP.get(rsit.partition("/")[0], "N9")
