"""Runs the pipeline once over files in a process of its own, with a clock that stands still: what crash tests kill.

    python -m tests.e2e.driver SETTINGS.json FILE...

The environment variable `SOC_TEST_CRASH` names the step to die at (see `soc.bootstrap.crash_point_from_environment`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from soc.application.app import Actor
from soc.application.ingest import ingest_files
from soc.bootstrap import open_app
from soc.clock import FrozenClock
from soc.config import Settings

NOW_US = 1_795_225_000_000_000  # 2026-11-21T01:36:40Z


def main(arguments: list[str]) -> None:
    """Take the files in, one after the other, each as a source named by its stem."""
    settings = Settings.model_validate(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    with open_app(settings, Actor("test"), pipeline=True, clock=FrozenClock(NOW_US)) as app:
        for name in arguments[1:]:
            path = Path(name)
            totals = ingest_files(app, [path], source=path.stem)
            sys.stdout.write(f"{path.stem} {totals}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
