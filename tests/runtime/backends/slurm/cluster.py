"""A Slurm cluster of one node on this machine: munged, slurmctld and slurmd in a temporary folder, on free ports.

Needs root and Debian's packages ``slurm-wlm`` and ``munge``. ``python -m tests.runtime.backends.slurm.cluster COMMAND``
runs a command in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
SECONDS_TO_START = 15
CONF = """
ClusterName=bench
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
OverTimeLimit=0
MinJobAge=60
NodeName={host} NodeHostname={host} CPUs=2 RealMemory=2000 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=20
PartitionName=first Nodes={host} MaxTime=60 State=UP PriorityTier=9 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Returns the programs that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_path())]


@contextmanager
def cluster() -> Iterator[Path]:
    """Runs the daemons for the block with ``SLURM_CONF`` set; yields the folder of their configuration and logs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        conf = folder / "slurm.conf"
        conf.write_text(CONF.format(host=socket.gethostname(), folder=folder, controller=_port(), node=_port()))
        (folder / "cgroup.conf").write_text("CgroupPlugin=autodetect\n")
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PATH")}
        os.environ |= {"SLURM_CONF": str(conf), "PATH": _path()}
        stack.callback(_restore, before)
        munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munged += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/seed"]
        stack.enter_context(_daemon(munged, folder))
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        stack.enter_context(_daemon(["slurmctld", "-D", "-c", "-f", str(conf)], folder))
        stack.enter_context(_daemon(["slurmd", "-D", "-f", str(conf)], folder))
        _wait(_is_idle, folder)
        stack.callback(_end_jobs)
        yield folder


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


@contextmanager
def _daemon(command: list[str], folder: Path) -> Iterator[None]:
    """Runs a program for the block, then ends it by its process id."""
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _end_jobs() -> None:
    """Ends what a failed test left; its processes would outlive the daemons."""
    subprocess.run(["scancel", "--me"], check=True)
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and subprocess.run(["squeue", "--noheader"], capture_output=True).stdout:
        time.sleep(0.5)


def _is_idle() -> bool:
    answer = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True)
    return answer.stdout.strip() == "idle"


def _wait(true: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not true():
        if time.monotonic() > deadline:
            logs = [
                f"{path.name}:\n{path.read_text()[-2000:]}" for path in [*folder.glob("*.log"), *folder.glob("*.out")]
            ]
            raise RuntimeError("Slurm did not start\n" + "\n".join(logs))
        time.sleep(0.2)


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons end, too
    with cluster():
        sys.exit(subprocess.run(sys.argv[1:]).returncode)
