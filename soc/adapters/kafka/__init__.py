"""Kafka: records read from topics (`source`), spooled records carried on to topics (`sink`), what is wrong (`health`)."""

from __future__ import annotations
