"""Runs ``bench`` as ``python -m benchbench``."""

import sys

from benchbench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
