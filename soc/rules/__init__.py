"""Sigma rules: load, match, explain, test."""

from __future__ import annotations
