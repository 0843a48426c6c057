"""What a text names that can be looked for: addresses, domains, URLs, hashes, mail addresses, file names; also written harmlessly.

`hxxp://xấu[.]example/a` means the URL that it says. A text is cut into words once and each word is looked at once, so the cost
grows with the length of the text and with nothing else; what is longer than the bounds is left out.
Source: RFC 3986 (URL), RFC 5890 (IDN), RFC 5321 (mail), RFC 4291 (IPv6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

TYPES = ("ip", "domain", "url", "hash", "email", "file")
MOST_TEXT = 1_048_576
"""Characters of one text that are looked at."""
MOST_FOUND = 5_000
"""Different observables of one text."""
LONGEST = 2_048
_LONGEST_HOST = 253
_LONGEST_LABEL = 63
_LONGEST_ADDRESS = 50
_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}

# Reference: every observable holds one of `.`, `:`, `@` between two other characters, a bracket instead of it, or is a hash
_MAYBE = re.compile(r"\S[.:@]\S|[\[({]|[0-9a-fA-F]{32}")
# Reference: how analysts write what nobody should click: hxxp, [.] (.) {.} [dot] (dot), [:], [@] [at] (at), [://]
_DOTS = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\{dot\}|\[,\]", re.IGNORECASE)
_ATS = re.compile(r"\[@\]|\(@\)|\[at\]|\(at\)|\{at\}", re.IGNORECASE)
_COLONS = re.compile(r"\[:\]|\[://\]|\[:/\]/?", re.IGNORECASE)
_SCHEME = re.compile(r"h(?:xx|\*\*|XX)p(s?)(?=:)", re.IGNORECASE)
# Reference: what no URL holds unescaped (RFC 3986, 2), and what texts put around it
_SPACES = re.compile(r"[\s<>\"`|\\^\x00-\x1f\u200b-\u200f\u2028-\u202e\u2060\ufeff“”«»]+")
_BREAKS = re.compile(r"([,;()\[\]{}=']+)")
# Reference: the name of a field, as in `observer.name=FGT-1`
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,200}")
_AROUND = ".,:;!?…'\"*_-"
_HEX = re.compile(r"[0-9a-fA-F]{32,128}")
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_FILE = re.compile(r"[\w][\w .()+@-]{0,200}", re.UNICODE)
_EXTENSIONS_TEXT = """
exe dll scr sys com bat cmd ps1 psm1 vbs vbe js jse wsf wsh hta jar msi msix lnk iso img vhd cab apk elf sh py php asp aspx jsp zip
rar 7z gz tar ace doc docx docm xls xlsx xlsm xlsb ppt pptx pptm rtf pdf one chm cpl reg inf svg html htm shtml mht eml msg
"""
_EXTENSIONS = frozenset(_EXTENSIONS_TEXT.split())
_ALSO_DOMAINS = frozenset({"com", "zip", "py", "sh"})
"""Extensions that are top-level domains as well: `hoadon.zip` is taken for a file, `example.com` for a domain."""
_FILES_FIRST = frozenset({"zip", "py", "sh"})


class Observable(NamedTuple):
    """One thing to look for. Domains are in their ASCII form (`xn--…`), hashes and addresses in small letters."""

    type: str
    value: str


@lru_cache(maxsize=1)
def top_levels() -> frozenset[str]:
    """The top-level domains that a word of running text may end in."""
    text = files("soc.intel").joinpath("data/top_levels.txt").read_text(encoding="ascii")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def extract(text: str) -> list[Observable]:
    """What a text names, in the order in which it first stands there; what a URL or a mail address holds is told beside it."""
    found: dict[Observable, None] = {}
    for one in every(text):
        if one not in found and len(found) < MOST_FOUND:
            found[one] = None
    return list(found)


def every(text: str) -> Iterator[Observable]:
    """Each time that something is named, for counting."""
    if not _MAYBE.search(text):  # most notes name nothing
        return
    text = _refanged(text[:MOST_TEXT])
    for word in _SPACES.split(text):
        if _MAYBE.search(word):
            yield from _of_word(word)


def _refanged(text: str) -> str:
    """The text as it would be without the care of who wrote it."""
    if not any(mark in text for mark in "[({*xX"):
        return text
    return _SCHEME.sub(r"http\1", _COLONS.sub(lambda match: "://" if "/" in match[0] else ":", _ATS.sub("@", _DOTS.sub(".", text))))


def _of_word(word: str) -> Iterator[Observable]:
    begin = word.find("://")
    if begin > 0:
        for scheme in ("https", "http", "ftp"):
            if word[:begin].lower().endswith(scheme):
                yield from _of_url(word[begin - len(scheme) :], scheme)
                return
    pieces = _BREAKS.split(word)
    for part, after in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        bare = part.strip(_AROUND)
        whole = part.strip(_AROUND.replace(":", "")) if "::" in part else ""  # `2001:db8::`: there they belong to it
        if whole and len(whole) <= _LONGEST_ADDRESS and _address(whole) is not None:
            bare = whole
        if 2 <= len(bare) <= LONGEST:  # noqa: PLR2004 - `::`
            field = after.startswith("=") and _FIELD.fullmatch(part)  # `observer.name=FGT-1` names no domain
            yield from (one for one in _of_part(bare) if not field or one.type != "domain")


def _of_part(part: str) -> Iterator[Observable]:
    if _HEX.fullmatch(part) and len(part) in _HASHES:
        yield Observable("hash", part.lower())
    elif "@" in part:
        local, _, host = part.removeprefix("mailto:").rpartition("@")
        domain = _domain(host)
        if domain and _LOCAL.fullmatch(local):
            yield Observable("email", f"{local.lower()}@{domain}")
    elif (address := _address(part)) is not None:
        yield Observable("ip", address)
    else:
        yield from _of_name(part)


def _of_name(part: str) -> Iterator[Observable]:
    """A domain (`evil.example`, with port or path) or a file (`C:/x/hoadon.exe`)."""
    host, slash, path = part.partition("/")
    host = host.partition(":")[0] if host[1:2] != ":" else ""
    ending = part.rpartition(".")[2].lower()
    last = part.replace("\\", "/").rpartition("/")[2]
    if ending in _EXTENSIONS and (ending not in _ALSO_DOMAINS or ending in _FILES_FIRST) and "." in last and _FILE.fullmatch(last):
        yield Observable("file", last.lower())
        if not (slash and path):
            return
    domain = _domain(host) if host and not host.isupper() else ""
    if domain and domain.rpartition(".")[2] in top_levels():
        yield Observable("domain", domain)


def _of_url(text: str, scheme: str) -> Iterator[Observable]:
    """A URL whose host is an address or a domain, and that host."""
    text = text.rstrip(_AROUND + ")]}").partition("#")[0]
    if len(text) > LONGEST:
        return
    rest = text[len(scheme) + 3 :]
    authority, mark, path = _authority(rest)
    host, port = _host(authority.rpartition("@")[2])
    address = _address(host)
    name = address or _domain(host)
    if not name:
        return
    shown = f"[{name}]" if address and ":" in address else name
    yield Observable("url", f"{scheme}://{shown}{port}{mark}{path}" if mark else f"{scheme}://{shown}{port}/")
    yield Observable("ip" if address else "domain", name)


def _authority(rest: str) -> tuple[str, str, str]:
    at = min((place for mark in "/?" if (place := rest.find(mark)) >= 0), default=-1)
    return (rest, "", "") if at < 0 else (rest[:at], rest[at], rest[at + 1 :])


def _host(authority: str) -> tuple[str, str]:
    """Host and `:port` ("" = none)."""
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        return host, rest if re.fullmatch(r":\d{1,5}", rest) else ""
    host, colon, port = authority.partition(":")
    return host, f":{port}" if colon and port.isdigit() and len(port) <= 5 else ""  # noqa: PLR2004 - 65535


def _address(text: str) -> str | None:
    """The address or network of a word (with a port: without it)."""
    if not text or not set(text) <= set("0123456789abcdefABCDEF.:/%"):
        return None
    if text.count(":") == 1:
        text = text.partition(":")[0]
    if "." not in text and text.count(":") < 2:  # noqa: PLR2004 - the shortest way to write IPv6 is `::1`
        return None
    try:
        if "/" in text:
            network = ip_network(text, strict=False)
            return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
        address = ip_address(text)
        return None if address.is_unspecified else str(address)
    except ValueError:
        return None


def _domain(text: str) -> str:
    """The ASCII form of a domain name, "" when it is none."""
    text = text.strip(".").lower()
    if not text or len(text) > _LONGEST_HOST or "." not in text:
        return ""
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    labels = text.split(".")
    if any(len(label) > _LONGEST_LABEL or not _LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return ""
    return text if len(labels[-1]) > 1 else ""


def read(value: str, type_: str = "") -> Observable | None:
    """The one observable that a text is (of this type); None when it is none or several."""
    if type_ == "file":
        name = value.strip().replace("\\", "/").rpartition("/")[2].lower()
        return Observable("file", name) if name and len(name) <= _LONGEST_HOST and name.isprintable() else None
    if type_ == "domain":
        domain = _domain(_refanged(value.strip()))
        return Observable("domain", domain) if domain else None
    found = extract(value.strip())
    fitting = [one for one in found if not type_ or one.type == type_]
    return fitting[0] if fitting and (type_ or len(found) == 1 or found[0].type == "url") else None


FIELDS: Mapping[str, tuple[str, ...]] = {
    "ip": ("source.ip", "destination.ip", "host.ip", "client.ip", "server.ip", "dns.resolved_ip", "email.from.ip"),
    "domain": ("url.domain", "dns.question.name", "destination.domain", "source.domain", "tls.client.server_name"),
    "url": ("url.original", "url.full"),
    "hash": ("file.hash.sha256", "file.hash.sha1", "file.hash.md5", "process.hash.sha256", "process.hash.sha1", "process.hash.md5"),
    "email": ("email.from.address", "email.sender.address", "email.reply_to.address"),
    "file": ("file.name", "email.attachments.file.name"),
}
"""Type → the fields of events that hold it, both for reading what an event names and for looking for it."""


def of_event(doc: Mapping[str, Any]) -> Iterator[Observable]:
    """What a flat event names."""
    for type_, names in FIELDS.items():
        for name in names:
            for value in _strings(doc.get(name)):
                one = read(value[:LONGEST], type_)
                if one is not None:
                    yield one


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    return (one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def defanged(one: Observable) -> str:
    """The value as it may be mailed: nobody can click it, and no program takes it for an address."""
    if one.type == "url":
        head, _, rest = one.value.partition("://")
        host, mark, path = _authority(rest)
        return f"{head.replace('tt', 'xx')}://{host.replace('.', '[.]')}{mark}{path}"
    if one.type in ("ip", "domain"):
        return one.value.replace(".", "[.]") if "." in one.value else one.value.replace(":", "[:]", 1)
    return one.value.replace("@", "[@]").replace(".", "[.]") if one.type == "email" else one.value


def hash_kind(value: str) -> str:
    """`md5`, `sha1`, `sha256` or `sha512`, by the length of a hash."""
    return _HASHES.get(len(value), "")
