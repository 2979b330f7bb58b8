"""One measurement in a process of its own: ``python -m benchbench.papers.cell STORE JSON``."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> int:
    """Generates and scores what is missing for one row; prints progress, returns the exit code."""
    from benchbench import prompts
    from benchbench.errors import BenchError
    from benchbench.evaluate.measure import measure

    store, cell = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        measure(
            cell["model"],
            {cell["row"]: cell["runs"]},
            prompts.load(cell["prompts"]),
            cell["rewards"],
            store=store,
            images_per_prompt=cell["images_per_prompt"],
        )
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
