"""The durable spool: received lines, kept until the pipeline has stored what they became."""

from __future__ import annotations

from soc.adapters.spool.spool import Spool, SpoolSource

__all__ = ["Spool", "SpoolSource"]
