"""Reads the messages that a mail gateway writes most at one go, by patterns made of samples.

A form is the text of a message with a kind of value at each place that differs: `$id: client=unknown[$ip]`. What the
values become is not said here again: the readers read a sample of the form, and a field that then holds what stands at
a place (as it is, converted, or with the text around it) is filled from that place for every message of the form; all
other fields are those of the sample. That is right as long as the readers treat all values of a kind alike, so kinds are
narrow: a message with any other value has no form and is read the long way. A test reads messages of all forms both ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from soc.model.event import Doc
from soc.model.text import getter, known_tokens, searched_fields, texts_tokens

LONGEST = 2_000
"""Characters of a message that may have a form: readers cut values of longer ones."""


class Kind(NamedTuple):
    """What may stand at a place: a pattern (ASCII), a value for samples by number, the other shape in which readers give it, and its tokens (None: it is its own)."""

    pattern: str
    sample: str
    convert: Callable[[str], Any] | None = None
    tokens: Callable[[str], str] | None = known_tokens


def _word(text: str) -> str:
    return text.lower() if text.isalnum() else known_tokens(text)


def _unsigned(text: str) -> str:
    return text.removeprefix("-")


def _one(text: str) -> list[str]:
    return [text]


def _recipients(text: str) -> list[str]:
    return text[1:-1].split(">,<")


def _recipients_tokens(text: str) -> str:
    return " ".join(map(known_tokens, text[1:-1].split(">,<")))


def _milliseconds(text: str) -> int:
    return int(text) * 1_000_000


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = r"[\w.+=-]{1,64}@[\w.-]{1,190}"
_COMMAND = r"(?![a-z]{0,16}auth=)[a-z]{1,16}=\d{1,9}(?:/\d{1,9})?"
# Reference: as the readers' own patterns: `queued.is_queue_id`, `address._ENDPOINT`, `amavis._VERDICT`, Postfix src/smtpd/smtpd.c.
KINDS = {
    "id": Kind(r"[0-9A-F]{5,20}|(?=[A-Za-z]{0,25}[0-9])[0-9A-Za-z]{10,26}", "4Bq{n:03d}zQx7Lk", tokens=str.lower),
    "ip": Kind(rf"{_OCTET}(?:\.{_OCTET}){{3}}", "192.0.2.{n}", tokens=None),
    "port": Kind(r"[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}", "40{n:02d}", int, tokens=None),
    "count": Kind(r"\d{1,9}", "700{n:02d}", tokens=None),
    "decimal": Kind(r"\d{1,9}(?:\.\d{1,9})?", "{n}.31", tokens=None),
    "signed": Kind(r"-?\d{1,9}(?:\.\d{1,9})?", "-{n}.57", tokens=_unsigned),
    "ms": Kind(r"\d{1,9}", "800{n:02d}", _milliseconds, tokens=None),
    "dsn": Kind(r"\d\.\d{1,3}\.\d{1,3}", "2.{n}.77", tokens=None),
    "address": Kind(_ADDRESS, "user{n}@d{n}.example.org", _one),
    "recipients": Kind(rf"<{_ADDRESS}>(?:,<{_ADDRESS}>){{0,9}}", "<a{n}@r.example.org>,<b{n}@r.example.org>", _recipients, _recipients_tokens),
    "mid": Kind(r"[\w.@$%+=/-]{1,190}", "m{n}$x@message.example.org"),
    "host": Kind(r"(?!unknown\[|[A-Za-z0-9.-]{256})[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){0,8}", "mx{n}.host.example.org"),
    "helo": Kind(r"[\w.-]{1,190}|\[[\d.]{7,15}\]", "helo{n}.example.org"),
    "name": Kind(r"[\w-]{1,64}", "name{n}x", tokens=_word),
    "task": Kind(r"\d{1,10}-\d{1,4}(?:-\d{1,4})?", "{n:05d}-17", tokens=None),
    "list": Kind(r"[\w.-]{1,190}", "dnsbl{n}.example.org"),
    "names": Kind(r"[A-Za-z0-9,:-]{1,200}", "Flag{n},Other"),
    "words": Kind(r"[!-~]+(?: (?!as )[!-~]+)*", "some {n} words"),
    "commands": Kind(rf"{_COMMAND}(?: {_COMMAND}){{0,16}}", "ehlo=1 mail={n}/90 quit=1"),
    "cipher": Kind(r"[\w.-]{1,64}", "CIPHER{n}_AES-GCM"),
    "failure": Kind(r"(?![!-~ ]*sasl_username=)[!-~]+(?: [!-~]+)*", "failure {n}"),
    "stage": Kind(r"[A-Z]{2,16}", "STAGE"),
}
_DELAYS = "delay=$decimal, delays=$decimal/$decimal/$decimal/$decimal, dsn=$dsn"
_PEERS = ("$host[$ip]", "unknown[$ip]")
_RELAYS = ("$host[$ip]:$port", "$ip[$ip]:$port", "$name")
_REFUSED = "554 5.7.1 Service unavailable; Client host [$ip] blocked using $list"
TEXTS = (
    *(f"$id: client={peer}" for peer in _PEERS),
    "$id: message-id=<$mid>",
    "$id: from=<$address>, size=$count, nrcpt=$count (queue active)",
    "$id: from=<>, size=$count, nrcpt=$count (queue active)",
    "$id: removed",
    *(
        f"$id: to=<$address>, relay={relay}, {_DELAYS}, status={status}"
        for status in ("sent ($words queued as $id)", "sent ($words)", "deferred ($words)", "bounced ($words)")
        for relay in _RELAYS
    ),
    *(
        f"NOQUEUE: reject: RCPT from {peer}: {_REFUSED}{why}; from=<$address> to=<$address> proto=ESMTP helo=<$helo>"
        for peer in _PEERS
        for why in ("", "; $words")
    ),
    *(f"connect from {peer}" for peer in _PEERS),
    *(f"disconnect from {peer}{commands}" for peer in _PEERS for commands in ("", " $commands")),
    *(f"lost connection after $stage from {peer}" for peer in _PEERS),
    *(
        f"{trust} TLS connection established {way} {peer}: TLSv{version} with cipher $cipher ($words"
        for trust in ("Anonymous", "Untrusted", "Trusted")
        for way, peers in (("from", _PEERS), ("to", ("$host[$ip]:$port",)))
        for peer in peers
        for version in ("1.2", "1.3")
    ),
    *(f"warning: {peer}: SASL {method} authentication failed: $failure" for peer in _PEERS for method in ("LOGIN", "PLAIN")),
    "warning: hostname $host does not resolve to address $ip",
    "warning: hostname $host does not resolve to address $ip: $words",
    *(
        f"($task) {verdict} {{$names}}, [$ip]:$port [$ip] <$address> -> $recipients, Queue-ID: $id, Message-ID: <$mid>, mail_id: $name, "
        f"Hits: $signed, size: $count, {queued}$ms ms"
        for verdict in ("Passed CLEAN", "Passed SPAMMY", "Blocked SPAM")
        for queued in ("queued_as: $id, ", "")
    ),
)
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
                if kind and kind.convert and [value, other[field]] == [kind.convert(values[place]) for values in both]:
                    self.converted.append((field, place, kind.convert))
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


class Forms:
    """All forms, found by how a message begins; their patterns are made when the first such message comes."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self._texts: dict[str, list[str]] = {}
        for text in TEXTS:
            self._texts.setdefault(_beginning(text), []).append(text)
        self._forms: dict[str, list[tuple[list[str], Form]]] = {}

    def find(self, message: str) -> tuple[Form, Sequence[str]] | None:
        """The form of a message and its values; None for a message without a form."""
        beginning = _beginning(message)
        forms = self._forms.get(beginning)
        if forms is None:
            if beginning not in self._texts:
                return None
            forms = self._forms[beginning] = self._made(self._texts[beginning])
        if len(message) <= LONGEST:
            for telling, form in forms:
                for literal in telling:
                    if literal not in message:
                        break
                else:
                    match = form.matches(message)
                    if match is not None:
                        return form, match.groups()
        return None

    def _made(self, texts: Sequence[str]) -> list[tuple[list[str], Form]]:
        """Forms, each with what stands in its messages and not in those of all others, the last first: looking for that is quicker than a pattern that fails."""
        literals = [_PLACE.split(text)[::2] for text in texts]
        common = set.intersection(*map(set, literals))
        return [
            ([literal for literal in reversed(pieces) if literal not in common], Form(text, self._read)) for text, pieces in zip(texts, literals, strict=True)
        ]


def _beginning(message: str) -> str:
    """What tells forms apart quickest: four characters after the queue id, the level of a warning, or the first character."""
    if message[:9] == "warning: ":
        return "warning"
    at = message.find(": ", 0, 28)  # no queue id is longer than 26
    return message[at + 2 : at + 6] if at > 0 else message[:1]
