"""Shares of rows, sums, exchanges and errors among real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchbench.runtime.distributed import ProcessGroup, _buckets
from tests.ranks import run_ranks


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 40])
def test_shares_are_neighbours_that_make_the_whole(size: int, n: int) -> None:
    """In order, none twice, none missing, sizes that differ by one at most, and the first has rows where any are."""
    shares = [ProcessGroup(rank, size).local_slice(n) for rank in range(size)]
    assert [i for share in shares for i in range(share.start, share.stop)] == list(range(n))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1 and lengths[0] == max(lengths)


def test_shares_by_hand() -> None:
    """3 rows of 2 processes: bounds ceil(3·0/2), ceil(3·1/2), ceil(3·2/2) = 0, 2, 3. 2 of 3: 0, 1, 2, 2."""
    assert [ProcessGroup(r, 2).local_slice(3) for r in range(2)] == [slice(0, 2), slice(2, 3)]
    assert [ProcessGroup(r, 3).local_slice(2) for r in range(3)] == [slice(0, 1), slice(1, 2), slice(2, 2)]


def test_a_process_that_is_alone_computes_everything_itself() -> None:
    processes, x = ProcessGroup(), torch.randn(3, 2)
    with processes.sharded(), processes.raise_on_all():
        assert not processes.sharding
        assert torch.equal(processes.sharded_rows(3, (2,), lambda rows: x[rows]), x)
    assert processes.gather({"a": 1}) == [{"a": 1}] and processes.is_main
    shares = {"loss": x.sum()}
    assert processes.totals(shares) is shares  # nothing waits for the device
    with pytest.raises(ValueError, match="own"), processes.raise_on_all():
        raise ValueError("own")


def test_buckets_keep_order_and_kind() -> None:
    tensors = [torch.zeros(2), torch.zeros(3), torch.zeros(1, dtype=torch.int64), torch.zeros(2**24), torch.zeros(5)]
    assert [[t.numel() for t in bucket] for bucket in _buckets(tensors)] == [[2, 3], [1], [2**24], [5]]


CODE = """
from benchbench.runtime.distributed import ProcessGroup
def main(_):
    from benchbench.errors import RunError, UsageError
    from benchbench.runtime import launch
    seen = {}
    with launch.connected_processes("cpu") as processes:
        seen["place"] = [processes.rank, processes.size, processes.is_main]
        table = torch.arange(14.0).reshape(7, 2)
        made = []
        def make(rows):
            made.append([rows.start, rows.stop, processes.sharding, processes.first_row])
            return table[rows]
        with processes.sharded():
            for n in (7, 2, 0):
                seen[f"rows {n}"] = processes.sharded_rows(n, (2,), make).tolist()
        seen["made"] = made
        seen["gather"] = processes.gather({"x": [0.1, float("inf")], "ü": "ä" * processes.rank})
        seen["long"] = [len(text) for text in processes.gather("x" * (5000 if processes.rank == 1 else 10))]
        seen["totals"] = processes.totals({"a": processes.rank + 0.5} if processes.rank else {})
        w = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        w[0].grad = torch.tensor([1.0, processes.rank])
        if processes.rank == 2:
            w[1].grad = torch.tensor([3.0, 4.0])
        processes.sum_gradients(w)
        seen["gradients"] = [None if p.grad is None else p.grad.tolist() for p in w]
        processes.check_same_weights(w)
        caught = []
        def attempt(block):
            try:
                block()
                caught.append(None)
            except Exception as error:
                caught.append([type(error).__name__, str(error).splitlines()[0]])
        def in_block():  # an error of one process, outside shares
            with processes.raise_on_all():
                if processes.rank == 1:
                    raise UsageError("one has it", "c", "r")
        def in_share():  # kept until the block's end; the others meet zeros, and one of them stumbles over them
            with processes.raise_on_all(), processes.sharded():
                def broken(rows):
                    if processes.rank == 2:
                        raise KeyError("row")
                    return table[rows]
                whole = processes.sharded_rows(7, (2,), broken)
                assert processes.rank == 2 or whole[5:].abs().sum() == 0
                if processes.rank == 0:
                    raise RunError("a consequence", "c", "r")
        def different():
            processes.check_same("things", processes.rank == 2)
        for block in (in_block, in_share, different):
            attempt(block)
        with processes.raise_on_all(), processes.sharded():  # and all is well afterwards
            seen["after"] = processes.sharded_rows(7, (2,), make).tolist()
        seen["caught"] = caught
        try:  # out of step with the others: this one ends, and they notice
            with processes.raise_on_all():
                if processes.rank == 1:
                    raise torch.OutOfMemoryError("no room")
            seen["end"] = "unnoticed"
        except Exception as error:
            seen["end"] = type(error).__name__
    return seen
"""


def test_three_processes(tmp_path: Path) -> None:
    """7 rows are 3 + 2 + 2 and 2 are 1 + 1 + 0; gradients [1, 0] + [1, 1] + [1, 2] = [3, 3]; 1.5 + 2.5 = 4."""
    results = run_ranks(3, tmp_path, CODE)
    assert all("value" in one for one in results), results
    each = [one["value"] for one in results]
    table = [[2.0 * i, 2.0 * i + 1] for i in range(7)]
    for rank, seen in enumerate(each):
        assert seen["place"] == [rank, 3, rank == 0]
        assert (seen["rows 7"], seen["rows 2"], seen["rows 0"]) == (table, table[:2], [])
        assert seen["gather"] == [{"x": [0.1, float("inf")], "ü": "ä" * r} for r in range(3)]
        assert seen["long"] == [10, 5000, 10]
        assert seen["totals"] == {"a": 4.0}
        assert seen["gradients"] == [[3.0, 3.0], [3.0, 4.0], None]
        assert seen["after"] == table
    assert [seen["made"][:2] for seen in each] == [
        [[0, 3, False, 0], [0, 1, False, 0]],
        [[3, 5, False, 3], [1, 2, False, 1]],
        [[5, 7, False, 5], [5, 7, False, 5]],  # its share of 2 rows is empty; the second is the one afterwards
    ]
    assert [seen["end"] for seen in each] == ["LostError", "OutOfMemoryError", "LostError"]
    others = ["UsageError", "one has it (process 1 of 3)"]
    assert [seen["caught"][0] for seen in each] == [others, ["UsageError", "one has it"], others]
    others = ["RunError", "a process has failed (process 2 of 3)"]
    assert [seen["caught"][1] for seen in each] == [others, others, ["KeyError", "'row'"]]
    assert all(seen["caught"][2] == ["RunError", "the processes of this run hold different things"] for seen in each)
