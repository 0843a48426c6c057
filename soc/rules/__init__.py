"""Sigma rules: load, match, explain, test."""
