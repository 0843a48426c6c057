"""The table of semantics: what every modifier and value type means, with the cases that show it.

The data stand in `semantics.yml`. The tests run every case on the naive and on the compiled matcher, and the reference
page of the documentation is generated from it.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import yaml

REFUSED = (
    ("aggregations in conditions (`| count()`), `timeframe`, `action: global`", "not part of Sigma 2"),
    ("look-around, back references, atomic groups in `re`", "no linear-time engine has them: write two selections and `and not`"),
    ("`re` together with text modifiers; `windash` with `cased`; keywords with startswith, endswith, cidr, exists, fieldref", "no agreed meaning"),
    ("an `id` that is a number", "ids are UUIDs (or names, as texts): `id: 0123` is 83 to YAML, and two ids could be one"),
    ("placeholders without value list; unknown modifiers; values that are dates, lists in lists or mappings; keys that stand twice", "never ignored"),
)
"""What a rule may not use; the loader names file, line and reason."""


class Example(msgspec.Struct, frozen=True):
    """One case: a detection, an event, whether it matches; `values`: lists for placeholders."""

    detection: dict[str, Any]
    event: dict[str, Any]
    match: bool
    values: dict[str, list[str]] = {}

    @property
    def full_detection(self) -> dict[str, Any]:
        """The detection with its condition written out."""
        return self.detection if "condition" in self.detection else {"selection": self.detection, "condition": "selection"}


class Row(msgspec.Struct, frozen=True):
    """One statement; `why` where the specification leaves a choice."""

    topic: str
    says: str
    cases: tuple[Example, ...]
    why: str = ""


def table() -> tuple[Row, ...]:
    """All statements in order."""
    return msgspec.convert(yaml.safe_load(files("soc.rules").joinpath("semantics.yml").read_text(encoding="utf-8")), tuple[Row, ...])


def markdown() -> str:
    """The reference page."""
    lines = [
        "# What Sigma rules mean here",
        "",
        "Generated from `soc/rules/semantics.yml` by `python -m soc.rules.semantics`; the tests run every case on the naive and on the compiled matcher.",
        "The language is Sigma 2.1; here are detections, [correlations and filters](correlation-semantics.md) have a page of their own. Where the specification is silent or engines disagree, the choice is stated with its reason; what [other engines](witnesses.md) answer is told, too.",
    ]
    topic = ""
    for row in table():
        if row.topic != topic:
            topic = row.topic
            lines += ["", f"## {topic}"]
        lines += ["", row.says + (f" *Why:* {row.why}" if row.why else ""), "", "| detection | event | matches |", "|---|---|---|"]
        lines += [f"| {_code(case.detection)} | {_code(case.event)} | {'yes' if case.match else 'no'} |" for case in row.cases]
    lines += ["", "## Refused when a rule is loaded", "", "| what | why |", "|---|---|", *(f"| {what} | {why} |" for what, why in REFUSED), ""]
    return "\n".join(lines)


def _code(value: dict[str, Any]) -> str:
    return "`` " + msgspec.json.encode(value).decode().replace("|", "\\|") + " ``"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
