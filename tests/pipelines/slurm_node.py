"""A private SLURM of one loopback node: munged, slurmctld and slurmd of Debian's slurm-wlm and munge."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")

_CONFIG = """
ClusterName=segclr
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
KillWait=5
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Sockets=1 CoresPerSocket=4 ThreadsPerCore=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Programs that SLURM needs and that are not installed, or that it would not start."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return missing if os.geteuid() == 0 else [*missing, "root's rights"]


@dataclass(frozen=True)
class Slurm:
    folder: Path
    environment: dict[str, str]

    def call(self, *command: str, **options) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=self.environment, **options
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self) -> dict[str, str]:
        """State of each job, by its id, of those that are not over."""
        lines = self.call("squeue", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def fact(self, job: str, name: str) -> str:
        """A value that ``scontrol show job`` tells."""
        told = self.call("scontrol", "--oneliner", "show", "job", job)
        return next(w.partition("=")[2] for w in told.split() if w.startswith(f"{name}="))


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """Start it, and stop what was started."""
    host = socket.gethostname().partition(".")[0]
    # not below pytest's folder: a socket's path may have 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(_CONFIG.format(host=host, ports=_free_ports(2), folder=folder))
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]),
    }
    munged = [
        "munged",
        "--foreground",
        "--force",
        f"--socket={folder}/munge.socket",
        f"--key-file={key}",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
    ]
    slurm = Slurm(folder, environment)
    processes: list[subprocess.Popen] = []
    log = (folder / "daemons.log").open("w")
    try:
        for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", host]):
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
            if command is munged:
                wait_until((folder / "munge.socket").exists, "munged is up")
        wait_until(lambda: "idle" in _nodes(slurm), "the node is up", seconds=60)
        yield slurm
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _nodes(slurm: Slurm) -> str:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%t"],
        capture_output=True,
        text=True,
        check=False,
        env=slurm.environment,
    )
    return done.stdout


def wait_until(reached, what: str, *, seconds: float = 120) -> None:
    """Look again and again; the limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not reached: {what}"
        time.sleep(0.1)
