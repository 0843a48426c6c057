"""Where the keys of a TOML text stand: what `tomllib` does not tell.

Only for texts that `tomllib` has accepted; anything odd gives a missing or nearby line, never an error.
"""

from __future__ import annotations

import re

# Reference: TOML 1.0.0, https://toml.io/en/v1.0.0 (keys, strings, arrays, inline tables, tables)
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""' r"|'''.*?'''" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'" r"|#[^\n]*" r"|[A-Za-z0-9_\-]+" r"|[\[\]{}.,=\n]" r"|[^\S\n]+" r"|.",
    re.DOTALL,
)


def key_lines(text: str) -> dict[str, int]:
    """Line (from 1) of every dotted key and table of a TOML text; entries of inline tables too."""
    return _Scan(text).lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[str, int] = {}
        self._table: tuple[str, ...] = ()
        self._line = 1
        self._tokens: list[str] = [piece for piece in _TOKEN.findall(text) if not piece.startswith("#") and (piece == "\n" or not piece.isspace())]
        self._at = 0
        while self._at < len(self._tokens):
            self._statement()

    def _next(self) -> str:
        piece = self._tokens[self._at]
        self._at += 1
        self._line += piece.count("\n")
        return piece

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else "\n"

    def _statement(self) -> None:
        piece = self._peek()
        if piece == "[":
            while self._peek() == "[":
                self._next()
            self._table = self._key()
            self._mark(self._table)
        elif piece not in ("\n", "]", "}", ","):
            self._assignment(self._table)
        while self._at < len(self._tokens) and self._next() != "\n":
            pass

    def _key(self) -> tuple[str, ...]:
        parts = []
        while self._peek() not in ("=", "]", "\n"):
            piece = self._next()
            if piece != ".":
                parts.append(piece[1:-1] if piece[:1] in ('"', "'") else piece)
        return tuple(parts)

    def _assignment(self, table: tuple[str, ...]) -> None:
        key = (*table, *self._key())
        self._mark(key)
        if self._peek() == "=":
            self._next()
            self._value(key)

    def _value(self, key: tuple[str, ...]) -> None:
        if self._peek() == "{":
            self._next()
            while self._at < len(self._tokens) and self._peek() != "}":
                if self._peek() in (",", "\n"):
                    self._next()
                else:
                    self._assignment(key)
            self._next() if self._at < len(self._tokens) else None
            return
        depth = 0
        while self._at < len(self._tokens):
            piece = self._peek()
            if depth == 0 and piece in (",", "}", "\n"):
                return
            self._next()
            depth += (piece in "[{") - (piece in "]}")

    def _mark(self, key: tuple[str, ...]) -> None:
        for length in range(1, len(key) + 1):
            self.lines.setdefault(".".join(key[:length]), self._line)
