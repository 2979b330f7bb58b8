"""The processes of one run: each computes a share of the rows, and all of them hold the same whole.

Every process walks through the same program with the same samples, the same statistics and the same random choices, so
that a method need not know how many there are. Where rows are computed - the network, the reward, the gradient - a
process makes its own share and the shares are put together. There are two ways to speak: a sum of tensors and an
exchange of small JSON values. Only the engine uses them.

An error must not leave the others waiting. One that strikes within a share is kept, the process goes on in step with
zeros in the place of its rows, and at the end of the block (``together``) all of them raise it. One outside of shares
is raised by all, since all do the same there; only memory may be short for one alone, and that process ends, upon which
the others fail or are ended by the launcher.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchbench import errors
from benchbench.errors import BenchError, RunError

SMALL = 1020  # bytes of a value that goes in one message
BUCKET = 2**24  # numbers summed in one go: many small gradients cost one message


class LostError(RunError):
    """Another process has ended without a word, so nothing can be agreed on with it any more."""


class ProcessGroup:
    """This process among ``size``; one that is alone shares nothing and loses no time."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, torch.device(device)
        self.sharding = False
        self.first_row = 0
        """The number, in the whole batch, of the first row that is being made: an error names the right sample."""
        self._failure: Exception | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def local_slice(self, n: int) -> slice:
        """This process's rows of n: neighbours, as equal as can be; rank 0 has some wherever there are any."""
        return slice(-(-n * self.rank // self.size), -(-n * (self.rank + 1) // self.size))

    @contextmanager
    def sharded(self) -> Iterator[None]:
        """Within the block the policy and the reward compute each batch of rows in shares."""
        self.sharding = self.size > 1
        try:
            yield
        finally:
            self.sharding = False

    def sharded_rows(self, n: int, shape: Sequence[int], make: Callable[[slice], Tensor]) -> Tensor:
        """float32 [n, *shape], whole on every process, of what ``make(rows)`` gives for each share of the rows."""
        if not self.sharding:
            return make(slice(0, n))
        whole, mine = torch.zeros(n, *shape, device=self.device), self.local_slice(n)
        if mine.start < mine.stop and self._failure is None:
            self.sharding, self.first_row = False, mine.start
            try:
                whole[mine] = make(mine)
            except Exception as error:
                self._failure = error
            finally:
                self.sharding, self.first_row = True, 0
        self.all_reduce([whole])  # the others' rows are zeros here, so the sum is exact
        return whole

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes. Errors: LostError."""
        if self.size == 1:
            return
        import torch.distributed as dist

        try:
            for bucket in _buckets(tensors):
                flat = bucket[0].reshape(-1) if len(bucket) == 1 else torch.cat([t.reshape(-1) for t in bucket])
                dist.all_reduce(flat)
                for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                    tensor.copy_(part.view_as(tensor))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise LostError(
                f"process {self.rank} of {self.size} has lost another process",
                str(error).splitlines()[0],
                "see what the other said; the last checkpoint stays, and --resume goes on from it",
            ) from error

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sums the gradients; a parameter that no process has a gradient of keeps none."""
        if self.size == 1:
            return
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        self.all_reduce([has])
        for parameter, some in zip(parameters, has.tolist(), strict=True):
            if some and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.all_reduce([p.grad for p in parameters if p.grad is not None])

    def gather(self, value: Any) -> list[Any]:
        """The JSON-able value of each process, by rank, on every process. Errors: LostError."""
        if self.size == 1:
            return [value]
        text = json.dumps(value).encode()
        small = text if len(text) <= SMALL else b""
        board = self._board(len(text).to_bytes(4, "little") + small, 4 + SMALL)
        lengths = [int.from_bytes(row[:4], "little") for row in board]
        texts = [row[4:] for row in board] if max(lengths) <= SMALL else self._board(text, max(lengths))
        return [json.loads(row[:length]) for row, length in zip(texts, lengths, strict=True)]

    def _board(self, line: bytes, width: int) -> list[bytes]:
        """The line of each process, filled up with zeros to the width."""
        own = torch.zeros(self.size, width, dtype=torch.uint8)
        own[self.rank, : len(line)] = torch.tensor(list(line), dtype=torch.uint8)
        own = own.to(self.device)
        self.all_reduce([own])
        return [bytes(row) for row in own.tolist()]

    def totals(self, shares: dict[str, Any]) -> dict[str, Any]:
        """Sums of numbers by name; a process whose share of the rows was empty has none to name."""
        if self.size == 1:
            return shares
        out: dict[str, float] = {}
        for one in self.gather({name: float(value) for name, value in shares.items()}):
            for name, value in one.items():
                out[name] = out.get(name, 0.0) + value
        return out

    def check_same(self, what: str, value: Any) -> None:
        """Errors: RunError unless all processes hold the same value."""
        each = self.gather(value)
        odd = [rank for rank, one in enumerate(each) if one != each[0]]
        if odd:
            raise RunError(
                f"the processes of this run hold different {what}",
                f"process {odd[0]} of {self.size} differs from process 0",
                "start all of them by the same command, with the same files, versions and kind of device",
            )

    def check_same_weights(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Errors: RunError unless all processes hold the same bits."""
        if self.size > 1:  # a sum of whole numbers is the same in any order
            kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
            self.check_same("weights", [int(p.detach().view(kinds[p.element_size()]).sum()) for p in parameters])

    @contextmanager
    def raise_on_all(self) -> Iterator[None]:
        """At the end of the block all go on, or all raise the error of the first process that had one."""
        if self.size == 1:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except (LostError, torch.OutOfMemoryError):  # nobody is there to agree with, or this one is out of step
            raise
        except Exception as caught:
            error = caught
        # what failed within a share comes first: later errors may be due to the zeros in the place of its rows
        kept, self._failure = self._failure, None
        told = self.gather(_told(kept or error, kept is None))
        failed = [(one["late"], rank) for rank, one in enumerate(told) if one]
        if not failed:
            return
        _, rank = min(failed)
        own = kept or error
        if rank == self.rank and own is not None:
            raise own
        kind = getattr(errors, told[rank]["kind"], RunError)
        problem, cause, remedy = told[rank]["lines"]
        raise kind(f"{problem} (process {rank} of {self.size})", cause, remedy)


def _told(error: Exception | None, late: bool) -> dict[str, Any] | None:
    if error is None:
        return None
    if isinstance(error, BenchError):
        lines = [error.problem, error.cause, error.remedy]
    else:
        lines = ["a process has failed", f"{type(error).__name__}: {error}"[:2000], "see what that process says itself"]
    return {"kind": type(error).__name__, "lines": lines, "late": late}


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one kind, up to BUCKET numbers together; a larger tensor goes alone."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != tensor.dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
