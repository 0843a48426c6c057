"""Text rules that everything shares: what may be displayed, and what a search finds.

One tokenizer feeds both stores, so a query gives the same ids on each. Folding makes `truong` find `Trường` and
`dang` find `đăng`: NFKD, combining marks dropped, đ→d, case folded (no library folds đ: it has no decomposition).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_D = str.maketrans({"đ": "d", "Đ": "d"})
_FOLDED: dict[str, str] = {}
_MOST_FOLDED = 65_536


def vi_fold(text: str) -> str:
    """`text` without case, accents and the stroke of đ: what searches compare. ASCII text is only lower-cased."""
    if text.isascii():
        return text.lower()
    known = _FOLDED.get(text)
    if known is not None:
        return known
    folded = "".join(c for c in unicodedata.normalize("NFKD", text.casefold().translate(_D)) if not unicodedata.combining(c)).translate(_D).casefold()
    if len(text) <= 64:  # noqa: PLR2004 - words repeat, whole messages do not
        if len(_FOLDED) >= _MOST_FOLDED:
            _FOLDED.clear()
        _FOLDED[text] = folded
    return folded


# A token is a run of characters that people type as one thing: words, addresses, host names, paths' parts, hashes.
# Everything else separates. Inner . : @ - _ / stay, so that 10.0.0.1, a@b.vn and fe80::1 are one token each.
_RUN = re.compile(r"[^\s\"'`<>()\[\]{},;|=!?*&#%^~$\\+/\x00-\x1f\x7f]+")
_PART = re.compile(r"[^\W_]+", re.UNICODE)
_EDGE = ".:-_@"
MOST_TOKEN = 128
"""Longer tokens are cut: nobody types them, and attackers write them."""
MOST_TOKENS = 4096
"""Per event."""


def tokens_of(text: str) -> set[str]:
    """The folded tokens of a text: each run, and the letter-bearing parts of a compound run (`mail`, `evil`, `com` of `mail.evil.com`)."""
    out: set[str] = set()
    add_tokens(text, out)
    return out


def add_tokens(text: str, out: set[str]) -> None:
    """Add the folded tokens of `text` to `out`, at most `MOST_TOKENS` in all."""
    for run in _RUN.findall(vi_fold(text)):
        token = run.strip(_EDGE)
        if not token:
            continue
        out.add(token[:MOST_TOKEN])
        if not token.isalnum():
            for part in _PART.findall(token):
                if not part.isdigit():
                    out.add(part[:MOST_TOKEN])
        if len(out) >= MOST_TOKENS:
            return


def text_tokens(texts: Iterable[str]) -> str:
    """The tokens of several texts, sorted and joined by single spaces: what both stores index."""
    out: set[str] = set()
    for text in texts:
        add_tokens(text, out)
    return " ".join(sorted(out))


# Control characters (C0, C1, DEL), line separators, bidirectional controls, zero-width and other format characters,
# variation selectors, lone surrogates, unassigned tags. Reference: Unicode TR 36, CVE-2021-42574.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def display_safe(value: Any, *, most: int = 0) -> str:
    """Text that may be shown: NFC, everything that could steer a terminal or hide shown as `\\xNN`, cut at `most` characters.

    The one function for it; nothing that comes from outside reaches a terminal, a document or a log without it.
    """
    text = value if isinstance(value, str) else str(value)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if most and len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isprintable() and text.isascii() else _UNSAFE.sub(_escape, text)
