"""The splitter: which parts it takes, what it says, when it gives up, and that it lets failed attempts go."""

from __future__ import annotations

import errno
import gc
import weakref

import numpy as np
import pytest
import torch

from benchbench.cli import listing
from benchbench.cli.main import main
from benchbench.diffusion import backbones
from benchbench.errors import NoMemoryError, RunError
from benchbench.runtime.job_process import run_job
from benchbench.runtime.memory import Splitter, out_of_memory
from benchbench.runtime.unexpected import as_bench_error
from benchbench.shapes import MODEL
from tests.runtime.full import CPU, no_room


class Squares:
    """i² of rows, where ``most`` rows fit; remembers the rows of each call."""

    def __init__(self, most: int) -> None:
        self.most, self.tried = most, list[int]()

    def __call__(self, rows: slice) -> torch.Tensor:
        self.tried.append(rows.stop - rows.start)
        if self.tried[-1] > self.most:
            raise no_room()
        return torch.arange(1000)[rows] ** 2


def squares(rows: int) -> list[int]:
    return [i * i for i in range(rows)]


@pytest.mark.parametrize(
    ("size", "rows", "tried"),
    [(None, 10, [10]), (4, 10, [4, 4, 2]), (40, 10, [10]), (None, 1, [1]), (None, 0, [0]), (8, 0, [0])],
)
def test_where_nothing_fails_the_calls_are_those_asked_for(size: int | None, rows: int, tried: list[int]) -> None:
    said, run = list[str](), Squares(1000)
    splitter = Splitter("here", size, log=said.append, on_lowered=pytest.fail)
    assert splitter(run, rows).tolist() == squares(rows)
    assert (run.tried, said, splitter.size) == (tried, [], size)


def test_parts_are_halved_from_the_rows_there_are_and_stay_so() -> None:
    """10 rows of at most 64 where 3 fit: 10 and 5 fail, then 2 at a time; the next call begins with 2."""
    said, sizes, run = list[str](), list[int](), Squares(3)
    splitter = Splitter("testing", 64, row="image", log=said.append, on_lowered=sizes.append)
    for _ in range(2):
        assert splitter(run, 10).tolist() == squares(10)
    assert run.tried == [10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert said == ["out of memory testing: going on with 2 images at a time"]
    assert sizes == [2] == [splitter.size]
    splitter.size = 3
    run.tried.clear()
    assert splitter(run, 4).tolist() == squares(4) and run.tried == [3, 1]


def test_each_part_comes_with_its_rows() -> None:
    parts = list(Splitter("here").parts(Squares(2), 5))
    assert [(rows.start, rows.stop, found.tolist()) for rows, found in parts] == [
        (0, 2, [0, 1]),
        (2, 4, [4, 9]),
        (4, 5, [16]),
    ]


def test_a_step_is_done_again_as_a_whole() -> None:
    """6 rows where 2 fit: whole, then in threes, then in ones, which begin at the first row again."""
    splitter, seen = Splitter("here", 40, graph=True), list[tuple[int, int]]()

    def step() -> str:
        size = splitter.size or 6
        for start in range(0, 6, size):
            seen.append((start, size))
            if (start and size == 3) or size > 3:
                raise no_room()
        return "done"

    assert splitter.with_restarts(step, 6) == "done"
    assert seen == [(0, 40), (0, 3), (3, 3), *((i, 1) for i in range(6))]


@pytest.mark.parametrize(
    "error",
    [
        no_room(),
        RuntimeError(f"{CPU} 9 bytes"),
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_one_row_that_does_not_fit_is_one_clear_error(error: Exception) -> None:
    def run(rows: slice) -> torch.Tensor:
        raise error

    with pytest.raises(NoMemoryError) as raised:
        Splitter("decoding", row="image", remedy="buy some")(run, 4)
    assert str(raised.value).splitlines() == [
        "out of memory decoding, one image at a time",
        f"  why: {error}",
        "  do:  buy some",
    ]


def test_the_cpu_says_it_as_the_marks_have_it() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    assert out_of_memory(raised.value) and not out_of_memory(RuntimeError("shapes do not match"))


def test_other_errors_are_passed_on_at_once() -> None:
    def run(rows: slice) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    splitter = Splitter("here")
    with pytest.raises(RuntimeError, match="shapes"):
        splitter(run, 4)
    assert splitter.size is None


def test_where_one_row_is_too_many_there_may_be_something_further() -> None:
    done, said = list[str](), list[str]()

    def further() -> str | None:
        done.append("asked")
        return "slowly" if len(done) == 1 else None

    def run(rows: slice) -> torch.Tensor:
        if rows.stop - rows.start > 1 or not done:
            raise no_room()
        return torch.zeros(1)

    splitter = Splitter("here", log=said.append, last_resort=further)
    assert splitter(run, 3).shape == (3,)
    assert done == ["asked"] and said == ["out of memory here: going on with one row at a time, slowly"]
    with pytest.raises(NoMemoryError):
        splitter(Squares(0), 3)


def test_within_a_graph_the_outer_splitter_cuts() -> None:
    """Cutting what is inside would not drop the graph, and would leave the inner size small for ever."""
    inner, run = Splitter("inside"), Squares(2)
    assert Splitter("outside", graph=True)(lambda rows: inner(run, rows.stop - rows.start), 4).tolist() == [0, 1, 0, 1]
    assert inner.size is None and run.tried == [4, 2, 2]
    assert inner(Squares(2), 4).tolist() == squares(4) and inner.size == 2, "outside of it, it cuts by itself again"


def test_without_a_graph_the_inner_splitter_cuts_first() -> None:
    inner, outer, run = Splitter("inside"), Splitter("outside"), Squares(2)
    assert outer(lambda rows: inner(run, rows.stop - rows.start), 4).tolist() == squares(4)
    assert (inner.size, outer.size) == (2, None)
    with pytest.raises(NoMemoryError, match="outside, one row"):
        outer(lambda rows: inner(Squares(0), rows.stop - rows.start), 4)


def test_the_next_attempt_begins_when_the_failed_ones_tensors_are_gone() -> None:
    """They are held by the error's traceback, and here by a circle of references too."""
    failed = list[weakref.ref[torch.Tensor]]()

    def run(rows: slice) -> torch.Tensor:
        if rows.stop - rows.start == 1:
            assert [ref() for ref in failed] == [None]
            return torch.zeros(1)
        large = torch.zeros(8)
        failed.append(weakref.ref(large))
        circle: list[object] = [large]
        circle.append(circle)
        raise no_room()

    gc.disable()
    try:
        assert len(Splitter("here")(run, 2)) == 2
    finally:
        gc.enable()


class SafetensorError(Exception):
    """Named as safetensors' own, which says what happened in its message alone."""


def too_large_for_numpy() -> Exception:
    try:
        np.zeros((2**40, 2**20), np.uint8)
    except MemoryError as error:
        return error
    raise AssertionError("this machine has an exabyte")


ON_THE_CPU = [
    MemoryError(),
    too_large_for_numpy(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("bad allocation"),
    RuntimeError("could not create a memory object"),
    RuntimeError("could not create a primitive"),
    RuntimeError("can't start new thread"),
    RuntimeError("unable to mmap 400 bytes from file </x>: Cannot allocate memory (12)"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    SafetensorError("I/O error: Cannot allocate memory (os error 12)"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("raised", ON_THE_CPU, ids=lambda error: f"{type(error).__name__}: {error}"[:60])
def test_every_way_to_run_out_of_memory_on_the_cpu_is_halved_and_then_named(
    raised: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def run(rows: slice) -> torch.Tensor:
        tried.append(rows.stop - rows.start)
        if tried[-1] > 1:
            raise raised
        return torch.arange(4)[rows]

    assert Splitter("here")(run, 4).tolist() == [0, 1, 2, 3]
    assert tried == [4, 2, 1, 1, 1, 1]
    assert isinstance(as_bench_error(raised), NoMemoryError)

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(listing, "table", fail)
    assert main(["list", "methods"]) == NoMemoryError.code
    err = capsys.readouterr().err
    assert err.startswith("error: out of memory\n  why: ") and "--batch-size 1" in err and len(err.splitlines()) == 3
    assert run_job(fail) == NoMemoryError.code
    assert "error: out of memory\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "raised", [RuntimeError("shapes do not match"), OSError(errno.ENOENT, "no file"), ValueError("bad_alloc")]
)
def test_other_errors_are_no_lack_of_memory(raised: Exception) -> None:
    assert not out_of_memory(raised)


def test_a_job_reports_what_nobody_foresaw_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault of ours")

    assert run_job(fail) == RunError.code
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("put the traceback into the report\n")
    assert "error: internal error (please report it)\n  why: ZeroDivisionError: a fault of ours\n" in err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_a_model_that_does_not_fit_is_not_called_damaged(error: Exception) -> None:
    class Network:
        @staticmethod
        def from_pretrained(*_: object, **__: object) -> None:
            raise error

    with pytest.raises(type(error)):
        backbones._load_network(Network, MODEL / "unet", torch.float32, "shapes")
