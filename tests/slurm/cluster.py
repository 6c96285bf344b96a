"""A throw-away SLURM on this machine (up.sh), and what a person would ask of it at a prompt."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
DAEMONS = ("munged", "slurmctld", "slurmd", "srun")


def missing() -> str:
    """Why there can be no cluster on this machine, or nothing."""
    if absent := [name for name in DAEMONS if not shutil.which(name)]:
        return f"no {', '.join(absent)}: apt-get install --no-install-recommends slurm-wlm munge"
    return "slurmd must be started by root" if os.geteuid() else ""


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def __enter__(self) -> "Cluster":
        subprocess.run([HERE / "up.sh", self.folder], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([HERE / "down.sh", self.folder], check=True)

    def ask(self, *command: str) -> str:
        environment = os.environ | {"PATH": self.path}
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def jobs(self, root: Path) -> dict[str, dict[str, str]]:
        """The jobs of a checkout in the last five minutes, by rule and name, as `scontrol show job` has them."""
        lines = self.ask("scontrol", "--oneliner", "show", "job").splitlines()
        shown = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]
        ours = [job for job in shown if job.get("WorkDir") == str(root)]
        return {job["Comment"].removeprefix("rule_").replace("_wildcards_", " "): job for job in ours}

    def asked(self, number: str, fields: str) -> str:
        """What a job asks for, in squeue's fields; all that waits of an array is one."""
        return self.ask("squeue", "--noheader", f"--jobs={number}", f"--format={fields}").strip()

    def next_job(self) -> str:
        return re.search(r"NEXT_JOB_ID\s*=\s*(\d+)", self.ask("scontrol", "show", "config"))[1]

    def controller(self, command: str) -> None:
        """`stop` slurmctld, or `start` it with what it knew."""
        if command == "start":
            self.ask("slurmctld", "-f", str(self.folder / "slurm.conf"))
            return
        pid = int((self.folder / "run/slurmctld.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.1)

    def partitions(self, state: str) -> None:
        """UP, or DOWN: jobs are taken, and wait."""
        for name in ("debug", "high"):
            self.ask("scontrol", "update", f"PartitionName={name}", f"State={state}", "MaxTime=UNLIMITED")

    def clear(self) -> None:
        """End what is left of a failed test."""
        self.partitions("UP")
        for number in self.ask("squeue", "--noheader", "--format=%i").split():
            self.ask("scancel", number)
