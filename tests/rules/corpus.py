"""Where the corpus lies, and what a test does where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CORPUS = Path(os.environ.get("SOC_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
SIGMA = CORPUS / "sigma"


def need_corpus() -> Path:
    """The Sigma part of the corpus; the test is skipped without it, or fails where SOC_REQUIRE_CORPUS=1."""
    if not SIGMA.is_dir():
        reason = f"no Sigma corpus at {SIGMA} (SOC_CORPUS)"
        if os.environ.get("SOC_REQUIRE_CORPUS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return SIGMA
