"""The processes of one run: each computes a share of the rows, and all of them hold the full result.

Every process runs the same program with the same samples, statistics and random choices, so that a method need not know
how many processes there are. Where rows are computed (network, reward, gradient), a process computes its share and the
shares are combined. Processes communicate by sums of tensors and by an exchange of small JSON values; only the engine
uses these.

An error must not leave other processes waiting. An error within a share is stored, the process continues with zeros for
its rows, and all processes raise the error at the end of the block (``raise_on_all``). An error outside of shares
occurs in all processes, since all do the same there. The exception is out of memory in one process: it ends, and the
others fail or the launcher ends them.
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

SMALL = 1020  # bytes; a value up to this size is sent in one message
BUCKET = 2**24  # numbers per all-reduce: many small gradients share one message


class LostError(RunError):
    """Another process has ended or does not answer, so that nothing can be exchanged with it."""


class ProcessGroup:
    """The ``size`` processes of a run, as process ``rank`` sees them; with size 1 nothing is communicated."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, torch.device(device)
        self.sharding = False
        self.first_row = 0
        """Index in the full batch of the first row that is computed now, so that an error names the right sample."""
        self._failure: Exception | None = None

    @property
    def is_main(self) -> bool:
        """Returns True if this process writes files, metrics and messages."""
        return self.rank == 0

    def local_slice(self, n: int) -> slice:
        """Returns this process's slice of n rows. Sizes differ by at most one; rank 0 has a row if n > 0."""
        return slice(-(-n * self.rank // self.size), -(-n * (self.rank + 1) // self.size))

    @contextmanager
    def sharded(self) -> Iterator[None]:
        """Makes the policy and the reward compute each batch within the block in shares, one per process."""
        self.sharding = self.size > 1
        try:
            yield
        finally:
            self.sharding = False

    def sharded_rows(self, n: int, shape: Sequence[int], make: Callable[[slice], Tensor]) -> Tensor:
        """Returns float32 [n, *shape] on every process; each process computes its own rows with ``make(rows)``."""
        if not self.sharding:
            return make(slice(0, n))
        result, local = torch.zeros(n, *shape, device=self.device), self.local_slice(n)
        if local.start < local.stop and self._failure is None:
            self.sharding, self.first_row = False, local.start
            try:
                result[local] = make(local)
            except Exception as error:
                self._failure = error
            finally:
                self.sharding, self.first_row = True, 0
        self.all_reduce([result])  # the rows of other processes are zeros here, so the sum is exact
        return result

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes. Raises LostError."""
        if self.size == 1:
            return
        import torch.distributed as dist

        try:
            for bucket in _buckets(tensors):
                flat = bucket[0].reshape(-1) if len(bucket) == 1 else torch.cat([t.reshape(-1) for t in bucket])
                dist.all_reduce(flat)
                parts = torch.split(flat, [t.numel() for t in bucket])
                for tensor, part in zip(bucket, parts, strict=True):
                    tensor.copy_(part.view_as(tensor))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise LostError(
                f"process {self.rank} of {self.size} has lost another process",
                str(error).splitlines()[0],
                "see the output of the other processes; the last checkpoint stays, and --resume goes on from it",
            ) from error

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sums the gradients over the processes; a parameter without gradient in every process keeps none."""
        if self.size == 1:
            return
        gradients = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        self.all_reduce([gradients])
        for parameter, count in zip(parameters, gradients.tolist(), strict=True):
            if count and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.all_reduce([p.grad for p in parameters if p.grad is not None])

    def gather(self, value: Any) -> list[Any]:
        """Returns the JSON-able value of each process, by rank. Raises LostError."""
        if self.size == 1:
            return [value]
        text = json.dumps(value).encode()
        small = text if len(text) <= SMALL else b""
        messages = self._gather_bytes(len(text).to_bytes(4, "little") + small, 4 + SMALL)
        lengths = [int.from_bytes(message[:4], "little") for message in messages]
        if max(lengths) <= SMALL:
            texts = [message[4:] for message in messages]
        else:
            texts = self._gather_bytes(text, max(lengths))
        return [json.loads(text[:length]) for text, length in zip(texts, lengths, strict=True)]

    def _gather_bytes(self, message: bytes, width: int) -> list[bytes]:
        """Returns the message of each process, padded with zeros to ``width`` bytes."""
        table = torch.zeros(self.size, width, dtype=torch.uint8)
        table[self.rank, : len(message)] = torch.tensor(list(message), dtype=torch.uint8)
        table = table.to(self.device)
        self.all_reduce([table])
        return [bytes(row) for row in table.tolist()]

    def totals(self, shares: dict[str, Any]) -> dict[str, Any]:
        """Returns the sums of numbers by name; a process with an empty share of the rows may pass no names."""
        if self.size == 1:
            return shares
        totals: dict[str, float] = {}
        for share in self.gather({name: float(value) for name, value in shares.items()}):
            for name, value in share.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    def check_same(self, noun: str, value: Any) -> None:
        """Raises RunError unless all processes hold the same value; ``noun`` names it in the plural."""
        values = self.gather(value)
        deviating = [rank for rank in range(self.size) if values[rank] != values[0]]
        if deviating:
            raise RunError(
                f"the processes of this run hold different {noun}",
                f"process {deviating[0]} of {self.size} differs from process 0",
                "start all of them by the same command, with the same files, versions and kind of device",
            )

    def check_same_weights(self, weights: Sequence[Tensor]) -> None:
        """Raises RunError unless the weights are bitwise equal in all processes."""
        if self.size > 1:  # a sum of integers does not depend on the order
            integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}
            self.check_same("weights", [int(p.detach().view(integers[p.element_size()]).sum()) for p in weights])

    @contextmanager
    def raise_on_all(self) -> Iterator[None]:
        """Makes all processes go on after the block, or all raise the error of the first process that failed."""
        if self.size == 1:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except (LostError, torch.OutOfMemoryError):  # the processes are out of step: nothing can be exchanged
            raise
        except Exception as caught:
            error = caught
        # an error within a share goes first: later errors may come from the zeros that replaced its rows
        failure, self._failure = self._failure, None
        reports = self.gather(_report(failure or error, late=failure is None))
        failed = [(report["late"], rank) for rank, report in enumerate(reports) if report]
        if not failed:
            return
        _, rank = min(failed)
        local_error = failure or error
        if rank == self.rank and local_error is not None:
            raise local_error
        error_type = getattr(errors, reports[rank]["kind"], RunError)
        problem, cause, remedy = reports[rank]["lines"]
        raise error_type(f"{problem} (process {rank} of {self.size})", cause, remedy)


def _report(error: Exception | None, late: bool) -> dict[str, Any] | None:
    """Returns an error as JSON for the other processes; ``late``: it may follow from another process's error."""
    if error is None:
        return None
    if isinstance(error, BenchError):
        lines = [error.problem, error.cause, error.remedy]
    else:
        lines = ["a process has failed", f"{type(error).__name__}: {error}"[:2000], "see the output of that process"]
    return {"kind": type(error).__name__, "lines": lines, "late": late}


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yields neighbouring tensors of one dtype, up to BUCKET numbers together; a larger tensor comes alone."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != tensor.dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
