"""Measures of speed, size and memory: `python -m bench` runs all, `python -m bench.<name>` one. Ratios within one run, never timed tests."""
