"""Syslog by UDP, TCP and TLS."""

from __future__ import annotations

from soc.adapters.syslog.receiver import SyslogReceiver

__all__ = ["SyslogReceiver"]
