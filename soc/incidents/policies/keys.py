"""What a group's key says in people's words: `thiết bị FG-XA-01, địa chỉ nguồn 203.0.113.7`.

A field without a word of its own is told as it is called, `name=value`, so that own rules may group by whatever they like.
"""

from __future__ import annotations

from collections.abc import Mapping

from soc.incidents.document import Words

MOST_KEY = 500
"""Characters."""

FIELDS: dict[str, Words] = {
    "destination.domain": Words("tên miền đích", "destination domain"),
    "destination.ip": Words("địa chỉ đích", "destination address"),
    "destination.port": Words("cổng đích", "destination port"),
    "dns.question.name": Words("tên miền được hỏi", "domain asked for"),
    "email.from.address": Words("người gửi", "sender"),
    "email.to.address": Words("hộp thư nhận", "recipient"),
    "file.hash.sha256": Words("tệp có SHA-256", "file with SHA-256"),
    "file.name": Words("tệp", "file"),
    "fortinet.firewall.attack": Words("kiểu tấn công", "attack"),
    "fortinet.firewall.virus": Words("mã độc", "malware"),
    "host.ip": Words("máy", "computer"),
    "host.name": Words("máy", "computer"),
    "mailbox": Words("hộp thư", "mailbox"),
    "observer.name": Words("thiết bị", "device"),
    "path": Words("tệp", "file"),
    "rule": Words("quy tắc", "rule"),
    "rule.name": Words("mẫu nhận dạng", "signature"),
    "soc.agency.id": Words("cơ quan", "agency"),
    "soc.mail.campaign": Words("đợt thư", "wave of mails"),
    "soc.mail.delivered_to": Words("hộp thư nhận", "recipient"),
    "soc.network_point": Words("điểm mạng", "network point"),
    "soc.system.id": Words("hệ thống", "system"),
    "source": Words("nguồn", "source"),
    "source.ip": Words("địa chỉ nguồn", "source address"),
    "url.domain": Words("tên miền", "domain"),
    "user.email": Words("tài khoản", "account"),
    "user.name": Words("tài khoản", "account"),
    "victim": Words("máy bị hại", "victim"),
}
"""Fields that shipped rules group by."""


def key_text(key: Mapping[str, str], language: str, agencies: list[str]) -> str:
    """A group's key in a language, by field; what names the agencies of the group is left out, as texts name these themselves."""
    parts = []
    for name, value in sorted(key.items()):
        if name == "soc.agency.id" and value in agencies:
            continue
        words = FIELDS.get(name)
        parts.append(f"{words.of(language)} {value}" if words is not None else f"{name}={value}")
    return ", ".join(parts)[:MOST_KEY]
