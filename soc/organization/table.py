"""Rows of a CSV or YAML file, as an import gets them: with the line each one stands on, and nothing executed.

CSV as people here have it: UTF-8 with or without a mark at the beginning, `,` `;` or tab between the columns, a heading
line; lists are separated by `;` inside a cell. YAML: a list of mappings, or one mapping `kind: [...]`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from soc.errors import ConfigError, Phrase

MOST_BYTES = 64 * 1_048_576
MOST_ROWS = 1_000_000
_HINT = "write UTF-8 CSV with a heading line, or YAML with a list of mappings"


class Row(NamedTuple):
    """One row and the line it begins on (from 1)."""

    line: int
    values: dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a file, by its ending: `.csv`, `.tsv`, `.yml`, `.yaml`.

    Raises: ConfigError with file and line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            Phrase("the file cannot be read: {strerror}", strerror=error.strerror), file=str(path), hint="check the path and its rights"
        ) from error
    if len(raw) > MOST_BYTES:
        raise ConfigError(Phrase("the file is larger than {most} MiB", most=MOST_BYTES >> 20), file=str(path), hint="split it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError("the file is not UTF-8", file=str(path), line=line, hint="save it as «CSV UTF-8»") from error
    return list(_yaml(text, str(path)) if path.suffix.lower() in {".yml", ".yaml"} else _csv(text, str(path)))


def _csv(text: str, path: str) -> Iterator[Row]:
    heading = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            begin, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip().lower() for cell in cells]
                twice = [name for name in names if name and names.count(name) > 1]
                if twice:
                    raise ConfigError(Phrase("the column {name} stands twice", name=twice[0]), file=path, line=begin, hint=_HINT)
                continue
            if any(cell.strip() for cell in cells[len(names) :]):
                raise ConfigError(
                    Phrase("the row has more cells than the heading"), file=path, line=begin, hint="put values that hold the separator into quotes"
                )
            # an empty cell says nothing, as a field that YAML leaves out
            yield Row(begin, {name: cell for name, cell in zip(names, cells, strict=False) if name and cell.strip()})
    except csv.Error as error:
        raise ConfigError(Phrase("this is no CSV: {error}", error=error), file=path, line=reader.line_num, hint=_HINT) from error


class _Loader(yaml.SafeLoader):
    """Plain data only: no anchors, so a small file stays small."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not taken", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _yaml(text: str, path: str) -> Iterator[Row]:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
                node = node.value[0][1]
            if node is not None and not isinstance(node, yaml.SequenceNode):
                raise ConfigError("this is no list of mappings", file=path, line=node.start_mark.line + 1, hint=_HINT)
            for one in node.value if node is not None else ():
                line = one.start_mark.line + 1
                if not isinstance(one, yaml.MappingNode):
                    raise ConfigError("this entry is no mapping", file=path, line=line, hint=_HINT)
                yield Row(line, {str(key): value for key, value in loader.construct_mapping(one, deep=True).items()})
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(Phrase("this is no YAML: {error}", error=error.problem), file=path, line=mark.line + 1 if mark else 0, hint=_HINT) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(Phrase("this is no YAML: {error}", error=error), file=path, hint=_HINT) from error
