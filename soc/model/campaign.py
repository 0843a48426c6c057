"""What the mails of one campaign have in common, as short readable keys: who changes one part of a wave is found by another.

A wave sends one subject, link or attachment from many networks, with numbers, names, accents, letters of other scripts
and invisible characters changed from mail to mail. Each part that is known makes a key of its own; the sending network
makes one only where nothing else is known, since a wave of a botnet has hundreds of them.
Shape: `subject xac minh tai khoan truoc #h`, `link evil.example`, `file 9f86d081884c7d65…`, `content aabbcc…`,
`network 198.51.100.0/24 evil.example`.
Cost: 15 µs for a new subject with accents, 0.1 µs for one seen before; linear in its length, of which 256 characters are read
(0.3 ms for the worst of them).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from soc.model.text import vi_fold

MOST_SUBJECT = 96
"""Characters of a normalised subject that are kept."""
MOST_READ = 256
FEWEST_LETTERS = 6
"""A subject with fewer letters (`hi`, `Re:`) tells nothing apart."""
MOST_KEYS = 8
_NETWORK_V4, _NETWORK_V6 = 24, 48

# Reference: Unicode TR 39, confusables.txt: the letters of Cyrillic and Greek that look like Latin ones.
_LOOK_ALIKE = str.maketrans("авеікмнорстухѕјԁɡһοαρντυκιεχ", "abeikmhopctyxsjdghoapvtukiex")
# Reference: RFC 5322 section 3.6.5 (`Re: `); what mail programs write in Vietnamese and other languages of the office.
_PREFIX = re.compile(r"(?:re|fw|fwd|tr|aw|wg|sv|tra loi|chuyen tiep|phan hoi)\s?(?:\[\d{1,3}\]|\(\d{1,3}\))?\s?[:：]")
# Reference: SpamAssassin `rewrite_header Subject`, amavis `$sa_spam_subject_tag`: what filters and gateways put before.
_TAG = re.compile(r"(?:\*{2,8}[^*]{1,24}\*{2,8}|\[(?:spam|external|ngoai|canh bao|bulk|suspicious|ext)[^\]]{0,16}\])")
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,128}")
# Ticket numbers, tokens and hashes that a wave draws anew for each mail: letters and digits mixed, or six hexadecimal digits and more.
_TOKEN = re.compile(r"\b(?=[a-z]{0,40}[0-9])[a-z0-9]{6,64}\b")
_DIGITS = re.compile(r"[0-9][0-9.,/:]*")
_REST = re.compile(r"[^a-z0-9#@]+")
_MOST_PREFIXES = 8


@lru_cache(maxsize=8192)
def subject_key(subject: str) -> str:
    """A subject as all mails of its campaign would have it; "" when too little is left to tell campaigns apart.

    Folded (case, accents, letters that look alike, full-width forms), without `Re:`, `Fwd:` and the tags of filters,
    without emoji and invisible characters; runs of digits and tokens are `#`, addresses `@`.
    """
    text = "".join(char for char in unicodedata.normalize("NFKC", subject[:MOST_READ]) if unicodedata.category(char) not in _INVISIBLE)
    text = vi_fold(text).translate(_LOOK_ALIKE).strip()
    for _ in range(_MOST_PREFIXES):
        found = _PREFIX.match(text) or _TAG.match(text)
        if found is None:
            break
        text = text[found.end() :].lstrip()
    text = _DIGITS.sub("#", _TOKEN.sub("#", _ADDRESS.sub("@", text)))
    words = [word for word in _REST.split(text) if word]
    words = [word for before, word in zip(["", *words], words, strict=False) if word != "#" or before != "#"]  # dates and numbers are written in many ways
    key = " ".join(words)[:MOST_SUBJECT].rstrip()
    letters = sum(map(str.isalpha, key))
    return key if letters >= FEWEST_LETTERS else ""


# Control, format, surrogate, private, unassigned; symbols (emoji), modifiers. Marks are what folding drops.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk"))


@lru_cache(maxsize=8192)
def network_of(address: str) -> str:
    """The network that an address sends from: /24 of IPv4, /48 of IPv6; "" for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((found, _NETWORK_V4 if found.version == 4 else _NETWORK_V6), strict=False))  # noqa: PLR2004 - the versions of IP


def campaign_keys(
    *, subject: str = "", links: Iterable[str] = (), files: Iterable[str] = (), content: str = "", address: str = "", sender: str = ""
) -> list[str]:
    """The keys of a mail, the most telling first, at most `MOST_KEYS`.

    `links`: host names; `files`: hashes of attachments; `content`: a filter's digest of the text; `address`: of the sending server.
    """
    keys = [f"subject {key}"] if (key := subject_key(subject)) else []
    keys += [f"link {host}" for link in links if (host := _host(link))]
    keys += [f"file {digest.lower()[:64]}" for digest in files if digest]
    if content:
        keys.append(f"content {content.lower()[:64]}")
    if not keys and (network := network_of(address)):
        domain = sender.rpartition("@")[2].lower()[:128]
        keys.append(f"network {network} {domain}".rstrip())
    return list(dict.fromkeys(keys))[:MOST_KEYS]


def _host(link: str) -> str:
    """The host name of a link, without `www.`, port and final dot."""
    host = link.rpartition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2].partition(":")[0]
    return host.strip(".").lower().removeprefix("www.")[:253]
