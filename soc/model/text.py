"""Text rules that everything shares: what may be displayed, and what a search finds.

One tokenizer feeds both stores, so a query gives the same ids on each. Folding makes `truong` find `Trường` and
`dang` find `đăng`: NFKD, combining marks dropped, đ→d, case folded (no library folds đ: it has no decomposition).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, filterfalse, islice
from operator import itemgetter
from typing import Any

_D = str.maketrans({"đ": "d", "Đ": "d"})
_FOLDED: dict[str, str] = {}
_MOST_FOLDED = 16_384


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


# A token is a run of characters that people type as one thing: words, addresses, host names, hashes, versions.
# Everything but letters, digits and _ separates; . : - @ stay inside a run, so 10.0.0.1, a@b.vn and fe80::1 are one token each.
_INSIDE = "_.:-@"
_RUN = re.compile(r"[\w.:@-]+")
_RUN_BYTES = bytes(ord(chr(code).lower()) if code < 0x80 and (chr(code).isalnum() or chr(code) in _INSIDE) else 0x20 for code in range(256))  # noqa: PLR2004 - ASCII
_PART = re.compile(r"[^\W_]+")
_UUID_LENGTH, _UUID_DASHES = 36, 4
MOST_TOKEN = 128
"""Longer tokens are cut: nobody types them, and attackers write them."""
MOST_TOKENS = 4096
"""Per event."""
_SEPARATORS = frozenset(chr(code) for code in range(128) if _RUN_BYTES[code] == 0x20)  # noqa: PLR2004 - ASCII
"""What cannot belong to a token (beyond ASCII anything may: folding may split or join)."""
_MOST_COMPOUNDS = 16_384


class _Compounds(dict[str, tuple[str, ...]]):
    """The tokens of runs that are not letters and digits only; as a dict it holds those that repeat, and works out others by itself."""

    __slots__ = ()

    def __missing__(self, run: str) -> tuple[str, ...]:
        return _compound(run)


_COMPOUNDS = _Compounds()


def runs_of(text: str) -> list[str]:
    """The folded whole tokens of a text in their order, without the parts of compounds: what a query asks for."""
    return [token[:MOST_TOKEN] for token in (run.strip(_INSIDE) for run in _runs(text)) if token]


def tokens_of(text: str) -> set[str]:
    """The folded tokens of a text: each run, and of a compound run its letter-bearing parts (`mail`, `evil`, `com` of `mail.evil.com:8080`) and its sides (`mail.evil.com`)."""
    out: set[str] = set()
    add_tokens(text, out)
    return out


def add_tokens(text: str, out: set[str]) -> None:
    """Add the folded tokens of `text` to `out`, at most `MOST_TOKENS` in all."""
    for token in _tokens(text):
        if len(out) >= MOST_TOKENS:
            return
        out.add(token)


def text_tokens(texts: Iterable[str]) -> str:
    """The tokens of several texts, sorted and joined by single spaces: what both stores index."""
    out: set[str] = set()
    for text in texts:
        add_tokens(text, out)
    return " ".join(sorted(out))


def _runs(text: str) -> list[str]:
    if text.isascii():
        return text.encode().translate(_RUN_BYTES).replace(b": ", b" ").decode().split()  # a colon at the end is taken off anyway
    return _RUN.findall(vi_fold(text))


def _tokens(text: str) -> dict[str, None]:
    """The tokens of a text, each once, in a fixed order; cost is linear, and what repeats between events is not worked out again."""
    runs = _runs(text)
    if len(runs) == 1 and len(run := runs[0]) <= MOST_TOKEN:
        return dict.fromkeys((run,) if run.isalnum() else _COMPOUNDS[run])
    compounds = map(_COMPOUNDS.__getitem__, filterfalse(str.isalnum, runs))
    out = dict.fromkeys(chain(filter(str.isalnum, runs), chain.from_iterable(compounds)))
    if (len(text) > MOST_TOKEN or not text.isascii()) and max(map(len, runs), default=0) > MOST_TOKEN:  # no token is longer than its run
        out = dict.fromkeys(token[:MOST_TOKEN] for token in out)
    return out


def _compound(run: str) -> tuple[str, ...]:
    token = run.strip(_INSIDE)
    found: tuple[str, ...]
    if token.isalnum() or (len(token) == _UUID_LENGTH and token.count("-") == _UUID_DASHES) or not (token.strip("0123456789._-") or ":" in token):
        found = (token,) if token else ()  # nobody asks for a piece of a UUID or of a number
    else:
        # An address without its port and a mail's domain are asked for as often as the whole; what stands here as a
        # token has its own tokens here too, or `event_tokens` could not skip values that are tokens of the line.
        sides = token.split("@") if "@" in token else token.split(":") if token.count(":") == 1 else ()
        tokens = [token]
        for side in sides:
            if side.isalnum():
                if not side.isdigit():
                    tokens.append(side)
            else:
                tokens += _COMPOUNDS[side]  # domains come again under other names
        tokens += filterfalse(str.isdigit, _PART.findall(token))
        found = tuple(dict.fromkeys(tokens))
    if len(run) <= 64:  # noqa: PLR2004 - names and addresses repeat, longer things seldom
        if len(_COMPOUNDS) >= _MOST_COMPOUNDS:
            _COMPOUNDS.clear()
        _COMPOUNDS[run] = found
    return found


TEXT_FROM = "soc.text_from"
"""Set to `fields` by parsers whose fields hold every value of the line: then the fields alone are tokenised."""
UNSEARCHED = frozenset(
    {
        *("@timestamp", "event.created", "event.start", "event.end", "event.ingested", "event.timezone", "event.duration"),
        *("source.bytes", "source.packets", "destination.bytes", "destination.packets", "network.bytes", "network.packets", "network.iana_number"),
        *("log.syslog.priority", "log.syslog.facility.code", "log.syslog.severity.code"),
    }
)
"""Times and measures: they are searched by ranges; as tokens each would be new, the dearest kind in a full-text index."""
SEARCHED_OWN = ("soc.threat.category", "soc.agency.id", "soc.mail.verdict")
"""Those of our own fields whose values free text finds."""
SAID_LATER = (*SEARCHED_OWN, "log.source.address")
"""Searched fields that no parser sets."""
OF_FEW_VALUES = frozenset(
    {
        *("event.kind", "event.module", "event.dataset", "event.action", "event.outcome", "log.level", "log.syslog.facility.name", "log.syslog.severity.name"),
        *("observer.vendor", "observer.product", "observer.type", "network.transport", "network.type", "network.direction", "process.name", "postfix.daemon"),
        *("fortinet.firewall.type", "fortinet.firewall.subtype", "fortinet.firewall.eventtype", "fortinet.firewall.action", "fortinet.firewall.vd"),
        *("fortinet.firewall.srcintfrole", "fortinet.firewall.dstintfrole", "fortinet.firewall.policytype", "fortinet.firewall.trandisp"),
        *("fortinet.firewall.appcat", "fortinet.firewall.srccountry", "event.code"),
    }
)
"""Fields of which a kind of document has few combinations of values: looked up at once. Any field may stand here, it is only a matter of speed."""
_GROUPS: dict[tuple[Any, ...], str] = {}
_MOST_GROUPS = 8_192
_SEARCHED: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_SHAPES = 4096
_MOST_VALUES = 16_384


class _Values(dict[str, str]):
    """The tokens of texts, joined by spaces; as a dict it holds those that repeat, and works out others by itself.

    Raises: TypeError for what is no text.
    """

    __slots__ = ()

    def __missing__(self, value: Any) -> str:
        if value.__class__ is not str:
            raise TypeError
        return value_tokens(value)


_VALUES = _Values()
known_tokens = _VALUES.__getitem__
"""The tokens of one text, joined by spaces; a look-up in C for texts that repeat."""


def searched_fields(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a document whose values free text finds: all but times, measures and our own bookkeeping (`soc.*`)."""
    names = tuple(doc)
    found = _SEARCHED.get(names)
    if found is None:
        if len(_SEARCHED) >= _MOST_SHAPES:
            _SEARCHED.clear()
        found = tuple(name for name in names if name != "event.original" and (name in SEARCHED_OWN or not (name.startswith("soc.") or name in UNSEARCHED)))
        _SEARCHED[names] = found
    return found


def event_tokens(doc: Mapping[str, Any]) -> str:
    """The tokens that free text finds an event by, joined by spaces: those of `event.original` and of all searched fields.

    `tokens_of(value)` is a part of it for every value of every searched field (within `MOST_TOKENS`, the line first).
    The line itself is left out where the fields hold all its values (`TEXT_FROM`): names like `srcip` would only make
    every event longer. Cost: a value seen before costs one look-up in C (levels, actions, host names, rules repeat), other
    values are split once. The order is fixed by the document; a token may stand more than once.
    """
    return _tokens_by(_shape_of(tuple(doc), doc), doc)


def _shape_of(names: tuple[str, ...], doc: Mapping[str, Any]) -> _Shape:
    shape = _SHAPES.get(names)
    if shape is None:
        if len(_SHAPES) >= _MOST_SHAPES:
            _SHAPES.clear()
        shape = _SHAPES[names] = _Shape(doc)
    return shape


def _tokens_by(shape: _Shape, doc: Mapping[str, Any]) -> str:
    line = "" if doc.get(TEXT_FROM) == "fields" else doc.get("event.original") or _sentence(doc)
    values = shape.some(doc)
    try:
        few = shape.few(values)
        common = _GROUPS.get(few)
        if common is None:
            common = _group(few)
        own = chain(shape.texts(values), shape.items(values)) if shape.lists else shape.texts(values)
        tokens = f"{_with_line(line, dict.fromkeys(own)) if line else ' '.join(map(_VALUES.__getitem__, own))} {common}"
    except TypeError:  # no text where one stood when this shape was first seen
        tokens = " ".join(chain(_tokens(line), map(_any_tokens, map(doc.__getitem__, shape.names))))
    else:
        if shape.others:
            tokens = f"{tokens} {shape.rest(values)}"
    if "  " in tokens or tokens[:1] == " " or tokens[-1:] == " ":  # a value without a token
        tokens = " ".join(tokens.split())
    return _bounded(tokens)


def _bounded(tokens: str) -> str:
    """The tokens, of very many the first."""
    return tokens if len(tokens) <= MOST_TOKENS else " ".join(islice(dict.fromkeys(tokens.split()), MOST_TOKENS))


def _sentence(doc: Mapping[str, Any]) -> str:
    """What tells an event that has no line in words: most values of its fields stand in it, and need not be looked at again."""
    message = doc.get("message")
    return message if isinstance(message, str) else ""


def events_tokens(docs: Sequence[Mapping[str, Any]]) -> list[str]:
    """`event_tokens` of each document, worked out field by field for those that have the same fields: half the time."""
    out = [""] * len(docs)
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, doc in enumerate(docs):
        names = tuple(doc)
        known = alike.get(names)
        if known is None:
            alike[names] = [number]
        else:
            known.append(number)
    for names, numbers in alike.items():
        shape = _shape_of(names, docs[numbers[0]])
        if len(numbers) < _FEW_ALIKE or TEXT_FROM not in names:
            for number in numbers:
                out[number] = _tokens_by(shape, docs[number])
            continue
        for begin in range(0, len(numbers), _MOST_ALIKE):
            some = numbers[begin : begin + _MOST_ALIKE]
            group = [docs[number] for number in some]
            found = _alike_tokens(shape, group)
            for number, tokens in zip(some, found if found is not None else map(event_tokens, group), strict=True):
                out[number] = tokens
    return out


_FEW_ALIKE = 4
_MOST_ALIKE = 512
"""Documents worked on at once: their values stay in the processor's cache."""


def _alike_tokens(shape: _Shape, docs: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """The tokens of documents of one shape whose fields hold their lines; None where some value is not what the shape expects, or has no token."""
    fields = list(zip(*map(shape.needed, docs), strict=True))
    if set(fields[-1]) != _FROM_FIELDS:
        return None
    try:
        columns = shape.columns.each([fields[place] for place in shape.texts_at])
        columns += [_list_column(fields[place]) for place in shape.lists]
        fews = list(zip(*[fields[place] for place in shape.few_at], strict=True)) if shape.few_at else [()] * len(docs)
        commons = list(map(_GROUPS.get, fews))
        columns.append([_group(few) if common is None else common for few, common in zip(fews, commons, strict=True)])
    except TypeError:
        return None
    if not all(map(all, columns)):
        return None
    if shape.others:
        if not shape.numbers_at:
            return None
        numbers = [list(map(str, fields[place])) for place in shape.numbers_at]
        digits = "".join(map("".join, numbers))
        if not (digits.isdecimal() and digits.isascii()):
            return None
        columns += numbers
    found = list(map(" ".join, zip(*columns, strict=True)))
    return found if max(map(len, found)) <= MOST_TOKENS else None


_FROM_FIELDS = {"fields"}


class Columns:
    """Works out the tokens of records that are given field by field, always the same fields: the cheapest way there is, as no document is looked at."""

    __slots__ = ("_numerals",)

    def __init__(self) -> None:
        self._numerals: set[int] = set()
        """Places of the fields that did not hold numbers and plain addresses only."""

    def tokens(self, columns: Sequence[Sequence[str]], made: Sequence[Sequence[str]]) -> list[str]:
        """The tokens of each record, joined by spaces: of its texts, and those that were `made` already; at least one of all."""
        found = [*self.each(columns), *made]
        tokens = list(map(" ".join, zip(*found, strict=True)))
        return tokens if all(map(all, found)) else [" ".join(one.split()) for one in tokens]

    def each(self, columns: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The tokens of each text, field by field.

        Raises: TypeError for what is no text. Cost: one look-up for each text that is no number.
        """
        known, others = _VALUES.__getitem__, self._numerals
        found: list[Sequence[str]] = []
        for place, values in enumerate(columns):
            if place not in others:
                if _are_numerals(values):
                    found.append(values)
                    continue
                others.add(place)
            found.append(list(map(known, values)))
        return found


def texts_tokens(values: Iterable[Any]) -> str:
    """The tokens of some values of any kind, each once, joined by spaces."""
    return " ".join(dict.fromkeys(" ".join(map(_any_tokens, values)).split()))


def with_own_tokens(tokens: str, doc: Mapping[str, Any]) -> str:
    """The tokens of a document whose parser gave those of its own fields: what was said of the event since is added, and the bound kept."""
    for name in SAID_LATER:
        if name in doc:
            tokens = f"{tokens} {_any_tokens(doc[name])}"
    return _bounded(tokens.strip())


def _are_numerals(values: Sequence[Any]) -> bool:
    """Whether all values are numbers or IPv4 addresses, which are their own tokens. Raises: TypeError for what is no text."""
    text = " ".join(values)
    return (
        text.isascii()
        and text.encode().translate(None, b" .").isdigit()
        and text.count(" ") == len(values) - 1
        and "  " not in text
        and " ." not in text
        and ". " not in text
        and text[0] not in " ."
        and text[-1] not in " ."
        and max(map(len, values)) <= MOST_TOKEN
    )


def _list_column(values: Sequence[Any]) -> list[str]:
    """The tokens of the items of one field's lists; those that many documents share are looked at once. Raises: TypeError for what is no list of texts."""
    ids = list(map(id, values))
    known: dict[int, str] = {}
    for name, value in dict(zip(ids, values, strict=True)).items():
        if value.__class__ is not list:
            raise TypeError
        known[name] = " ".join(map(_VALUES.__getitem__, value))
    return list(map(known.__getitem__, ids))


def _group(values: tuple[Any, ...]) -> str:
    """The tokens of some values, each once; remembered."""
    tokens = " ".join(dict.fromkeys(" ".join(map(_VALUES.__getitem__, values)).split()))
    if len(tokens) <= 1024:  # noqa: PLR2004 - what repeats is short
        if len(_GROUPS) >= _MOST_GROUPS:
            _GROUPS.clear()
        _GROUPS[values] = tokens
    return tokens


def _with_line(line: str, values: dict[str, None]) -> str:
    """The tokens of a line and of those values that do not stand in it as a token or between separators."""
    tokens = _tokens(line)
    more = [value for value in filterfalse(tokens.__contains__, values) if value in _VALUES or not _stands_in(line, value)]  # see `_VALUES`: raises for None
    return f"{' '.join(tokens)} {' '.join(map(_VALUES.__getitem__, more))}"


class _Shape:
    """How the tokens of documents with one sequence of field names are found: by the places of their values."""

    __slots__ = ("columns", "few", "few_at", "lists", "names", "needed", "numbers", "numbers_at", "others", "some", "texts", "texts_at")

    def __init__(self, doc: Mapping[str, Any]) -> None:
        self.names = searched_fields(doc)
        at = {name: place for place, name in enumerate(self.names)}
        self.needed = itemgetter(*self.names, TEXT_FROM)
        self.some = getter(self.names)
        kinds = {name: doc[name].__class__ for name in self.names}
        self.few_at = [at[name] for name, kind in kinds.items() if kind is str and name in OF_FEW_VALUES]
        self.few = getter(self.few_at)
        self.texts_at = [at[name] for name, kind in kinds.items() if kind is str and at[name] not in self.few_at]
        self.texts = getter(self.texts_at)
        """Takes out of the values those that were texts when the first such document was seen; `few` those of fields with few values."""
        self.columns = Columns()
        self.lists = [at[name] for name, kind in kinds.items() if kind is list]
        self.others = [at[name] for name, kind in kinds.items() if kind is not str and kind is not list]
        self.numbers_at = self.others if all(kinds[name] is int for name in kinds if at[name] in self.others) else []
        self.numbers = getter(self.numbers_at)

    def items(self, values: Sequence[Any]) -> Iterable[Any]:
        """The items of all lists. Raises: TypeError when something else stands there by now."""
        found: list[Any] = []
        for place in self.lists:
            found += values[place] if values[place].__class__ is list else [None]
        return found

    def rest(self, values: Sequence[Any]) -> str:
        """The tokens of what was neither a text nor a list."""
        numbers = " ".join(map(str, self.numbers(values)))
        if numbers.replace(" ", "").isdecimal() and numbers.isascii():
            return numbers
        return " ".join([_any_tokens(values[place]) for place in self.others])


_SHAPES: dict[tuple[str, ...], _Shape] = {}


def getter(places: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Like `itemgetter`, but always a tuple."""
    if not places:
        return lambda _values: ()
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    return itemgetter(*places)


def _any_tokens(value: Any) -> str:
    """The tokens of a value of any kind, joined by spaces."""
    if value.__class__ is list:
        return " ".join(map(_any_tokens, value))
    return "" if value is None else value_tokens(_plain(value))


def _stands_in(line: str, value: str) -> bool:
    """Whether the value stands in the line between separators, so that its tokens are the line's."""
    begin = line.find(value)
    if begin < 0 or not value:
        return False
    end = begin + len(value)
    return (begin == 0 or line[begin - 1] in _SEPARATORS) and (end == len(line) or line[end] in _SEPARATORS)


def value_tokens(value: str) -> str:
    """The tokens of one text, joined by spaces; short ones are remembered, but not numbers: new ones would push out what repeats."""
    if value.isalnum() and value.isascii():
        tokens = value[:MOST_TOKEN].lower()
        if len(value) > 4 and value[0] != "0" and value.isdigit():  # noqa: PLR2004 - codes and policies are short or begin with 0
            return tokens
    elif value.replace(".", "").isdigit() and value.isascii():  # an IPv4 address has no parts
        tokens = value.strip(".")[:MOST_TOKEN]
    else:
        tokens = " ".join(_tokens(value))
    if len(value) <= 64:  # noqa: PLR2004 - names and addresses repeat, longer things seldom
        if len(_VALUES) >= _MOST_VALUES:
            _VALUES.clear()
        _VALUES[value] = tokens
    return tokens


def _plain(value: Any) -> str:
    """A value as text: as JSON would write it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


# Control characters (C0, C1, DEL), line separators, bidirectional controls, zero-width and other format characters,
# variation selectors, lone surrogates, unassigned tags. Reference: Unicode TR 36, CVE-2021-42574.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


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
