"""Real Kafka and Elasticsearch servers for tests, started once per run, and private ones for tests that break them.

Where a container engine answers, the official images are used; else the servers' own jars, fetched by Maven and run on the
newest JDK found. Where neither is possible tests are skipped with the reason (`SOC_REQUIRE_REAL=1` makes that a failure).
"""

from __future__ import annotations
