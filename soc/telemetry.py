"""Our own log and our metrics.

Log: structured, on stderr, nothing at INFO or above per event; ERROR means that an operator must act. Metrics:
`soc_<noun>_<verb>_<unit>`, served for Prometheus when `[metrics] listen` is set.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Protocol, TextIO, cast

import structlog

from soc.model.text import display_safe

LIBRARY_EVERY_S = 60.0
"""How often a part of a library is heard."""


class Logger(Protocol):
    """What modules log with: an event name in a few fixed words, facts as keywords."""

    def debug(self, event: str, **facts: Any) -> None: ...
    def info(self, event: str, **facts: Any) -> None: ...
    def warning(self, event: str, **facts: Any) -> None: ...
    def error(self, event: str, **facts: Any) -> None: ...
    def exception(self, event: str, **facts: Any) -> None: ...


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    logger: Logger = structlog.get_logger(module=name)
    return logger


def _safe(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # What attackers wrote ends up in facts; it must not steer the terminal that the log is read on.
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = display_safe(value, most=2000)
    return entry


class _Stderr:
    """Whatever stderr is at the moment: loggers are kept, and outlive a stream that was put in its place for a while."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


class _Libraries(logging.Handler):
    """What libraries say, as entries of our log: one a minute of each of their parts, with how many were left out.

    A client that has lost its cluster says so several times a second, with tracebacks; what it means is in entries of our own.
    """

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        name = record.name
        if not self._whole and record.created < self._next.get(name, 0.0):
            self._left_out[name] = self._left_out.get(name, 0) + 1
            return
        self._next[name] = record.created + LIBRARY_EVERY_S
        facts: dict[str, Any] = {"said": record.getMessage()}
        if left_out := self._left_out.pop(name, 0):
            facts["left_out"] = left_out
        if self._whole and record.exc_info:
            facts["exc_info"] = record.exc_info
        log = get_logger(name)
        (log.error if record.levelno >= logging.ERROR else log.warning)("a library says", **facts)


def setup_logging(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send our log (and those of libraries from WARNING on) to `stream` (stderr) as text or JSON lines.

    At the level `debug` libraries are heard in full.
    """
    out = stream or cast("TextIO", _Stderr())
    as_json = style == "json" or (style == "auto" and not out.isatty())
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _safe,
            structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries(whole=number <= logging.DEBUG)], force=True)
