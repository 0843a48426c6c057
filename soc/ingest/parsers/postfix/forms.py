"""Reads the messages that a mail gateway writes most at one go, by patterns made of samples.

A form is the text of a message with a kind of value at each place that differs: `$id: client=unknown[$ip]` (`form_texts`
has them all). What the values become is not said here again: the readers read a sample of the form, and a field that then
holds what stands at a place (as it is, converted, or with the text around it) is filled from that place for every message
of the form; all other fields are those of the sample. That is right as long as the readers treat all values of a kind
alike, so kinds are narrow: a message with any other value has no form and is read the long way. A test reads messages of
all forms both ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from soc.ingest.parsers.postfix.form_texts import KINDS, TEXTS, Kind
from soc.model.event import Doc
from soc.model.text import getter, searched_fields, texts_tokens

LONGEST = 2_000
"""Characters of a message that may have a form: readers cut values of longer ones."""
# Reference: the texts of `form_texts`: `$` and the name of one of its kinds is a place.
_PLACE = re.compile(r"\$([a-z]+)")

Reader = Callable[[str], Doc]
"""Gives the document of a message."""


class Form:
    """One form of message: the pattern of it, two samples, and which groups of the pattern are places and which are longer values."""

    __slots__ = ("groups", "literals", "matches", "samples")

    def __init__(self, text: str, read: Reader) -> None:
        pieces = _PLACE.split(text)
        self.literals = " ".join(pieces[::2])
        kinds = [KINDS[name] for name in pieces[1::2]]
        self.samples = _sample(pieces, kinds, 1), _sample(pieces, kinds, 51)
        sample, places = self.samples[0]
        pattern, self.groups = _pattern(sample, list(zip(places, kinds, strict=True)), _longer(read(sample), sample, places))
        self.matches = re.compile(pattern, re.ASCII).fullmatch

    def values(self, message: str) -> Sequence[str]:
        """What stands at the groups of a message.

        Raises: ValueError for a message that is not of this form.
        """
        match = self.matches(message)
        if match is None:
            raise ValueError("not of this form")
        return match.groups()


def _sample(pieces: Sequence[str], kinds: Sequence[Kind], first: int) -> tuple[str, list[slice]]:
    """A message of the form, and where its values stand. No two values of a sample are equal."""
    message, places = pieces[0], []
    for number, (kind, literal) in enumerate(zip(kinds, pieces[2::2], strict=True), first):
        value = kind.sample.format(n=number)
        places.append(slice(len(message), len(message) + len(value)))
        message += value + literal
    return message, places


def _longer(doc: Doc, sample: str, places: Sequence[slice]) -> list[slice]:
    """Where the values of a document stand that hold places with the text around them."""
    values = {sample[place] for place in places}
    found = {value: sample.find(value) for value in doc.values() if isinstance(value, str) and value not in values}
    spans = [slice(at, at + len(value)) for value, at in found.items() if at >= 0 and value]
    return [span for span in spans if any(span.start <= place.start and place.stop <= span.stop for place in places)]


def _pattern(sample: str, places: Sequence[tuple[slice, Kind]], longer: Sequence[slice]) -> tuple[str, list[Kind | None]]:
    """The pattern with a group for each place and longer value; the kind of each group, None for a longer value."""
    begins, ends = Counter(span.start for span in longer), Counter(span.stop for span in longer)
    kinds = {place.start: (place.stop, kind) for place, kind in places}
    parts: list[str] = []
    groups: list[Kind | None] = []
    at = 0
    while at < len(sample):
        parts.append(")" * ends[at] + "(" * begins[at])
        groups += [None] * begins[at]
        if at in kinds:
            at, kind = kinds[at]
            parts.append(f"({kind.pattern})")
            groups.append(kind)
        else:
            parts.append(re.escape(sample[at]))
            at += 1
    return "".join(parts) + ")" * ends[at], groups


class Template:
    """How the document of a message of one form becomes, under one program of one host."""

    __slots__ = ("before", "converted", "doc", "fields", "known", "own", "texts", "tokens")

    def __init__(self, form: Form, read: Reader, apart: Sequence[str], before: str, head: str) -> None:
        """`apart`: fields that the caller fills in; `before`, `head`: what stands before and behind the time in the line.

        Raises: ValueError when a field of the samples cannot be told from their values.
        """
        self.before = before
        first, second = (sample for sample, _ in form.samples)
        self.doc, other = read(first), read(second)
        both = form.values(first), form.values(second)
        if list(other) != list(self.doc):
            raise ValueError("the samples have other fields")
        places: dict[str, int] = {}
        self.converted: list[tuple[str, int, Callable[[str], Any]]] = []
        constant: list[Any] = [form.literals, before, head]
        searched = set(searched_fields(self.doc))
        for field, value in self.doc.items():
            if field in apart:
                continue
            for place, kind in enumerate(form.groups):
                if all(said == values[place] for said, values in zip((value, other[field]), both, strict=True)):
                    places[field] = place
                    break
                convert = _converting(kind, [values[place] for values in both], [value, other[field]])
                if convert is not None:
                    self.converted.append((field, place, convert))
                    break
            else:
                if value != other[field]:
                    raise ValueError(f"where {field} comes from is not known")
                constant += [value] if field in searched else []
        self.fields, self.texts = tuple(places), getter(list(places.values()))
        """The fields that are taken as they stand at a place, and what takes out their values."""
        self.own = getter([place for place, kind in enumerate(form.groups) if kind and kind.tokens is None])
        """Takes out the values that are their own tokens."""
        self.known = [(place, kind.tokens) for place, kind in enumerate(form.groups) if kind and kind.tokens is not None]
        """The places of the others, and what gives their tokens."""
        self.tokens = texts_tokens(constant)
        """Those that do not depend on the values."""

    def fill(self, values: Sequence[str]) -> Doc:
        """The document of a message with these values; the fields that are `apart` are those of the sample."""
        doc = self.doc.copy()
        doc.update(zip(self.fields, self.texts(values)))  # noqa: B905 - `strict` would cost as much as a field
        for field, place, convert in self.converted:
            doc[field] = convert(values[place])
        return doc

    def tokens_of(self, values: Sequence[str], *more: str) -> str:
        """The tokens of a line with these values, with `more`."""
        found = " ".join((self.tokens, *more, *self.own(values), *[tokens(values[place]) for place, tokens in self.known]))
        return " ".join(found.split()) if "  " in found or found[-1] == " " else found  # a value without a token


def _converting(kind: Kind | None, said: list[str], became: list[Any]) -> Callable[[str], Any] | None:
    """What made of the values at a place what the fields of both samples hold; None where nothing of its kind does."""
    for convert in kind.converts if kind is not None else ():
        if list(map(convert, said)) == became:
            return convert
    return None


class _Entry:
    """A form, made when the first message comes that has all that tells it from others, and how many messages had it."""

    __slots__ = ("form", "hits", "telling", "text")

    def __init__(self, text: str, telling: list[str]) -> None:
        self.text, self.telling, self.hits = text, telling, 0
        self.form: Form | None = None


class Forms:
    """All forms, found by how a message begins, those that are met most first."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        texts: dict[str, list[str]] = {}
        for text in TEXTS:
            texts.setdefault(_beginning(text), []).append(text)
        self._entries = {beginning: _entries(some) for beginning, some in texts.items()}

    def find(self, message: str) -> tuple[Form, Sequence[str]] | None:
        """The form of a message and its values; None for a message without a form."""
        entries = self._entries.get(_beginning(message))
        if entries is None or len(message) > LONGEST:
            return None
        for at, entry in enumerate(entries):
            for literal in entry.telling:
                if literal not in message:
                    break
            else:
                form = entry.form
                if form is None:
                    form = entry.form = Form(entry.text, self._read)
                match = form.matches(message)
                if match is not None:
                    entry.hits += 1
                    if at and entries[at - 1].hits < entry.hits:
                        entries[at - 1], entries[at] = entry, entries[at - 1]
                    return form, match.groups()
        return None


def _entries(texts: Sequence[str]) -> list[_Entry]:
    """Forms, each with what stands in its messages and not in those of all others, the last first: looking for that is quicker than a pattern that fails."""
    literals = [_PLACE.split(text)[::2] for text in texts]
    common = {"", *set.intersection(*map(set, literals))}
    return [_Entry(text, [literal for literal in reversed(pieces) if literal not in common]) for text, pieces in zip(texts, literals, strict=True)]


def _beginning(message: str) -> str:
    """What tells forms apart quickest: four characters after the queue id, the level of a warning, or the first character."""
    at = message.find(" ", 0, 28)  # no queue id is longer than 26
    if at <= 0 or message[at - 1] != ":":
        return message[:1]
    return message[at + 1 : at + 5] if message[:at] != "warning:" else "warning"
