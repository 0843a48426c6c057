"""The stores of the contract suites, for what commands do on each of them."""

from __future__ import annotations

from tests.contracts.conftest import rig, store

__all__ = ["rig", "store"]
