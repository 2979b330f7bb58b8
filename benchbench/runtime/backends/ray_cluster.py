"""Connects to a Ray cluster, or starts one of this machine alone; keeps Ray's own messages off the terminal."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from benchbench.errors import MissingError, RunError, UsageError
from benchbench.runtime.cores import cores

AUTO = "auto"
SECONDS = 10.0  # within which a cluster's address must answer
MEMORY = 256 << 20  # bytes of a local cluster's object store: values here are chunks of files and short texts
DEFAULTS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
"""Variables that Ray reads when it is imported: a cluster that is started here reports nothing to Ray's makers and is
not niced, and Ray's own lines are not printed, since what happens to a job is in its log.
"""


def connect(address: str) -> Any:
    """Returns the module ``ray``, connected to a cluster.

    ``auto`` is the cluster of $RAY_ADDRESS, else one that runs on this machine, else a new one that ends with this
    process. Errors: MissingError (Ray is not installed), UsageError (an address that is none), RunError (no answer).
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # an extra
    except ImportError as error:
        raise MissingError("Ray is not installed", str(error), "pip install 'benchbench[ray]'") from error
    named = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    if named not in ("", AUTO, "local"):
        _check_address(named)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    local: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": MEMORY}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if named == "local":
            ray.init(address="local", **options, **local)
        elif named not in ("", AUTO):
            ray.init(address=named, **options)
        else:
            _join_or_start(ray, options, local)
    except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunError(
            f"the Ray cluster {named or AUTO} cannot be used",
            " ".join(lines[:6]) or type(error).__name__,
            "check `ray status` on this machine, or leave out --ray-address for a cluster of this machine alone",
        ) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray's own would end this process without a word
    return ray


def _join_or_start(ray: Any, options: dict[str, Any], local: dict[str, Any]) -> None:
    """Connects to the cluster that runs on this machine, or starts one."""
    try:
        ray.init(address=AUTO, **options)
    except ConnectionError:
        ray.init(address="local", **options, **local)


def _check_address(address: str) -> None:
    """Errors: UsageError for what is no host and port, RunError where nothing answers; Ray itself waits for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise UsageError(
            f"the Ray address {address!r} cannot be used",
            "it is not HOST:PORT of a cluster that this machine belongs to",
            "run the command on a machine of the cluster; `ray start --head` prints the address",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"no Ray cluster answers at {address}",
            str(error),
            "check the address; `ray start --head` starts a cluster",
        ) from error


def actor_here(ray: Any, kind: type) -> Any:
    """Returns an actor of a class in a process of its own on this machine, which takes no slot."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote()
