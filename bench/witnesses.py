"""Where other engines answer the conformance suite otherwise: rsigma (native) and pySigma's SQLite backend, case by case.

python -m bench.witnesses            asks the engines, writes bench/witness/results.json and docs/reference/witnesses.md
python -m bench.witnesses --page     writes the page anew from the results and from bench/witness/causes.yml

Detections are compared event by event. Correlations are compared by the groups that alert at all (and, for the SQLite
backend, by all the events of a group's alerts): other engines have no episodes, and fire once an event or a window.
Events are given in order of time; rsigma is asked again in the order of the case, and what then changes is told apart.
Both engines are made by `bench/peers.sh`; neither is part of the product.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import orjson
import yaml

from bench._measure import FOLDER
from tests.conformance.suite import CORRELATIONS, DETECTIONS, FILTERS, START, Case, correlations_of, detection_of, event_of

HERE = Path(__file__).parent / "witness"
RESULTS = HERE / "results.json"
CAUSES = HERE / "causes.yml"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "witnesses.md"
ENGINES = {"rsigma": "rsigma-eval 0.23.0", "sqlite": "pySigma-backend-sqlite 2.1.1 (pySigma 2.0.1)"}
REFUSED = "refused"


class Probe(msgspec.Struct):
    """One case as engines are asked it. `expected`: by event whether it matches; by group its events; or "refused"."""

    name: str
    rules: list[dict[str, Any]]
    events: list[dict[str, Any]]
    expected: Any
    asked: list[str]
    """The ids of the rules that are compared."""
    until: float | None = None
    values: dict[str, list[str]] = {}

    @property
    def correlates(self) -> bool:
        """Whether groups are compared, and not events."""
        return any("correlation" in rule for rule in self.rules)


class Disagreement(msgspec.Struct, frozen=True):
    """One answer that is not the suite's. `event`: the event as JSON; "" for a whole case."""

    engine: str
    case: str
    event: str
    suite: str
    says: str
    reason: str = ""


class Cause(msgspec.Struct, frozen=True):
    """Why answers differ, and who is right by the specification. `cases`: patterns of «engine | case | event | says»."""

    name: str
    right: str
    why: str
    cases: tuple[str, ...]


class Results(msgspec.Struct):
    """What came out. `probes`: by engine how many answers were compared."""

    date: str
    probes: dict[str, int]
    refused: dict[str, int]
    disagreements: list[Disagreement]


# --- asking -----------------------------------------------------------------------------------------------------------


def probes() -> Iterator[Probe]:
    """All cases of the suite."""
    for case in DETECTIONS:
        events = [*case.get("match", ()), *case.get("miss", ())]
        expected = REFUSED if "refused" in case else [*(True for _ in case["match"]), *(False for _ in case["miss"])]
        yield Probe(f"detection: {case['name']}", [detection_of(case)], events, expected, ["case"], values=case.get("values", {}))
    for case in CORRELATIONS:
        yield _correlation(case)
    for case in FILTERS:
        if any("correlation" in rule for rule in case["rules"]):
            continue
        ids = [rule["id"] for rule in case["rules"]]
        found = sorted((alert["rule"], number) for alert in case.get("alerts", ()) for number in alert["events"])
        yield Probe(f"filter: {case['name']}", [*case["rules"], *case["filters"]], case.get("events", []), REFUSED if "refused" in case else found, ids)


def _correlation(case: Case) -> Probe:
    documents = correlations_of(case)
    names = {document["name"]: document["id"] for document in documents}
    outer = f"c-{len(case['correlations']) - 1}"
    if "refused" in case:
        return Probe(f"correlation: {case['name']}", documents, [event_of(text) for text in case.get("events", ())], REFUSED, [outer])
    events = [event_of(text) for text in case["events"]]
    groups: dict[str, set[int]] = {}
    for alert in case["alerts"]:
        if names.get(alert.get("rule", ""), outer) == outer:
            groups.setdefault(_group(alert.get("group") or {}), set()).update(alert["events"])
    until = case.get("until")
    end = None if until is None else (START + timedelta(seconds=until)).timestamp()
    return Probe(f"correlation: {case['name']}", documents, events, {name: sorted(found) for name, found in groups.items()}, [outer], until=end)


def _group(values: dict[str, Any]) -> str:
    """A group as text: values as texts, without case."""
    return ", ".join(f"{name}={str(value).casefold()}" for name, value in sorted(values.items()))


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _text(probe: Probe) -> str:
    """The rules as YAML, with the ids that pySigma wants."""
    ids = {rule["id"]: _uuid(rule["id"]) for rule in probe.rules if "id" in rule}

    def renamed(document: dict[str, Any]) -> dict[str, Any]:
        out = dict(document)
        if "id" in out:
            out["id"] = ids[out["id"]]
        for part in ("filter", "correlation"):
            rules = out[part].get("rules") if isinstance(out.get(part), dict) else None
            if isinstance(rules, list):
                out[part] = {**out[part], "rules": [ids.get(rule, rule) for rule in rules]}
        return out

    return str(yaml.safe_dump_all([renamed(rule) for rule in probe.rules], allow_unicode=True, sort_keys=False))


def _pipeline(probe: Probe) -> str:
    if not probe.values:
        return ""
    return str(yaml.safe_dump({"name": "values", "priority": 1, "vars": probe.values, "transformations": [{"id": "v", "type": "value_placeholders"}]}))


def order(probe: Probe, *, by_time: bool) -> list[int]:
    """The places of the events in the order in which they are given."""
    places = list(range(len(probe.events)))
    return sorted(places, key=lambda place: probe.events[place].get("@timestamp", "")) if by_time and probe.correlates else places


def ask(command: list[str], asked: list[Probe], *, by_time: bool = True) -> list[dict[str, Any]]:
    """The answers of an engine."""
    file = FOLDER / "witness.ndjson"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for probe in asked:
            events = [probe.events[place] for place in order(probe, by_time=by_time)]
            out.write(
                orjson.dumps(
                    {"rules": _text(probe), "pipeline": _pipeline(probe), "events": events, "until": probe.until, "asked": [_uuid(one) for one in probe.asked]}
                )
                + b"\n"
            )
    done = subprocess.run([*command, str(file)], stdout=subprocess.PIPE, check=True)
    return [orjson.loads(line) for line in done.stdout.splitlines()]


# --- comparing --------------------------------------------------------------------------------------------------------


def answer_of(engine: str, probe: Probe, answer: dict[str, Any], places: list[int]) -> Any:
    """An engine's answer in the form of `Probe.expected`; a text = it refuses."""
    if "refused" in answer:
        return str(answer["refused"])
    results = answer["results"]
    ids = {_uuid(rule): rule for rule in probe.asked}
    if engine == "sqlite":
        if probe.correlates:
            groups: dict[str, set[int]] = {}
            for row in results[_uuid(probe.asked[0])]:
                groups.setdefault(_group(row["group"]), set()).update(places[number - 1] + 1 for number in row["events"])
            return {name: sorted(found) for name, found in groups.items()}
        pairs = sorted({(ids[rule], number) for rule, numbers in results.items() if rule in ids for number in numbers})
    elif probe.correlates:
        fired = [one for event in results for one in event if one.get("rule_id") in ids and "correlation_type" in one]
        return {_group(dict(one["group_key"])): [] for one in fired}
    else:
        pairs = sorted({(ids[one["rule_id"]], number) for number, event in enumerate(results, 1) for one in event if one.get("rule_id") in ids})
    if probe.asked == ["case"]:
        return [("case", number) in pairs for number in range(1, len(probe.events) + 1)]
    return pairs


def compared(engine: str, probe: Probe, said: Any) -> Iterator[Disagreement]:
    """Where an answer is not the suite's."""
    expected = probe.expected
    if isinstance(said, str) or expected == REFUSED:
        if not (isinstance(said, str) and expected == REFUSED):
            reason = " ".join(said.split())[:160] if isinstance(said, str) else ""
            yield Disagreement(
                engine, probe.name, "", REFUSED if expected == REFUSED else "evaluated", REFUSED if isinstance(said, str) else "evaluated", reason
            )
    elif isinstance(expected, dict):
        if engine == "rsigma":
            expected = {name: [] for name in expected}
        if said != expected:
            yield Disagreement(engine, probe.name, "", _groups(expected), _groups(said))
    elif probe.asked == ["case"]:
        for event, wanted, got in zip(probe.events, expected, said, strict=True):
            if wanted != got:
                yield Disagreement(engine, probe.name, json.dumps(event, ensure_ascii=False), _word(wanted), _word(got))
    elif [tuple(pair) for pair in expected] != [tuple(pair) for pair in said]:
        yield Disagreement(engine, probe.name, "", str(expected), str(said))


def _word(matches: bool) -> str:
    return "match" if matches else "no match"


def _groups(found: dict[str, list[int]]) -> str:
    """Groups that alert, with the numbers of their events where they are known."""
    if not found:
        return "no alert"
    return "; ".join(f"{name or 'alert'}{' ' + str(events) if events else ''}" for name, events in sorted(found.items()))


def run(rsigma: Path, python: Path, date: str) -> Results:
    """Ask both engines everything."""
    asked = list(probes())
    out = Results(date, {}, {}, [])
    commands = {"rsigma": [str(rsigma)], "sqlite": [str(python), str(HERE / "sqlite_backend.py")]}
    for engine, command in commands.items():
        said = [answer_of(engine, probe, answer, order(probe, by_time=True)) for probe, answer in zip(asked, ask(command, asked), strict=True)]
        out.probes[engine] = sum(len(probe.events) if probe.asked == ["case"] and probe.expected != REFUSED else 1 for probe in asked)
        out.refused[engine] = sum(isinstance(one, str) and probe.expected != REFUSED for probe, one in zip(asked, said, strict=True))
        for probe, one in zip(asked, said, strict=True):
            out.disagreements += compared(engine, probe, one)
        if engine == "rsigma":
            again = ask(command, asked, by_time=False)
            for probe, one, answer in zip(asked, said, again, strict=True):
                other = answer_of(engine, probe, answer, order(probe, by_time=False))
                if other != one and not isinstance(one, str):
                    out.disagreements.append(Disagreement(engine, probe.name, "in the order of the case", _said(one), _said(other)))
    return out


def _said(answer: Any) -> str:
    return _groups(answer) if isinstance(answer, dict) else str(answer)


# --- telling ----------------------------------------------------------------------------------------------------------


def causes() -> list[Cause]:
    """The causes as they are explained."""
    return msgspec.convert(yaml.safe_load(CAUSES.read_text(encoding="utf-8")), list[Cause])


def results() -> Results:
    """The results that are kept."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Results)


def causes_of(one: Disagreement, known: list[Cause]) -> list[Cause]:
    """The causes whose patterns fit a disagreement; exactly one must."""
    text = f"{one.engine} | {one.case} | {one.event} | {one.says}"
    return [cause for cause in known if any(re.search(pattern, text) for pattern in cause.cases)]


def page(found: Results, known: list[Cause]) -> str:
    """The reference page."""
    counts = {engine: sum(one.engine == engine for one in found.disagreements) for engine in ENGINES}
    lines = [
        "# Where other engines answer otherwise",
        "",
        "Generated by `python -m bench.witnesses` from `bench/witness/results.json` and `bench/witness/causes.yml`; a test checks that every",
        "disagreement has one cause that is explained. The cases are those of [tests/conformance](../../tests/conformance/README.md).",
        "",
        f"Asked on {found.date}, events in order of time:",
        "",
        "| engine | answers compared | other answers | of them cases that it refuses to evaluate |",
        "|---|---|---|---|",
        *(f"| {label} | {found.probes[engine]} | {counts[engine]} | {found.refused[engine]} |" for engine, label in ENGINES.items()),
        "",
        "«In the order of the case» are cases in which rsigma's answer changes when events arrive in the order in which the case lists them.",
        "Of correlations it is compared which groups alert; sizes and numbers of alerts are not, as neither engine has episodes.",
        "A table is not a stream, and the SQLite backend never claims to be one: what follows from one value a column is said as such, not as a fault.",
    ]
    for cause in known:
        mine = [one for one in found.disagreements if cause in causes_of(one, known)]
        if not mine:
            continue
        by_engine = ", ".join(
            f"{ENGINES[engine].split()[0]} {sum(one.engine == engine for one in mine)}" for engine in ENGINES if any(one.engine == engine for one in mine)
        )
        lines += ["", f"## {cause.name}", "", f"**By the specification:** {cause.right} ({by_engine})", "", cause.why.strip(), ""]
        lines += ["| engine | case | event | suite | engine says |", "|---|---|---|---|---|"]
        lines += [f"| {one.engine} | {one.case} | {_cell(one.event)} | {_plain(one.suite)} | {_plain(one.says)}{_why(one)} |" for one in mine]
    lines.append("")
    return "\n".join(lines)


def _why(one: Disagreement) -> str:
    return f": {_plain(one.reason)}" if one.reason else ""


def _cell(text: str) -> str:
    return f"`` {text.replace('|', chr(92) + '|')} ``" if text.startswith("{") else text


def _plain(text: str) -> str:
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", text)


def main() -> None:
    """Ask, keep, write the page; say what has no cause yet."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--page", action="store_true", help="only write the page")
    options.add_argument("--rsigma", type=Path, default=FOLDER / "peers" / "witness")
    options.add_argument("--python", type=Path, default=FOLDER / "peers" / "pysigma" / "bin" / "python")
    chosen = options.parse_args()
    if not chosen.page:
        for path in (chosen.rsigma, chosen.python):
            if not path.is_file():
                sys.exit(f"{path} is missing: run bench/peers.sh first")
        from datetime import UTC, datetime

        found = run(chosen.rsigma, chosen.python, datetime.now(UTC).date().isoformat())
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    found, known = results(), causes()
    for one in found.disagreements:
        fitting = causes_of(one, known)
        if len(fitting) != 1:
            sys.stdout.write(f"{len(fitting)} causes: {one.engine} | {one.case} | {one.event} | {one.suite} → {one.says} {one.reason}\n")
    PAGE.write_text(page(found, known), encoding="utf-8")


if __name__ == "__main__":
    main()
