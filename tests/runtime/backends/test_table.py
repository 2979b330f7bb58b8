"""The quick table of all its methods, with shorter trainings, is the same to the bit here, on Ray and in Slurm.

They need the extras: pip install 'benchbench[ray,slurm]'. Slurm is started as in tests/runtime/backends/slurm.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchbench.runtime.cores import cores
from tests.runtime.backends.slurm.cluster import cluster, missing
from tests.runtime.backends.stores import contents, differences, kinds

pytestmark = pytest.mark.long
METHODS, PROMPTS = 4, {"training": 45, "held-out": 100}
IMAGES = (METHODS + 1) * (3 * PROMPTS["training"] + PROMPTS["held-out"])


def table(store: Path, *where: str) -> dict[str, Any]:
    """Makes the table in a new store; returns the content of that."""
    words = ["reproduce", "tailorpo:2", "--track", "shapes", "--quick", "--samples", "32", "--store", str(store)]
    command = [sys.executable, "-m", "benchbench", *words, *where]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    return contents(store)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the content of the store of one machine, where a job has one thread, as one core has in a cluster."""
    found = table(tmp_path_factory.mktemp("local"), "--jobs", str(cores()))
    counted = kinds(found)
    assert counted["images"] == IMAGES and counted["files of weights"] == counted["files of metrics"] == METHODS
    return found


@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_on_ray(local: dict[str, Any], tmp_path: Path) -> None:
    """The cluster is a head that was started before, as by ``ray start --head``."""
    ray = pytest.importorskip("ray.cluster_utils")
    arguments = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20}
    head = ray.Cluster(initialize_head=True, head_node_args=arguments)
    try:
        found = table(tmp_path, "--on", "ray", "--ray-address", head.address)
    finally:
        head.shutdown()
    assert differences(found, local) == []


@pytest.mark.skipif(os.environ.get("BENCH_TEST_SLURM") != "1", reason="`make test-slurm` starts a Slurm")
@pytest.mark.skipif(find_spec("submitit") is None, reason="the extra slurm is not installed")
@pytest.mark.skipif(bool(missing()), reason="Slurm is not installed")
def test_in_slurm(local: dict[str, Any], tmp_path: Path) -> None:
    with cluster():
        assert differences(table(tmp_path, "--on", "slurm", "--slurm", "time=60"), local) == []
