"""Triage: what people say of groups of alerts, and what they do not want to be shown."""
