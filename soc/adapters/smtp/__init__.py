"""Messages by SMTP."""

from __future__ import annotations

from soc.adapters.smtp.messenger import SmtpMessenger

__all__ = ["SmtpMessenger"]
