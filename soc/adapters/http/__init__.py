"""Records by HTTP POST (`[web]` extra)."""

from __future__ import annotations

from soc.adapters.http.receiver import HttpReceiver

__all__ = ["HttpReceiver"]
