r"""Makes the document of a FortiGate line, fast.

Why it is fast: the lines of one log type carry the same keys in the same order, so everything that depends on the
keys alone (which value goes to which ECS field, by which converter, what identifies the occurrence) is worked out
once per sequence of keys and kept as a `Plan`. Plain values then move in C: `dict.update(zip(fields, itemgetter(...)))`
over a copy of a document that has all keys already, so it is never resized; numbers and addresses go through `map`.

Taking the line apart is half of the cost, so a sequence of keys that is seen often also gets a pattern that matches
the whole line and gives all values in one call. The pattern is found by a cheap fingerprint (log id, number of `=`),
and fits only lines that the plain scanner reads the same way: no backslash, no empty or `N/A` value where it expects
one, no space and no quote in a bare value. Whatever does not fit takes the plain way, whose result is the same.

Tables are bounded: a sender that invents keys costs time for itself, never memory.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import chain, compress, repeat
from operator import itemgetter
from typing import TypeVar

from soc.ingest.framing import MOST_PAIRS, key_values
from soc.ingest.normalize import count, ip
from soc.ingest.parser import Line
from soc.ingest.parsers.fortinet_fortigate.classify import TELLING, classify
from soc.ingest.parsers.fortinet_fortigate.keys import natural_key_fields, natural_keys
from soc.ingest.parsers.fortinet_fortigate.mapping import CONVERTERS, Target, assign, convert, family, products, table, vendor_field
from soc.ingest.syslog import syslog_fields
from soc.model.event import Doc
from soc.model.text import UNSEARCHED, Columns, getter, texts_tokens

MOST_PLANS = 4096
MOST_PATTERNS = 1024
MOST_ALIKE = 4
"""Patterns tried on lines of one log id with as many `=`."""
"""Compiled patterns that are kept: about 20 kB each."""
SEEN_OFTEN = 16
"""A pattern costs as much to compile as some hundred lines to scan."""
NOTHING = frozenset(["", "N/A"])
"""What FortiOS writes for a value that is none."""
_KEY = re.compile(r"[A-Za-z_][\w.\-]{0,127}", re.ASCII)
CONSTANTS: Doc = {
    "event.module": "fortinet",
    "event.dataset": "fortinet_fortigate.log",
    "observer.vendor": "Fortinet",
    "observer.product": "Fortigate",
    "observer.type": "firewall",
}
_ADDRESSED = ("from", "to", "cc", "sender", "recipient")
"""Mail addresses, perhaps with names (`Name <a@b.vn>`): the text with the name is kept beside the address."""
_LATER = ("@timestamp", *(f"event.{name}" for name in ("kind", "category", "type", "action", "outcome")), *syslog_fields(Line("", "", 0, host="-")))
"""Fields that are added after the copy."""
_LARGEST_PORT = 0xFFFF
_LARGEST_COUNT = 2**63 - 1
_MOST_OF_ONE = 20
"""Digits of the largest number that any field takes, and one more."""
MOST_DIGITS = 512
"""More digits in the numbers of one line are looked at one by one: `int` of a long text is slow."""
_ipv4 = partial(socket.inet_pton, socket.AF_INET)
_ADDRESSES: set[str] = set()
"""IPv4 addresses that were looked at: the same come again and again."""
MOST_ADDRESSES = 16_384
_FEW = frozenset(["lower", "transport", "direction", "category"])
"""Kinds of fields that have few values: what they become is remembered together with what the event is."""
_IN_C = frozenset(["", "ip", "port", "count"])
"""Kinds whose values move in C, all of one kind at once."""


def pairs_of(message: str) -> dict[str, str]:
    """The pairs of a line that say something, under their FortiOS 5+ names; the plain way, and the oracle of the fast one."""
    text = _undoubled(message)
    if "," in text[:16]:  # CSV: `date=2016-06-14,time=10:47:23,devname=...`
        text = _COMMA.sub(" ", text)
    aliases = table()["aliases"]
    pairs = {aliases.get(key, key): value for key, value in key_values(text).items() if value not in NOTHING}
    if "status" in pairs and "action" not in pairs and pairs.get("type") == "traffic":
        pairs["action"] = pairs.pop("status")
    return pairs


def _undoubled(message: str) -> str:
    """The line with double quotes once around each value: where a table of text (RFC 4180) doubled them, or single ones stand for them."""
    at = message.find('="')
    if at < 0 and "='" in message and _SINGLE.fullmatch(message):
        return message.replace("'", '"')
    if message[:1] == '"' and message[-1:] == '"':
        message = message[1:-1]
    elif message[at : at + 3] != '=""' or message[at + 3 : at + 4] in {"", " ", '"'}:
        return message
    return message.replace('""', '"')


# Reference: relays that write pairs anew, each value in single quotes, none of which stands inside.
_SINGLE = re.compile(r"(?:[A-Za-z_][\w.\-]{0,127}='[^'\"]*'(?: |$)){2,}", re.ASCII)
# Reference: FortiOS `set csv enable`: commas between the pairs, quotes as usual.
_COMMA = re.compile(r",(?=[A-Za-z_][\w.\-]{0,64}=)")


def document(pairs: dict[str, str]) -> Doc:
    """The document of these pairs, one by one: what a `Plan` does at once."""
    doc = dict(CONSTANTS)
    for target in assign(tuple(pairs), family(pairs.get("type", ""))):
        try:
            field, value = convert(target, pairs[target.key])
        except ValueError:
            if target.kind != "ui":
                doc.setdefault(vendor_field(target.key), pairs[target.key])
        else:
            doc[field] = value
    for key in ("type", "subtype", "action", "ui"):
        if key in pairs:
            doc[vendor_field(key)] = pairs[key]
    for key in _ADDRESSED:
        if "<" in pairs.get(key, ""):
            doc[vendor_field(key)] = pairs[key]
    doc.update(classify(lambda name: pairs.get(name, "")))
    doc.update(products[pairs.get("devid", "")])
    _sum(doc)
    return doc


def _sum(doc: Doc) -> None:
    """Add what both directions make together."""
    for unit in ("bytes", "packets"):
        sent, received = doc.get(f"source.{unit}"), doc.get(f"destination.{unit}")
        if sent is not None and received is not None:
            doc[f"network.{unit}"] = sent + received


def _times(positions: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Takes out date, time, zone and `eventtime`, "" for one that is not there."""
    if min(positions) >= 0:
        return itemgetter(*positions)
    return lambda values: [values[position] if position >= 0 else "" for position in positions]


class Plan:
    """How the lines of one sequence of keys become documents."""

    __slots__ = (
        "_addresses",
        "_classes",
        "_columns",
        "_converted",
        "_few",
        "_fields",
        "_loose",
        "_named",
        "_numbers",
        "_places",
        "_ports",
        "_present",
        "_searched",
        "_searched_addresses",
        "_searched_numbers",
        "_serial",
        "_sums",
        "_tell",
        "_telling",
        "_template",
        "_texts",
        "_time_places",
        "identify",
        "identify_all",
        "keys",
        "seen",
        "times",
    )

    def __init__(self, keys: tuple[str, ...], log_type: str) -> None:
        """Works out everything that depends on the keys and the log type alone."""
        self.keys = keys
        self.seen = 0
        targets = assign(keys, family(log_type))
        targets += [
            Target(key, vendor_field(key), "")
            for key in ("type", "subtype", "action", "ui")
            if key in keys and not any(t.field == vendor_field(key) for t in targets)
        ]
        at = {key: position for position, key in enumerate(keys)}

        of_kind = {kind: [target for target in targets if target.kind == kind and target.field != "url"] for kind in ("", "ip", "port", "count")}
        numbers = of_kind["port"] + of_kind["count"]
        self._ports = len(of_kind["port"])
        self._places = {kind: [at[target.key] for target in some] for kind, some in of_kind.items()}
        self._fields = tuple(target.field for target in of_kind[""] + of_kind["ip"] + numbers)
        self._texts, self._addresses, self._numbers = (getter([at[target.key] for target in some]) for some in (of_kind[""], of_kind["ip"], numbers))
        self._serial = at.get("devid", -1)
        self._loose = [(target, at[target.key]) for target in targets if target.kind in {"hash", "ui"} or target.field == "url"]
        self._converted = [(target.field, CONVERTERS[target.kind], at[target.key]) for target in targets if target.kind not in {*_IN_C, *_FEW, "hash", "ui"}]
        self._named = [(vendor_field(key), at[key]) for key in _ADDRESSED if key in at]
        few = [target for target in targets if target.kind in _FEW]
        self._few = [(target.field, CONVERTERS[target.kind]) for target in few]
        fields = {target.field for target in targets}
        self._sums = [
            (f"network.{unit}", f"source.{unit}", f"destination.{unit}") for unit in ("bytes", "packets") if {f"source.{unit}", f"destination.{unit}"} <= fields
        ]
        self._template: Doc = {**CONSTANTS, **dict.fromkeys(target.field for target in targets if target.kind not in {"hash", "ui"} and target.field != "url")}
        self._template.update(dict.fromkeys(name for name, _, _ in self._sums))
        for name in _LATER:  # the copy then has room for what comes later, and is never resized
            self._template[name] = None
        for name in _LATER:
            del self._template[name]
        self._present = {name: at[name] for name in TELLING if name in at}
        telling = [position for name, position in self._present.items() if name not in {"app", "cfgpath"}]
        self._telling = [at[target.key] for target in few] + telling
        self._tell = getter(self._telling)
        self._classes: dict[Sequence[str], tuple[Doc, str]] = {}
        """By the telling values what the event is, and the tokens of that."""
        urls = [target for target, _ in self._loose if target.kind != "ui"]  # the text that an address in `ui` stands in is kept as well
        self._searched_addresses = list(dict.fromkeys(at[target.key] for target in of_kind["ip"] if target.field not in UNSEARCHED))
        searched = dict.fromkeys(at[target.key] for target in (*of_kind[""], *urls) if target.field not in UNSEARCHED)
        self._searched = [place for place in searched if place not in self._searched_addresses]
        self._searched_numbers = [(place, at[target.key]) for place, target in enumerate(numbers) if target.field not in UNSEARCHED]
        self._columns = Columns()
        self.times = _times([at.get(name, -1) for name in ("date", "time", "tz", "eventtime")])
        self._time_places = [at.get(name, -1) for name in ("date", "time", "tz", "eventtime")]
        self.identify = natural_key_fields(at)
        self.identify_all = natural_keys(at)

    def fill(self, values: Sequence[str]) -> Doc:
        """The document of a line with these values (as many as keys), without times.

        Raises: ValueError when a value is not what its field wants: the plain way then keeps it as text.
        """
        doc = self._template.copy()
        addresses: Sequence[str] = self._addresses(values)
        if not _ADDRESSES.issuperset(addresses):
            addresses = _checked(addresses)
        numbers: list[int] = []
        digits = self._numbers(values)
        if digits:
            joined = "".join(digits)
            if not (joined.isdecimal() and joined.isascii()):
                raise ValueError("not a number")
            numbers = list(map(int, digits)) if len(joined) < MOST_DIGITS else [count(text) for text in digits]
            if max(numbers) > _LARGEST_COUNT or max(numbers[: self._ports], default=0) > _LARGEST_PORT:
                raise ValueError("too large")
        doc.update(zip(self._fields, chain(self._texts(values), addresses, numbers), strict=False))
        for field, convert_one, position in self._converted:
            doc[field] = convert_one(values[position])
        for target, position in self._loose:
            field, value = convert(target, values[position])
            doc[field] = value
        for field, position in self._named:
            if "<" in values[position]:
                doc[field] = values[position]
        for name, sent, received in self._sums:
            doc[name] = doc[sent] + doc[received]
        telling = self._tell(values)
        event = self._classes.get(telling)
        doc.update((event if event is not None else self._class(telling, values))[0])
        if self._serial >= 0:
            product = products[values[self._serial]]
            if product:
                doc.update(product)
        return doc

    def fill_all(self, columns: Sequence[Sequence[str]], *, tokens: bool) -> tuple[list[Doc], list[str]]:
        """The documents that `fill` makes of many lines, given their values key by key (at least one key and one line), and their tokens if those are wanted ("" = not known).

        Raises: ValueError when some value is not what its field wants.
        """
        places = self._places
        out = [columns[place] for place in places[""]]
        for place in places["ip"]:
            addresses = columns[place]
            if not _ADDRESSES.issuperset(addresses) and _checked(addresses) is not addresses:
                raise ValueError("not plain addresses")
            out.append(addresses)
        numbers: list[Sequence[int]] = [_integers(columns[place], _LARGEST_PORT) for place in places["port"]]
        numbers += [_integers(columns[place], _LARGEST_COUNT) for place in places["count"]]
        copy, fields = self._template.copy, self._fields
        docs = []
        for values in zip(*out, *numbers, strict=True):
            doc = copy()
            doc.update(zip(fields, values))  # noqa: B905 - `strict` would cost as much as three fields
            docs.append(doc)
        texts = [columns[place] for place in self._searched]
        made: list[Sequence[str]] = []
        for field, convert_one, place in self._converted:
            converted = list(map(convert_one, columns[place]))
            for doc, value in zip(docs, converted, strict=True):
                doc[field] = value
            if field in UNSEARCHED or not tokens:
                continue
            if converted[0].__class__ is str:
                texts.append(converted)
            else:
                made.append([texts_tokens((value,)) for value in converted])
        for target, place in self._loose:
            for doc, text in zip(docs, columns[place], strict=True):
                field, value = convert(target, text)
                doc[field] = value
        for field, place in self._named:
            for doc, text in zip(docs, columns[place], strict=True):
                if "<" in text:
                    doc[field] = text
        for name, sent, received in self._sums:
            for doc in docs:
                doc[name] = doc[sent] + doc[received]
        made.append(self._classify_all(docs, columns))
        if self._other_products(docs, columns) or not tokens or self._named:  # texts of mail logs are kept or not by what stands in them
            return docs, [""] * len(docs)
        made += [columns[place] for place in self._searched_addresses]  # addresses and numbers are their own tokens
        made += [_written(columns[place], numbers[number]) for number, place in self._searched_numbers]
        return docs, self._columns.tokens(texts, made)

    def _classify_all(self, docs: list[Doc], columns: Sequence[Sequence[str]]) -> list[str]:
        """Add what each event is; the tokens of that."""
        rows = zip(*(columns[place] for place in self._telling), strict=True) if self._telling else repeat((), len(docs))
        tokens = []
        for number, (doc, telling) in enumerate(zip(docs, rows, strict=True)):
            event = self._classes.get(telling)
            if event is None:
                event = self._class(telling, [column[number] for column in columns])
            doc.update(event[0])
            tokens.append(event[1])
        return tokens

    def _other_products(self, docs: list[Doc], columns: Sequence[Sequence[str]]) -> bool:
        """Say of the devices that are no FortiGate what they are; whether there is one."""
        if self._serial < 0:
            return False
        serials = columns[self._serial]
        found = {serial: products[serial] for serial in set(serials)}
        if not any(found.values()):
            return False
        for doc, serial in zip(docs, serials, strict=True):
            doc.update(found[serial])
        return True

    def times_all(self, columns: Sequence[Sequence[str]]) -> Iterable[tuple[str, ...]]:
        """Date, time, zone and `eventtime` of each line, "" for one that is not there."""
        nothing = [""] * len(columns[0])
        return zip(*(columns[place] if place >= 0 else nothing for place in self._time_places), strict=True)

    def _class(self, telling: Sequence[str], values: Sequence[str]) -> tuple[Doc, str]:
        event = {field: convert_one(value) for (field, convert_one), value in zip(self._few, telling, strict=False)}
        event |= classify(lambda name: values[self._present[name]] if name in self._present else "")
        if len(self._classes) >= MOST_PLANS:
            self._classes.clear()
        found = self._classes[telling] = event, texts_tokens([*CONSTANTS.values(), *event.values()])
        return found


def _integers(digits: Sequence[str], largest: int) -> list[int]:
    """The numbers that texts are. Raises: ValueError when one is none, is negative or too large."""
    joined = "".join(digits)
    if not (joined.isdecimal() and joined.isascii()) or max(map(len, digits)) > _MOST_OF_ONE:
        raise ValueError("not a number")
    found = list(map(int, digits))
    if max(found) > largest:
        raise ValueError("too large")
    return found


def _written(digits: Sequence[str], numbers: Sequence[int]) -> Sequence[str]:
    """Numbers as texts: as they stood, unless some stood with zeros before it."""
    return list(map(str, numbers)) if " 0" in f" {' '.join(digits)}" else digits


def _checked(addresses: Sequence[str]) -> Sequence[str]:
    """The addresses in their usual form.

    Raises: ValueError when one is none.
    """
    try:
        deque(map(_ipv4, addresses), 0)
    except OSError:
        return [ip(address) for address in addresses]
    if len(_ADDRESSES) >= MOST_ADDRESSES:
        _ADDRESSES.clear()
    _ADDRESSES.update(addresses)
    return addresses


P = TypeVar("P", Plan, None)


class Plans:
    """The plans in use, and the patterns of the frequent ones."""

    def __init__(self) -> None:
        self._kept = 0
        self._plans: dict[tuple[object, ...], Plan | None] = {}
        self._patterns: dict[tuple[str, int], list[tuple[Callable[[str], re.Match[str] | None], Plan]]] = {}

    def read(self, message: str) -> tuple[Plan, Sequence[str]]:
        """The plan of a line and its values."""
        at = message.find("logid=")
        fingerprint = (message[at : at + 18], message.count("="))
        known = self._patterns.get(fingerprint, ())
        if known and "\\" not in message:
            for fullmatch, plan in known:
                match = fullmatch(message)
                if match is not None:
                    found = match.groups()
                    if "/" not in message or "N/A" not in found:  # looking for one character is ten times as fast
                        return plan, found
                    break
        tokens = tokenise(message)
        if tokens is None:
            return self._unusual(message)
        keys, values, quoted = tokens
        said = [value not in NOTHING for value in values]
        all_said = all(said)
        chosen = self._plan(keys, values, () if all_said else tuple(said))
        if chosen is None:
            return self._unusual(message)
        chosen.seen += 1
        if chosen.seen >= SEEN_OFTEN and len(known) < MOST_ALIKE:
            self._keep(fingerprint, keys, values, quoted, chosen)
        return chosen, values if all_said else list(compress(values, said))

    def read_all(self, messages: Sequence[str]) -> dict[int, tuple[Plan, list[int], list[Sequence[str]]]]:
        """By plan (its `id`): the plan, the places of its lines among the messages, and the values of each."""
        out: dict[int, tuple[Plan, list[int], list[Sequence[str]]]] = {}
        for number, message in enumerate(messages):
            plan, values = self.read(message)
            of_plan = out.get(id(plan))
            if of_plan is None:
                out[id(plan)] = (plan, [number], [values])
            else:
                of_plan[1].append(number)
                of_plan[2].append(values)
        return out

    def _unusual(self, message: str) -> tuple[Plan, Sequence[str]]:
        """The plan and values of a line that only the plain scanner reads right."""
        pairs = pairs_of(message)
        name = (*pairs, "plain", family(pairs.get("type", "")))
        plan = self._plans.get(name)
        if plan is None:
            plan = self._put(name, Plan(tuple(pairs), pairs.get("type", "")))
        return plan, list(pairs.values())

    def _plan(self, keys: Sequence[str], values: Sequence[str], said: tuple[bool, ...]) -> Plan | None:
        """The plan for these keys, of which those that are `said` count (() = all); None where only the plain way reads them right."""
        log_type = values[keys.index("type")] if "type" in keys else ""
        log_type = "" if log_type in NOTHING else log_type
        name = (*keys, said, family(log_type))
        plan = self._plans.get(name)
        if plan is None and name not in self._plans:
            aliases = table()["aliases"]
            chosen = tuple(compress(keys, said)) if said else tuple(keys)
            fit = len(set(keys)) == len(keys) and not any(key in aliases for key in keys) and all(_KEY.fullmatch(key) for key in keys)
            fit = fit and not ("status" in chosen and "action" not in chosen and log_type == "traffic")
            plan = self._put(name, Plan(chosen, log_type)) if fit else self._put(name, None)
        return plan

    def _put(self, name: tuple[object, ...], plan: P) -> P:
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
            self._patterns.clear()
        self._plans[name] = plan
        return plan

    def _keep(self, fingerprint: tuple[str, int], keys: Sequence[str], values: Sequence[str], quoted: Sequence[bool], plan: Plan) -> None:
        if self._kept >= MOST_PATTERNS:
            self._patterns.clear()
            self._kept = 0
        self._kept += 1
        fixed = tuple(value if key == "type" or value in NOTHING else None for key, value in zip(keys, values, strict=True))
        pattern = compiled(tuple(keys), fixed, tuple(quoted))
        kept = self._patterns.setdefault(fingerprint, [])
        if all(pattern is not known for known, _ in kept):
            kept.append((pattern, plan))


@lru_cache(maxsize=MOST_PATTERNS)
def compiled(keys: tuple[str, ...], fixed: tuple[str | None, ...], quoted: tuple[bool, ...]) -> Callable[[str], re.Match[str] | None]:
    """The matcher of whole lines with these keys; a key of value `fixed` (not None) must have that value again.

    One group per value that says something.
    """
    parts = []
    for key, value, is_quoted in zip(keys, fixed, quoted, strict=True):
        inner = ('([^"]++)' if is_quoted else '([^ "]++)') if value is None else re.escape(value) if value in NOTHING else f"({re.escape(value)})"
        parts.append(f'{re.escape(key)}="{inner}"' if is_quoted else f"{re.escape(key)}={inner}")
    return re.compile(" ".join(parts) + " ?").fullmatch


def tokenise(message: str) -> tuple[list[str], list[str], list[bool]] | None:
    """Keys, values and which were quoted, of a line without anything unusual; None where the plain scanner is needed.

    Cost: split at the quotes: pieces of even number hold bare pairs and end with the key of the quoted piece after them.
    """
    if "," in message[:16]:
        return None
    masked = ""
    if "\\" in message:
        if _MASK in message or "\\\\" in message:
            return None
        masked = message = message.replace('\\"', _MASK)
    pieces = message.split('"')
    if not len(pieces) & 1 or (len(pieces) == 1 and "='" in message):
        return None
    keys: list[str] = []
    values: list[str] = []
    quoted: list[bool] = []
    last = len(pieces) - 1
    for number in range(0, last + 1, 2):
        piece = pieces[number]
        if number and piece[:1] not in {" ", ""}:
            return None
        words = piece.split(" ")
        tail = words.pop()
        for word in words:
            if word:
                key, equals, value = word.partition("=")
                if not equals:
                    return None
                keys.append(key)
                values.append(value)
                quoted.append(False)
        if number < last:
            if tail[-1:] != "=" or tail.find("=") != len(tail) - 1:
                return None
            keys.append(tail[:-1])
            values.append(pieces[number + 1])
            quoted.append(True)
        elif tail:
            key, equals, value = tail.partition("=")
            if not equals:
                return None
            keys.append(key)
            values.append(value)
            quoted.append(False)
    if len(keys) > MOST_PAIRS:
        return None
    if masked:
        if any(_MASK in value and not is_quoted for value, is_quoted in zip(values, quoted, strict=True)):
            return None
        values = [value.replace(_MASK, '"') for value in values]
    return keys, values, quoted


_MASK = "\x00"
"""Stands for an escaped quote while a line is split at the others."""
