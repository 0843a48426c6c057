"""Incidents: their states, their clocks, and the fold of the facts that people recorded."""
