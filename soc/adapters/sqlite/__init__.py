"""The embedded store on SQLite: no server, one folder."""

from __future__ import annotations

from soc.adapters.sqlite.backup import restore
from soc.adapters.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store", "restore"]
