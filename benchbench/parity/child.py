"""Starts ``theirs`` with the interpreter of the packages' environment, and reads its scores as they come."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchbench.errors import RunError
from benchbench.parity.environment import clean_variables
from benchbench.runtime.json_files import parse_object, write_json
from benchbench.runtime.progress import progress

BOOT = "import runpy, sys; sys.path.append(sys.argv[1]); runpy.run_module('theirs', run_name='__main__')"
"""Its folder comes last in the search for modules, so that no file of ours hides one of a package."""
VARIABLES = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
"""Nothing is downloaded, and everything runs on the CPU."""


def scores(
    python: Path,
    reward: str,
    files: Sequence[Sequence[Path]],
    pictures: Sequence[Path],
    prompts: Sequence[str],
    folder: Path,
) -> list[float]:
    """Returns the reference's scores of the pictures, in its own unit; ``folder`` is an empty one to work in.

    Raises RunError with the last line that the program printed. It ends when this function does, also by Ctrl-C.
    """
    request: dict[str, Any] = {
        "reward": reward,
        "files": [[str(path.absolute()) for path in paths] for paths in files],
        "folder": str(folder),
        "pictures": [str(path) for path in pictures],
        "prompts": list(prompts),
    }
    variables = clean_variables() | VARIABLES
    record, values = folder / "messages.log", list[float]()
    question = folder / "request.json"
    write_json(question, request)
    with (
        question.open() as asked,
        record.open("wb") as messages,
        progress(len(pictures), f"scoring with the authors' {reward}", "images") as bar,
    ):
        command = [str(python), "-I", "-c", BOOT, str(Path(__file__).parent)]
        process = subprocess.Popen(
            command, stdin=asked, stdout=subprocess.PIPE, stderr=messages, env=variables, text=True
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                values.append(float(parse_object(line)["score"]))
                bar.advance(note=f"{reward} {values[-1]:.3g}")
            code = process.wait()
        finally:
            process.kill()
            process.wait()
    if code or len(values) != len(pictures) or not all(map(math.isfinite, values)):
        lines = [line.strip() for line in record.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1][:300] if lines else "it printed nothing"
        raise RunError(
            f"the authors' package could not compute {reward}",
            f"its program ended with status {code} after {len(values)} of {len(pictures)} scores: {last}",
            f"look whether the memory suffices; delete {python.parent.parent} to have the packages installed anew; or "
            "leave this reward out with --rewards",
        )
    return values
