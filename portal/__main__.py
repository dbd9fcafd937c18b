"""`python -m portal` is the command line, also where no console script was installed."""

from __future__ import annotations

from portal.cli import main

if __name__ == "__main__":
    main()
