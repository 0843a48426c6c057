"""Which texts every match of a regular expression contains: what lets an index find its rule without asking it.

Only expressions that RE2 has accepted come here. Read conservatively: whatever is not plainly understood gives no
texts, and then the rule is asked more often than needed, never less. The texts are ASCII, in lower case, because only
of ASCII it is certain that the folded value of an event still contains them (see `soc.rules.index`).
"""

from __future__ import annotations

import re

Words = frozenset[str]
"""One of these is in every match."""

LEAST = 2
"""Shorter texts are in almost every value."""
MOST_CHARS = 4
"""Characters of a class that are taken one by one."""
MOST_RUN = 32
"""Texts that such classes may make of one."""
MOST = 200
"""More alternatives than this tell little."""
_COMMON = frozenset(" \\/.-_:;,=\"'()@")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
# Reference: RE2 syntax, "Escape sequences" and "Empty strings": what stands for no single literal.
_CLASSES = frozenset("dDwWsSbBAz")
_EMPTY = frozenset("bBAz")
# Reference: RE2 syntax, "Grouping": (?:, (?flags), (?flags:, (?P<name>, (?<name>.
_GROUP = re.compile(r"\(\?(?:P?<\w+>|[imsU]*(?:-[imsU]*)?(?P<end>[:)]))", re.ASCII)
# Reference: RE2 syntax, "Repetitions": {n}, {n,}, {n,m}; anything else in braces is literal.
_TIMES = re.compile(r"\{(\d{1,4})(?:,\d{0,4})?\}", re.ASCII)


class _NotRead(Exception):
    """The expression holds something that this reader does not know."""


def required(pattern: str) -> Words | None:
    """Lower-case ASCII texts of which each match contains one; None when there are none of use."""
    try:
        found = _Reader(pattern).read()
    except (_NotRead, RecursionError):
        return None
    return found if found and all(map(telling, found)) else None


def fewest(pattern: str) -> int:
    """The fewest characters of a match, as far as they can be told; 0 when they cannot.

    In an expression that is not read to its end nothing is known.
    """
    reader = _Reader(pattern)
    try:
        reader.read()
    except (_NotRead, RecursionError):
        return 0
    return reader.fewest


def telling(text: str) -> bool:
    """Whether a text is worth looking for: one letter or common sign is in almost every value."""
    return len(text) >= LEAST or not text.isascii() or (text != "" and text not in _COMMON and not text.isalnum())


def better(one: Words | None, other: Words | None) -> Words | None:
    """Of two sets the one that is rarer: of longer texts, then of fewer."""
    if not one or not other:
        return one or other
    return max(one, other, key=lambda words: (min(6, *map(len, words)), -len(words), sorted(words)))


class _Reader:
    """A walk through one expression, left to right."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self.fewest = 0
        """The fewest characters that what was read last takes."""

    def read(self) -> Words | None:
        found = self._alternatives()
        if self._at < len(self._text):
            raise _NotRead
        return found

    def _alternatives(self) -> Words | None:
        branches = [self._sequence()]
        fewest = self.fewest
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
            fewest = min(fewest, self.fewest)
        self.fewest = fewest
        if any(not words for words in branches):
            return None
        together = frozenset().union(*(words for words in branches if words))
        return together if len(together) <= MOST else None

    def _sequence(self) -> Words | None:
        best: Words | None = None
        run = _NOTHING
        fewest = 0
        while (char := self._peek()) and char not in "|)":
            chars, words = self._item()
            least, plain = self._repeated()
            fewest += self.fewest * least
            if chars and plain and len(run) * len(chars) <= MOST_RUN:
                run = frozenset(word + each for word in run for each in chars)
                continue
            if chars and least:
                if len(run) * len(chars) <= MOST_RUN:
                    best = better(best, frozenset(word + each for word in run for each in chars))
                best, run = better(best, _word(run)), frozenset(chars)  # of `ab+c` both `ab` and `bc` are needed
                continue
            best, run = better(best, _word(run)), _NOTHING
            if words and least:
                best = better(best, words)
        self.fewest = fewest
        return better(best, _word(run))

    def _item(self) -> tuple[frozenset[str], Words | None]:
        """The next item: the characters of which it is one, or the words that a group needs, or neither."""
        char = self._text[self._at]
        if char == "(":
            return _NONE, self._group()
        self.fewest = int(char not in "^$")
        if char == "[":
            return self._class(), None
        self._at += 1
        if char == "\\":
            return self._escape(), None
        if char in ".^$":
            return _NONE, None
        if char in "*+?":
            raise _NotRead
        return _lower(char), None

    def _group(self) -> Words | None:
        if self._text.startswith("(?", self._at):
            head = _GROUP.match(self._text, self._at)
            if head is None:
                raise _NotRead
            self._at = head.end()
            if head["end"] == ")":
                self.fewest = 0
                return None
        else:
            self._at += 1
        found = self._alternatives()
        if self._peek() != ")":
            raise _NotRead
        self._at += 1
        return found

    def _class(self) -> frozenset[str]:
        """The characters of a class when they are few and plainly written, else none; it is read over in any case."""
        at = self._at + 1
        negated = self._text[at : at + 1] == "^"
        at += negated
        begin = at
        plain = not negated
        chars: set[str] = set()
        while at == begin or self._text[at : at + 1] != "]":
            char = self._text[at : at + 1]
            if not char:
                raise _NotRead
            if self._text.startswith("[:", at):
                end = self._text.find(":]", at)
                if end < 0:
                    raise _NotRead
                at, plain = end + 2, False
                continue
            if char == "\\":
                at += 1
                char = self._text[at : at + 1]
                if char in {"Q", "E", ""}:
                    raise _NotRead
                plain = plain and not char.isalnum()
            elif char == "-" and at != begin:
                plain = False
            if not _lower(char):
                plain = False
            chars |= _lower(char)
            at += 1
        self._at = at + 1
        return frozenset(chars) if plain and len(chars) <= MOST_CHARS else _NONE

    def _escape(self) -> frozenset[str]:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char in _CONTROL:
            return frozenset({_CONTROL[char]})
        if char in _CLASSES:
            self.fewest = int(char not in _EMPTY)
            return _NONE
        if not char or char.isalnum() or not char.isascii():
            raise _NotRead
        return _lower(char)

    def _repeated(self) -> tuple[int, bool]:
        """How often at least the item before stands there, and whether just once (no repetition follows)."""
        char = self._peek()
        times = _TIMES.match(self._text, self._at) if char == "{" else None
        if times:
            least = int(times[1])
            self._at = times.end()
            if times[0] == "{1}" and self._peek() not in set("?*+{"):
                return 1, True
        elif char and char in "*+?":
            least = int(char == "+")
            self._at += 1
        else:
            return 1, True
        if self._peek() == "?":
            self._at += 1
        if (after := self._peek()) and (after in "*+" or _TIMES.match(self._text, self._at)):
            raise _NotRead
        return least, False

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]


_NONE: frozenset[str] = frozenset()
_NOTHING = frozenset({""})


def _lower(char: str) -> frozenset[str]:
    """A character that the folded value contains too, none for one of which that is not certain (`?` may stand for a lone surrogate)."""
    return frozenset({char.lower()}) if char.isascii() and char != "?" else _NONE


def _word(run: Words) -> Words | None:
    return None if "" in run else run
