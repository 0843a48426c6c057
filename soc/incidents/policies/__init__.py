"""Policies: automated alert rules. When a group of alerts meets a condition, an incident is opened or joined, people are told."""
