"""Outside engines as witnesses of the conformance suite."""
