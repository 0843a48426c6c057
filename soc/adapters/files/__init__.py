"""Lines of files as a source of records: read once, or followed through rotation."""

from __future__ import annotations

from soc.adapters.files.source import FileRecordSource

__all__ = ["FileRecordSource"]
