"""A small table on real Ray clusters is that of one machine to the bit, whatever is killed meanwhile.

They need the extra ``ray``: pip install 'benchbench[ray]'.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.backends.stores import contents

pytestmark = pytest.mark.long
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra ray is not installed")

TABLE = """
import os, sys
from pathlib import Path
from benchbench.reproduce import run as reproduce, spec
from benchbench.runtime.backends.choice import BackendChoice

store, prompts, on, address = sys.argv[1:]
found = spec.load("tailorpo:2")
one = spec.Block(prompts=prompts, images=1, published="animals")
row = spec.Row(method="ddpo", set=["train.save_every=16", "train.eval_images=4", "train.eval_every=16"])
track = found.tracks["shapes"].model_copy(update={"samples": 32, "blocks": [one], "quick_blocks": []})
small = found.model_copy(update={"tracks": {"shapes": track}, "rows": {"base": found.rows["base"], "ddpo": row}})
reproduce.load = lambda table: small
where = BackendChoice(on, 1, address)
if on == "local":  # a job on one core has one thread, as a Ray task has: other numbers of threads round otherwise
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
reproduce.reproduce("tailorpo:2", store=Path(store), quick=True, where=where)
"""
PROMPTS = 2
Start = Callable[..., "subprocess.Popen[str]"]


def wait_until(true: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert process.poll() is None, f"it ended before: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "it did not happen in 300 s"
        time.sleep(0.02)


def children(store: Path) -> list[int]:
    """Returns the processes that train in a store."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "train" in words and any(word.startswith(f"{store}/") for word in words):
            found.append(int(folder.name))
    return found


def checkpoint(store: Path) -> bool:
    return bool(list(store.glob("runs/*/checkpoints/0*/state.json")))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchbench import prompts

    path = tmp_path_factory.mktemp("prompts") / "few.txt"
    path.write_text("\n".join(prompts.load("shapes-simple").prompts[:PROMPTS]) + "\n")
    return path


@pytest.fixture(scope="module")
def start(prompts: Path) -> Iterator[Start]:
    """Starts the table in a process of its own."""
    started = []

    def start(store: Path, on: str = "local", address: str = "auto") -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", TABLE, str(store), str(prompts), on, address],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                cwd=Path(__file__).parents[3],
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def local(start: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the content of the store of one machine."""
    store = tmp_path_factory.mktemp("local")
    ended(start(store))
    found = contents(store)
    assert sum(name.endswith(".webp") for name in found) == 2 * PROMPTS
    return found


def ended(process: subprocess.Popen[str]) -> str:
    """Returns what a process printed, once it has ended well."""
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    return printed


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without a core of its own; what is added to it are nodes."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=arguments)
    yield cluster
    cluster.shutdown()


def add_node(cluster: Any, store: Path) -> Any:
    """Adds a node of one core that sees no store but its own."""
    variables = {"BENCH_RAY_STORE": str(store)}
    return cluster.add_node(num_cpus=1, object_store_memory=100 << 20, env_vars=variables)


def test_killed_in_the_middle_on_a_cluster_that_is_started_for_it(
    start: Start, local: dict[str, Any], tmp_path: Path
) -> None:
    """The Ray worker is killed after the first checkpoint; its training goes on from there in another one."""
    running = start(tmp_path, "ray", "local")
    wait_until(lambda: checkpoint(tmp_path), running)
    (child,) = children(tmp_path)
    worker = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"ray::" in Path(f"/proc/{worker}/cmdline").read_bytes()
    os.kill(worker, signal.SIGKILL)
    printed = ended(running)
    assert contents(tmp_path) == local
    (log,) = (path.read_text() for path in (tmp_path / "logs").glob("ddpo-*.log"))
    assert "resuming after 16 of 32 samples" in log.partition("broken off (its worker or node was lost")[2]
    assert all("ray" not in line.lower() for line in printed.splitlines()), printed
    assert not list((tmp_path / "logs").glob(".*"))


def test_two_nodes_without_a_shared_folder_of_which_one_is_lost(
    start: Start, local: dict[str, Any], nodes: Any, tmp_path: Path
) -> None:
    """The first node is lost once the head's store has a checkpoint; the second has seen no file of the first."""
    store = tmp_path / "store"
    first = add_node(nodes, tmp_path / "first")
    running = start(store, "ray", nodes.address)
    wait_until(lambda: checkpoint(store), running)
    assert children(tmp_path / "first") and not children(store)
    nodes.remove_node(first, allow_graceful=False)
    add_node(nodes, tmp_path / "second")
    ended(running)
    assert contents(store) == local
    (log,) = (path.read_text() for path in (store / "logs").glob("ddpo-*.log"))
    assert "resuming after 16 of 32 samples" in log.partition("broken off (its worker or node was lost")[2]
    assert list((tmp_path / "second").iterdir()) == []
    assert not list((store / "logs").glob(".*"))


def test_ctrl_c_has_the_jobs_saved_and_sent(start: Start, local: dict[str, Any], nodes: Any, tmp_path: Path) -> None:
    """When the command has ended the node holds nothing any more, and a second command ends at the same store."""
    store = tmp_path / "store"
    add_node(nodes, tmp_path / "node")
    running = start(store, "ray", nodes.address)
    wait_until(lambda: checkpoint(store), running)
    running.send_signal(signal.SIGINT)
    assert running.wait(120) != 0
    assert "stopping: running jobs save what they have" in running.communicate()[0]
    assert not children(tmp_path / "node") and list((tmp_path / "node").iterdir()) == []
    assert checkpoint(store) and not list(store.glob("runs/*/done.json"))
    ended(start(store, "ray", nodes.address))
    assert contents(store) == local


def test_a_cluster_that_is_not_there(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path, "ray", "127.0.0.1:1")
    assert running.wait(60) == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in running.communicate()[0]
