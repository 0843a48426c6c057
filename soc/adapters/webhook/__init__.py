"""Messages by HTTP POST of JSON."""

from __future__ import annotations

from soc.adapters.webhook.messenger import WebhookMessenger

__all__ = ["WebhookMessenger"]
