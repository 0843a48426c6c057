"""A YAML file that people write (a policy, its cases, a playbook), read as hostile input; errors name file, line and reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from soc.errors import ConfigError, Phrase
from soc.model.text import display_safe

T = TypeVar("T")
MOST_BYTES = 262_144
MOST_NODES = 20_000
MOST_DEPTH = 16
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, ten times as fast, where PyYAML was built with it."""
# Reference: the paths that msgspec puts behind its messages: `$.then.notify[0].to`
_PATH = re.compile(r" - at `\$([^`]{0,500})`$")
_STEP = re.compile(r"\.([^.\[\]]{1,100})|\[(\d{1,6}|\.\.\.)\]")
_MISSING = re.compile(r"missing required field `([^`]{1,100})`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]{1,200})`")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text in Vietnamese and English."""

    vi: str
    en: str

    def of(self, language: str) -> str:
        """The text in a language, or in Vietnamese."""
        return self.en if language == "en" else self.vi


class Document:
    """The data of one file, and the line of each part."""

    def __init__(self, path: str, text: str, data: Any, root: yaml.Node) -> None:
        self.path = path
        self.text = text
        self.data = data
        self._root = root

    def line_of(self, *steps: str | int) -> int:
        """The line (from 1) of a part; of the nearest one above it that is there."""
        node, line = self._root, self._root.start_mark.line + 1
        for step in steps:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == str(step)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = (node.value[step], node.value[step])
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        return line

    def error(self, reason: str, *steps: str | int, hint: str = "") -> ConfigError:
        """The error that tells what is wrong with a part."""
        return ConfigError(reason, file=self.path, line=self.line_of(*steps), hint=hint)


def read(path: Path | Any, name: str = "") -> Document:
    """The one document of a file.

    Raises: ConfigError with the line.
    """
    where = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(Phrase("the file cannot be read: {reason}", reason=error.strerror or type(error).__name__), file=where) from error
    return parsed(content, where)


def parsed(content: bytes, where: str) -> Document:
    """The one document of these bytes.

    Raises: ConfigError with the line.
    """
    if len(content) > MOST_BYTES:
        raise ConfigError(Phrase("the file has {size} bytes; at most {most} are read", size=len(content), most=MOST_BYTES), file=where, line=1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8", file=where, line=line, hint="save it as UTF-8") from error
    try:
        root = yaml.compose(text, Loader=_LOADER)
        if root is None:
            raise ConfigError("the file is empty", file=where, line=1)
        _bounded(root, where)
        loader = yaml.SafeLoader("")
        try:
            data = loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = display_safe(getattr(error, "problem", None) or str(error).partition("\n")[0], most=200)
        raise ConfigError(Phrase("this is no YAML: {reason}", reason=reason), file=where, line=mark.line + 1 if mark else 1) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(Phrase("a value cannot be read: {error}", error=display_safe(str(error), most=200)), file=where, line=1) from error
    return Document(where, text, data, root)


def _bounded(root: yaml.Node, where: str) -> None:
    """Refuse anchors that are used again (bombs), keys that stand twice, and what is too deep or too much."""
    waiting: list[tuple[yaml.Node, int]] = [(root, 0)]
    seen: set[int] = set()
    while waiting:
        node, depth = waiting.pop()
        line = node.start_mark.line + 1
        if id(node) in seen:
            raise ConfigError("references (*name) are not read here", file=where, line=line, hint="write it out")
        seen.add(id(node))
        if len(seen) > MOST_NODES or depth > MOST_DEPTH:
            raise ConfigError("the file holds too much, or is nested too deeply", file=where, line=line)
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError("a key is no text", file=where, line=key.start_mark.line + 1)
                if key.value in keys:
                    raise ConfigError(Phrase("{key} stands here twice", key=display_safe(key.value, most=80)), file=where, line=key.start_mark.line + 1)
                keys.add(key.value)
                waiting.append((value, depth + 1))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(child, depth + 1) for child in node.value]


def convert(document: Document, kind: type[T]) -> T:
    """The document as what it should be.

    Raises: ConfigError with the line of the part that is not.
    """
    try:
        return msgspec.convert(document.data, kind, strict=True)
    except msgspec.ValidationError as error:
        said = str(error)
        found = _PATH.search(said)
        steps: list[str | int] = [
            step[1] if step[1] is not None else int(step[2]) if step[2].isdigit() else step[2] for step in (_STEP.finditer(found[1]) if found else ())
        ]
        reason = said[: found.start()] if found else said
        where = ".".join(str(step) for step in steps)
        unknown = _UNKNOWN.search(reason)
        if unknown:
            steps.append(unknown[1])
            raise document.error(Phrase("{key} is no key here", key=display_safe(unknown[1], most=80)), *steps) from error
        missing = _MISSING.search(reason)
        if missing:
            raise document.error(Phrase("{key} is missing", key=f"{where}.{missing[1]}".strip(".")), *steps) from error
        shown = display_safe(reason, most=200)
        raise document.error(Phrase("{key}: {reason}", key=where, reason=shown) if where else shown, *steps) from error
