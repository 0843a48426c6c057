"""Sigma documents as rules: the only module that knows pySigma.

pySigma reads the rule and its condition; what it makes of them is turned into the plain tree of `soc.rules.ast`.
Everything that this program does not evaluate is refused here, with file, line and reason; nothing is ignored.

Source: Sigma specification 2.1.0 (rules), pySigma 2.0. Cost: 0.4 s for the import, about 1 ms a rule: see `soc.rules.cache`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import re2
from sigma import conditions as sigma_conditions
from sigma import types as sigma_types
from sigma.exceptions import SigmaError
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetectionItem, SigmaRule

from soc.errors import RuleSyntaxError, RuleUnsupported
from soc.model.ids import digest_id
from soc.model.level import CATEGORIES, THREAT_LEVELS, RuleLevel
from soc.model.text import display_safe
from soc.rules.ast import ANY_ONE, STAR, And, Classify, Leaf, LogSource, Node, Not, Or, Rule, depth, leaves
from soc.rules.compile import compile_condition
from soc.rules.documents import Document
from soc.rules.match import regex
from soc.rules.values import text_of

MOST_LEAVES = 20_000
"""Tests of one rule after expansion (the largest published rule has about 1,200)."""
MOST_DEPTH = 32
"""Nesting of a condition after expansion (published rules need 6; Python's own compiler ends at 100)."""
MOST_EXACT_BITS = 53
"""Of an integer that a binary floating point number can be."""
MOST_WHOLE_BITS = 63
"""Of an integer that caches and stores hold."""
MOST_PATTERN = 8_192
"""Characters of one pattern."""

_FLAGS = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}
modifier_mapping.setdefault("utf16le", modifier_mapping["wide"])  # the name that the specification has; pySigma knows the alias only
_COMPARE = {"LT": "lt", "LTE": "lte", "GT": "gt", "GTE": "gte"}
_TEXT_MODIFIERS = {"contains", "startswith", "endswith", "cased", "windash", "base64", "base64offset", "wide", "utf16", "utf16be", "expand"}
_PART_MODIFIERS = {"contains", "startswith", "endswith", "cased"}
"""«Generic» in the specification: they may stand with numbers, which pySigma refuses."""
_TIME_RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "week": (1, 53), "month": (1, 12), "year": (1, 9999)}
_SOC_KEYS = {"classify", "group_by", "triage", "title", "shadow", "replaces"}
_NEUTRAL = {"title": "rule"}
"""What pySigma gets besides log source and detection: facts that evaluate nothing are read here, with lines."""
# Reference: Sigma specification 2.1, `id`: a UUID is recommended; older collections use other names.
_ID = re.compile(r"[\w.:@+-]{1,128}", re.ASCII)
# Reference: github.com/google/re2/wiki/Syntax, "not supported": look-around, back references, atomic groups, conditions.
_NOT_LINEAR = re.compile(r"(?<!\\)(?:\\\\)*(?:\((?:\?<?[=!]|\?>|\?\(|\?P=)|\\[1-9]|\\k<)")


def read_rule(document: Document, placeholders: dict[str, list[str]] | None = None) -> Rule:
    """The rule of a document. `placeholders`: value lists for `%name%` under the modifier `expand`.

    Raises: RuleSyntaxError when it is no Sigma rule, RuleUnsupported when it uses what is not evaluated.
    """
    data = document.data
    _refuse_others(document)
    text_hash = hashlib.blake2b(document.text.encode(), digest_size=16).hexdigest()
    classify, group_by, triage = _soc(document)
    _check_detection(document)
    lists = _Lists(placeholders or {})
    return Rule(
        id=_rule_id(document, text_hash),
        title=_text(document, "title"),
        level=_level(document),
        logsource=_logsource(document),
        tags=_texts(document, "tags"),
        references=_texts(document, "references"),
        falsepositives=_texts(document, "falsepositives"),
        condition=_condition(document, lists),
        hash=lists.hashed(text_hash),
        lists=tuple(sorted(lists.used)),
        path=document.path,
        line=document.line_of("title"),
        status=str(data.get("status") or ""),
        description=str(data.get("description") or "").strip(),
        author=str(data.get("author") or ""),
        date=str(data.get("date") or ""),
        modified=str(data.get("modified") or ""),
        classify=classify,
        group_by=group_by,
        triage=triage,
        title_vi=_title_vi(document),
        shadow=_shadow(document),
        replaces=_replaces(document),
        name=_name(document),
    )


class _Lists(dict[str, list[str]]):
    """Value lists that know which of them a rule used."""

    def __init__(self, lists: dict[str, list[str]]) -> None:
        super().__init__(lists)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> list[str]:
        self.used.add(name)
        return super().__getitem__(name)

    def hashed(self, text_hash: str) -> str:
        """The hash of a rule of this text: what its lists hold is what it says."""
        if not self.used:
            return text_hash
        held = msgspec.json.encode([[name, self[name]] for name in sorted(self.used)])
        return hashlib.blake2b(text_hash.encode() + held, digest_size=16).hexdigest()


def _name(document: Document) -> str:
    value = document.data.get("name")
    return value.strip() if isinstance(value, str) else ""


def _condition(document: Document, placeholders: dict[str, list[str]]) -> Node:
    """The condition as a tree.

    Raises: RuleSyntaxError, RuleUnsupported.
    """
    try:
        condition = _conditions(
            document, SigmaRule.from_dict({**_NEUTRAL, "logsource": document.data["logsource"], "detection": _spelt(document.data["detection"])}), placeholders
        )
    except SigmaError as error:
        raise RuleSyntaxError(document.path, _line_of_error(document, str(error)), display_safe(str(error), most=300)) from error
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        # pySigma answers some wrong types with errors of Python itself
        raise RuleSyntaxError(document.path, document.line_of("detection"), f"not a Sigma rule: {display_safe(str(error), most=200)}") from error
    if depth(condition) > MOST_DEPTH:
        raise RuleUnsupported(document.path, document.line_of("detection", "condition"), f"the condition is nested deeper than {MOST_DEPTH}")
    if sum(1 for _ in leaves(condition)) > MOST_LEAVES:
        raise RuleUnsupported(document.path, document.line_of("detection"), f"the rule has more than {MOST_LEAVES:,} tests once its lists are written out")
    try:
        compile_condition(condition)
    except re2.error as error:
        raise RuleUnsupported(
            document.path, document.line_of("detection"), "a pattern is too large for the linear-time engine", hint="split it into several values"
        ) from error
    return condition


# --- the document ---------------------------------------------------------------------------------------------------


def _refuse_others(document: Document) -> None:
    """Documents that are no single-event rule.

    Raises: RuleUnsupported, RuleSyntaxError.
    """
    data = document.data
    if "correlation" in data:
        raise RuleUnsupported(document.path, document.line_of("correlation"), "correlation rules are not evaluated yet")
    if "filter" in data:
        raise RuleUnsupported(
            document.path, document.line_of("filter"), "filters are not evaluated yet", hint="write the exception into the rule: `and not filter`"
        )
    if "action" in data:
        raise RuleUnsupported(document.path, document.line_of("action"), "`action` (global, repeat) is not part of Sigma 2", hint="write each rule out")
    for key in ("title", "logsource", "detection"):
        if key not in data:
            raise RuleSyntaxError(document.path, document.line, f"a Sigma rule needs `{key}`")
    if not isinstance(data["detection"], dict):
        raise RuleSyntaxError(document.path, document.line_of("detection"), "`detection` is no mapping")
    if "timeframe" in data["detection"]:
        raise RuleUnsupported(
            document.path, document.line_of("detection", "timeframe"), "`timeframe` is not part of Sigma 2", hint="a correlation rule counts over time"
        )


def _check_detection(document: Document) -> None:
    """Unknown modifiers, combinations without meaning and values of wrong types, each with its own line.

    Raises: RuleSyntaxError, RuleUnsupported.
    """
    for name, definition in document.data["detection"].items():
        if name == "condition":
            texts = definition if isinstance(definition, list) else [definition]
            if not texts or not all(isinstance(text, str) for text in texts):
                raise RuleSyntaxError(document.path, document.line_of("detection", "condition"), "`condition` is no text")
            for text in texts:
                if "|" in text:
                    raise RuleUnsupported(
                        document.path,
                        document.line_of("detection", "condition"),
                        "aggregations in conditions (`| count()`, `| near`) are not part of Sigma 2",
                        hint="a correlation rule counts over time",
                    )
            continue
        for item in definition if isinstance(definition, list) else [definition]:
            for key, value in item.items() if isinstance(item, dict) else ():
                _check_item(document, document.line_of("detection", str(name), str(key)), str(key), value)


def _check_item(document: Document, line: int, key: str, value: Any) -> None:
    field, *modifiers = key.split("|")
    for modifier in modifiers:
        if modifier not in modifier_mapping:
            raise RuleUnsupported(
                document.path, line, f"unknown modifier {display_safe(modifier, most=40)!r}", hint=f"known: {', '.join(sorted(modifier_mapping))}"
            )
    known = set(modifiers)
    if not field and known & {"startswith", "endswith", "fieldref", "exists", "cidr"}:
        raise RuleUnsupported(document.path, line, f"{'|'.join(modifiers)!r} has no meaning without a field")
    if "re" in known and known & _TEXT_MODIFIERS:
        raise RuleUnsupported(document.path, line, "`re` stands alone or with i, m, s", hint="write the anchors and wildcards into the expression")
    if "windash" in known and "cased" in known:
        raise RuleUnsupported(document.path, line, "`windash` with `cased` is not evaluated")
    part = next((modifier for modifier in modifiers if modifier in _TIME_RANGES), "")
    for item in value if isinstance(value, list) else [value]:
        if item is None and known - {"all", "neq"}:
            raise RuleUnsupported(document.path, line, f"null has no meaning with {'|'.join(modifiers)!r}", hint="write a selection of its own: `field: null`")
        if part and (isinstance(item, bool) or not isinstance(item, int) or not _TIME_RANGES[part][0] <= item <= _TIME_RANGES[part][1]):
            low, high = _TIME_RANGES[part]
            raise RuleSyntaxError(document.path, line, f"`{part}` needs whole numbers from {low} to {high}, not {display_safe(item, most=40)}")
        if not isinstance(item, (str, int, float, bool, type(None))):
            raise RuleSyntaxError(
                document.path,
                line,
                f"a value of {display_safe(key, most=60)!r} is a {type(item).__name__}; texts, numbers, true, false and null are values",
                hint="quote it",
            )
        if isinstance(item, str) and len(item) > MOST_PATTERN:
            raise RuleUnsupported(document.path, line, f"a pattern has more than {MOST_PATTERN:,} characters")
        if "re" in known and isinstance(item, str):
            _check_regex(document, line, item)


def _spelt(detection: dict[str, Any]) -> dict[str, Any]:
    """A detection with the numbers as texts that pySigma would refuse or round: parts of numbers, and integers beyond 2^53."""

    def item_of(item: Any, modifiers: set[str]) -> Any:
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            return item
        inexact = isinstance(item, int) and not modifiers - {"all", "neq"} and (item.bit_length() > MOST_EXACT_BITS)
        return text_of(item) if inexact or modifiers & _PART_MODIFIERS else item

    def fields_of(selection: Any) -> Any:
        if not isinstance(selection, dict):
            return selection
        out = {}
        for key, value in selection.items():
            modifiers = set(str(key).split("|")[1:])
            out[key] = [item_of(item, modifiers) for item in value] if isinstance(value, list) else item_of(value, modifiers)
        return out

    return {name: [fields_of(part) for part in selection] if isinstance(selection, list) else fields_of(selection) for name, selection in detection.items()}


def _check_regex(document: Document, line: int, pattern: str) -> None:
    if _NOT_LINEAR.search(pattern):
        raise RuleUnsupported(
            document.path,
            line,
            "the regular expression uses look-around, back references or atomic groups, which no linear-time engine has",
            hint="split it: one selection that must match, one that must not, and `condition: selection and not filter`",
        )
    try:
        regex(pattern, "")
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise RuleSyntaxError(document.path, line, f"the regular expression is wrong: {display_safe(reason, most=160)}") from error


def _line_of_error(document: Document, text: str) -> int:
    """The line that an error of pySigma is about: of the item that gives the same error alone, else of the part it speaks of."""
    for name, definition in document.data["detection"].items():
        for item in definition if isinstance(definition, list) else [definition]:
            for key, value in item.items() if isinstance(item, dict) else ():
                try:
                    SigmaDetectionItem.from_mapping(key, value)
                except SigmaError as error:
                    if str(error) == text:
                        return document.line_of("detection", str(name), str(key))
                except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
                    continue  # as above; it is not the error that is looked for
    return document.line_of("detection", "condition")


# --- the facts about the rule ------------------------------------------------------------------------------------------


def _text(document: Document, key: str) -> str:
    value = document.data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RuleSyntaxError(document.path, document.line_of(key), f"`{key}` is no text")
    return value.strip()


def _texts(document: Document, key: str) -> tuple[str, ...]:
    value = document.data.get(key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise RuleSyntaxError(document.path, document.line_of(key), f"`{key}` is no list of texts")
    return tuple(items)


def _rule_id(document: Document, text_hash: str) -> str:
    """The rule's own id, a UUID in its usual spelling; a rule without one is known by its text."""
    value = document.data.get("id")
    if value is None:
        return digest_id("rule", text_hash)
    try:
        return str(UUID(str(value)))
    except ValueError:
        if isinstance(value, str) and _ID.fullmatch(value):
            return value
    raise RuleSyntaxError(document.path, document.line_of("id"), "`id` is neither a UUID nor a name without spaces")


def _level(document: Document) -> str:
    value = document.data.get("level")
    if value is None:
        return RuleLevel.INFORMATIONAL.value
    if value not in tuple(RuleLevel):
        raise RuleSyntaxError(document.path, document.line_of("level"), f"`level` is none of {', '.join(RuleLevel)}")
    return str(value)


def _logsource(document: Document) -> LogSource:
    value = document.data["logsource"]
    if not isinstance(value, dict) or not all(isinstance(value.get(key, ""), str) for key in ("category", "product", "service")):
        raise RuleSyntaxError(document.path, document.line_of("logsource"), "`logsource` is no mapping of category, product and service to texts")
    unknown = [key for key, found in value.items() if key not in {"category", "product", "service", "definition"} and isinstance(found, (dict, list))]
    if unknown:
        key = min(map(str, unknown))
        raise RuleUnsupported(document.path, document.line_of("logsource", key), f"log sources are not told apart by {display_safe(key, most=40)!r}")
    return LogSource(**{key: str(value.get(key) or "").lower() for key in ("category", "product", "service")})


def _soc(document: Document) -> tuple[Classify | None, tuple[str, ...], dict[str, str]]:
    """Our own part of a rule: what it classifies, how its alerts are grouped, what analysts do first."""
    part = document.data.get("soc")
    if part is None:
        return None, (), {}
    line = document.line_of("soc")
    if not isinstance(part, dict):
        raise RuleSyntaxError(document.path, line, "`soc` is no mapping")
    unknown = sorted(map(str, set(part) - _SOC_KEYS))
    if unknown:
        raise RuleSyntaxError(
            document.path,
            document.line_of("soc", unknown[0]),
            f"`soc` has no key {display_safe(unknown[0], most=40)!r}",
            hint="known: " + ", ".join(sorted(_SOC_KEYS)),
        )
    classify = part.get("classify")
    if classify is not None:
        if not isinstance(classify, dict) or set(classify) != {"level", "category"}:
            raise RuleSyntaxError(document.path, document.line_of("soc", "classify"), "`soc.classify` needs `level` and `category`, and nothing else")
        if classify["level"] not in THREAT_LEVELS or classify["category"] not in CATEGORIES:
            raise RuleSyntaxError(
                document.path,
                document.line_of("soc", "classify"),
                f"`soc.classify` needs a level of {', '.join(THREAT_LEVELS)} and a category of {', '.join(CATEGORIES)}",
            )
    group_by = part.get("group_by") or []
    if not isinstance(group_by, list) or not all(isinstance(field, str) and field for field in group_by):
        raise RuleSyntaxError(document.path, document.line_of("soc", "group_by"), "`soc.group_by` is no list of field names")
    triage = part.get("triage") or {}
    if not isinstance(triage, dict) or not set(triage) <= {"vi", "en"} or not all(isinstance(text, str) for text in triage.values()):
        raise RuleSyntaxError(document.path, document.line_of("soc", "triage"), "`soc.triage` is no mapping of vi and en to texts")
    return Classify(**classify) if classify else None, tuple(group_by), {str(key): str(text).strip() for key, text in triage.items()}


def _title_vi(document: Document) -> str:
    """The title in Vietnamese ("" = none): `title` itself stays English, as Sigma shares it.

    Raises: RuleSyntaxError.
    """
    part = document.data.get("soc")
    found = part.get("title", {}) if isinstance(part, dict) else {}
    if not isinstance(found, dict) or set(found) - {"vi"} or not all(isinstance(text, str) and len(text) <= MOST_PATTERN for text in found.values()):
        raise RuleSyntaxError(document.path, document.line_of("soc", "title"), "`soc.title` is no mapping of vi to a text")
    return unicodedata.normalize("NFC", str(found.get("vi", "")).strip())


def _shadow(document: Document) -> bool:
    """Whether the rule runs beside the live ones.

    Raises: RuleSyntaxError; RuleUnsupported for a classification rule, which makes no alerts that could be compared.
    """
    part = document.data.get("soc")
    found = part.get("shadow", False) if isinstance(part, dict) else False
    if not isinstance(found, bool):
        raise RuleSyntaxError(document.path, document.line_of("soc", "shadow"), "`soc.shadow` is neither true nor false")
    if found and isinstance(part, dict) and part.get("classify") is not None:
        raise RuleUnsupported(
            document.path,
            document.line_of("soc", "shadow"),
            "a classification rule has no shadow: it makes no alerts to compare",
            hint="soc replay --rules DIR --diff, soc reclassify --rules DIR --dry-run",
        )
    return found


def _replaces(document: Document) -> str:
    """The rule whose place this one takes.

    Raises: RuleSyntaxError.
    """
    part = document.data.get("soc")
    found = part.get("replaces", "") if isinstance(part, dict) else ""
    if not isinstance(found, str) or len(found) > MOST_PATTERN:
        raise RuleSyntaxError(document.path, document.line_of("soc", "replaces"), "`soc.replaces` is no id or name of a rule")
    return found.strip()


# --- the condition ---------------------------------------------------------------------------------------------------


def _conditions(document: Document, sigma: SigmaRule, placeholders: dict[str, list[str]]) -> Node:
    """The tree of a rule; of several conditions one must hold."""
    trees = []
    for condition in sigma.detection.parsed_condition:
        parsed = condition.parsed
        if parsed is None:
            raise RuleSyntaxError(document.path, document.line_of("detection", "condition"), "the condition says nothing")
        trees.append(_node(document, parsed, placeholders))
    return trees[0] if len(trees) == 1 else Or(tuple(trees))


def _node(document: Document, item: Any, placeholders: dict[str, list[str]]) -> Node:
    if isinstance(item, sigma_conditions.ConditionAND):
        return And(tuple(_node(document, arg, placeholders) for arg in item.args))
    if isinstance(item, sigma_conditions.ConditionOR):
        return Or(tuple(_node(document, arg, placeholders) for arg in item.args))
    if isinstance(item, sigma_conditions.ConditionNOT):
        return Not(_node(document, item.args[0], placeholders))
    if isinstance(item, sigma_conditions.ConditionFieldEqualsValueExpression):
        return _value(document, item.field, item.value, placeholders)
    if isinstance(item, sigma_conditions.ConditionValueExpression):
        return _keyword(document, item.value, placeholders)
    raise RuleUnsupported(document.path, document.line_of("detection", "condition"), f"{type(item).__name__} in a condition is not evaluated")


def _value(document: Document, field: str, value: Any, placeholders: dict[str, list[str]]) -> Node:
    """The leaf (or the alternatives) of one value of one field."""
    if isinstance(value, sigma_types.SigmaExpansion):
        return Or(tuple(_value(document, field, inner, placeholders) for inner in value.values))
    if isinstance(value, sigma_types.SigmaString):
        return _either([_text_leaf(field, text) for text in _expanded(document, field, value, placeholders)])
    if isinstance(value, sigma_types.SigmaTimestampPart):
        return Leaf(field, value.timestamp_part.name.lower(), value.number)
    if isinstance(value, sigma_types.SigmaNumber):
        return Leaf(field, "number", _held(value.number))
    if isinstance(value, sigma_types.SigmaBool):
        return Leaf(field, "bool", value.boolean)
    if isinstance(value, sigma_types.SigmaNull):
        return Leaf(field, "null")
    if isinstance(value, sigma_types.SigmaExists):
        return Leaf(field, "exists", value.exists)
    if isinstance(value, sigma_types.SigmaRegularExpression):
        if value.contains_placeholder():
            raise RuleUnsupported(document.path, document.line_of("detection"), "placeholders inside regular expressions are not evaluated")
        return Leaf(field, "re", str(value.regexp.original), flags="".join(sorted(_FLAGS[flag.name] for flag in value.flags)))
    if isinstance(value, sigma_types.SigmaCIDRExpression):
        return Leaf(field, "cidr", str(value.network))
    if isinstance(value, sigma_types.SigmaCompareExpression) and value.op.name in _COMPARE:
        if isinstance(value.number, sigma_types.SigmaTimestampPart):
            return Leaf(field, value.number.timestamp_part.name.lower(), value.number.number, flags=_COMPARE[value.op.name])
        return Leaf(field, _COMPARE[value.op.name], _held(_unrounded(document, field, _COMPARE[value.op.name], value.number.number)))
    if isinstance(value, sigma_types.SigmaFieldReference):
        place = {(False, False): "fieldref", (True, True): "fieldref_contains", (True, False): "fieldref_startswith", (False, True): "fieldref_endswith"}
        return Leaf(field, place[value.starts_with, value.ends_with], value.field)
    raise RuleUnsupported(
        document.path, document.line_of("detection"), f"a value of type {type(value).__name__} (field {display_safe(field, most=60)!r}) is not evaluated"
    )


def _unrounded(document: Document, field: str, test: str, number: float) -> int | float:
    """The number of a comparison as it was written: pySigma has made large ones floats, of which several whole numbers become the same one."""
    if abs(number) < 1 << MOST_EXACT_BITS:
        return number
    written: set[int] = set()
    for selection in document.data["detection"].values():
        for part in selection if isinstance(selection, list) else [selection]:
            for key, found in part.items() if isinstance(part, dict) else ():
                name, *modifiers = str(key).split("|")
                if name == field and test in modifiers:
                    whole = [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, int)]
                    written |= {item for item in whole if item.bit_length() <= MOST_WHOLE_BITS and float(item) == number}
    if len(written) > 1:
        raise RuleUnsupported(
            document.path, document.line_of("detection"), f"{display_safe(field, most=60)!r} is compared with numbers that are too large to be told apart"
        )
    return written.pop() if written else number


def _held(number: float) -> int | float:
    """A number as caches and stores can hold it; pySigma has rounded it to one of these before."""
    return number if abs(number) < 1 << MOST_WHOLE_BITS else float(number)


def _keyword(document: Document, value: Any, placeholders: dict[str, list[str]]) -> Node:
    """The leaf of a value without field: found anywhere in the event's text."""
    if isinstance(value, sigma_types.SigmaExpansion):
        return Or(tuple(_keyword(document, inner, placeholders) for inner in value.values))
    if isinstance(value, sigma_types.SigmaString):
        found = []
        for text in _expanded(document, "", value, placeholders):
            parts = _parts(text)
            around = (*(() if parts[:1] == (STAR,) else (STAR,)), *parts, *(() if parts[-1:] == (STAR,) else (STAR,)))
            found.append(_parts_leaf("", around if parts else (STAR,), cased=isinstance(value, sigma_types.SigmaCasedString)))
        return _either(found)
    if isinstance(value, sigma_types.SigmaRegularExpression) and not value.contains_placeholder():
        return _value(document, "", value, placeholders)
    if isinstance(value, (sigma_types.SigmaNumber, sigma_types.SigmaBool)) and not isinstance(value, sigma_types.SigmaTimestampPart):
        return Leaf("", "contains", str(value).lower())
    raise RuleUnsupported(document.path, document.line_of("detection"), f"a keyword of type {type(value).__name__} is not evaluated")


def _either(nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def _expanded(document: Document, field: str, value: sigma_types.SigmaString, placeholders: dict[str, list[str]]) -> list[sigma_types.SigmaString]:
    """The texts of a value with its placeholders replaced by the values of their lists."""
    if not value.contains_placeholder():
        return [value]
    names = [part.name for part in value.s if isinstance(part, sigma_types.Placeholder)]
    missing = sorted(name for name in names if name not in placeholders)
    if missing:
        raise RuleUnsupported(
            document.path,
            document.line_of("detection"),
            f"there is no value list for the placeholder %{display_safe(missing[0], most=60)}% (field {display_safe(field, most=60)!r})",
            hint="give the list in the rule folder's values.yml, or write the values into the rule",
        )
    cased = isinstance(value, sigma_types.SigmaCasedString)
    texts = value.replace_placeholders(lambda placeholder: iter(placeholders[placeholder.name]))
    return [sigma_types.SigmaCasedString.from_sigma_string(text) if cased else text for text in texts]


def _parts(value: sigma_types.SigmaString) -> tuple[str | int, ...]:
    """The pieces of a text: literals, `STAR` (several in a row are one), `ANY_ONE`."""
    out: list[str | int] = []
    for part in value.s:
        if isinstance(part, str):
            if out and isinstance(out[-1], str):
                out[-1] += part
            elif part:
                out.append(part)
        elif part == sigma_types.SpecialChars.WILDCARD_SINGLE:
            out.append(ANY_ONE)
        elif not out or out[-1] != STAR:
            out.append(STAR)
    return tuple(out)


def _text_leaf(field: str, value: sigma_types.SigmaString) -> Leaf:
    return _parts_leaf(field, _parts(value), cased=isinstance(value, sigma_types.SigmaCasedString))


def _parts_leaf(field: str, parts: tuple[str | int, ...], *, cased: bool) -> Leaf:
    """The plainest test that says the same: equals, contains, startswith, endswith, else like."""
    match parts:
        case ():
            return Leaf(field, "equals", "", cased=cased)
        case (str(text),):
            return Leaf(field, "equals", text, cased=cased)
        case (0, str(text), 0):
            return Leaf(field, "contains", text, cased=cased)
        case (str(text), 0):
            return Leaf(field, "startswith", text, cased=cased)
        case (0, str(text)):
            return Leaf(field, "endswith", text, cased=cased)
    shown = "".join({STAR: "*", ANY_ONE: "?"}[part] if isinstance(part, int) else part for part in parts)
    return Leaf(field, "like", shown, parts=parts, cased=cased)
