"""As many rows at a time as the device's memory holds: out of memory halves the batch and goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchbench.errors import RunError


class Fitting:
    """Runs a function of rows whole, or, once that was too much for the memory, in parts, from then on.

    For functions whose rows do not see each other, so that parts change nothing but rounding.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.most: int | None = None  # rows at a time; None until memory has said no

    def __call__(self, run: Callable[[slice], Tensor], rows: int) -> Tensor:
        """``run`` of all rows [rows, ...], put together again. Errors: RunError where one row is too many."""
        parts: list[Tensor] = []
        start = 0
        while start < rows:
            size = min(self.most or rows, rows - start)
            try:
                parts.append(run(slice(start, start + size)))
                start += size
                continue
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise RunError(
                        f"out of memory {self.what}, one image at a time",
                        str(error).splitlines()[0],
                        "free memory on the device, or use another one",
                    ) from error
            # outside the handler: the exception's traceback would keep the failed part's tensors alive
            self.most = size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return parts[0] if len(parts) == 1 else torch.cat(parts)
