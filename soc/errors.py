"""Every error that `soc` raises on purpose, with the exit code that the command line gives it.

One root, facts as fields, the text derived from them. `hint` says what to do next. Adapters turn the errors of
their client library into these (`raise ... from`), so that nothing above them knows Kafka, Elasticsearch or SQLite.

Exit codes: 0 ok · 1 negative result or some input refused · 2 usage · 3 configuration or content file ·
4 unreachable, retry · 5 not allowed · 6 conflict · 7 store refused · 70 internal · 130 interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Phrase(str):
    """An English text that remembers its template and facts, so that the command line can say it in another language.

    Shape: `Phrase("no event {id}", id=prefix)` is the string "no event …" wherever a string goes (JSON, logs, tests);
    `soc.i18n.translated` makes the same sentence in the language of the reader. A fact may be a Phrase itself.
    """

    __slots__ = ("facts", "template")
    template: str
    facts: dict[str, Any]

    def __new__(cls, template: str, **facts: Any) -> Self:
        if isinstance(template, cls) and not facts:
            return template
        phrase = super().__new__(cls, template.format(**facts) if facts else template)
        phrase.template = template
        phrase.facts = facts
        return phrase

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.template,), self.facts


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the known name that is nearest to a mistyped one, else what to do otherwise."""
    import difflib  # noqa: PLC0415 - only where something was mistyped

    found = difflib.get_close_matches(name, list(known), n=1)
    return Phrase("did you mean {names}?", names=found[0]) if found else otherwise


class SocError(Exception):
    """Root of all errors of `soc`: `message` says what failed and why, `hint` what to do."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NegativeResult(SocError):
    """The command worked and its answer is no (a check failed, a difference was found)."""

    exit_code = 1


class UsageError(SocError):
    """The words of the command are wrong (an unknown parser, a query that does not parse)."""

    exit_code = 2


class QuerySyntaxError(UsageError):
    """A search query that does not parse; `position` is the offset of the first wrong character."""

    def __init__(self, query: str, position: int, reason: str, *, hint: str = "") -> None:
        super().__init__(Phrase("{reason} at character {position}", reason=Phrase(reason), position=position + 1), hint=hint)
        self.query = query
        self.position = position
        self.reason = reason


class ConfigError(SocError):
    """A configuration file or value is wrong; `file`, `line` (from 1) and `key` say where, as far as known."""

    exit_code = 3

    def __init__(self, message: str, *, file: str = "", line: int = 0, key: str = "", hint: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(Phrase("{where}{message}", where=where, message=Phrase(message)), hint=hint)
        self.file = file
        self.line = line
        self.key = key


class RuleError(SocError):
    """A rule file that cannot be used; `path` and `line` (from 1, 0 = unknown) say where."""

    exit_code = 3

    def __init__(self, path: str, line: int, reason: str, *, hint: str = "") -> None:
        super().__init__(Phrase("{path}:{line}: {reason}", path=path, line=line, reason=reason), hint=hint)
        self.path = path
        self.line = line
        self.reason = reason
        self.silences: tuple[str, ...] = ()
        """Of a correlation: the rules (ids or names) that make no alerts of their own beside it."""


class RuleSyntaxError(RuleError):
    """The file is not a Sigma rule."""


class RuleUnsupported(RuleError):
    """A Sigma rule that uses something we refuse."""


class ParseError(SocError):
    """A line that a parser claimed but could not read; `fields` is what could be read (flat ECS)."""

    exit_code = 1

    def __init__(self, reason: str, *, parser: str = "", fields: dict[str, object] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parser = parser
        self.fields = fields or {}


class UnknownFormat(ParseError):
    """No parser recognises the line."""


class MalformedRecord(ParseError):
    """The line is of the parser's product but broken."""


class NotFound(SocError, LookupError):
    """No object of that id (or more than one of that prefix)."""

    exit_code = 1


class NotAllowed(SocError):
    """The actor, the mode (read-only) or the file system forbids it."""

    exit_code = 5


class Locked(NotAllowed):
    """Another pipeline process holds the embedded store, or another command changes its events; `pid` names it (0 = unknown)."""

    def __init__(self, message: str, *, pid: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class Conflict(SocError):
    """Somebody else changed the object meanwhile."""

    exit_code = 6


class Unreachable(SocError):
    """A server cannot be reached or does not answer; trying again later may work.

    `retry_after_s` is the time to wait where the other side said so.
    """

    exit_code = 4

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class SourceUnavailable(Unreachable):
    """A source of records (Kafka, a file, a socket) cannot be read."""


class StoreUnavailable(Unreachable):
    """The store cannot be reached, or is overloaded (429, 503, timeout)."""


class StoreRefused(SocError):
    """The store is reached and says no: newer than this program, corrupt, full, flood stage, read-only."""

    exit_code = 7


class StoreFull(StoreRefused):
    """No space left on the disk (or the flood-stage watermark of Elasticsearch)."""


class StoreNewer(StoreRefused):
    """The store was written by a newer version of `soc`."""


class StoreCorrupt(StoreRefused):
    """The store's files are damaged."""


class AccessDenied(NotAllowed):
    """The server refused our credentials or rights (401, 403, SASL, ACL). Never a fault of a document."""
