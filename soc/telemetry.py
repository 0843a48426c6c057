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


class _SafeFormatter(logging.Formatter):
    """Messages of libraries: what they quote of others must neither steer the terminal nor look like an entry of its own."""

    def format(self, record: logging.LogRecord) -> str:
        first, *others = super().format(record).split("\n")
        return "\n    ".join([display_safe(first, most=2000), *(display_safe(line, most=2000) for line in others)])


def setup_logging(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send our log (and those of libraries from WARNING on) to `stream` (stderr) as text or JSON lines."""
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
    handler = logging.StreamHandler(out)
    handler.setFormatter(_SafeFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
