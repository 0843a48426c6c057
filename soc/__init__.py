"""`soc`: security operations for a provincial response team, from gateway lines to reports."""

from __future__ import annotations

__version__ = "0.1.0"
