"""The shipped quickstart through SLURM, on the tests' cluster of four virtual nodes, and here: equal to the byte.

    python tests/prove_slurm.py

How many places in the queue it took, with light stages together and without, is written into tests/RESULTS.md.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "slurm"))

from cluster import Cluster, missing

from conftest import ROOT, Project, checkout
from posttrain.files import read_json
from results import put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="reports/quickstart-dpo.html", help="what is built (default %(default)s)")
    args = parser.parse_args()
    if why := missing():
        sys.exit(why)
    page = (ROOT / "config/recipes/quickstart.yaml").read_text()
    with tempfile.TemporaryDirectory(prefix="posttrain-prove-slurm-") as folder:
        here, sent = (checkout(Path(folder, name), page) for name in ("here", "sent"))
        seconds = [timed(here, args.target)]
        with Cluster(Path(folder, "cluster")) as cluster:
            seconds.append(timed(sent, args.target, "--profile", "slurm", PATH=cluster.path))
        one, two = here.made(), sent.made()
        differ = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
        if not differ:
            put("a cluster", table(args.target, sent, seconds))
    sys.exit("\n".join(differ) or None)


def timed(project: Project, *args: str, **env: str) -> float:
    """Make a target, by a process for each stage: the seconds that it takes."""
    began = time.monotonic()
    project.make(*args, timeout=None, POSTTRAIN_FORKSERVER="none", **env)
    print(project.root.name, f"{time.monotonic() - began:.0f} s", flush=True)
    return time.monotonic() - began


def table(target: str, project: Project, seconds: list[float]) -> str:
    jobs = {path.stem: read_json(path)["targets"] for path in project.root.glob(".posttrain/sent/*[0-9].json")}
    stages, arrays = sum(map(len, jobs.values())), {number.split("_")[0] for number in jobs if "_" in number}
    shards = sum("_" in number for number in jobs)
    return "\n".join([
        f"`python tests/prove_slurm.py --target {target}`: {len(project.standing())} artifacts, every file and",
        f"manifest equal to the local build's; four virtual nodes on {os.cpu_count()} CPUs ({platform.machine()}), "
        f"Python {platform.python_version()}.",
        "",
        "| | |",
        "|---|---|",
        f"| stages that were sent | {stages} |",
        f"| places in the queue that they took | {len(jobs)}, of them {shards} shards in {len(arrays)} arrays |",
        f"| minutes through SLURM | {seconds[1] / 60:.0f} |",
        f"| minutes here | {seconds[0] / 60:.0f} |",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
