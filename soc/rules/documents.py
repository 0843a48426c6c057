"""The YAML documents of a rule file, read as hostile input: bounded, safe types only, with the line of every key.

A file is cut at its `---` lines first, so that a broken document does not stop the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from soc.errors import RuleError, RuleSyntaxError
from soc.model.text import display_safe
from soc.rules.ast import MOST_BYTES

MOST_NODES = 50_000
"""Values of one document, aliases counted as often as they are used."""
MOST_DEPTH = 32
"""Nesting of lists and mappings; rules need 5."""

# Reference: YAML 1.2 section 9.1.2, document markers: `---` at the start of a line, then space or line end.
_MARKER = re.compile(r"^---(?=[ \t]|$)", re.MULTILINE)
_CONTENT = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)


class Document(msgspec.Struct):
    """One YAML document: its data, its text, the line it begins at (from 1) and the tree that knows the lines."""

    path: str
    line: int
    text: str
    data: dict[str, Any]
    root: yaml.MappingNode

    def line_of(self, *keys: str) -> int:
        """The line of a key, given the keys above it; of the deepest one found where the path ends early."""
        node: yaml.Node = self.root
        line = self.line
        for key in keys:
            for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(name, yaml.ScalarNode) and name.value == key:
                    line, node = self.line + name.start_mark.line, value
                    break
            else:
                break
        return line


def read(path: str, content: bytes) -> Iterator[Document | RuleError]:
    """The documents of a file in order; in place of one that cannot be read, the error that says why."""
    if len(content) > MOST_BYTES:
        yield RuleSyntaxError(path, 1, f"the file has {len(content):,} bytes, more than the {MOST_BYTES:,} that a rule file may have", hint="split it")
        return
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        yield RuleSyntaxError(path, content.count(b"\n", 0, error.start) + 1, f"the file is not UTF-8 (byte 0x{content[error.start]:02x})")
        return
    starts = [0, *(match.start() for match in _MARKER.finditer(text))]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        piece = text[start:end]
        body = piece.removeprefix("---")
        if not _CONTENT.search(body):
            continue
        skipped = piece.find(body.lstrip("\n \t")[:1]) if body.strip() else 0
        first = text.count("\n", 0, start) + 1
        try:
            yield _document(path, first, body)
        except RuleError as error:
            yield error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or str(error).splitlines()[0]
            yield RuleSyntaxError(path, first + (mark.line if mark else skipped), f"not YAML: {display_safe(reason, most=200)}")
        except (ValueError, OverflowError) as error:
            yield RuleSyntaxError(path, first, f"a value cannot be read: {display_safe(str(error), most=200)}", hint="quote dates and large numbers")


def _document(path: str, line: int, text: str) -> Document:
    _bounded(path, line, text)
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise RuleSyntaxError(path, line, "the document is no mapping of keys to values")
        _expanded(path, line, root)
        _no_duplicates(path, line, root)
        data = loader.construct_document(root)
    finally:
        loader.dispose()
    for key in data:
        if not isinstance(key, str):
            raise RuleSyntaxError(path, line, f"the key {display_safe(key, most=60)!r} is no text")
    return Document(path, line, text.strip(), data, root)


def _bounded(path: str, line: int, text: str) -> None:
    """Nesting and size by the event stream, before anything recursive sees the text.

    Raises: RuleSyntaxError; yaml.YAMLError for what is no YAML.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MOST_DEPTH:
            raise RuleSyntaxError(path, line + _row(event), f"lists and mappings are nested deeper than {MOST_DEPTH}")
        if count > MOST_NODES * 2:
            raise RuleSyntaxError(path, line + _row(event), f"the document has more than {MOST_NODES:,} values")


def _row(event: yaml.Event) -> int:
    return event.start_mark.line if event.start_mark is not None else 0


def _expanded(path: str, line: int, root: yaml.Node) -> None:
    """The size with every alias written out; a cycle has no size.

    Raises: RuleSyntaxError.
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes:
            raise RuleSyntaxError(path, line + node.start_mark.line, "an alias refers to what it stands in")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            sizes[id(node)] = 1 + sum(size(part) for part in inner)
            open_nodes.discard(id(node))
            if sizes[id(node)] > MOST_NODES:
                raise RuleSyntaxError(path, line + node.start_mark.line, f"with its aliases written out the document has more than {MOST_NODES:,} values")
        return sizes[id(node)]

    size(root)


def _no_duplicates(path: str, line: int, root: yaml.Node) -> None:
    """Every key once: YAML libraries silently keep the last, which would drop a part of a detection.

    Raises: RuleSyntaxError.
    """
    done: set[int] = set()
    todo: list[yaml.Node] = [root]
    while todo:
        node = todo.pop()
        if id(node) in done or isinstance(node, yaml.ScalarNode):
            continue
        done.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise RuleSyntaxError(path, line + key.start_mark.line, f"the key {display_safe(key.value, most=60)!r} stands twice")
                    seen.add(key.value)
                todo.append(value)
        else:
            todo.extend(node.value)
