"""What a job through SLURM takes besides its stage: a chain of short trainings on the tests' cluster, by profiles/slurm
and by the plugin's own executor as it is.

    python tests/benchmarks/slurm_overhead.py [links]

- submitted → begun: sbatch's answer, to the start of what SLURM runs: a Snakemake that starts another by srun;
- outer, inner: each of these two, from its start to the start of what it runs;
- stage: ours, from the supervisor's first line to the release of its lease;
- ends: until both Snakemakes are gone;
- noticed: until the Snakemake that waits says that the job is finished.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "slurm"))

from cluster import Cluster, missing

from conftest import Project, checkout
from posttrain.build import lease

TICKS = os.sysconf("SC_CLK_TCK")
OURS = ("--profile", "slurm")
PLUGIN = ("--executor", "slurm", "--jobs", "32", "--slurm-status-command", "squeue", "--latency-wait", "60",
          "--default-resources", "mem_mb=8000", "runtime=60", "slurm_account=lab")  # fmt: skip
PHASES = ("begun", "outer", "inner", "stage", "ends", "noticed")
LOOK = 0.05  # seconds


class Chain:
    """A checkout with a chain of trainings, all but these made."""

    def __init__(self, root: Path, links: int) -> None:
        self.project: Project = checkout(root)
        self.links = [f"models/link-{number}" for number in range(links)]
        page = self.project.path("config/recipes/micro.yaml")
        for number, base in enumerate(["micro-sft", *(f"link-{number}" for number in range(links - 1))]):
            page.open("a").write(f"  link-{number}: {{extends: micro-sft, base: {base}}}\n")
        self.project.make("models/micro-sft", *self.links)

    def run(self, cluster: Cluster, *how: str) -> tuple[float, list[dict[str, float]]]:
        """Make the links anew: the seconds of it all, and the phases of each job."""
        for link in self.links:
            self.project.forget(link)
        processes = Processes(self.project.root)
        began = time.time()
        main = self.project.start(self.links[-1], *how, PATH=cluster.path)
        said = [(time.time(), line) for line in main.stdout]
        assert main.wait() == 0, "".join(line for _, line in said)
        seconds = time.time() - began
        processes.stop()
        submitted = [at for at, line in said if "has been submitted with SLURM jobid" in line]
        finished = [at for at, line in said if line.startswith("Finished jobid")]
        outer, inner = processes.of("slurm-jobstep"), processes.of("")
        return seconds, [phases(*row) for row in zip(submitted, outer, inner, self.stages(), finished, strict=True)]

    def stages(self) -> Iterator[tuple[float, float]]:
        """When each link's supervisor began, and released its lease."""
        for link in self.links:
            turn = lease.turns(self.project.path("store"), self.project.manifest(link)["key"])[-1]
            owner = json.loads((turn / "owner.json").read_text())
            yield since_epoch(int(owner["since"])), (turn / "released").stat().st_mtime


class Processes(threading.Thread):
    """Watches the Snakemakes that SLURM runs for a checkout: when each began and was gone."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.snakefile, self.over = str(root / "workflow/Snakefile"), threading.Event()
        self.seen: dict[tuple[int, str], tuple[str, float]] = {}
        self.start()

    def run(self) -> None:
        while not self.over.wait(LOOK):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                except OSError:
                    continue
                if words[1:3] == ["-m", "snakemake"] and self.snakefile in words and (since := lease.started(int(pid))):
                    kind = "slurm-jobstep" if "slurm-jobstep" in words else ""
                    self.seen[int(pid), since] = (kind, time.time())

    def of(self, kind: str) -> list[tuple[float, float]]:
        return sorted((since_epoch(int(since)), last) for (_, since), (its, last) in self.seen.items() if its == kind)

    def stop(self) -> None:
        self.over.set()
        self.join()


def since_epoch(ticks: int) -> float:
    """A moment in clock ticks since boot, in seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / TICKS


def phases(
    submitted: float,
    outer: tuple[float, float],
    inner: tuple[float, float],
    stage: tuple[float, float],
    finished: float,
) -> dict[str, float]:
    moments = [submitted, outer[0], inner[0], *stage, outer[1], finished]
    return dict(zip(PHASES, (after - before for before, after in zip(moments, moments[1:], strict=False)), strict=True))


def main() -> None:
    if why := missing():
        sys.exit(why)
    links = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="posttrain-slurm-") as folder, Cluster(Path(folder, "cluster")) as cluster:
        chain = Chain(Path(folder, "p"), links)
        print(f"a chain of {links} trainings; load {os.getloadavg()[0]:.1f} at the start, on {os.cpu_count()} cores")
        for name, how in (("profiles/slurm", OURS), ("the plugin's own executor", PLUGIN)):
            seconds, jobs = chain.run(cluster, *how)
            print(f"{name}: {seconds:.0f} s; of each job, mean and most in seconds")
            for phase in PHASES:
                found = [job[phase] for job in jobs]
                print(f"  {phase:8} {statistics.mean(found):5.1f} {max(found):5.1f}", flush=True)


if __name__ == "__main__":
    main()
