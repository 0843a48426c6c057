"""Faults of sources that no single value shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.application.sources import faults, missing_files, require
from soc.config import FileSource, Settings
from soc.errors import ConfigError


def _settings(**sources: dict[str, Any]) -> Settings:
    return Settings.model_validate({"sources": sources})


@pytest.mark.parametrize(
    ("sources", "key", "words"),
    [
        ({"a": {"type": "syslog"}}, "sources.a.type", "source a reads nothing"),
        ({"a": {"type": "file", "paths": []}}, "sources.a.type", "source a reads nothing"),
        ({"a": {"type": "kafka", "topics": []}}, "sources.a.type", "source a reads nothing"),
        ({"a": {"type": "syslog", "udp": "127.0.0.1:0", "product": "fortigat"}}, "sources.a.product", "no parser is named 'fortigat'"),
        (
            {"a": {"type": "syslog", "udp": "127.0.0.1:5514"}, "b": {"type": "syslog", "udp": "127.0.0.1:5514"}},
            "sources.b.type",
            "source b: udp 127.0.0.1:5514 is that of source a already",
        ),
        (
            {"a": {"type": "syslog", "tls": "127.0.0.1:5514"}, "b": {"type": "http", "listen": "127.0.0.1:5514"}},
            "sources.b.type",
            "source b: http 127.0.0.1:5514 is that of source a already",
        ),
    ],
)
def test_a_source_that_can_receive_nothing_is_a_fault(sources: dict[str, dict[str, Any]], key: str, words: str) -> None:
    """It would run for ever and say nothing; the error names the source, the setting and what to write."""
    [fault] = faults(_settings(**sources))
    assert (fault.key, words in fault.message, bool(fault.hint)) == (key, True, True)
    with pytest.raises(ConfigError, match=words.split("'", 1)[0]):
        require(_settings(**sources))


def test_sources_that_can_receive_have_no_fault() -> None:
    """UDP and TCP of one source share a port, free ports are chosen apart, files and topics are read by many."""
    settings = _settings(
        a={"type": "syslog", "udp": "127.0.0.1:5514", "tcp": "127.0.0.1:5514", "product": "fortinet_fortigate"},
        b={"type": "syslog", "udp": "127.0.0.1:0"},
        c={"type": "syslog", "udp": "127.0.0.1:0"},
        d={"type": "file", "paths": ["/var/log/mail.log"]},
        e={"type": "file", "paths": ["/var/log/mail.log"]},
        f={"type": "http"},
        g={"type": "kafka", "topics": ["soc.raw.mail"]},
    )
    assert faults(settings) == []
    require(settings)


def test_files_that_are_not_there_yet_are_named(tmp_path: Path) -> None:
    """A path or a pattern without a file; one whose name holds a bracket is a path when it is there."""
    (tmp_path / "a[1].log").write_text("x", encoding="utf-8")
    (tmp_path / "b.log").write_text("x", encoding="utf-8")
    paths = [str(tmp_path / name) for name in ("a[1].log", "*.log", "none*.log", "none.log")]
    assert missing_files(FileSource(type="file", paths=paths)) == paths[2:]
    assert missing_files(FileSource(type="file", paths=paths, follow=False)) == []
