"""The pages that walk through an incident. `python -m tests.e2e.walks PAGE` prints a page's commands with all that they print."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from scripts.follow_page import ROOT, follow, missing, steps
from tests.adapters.smtp.server import Server, running

__all__ = ["ROOT", "WALKS", "follow", "mail_settings", "missing", "steps"]
WALKS = sorted((ROOT / "docs/how-to/walks").glob("*.md"))


def mail_settings(server: Server) -> dict[str, str]:
    """The settings that lead to a mail server, as variables."""
    return {"SOC_MAIL__HOST": "127.0.0.1", "SOC_MAIL__PORT": str(server.port), "SOC_MAIL__SECURITY": "none", "SOC_MAIL__SENDER": "ungcuu@tinh-mau.gov.vn"}


def _print(page: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, running() as server:
        for done in follow(page, Path(folder) / "walk", mail_settings(server)):
            lacking = missing(done)
            print(f"$ {done.step.command}" + (f"  # exit {done.code}" if done.code else ""))
            print(done.out.rstrip())
            if lacking is not None or done.code != done.step.code:
                print(f"!!! exit {done.code} instead of {done.step.code}; not printed: {lacking}")


if __name__ == "__main__":
    _print(Path(sys.argv[1]))
