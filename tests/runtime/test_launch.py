"""How a process finds its place, and what is refused, in words that help."""

from __future__ import annotations

import pytest

from benchbench.cli.main import main
from benchbench.errors import UsageError
from benchbench.runtime import launch
from benchbench.runtime.launch import FOREIGN, NEEDED, ProcessRank

RIGHT = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "ACCELERATE_USE_CPU", *NEEDED, *FOREIGN):
        monkeypatch.delenv(name, raising=False)


def _set(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with launch.connected_processes(None) as processes:
        assert (processes.rank, processes.size) == (0, 1)
    _set(monkeypatch, WORLD_SIZE="1", RANK="0", LOCAL_RANK="0")
    assert launch.read_rank() == ProcessRank() and launch.is_local_main()


def test_a_launchers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, **RIGHT)
    assert launch.read_rank() == ProcessRank(3, 4, 1) and not launch.is_local_main()
    _set(monkeypatch, LOCAL_RANK="0")  # the first on its machine
    assert launch.is_local_main()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"MASTER_PORT": ""}, "WORLD_SIZE=4, and MASTER_PORT is not set"),
        ({"RANK": "", "MASTER_ADDR": ""}, "RANK, MASTER_ADDR is not set"),
        ({"RANK": "4"}, "RANK=4 is not one of WORLD_SIZE=4"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE='four' is not a number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE='0' is not a number"),
    ],
)
def test_half_a_place_is_refused(change: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, **{**RIGHT, **change})
    with pytest.raises(UsageError) as error:
        launch.read_rank()
    assert words in error.value.problem and "accelerate launch --multi_gpu" in error.value.remedy


def test_launchers_that_give_no_place_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, OMPI_COMM_WORLD_SIZE="4")
    with pytest.raises(UsageError, match="4 processes were started, but not as one run"):
        launch.read_rank()
    _set(monkeypatch, OMPI_COMM_WORLD_SIZE="1", ACCELERATE_USE_CPU="True")
    assert launch.read_rank() == ProcessRank()  # accelerate launch --cpu of one process
    _set(monkeypatch, MASTER_ADDR="127.0.0.1")
    with pytest.raises(UsageError, match="asked for several processes and started one") as error:
        launch.read_rank()
    assert "--device cpu" in error.value.remedy


def test_commands_that_are_one_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _set(monkeypatch, **{**RIGHT, "RANK": "0", "LOCAL_RANK": "0"})
    assert main(["list", "methods"]) == 2
    assert "bench list runs as one process, and a launcher started 4" in capsys.readouterr().err
    _set(monkeypatch, RANK="1", LOCAL_RANK="1")
    assert main(["list", "methods"]) == 2
    assert capsys.readouterr().err == ""  # said once a machine


def test_devices_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    _set(monkeypatch, **RIGHT)
    with pytest.raises(UsageError, match="cannot be the device of 4 processes"), launch.connected_processes("cuda:1"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="process 1 of this machine has no GPU"), launch.connected_processes(None):
        pass
