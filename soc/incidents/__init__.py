"""Incidents, notices and their record (to come; nothing of the event pipeline depends on it)."""
