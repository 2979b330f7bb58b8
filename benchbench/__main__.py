"""Runs ``bench``, as the installed command and as ``python -m benchbench``."""

import sys

try:
    from benchbench.cli.main import main
except KeyboardInterrupt:  # loading takes a moment, in which the user may change their mind
    print("interrupted", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
