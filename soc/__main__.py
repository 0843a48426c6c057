"""`python -m soc`."""

from __future__ import annotations

from soc.cli import main

if __name__ == "__main__":
    main()
