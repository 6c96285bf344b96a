"""The campaign of kills on one long build: the shipped quickstart, killed ten times on its way to its last evaluation.

    python tests/prove_long_kills.py --kills 10 --seed 0

An undisturbed build first, then one in another folder that is killed at moments drawn from the seed and started again:
each artifact must be the undisturbed one's to the byte. The table of kills is written into tests/RESULTS.md.
test_chain.py makes four on a small build of the same stages, which --chain takes here too.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "build"))

import interruptions

from chain import CHAIN
from conftest import ROOT, Project, checkout
from results import put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="how many kills (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="what the kills are drawn from (default 0)")
    parser.add_argument("--target", default="evals/quickstart-dpo/spelling", help="what is built (default %(default)s)")
    parser.add_argument("--chain", action="store_true", help="build the tests' chain, and write no table")
    args = parser.parse_args()
    page = CHAIN if args.chain else (ROOT / "config/recipes/quickstart.yaml").read_text()
    with tempfile.TemporaryDirectory(prefix="posttrain-long-kills-") as folder:
        undisturbed, killed = (checkout(Path(folder, name), page) for name in ("undisturbed", "killed"))
        undisturbed.make(args.target, timeout=None)
        began, made = time.monotonic(), []
        for kill in interruptions.build(killed, args.target, kills=args.kills, seed=args.seed, like=undisturbed):
            print(row(kill), flush=True)
            made.append(kill)
        differ = differing(undisturbed, killed)
        if not args.chain:
            put("kills of one long build", table(made, args, undisturbed, differ, time.monotonic() - began))
    sys.exit("\n".join(differ) or None)


def differing(undisturbed: Project, killed: Project) -> list[str]:
    """The files of artifacts and the manifests in which two builds differ."""
    one, two = undisturbed.made(), killed.made()
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def row(kill: interruptions.Kill) -> str:
    return f"| {kill.number} | {kill.how} | {kill.seconds:.0f} | {kill.made} | {kill.doing} |"


def table(
    kills: list[interruptions.Kill], args: argparse.Namespace, built: Project, differ: list[str], seconds: float
) -> str:
    said = f"--kills {args.kills} --seed {args.seed} --target {args.target}"
    ended = f"{len(differ)} files differed" if differ else "every file and manifest equal to the undisturbed build's"
    return "\n".join([
        f"`python tests/prove_long_kills.py {said}`: {len(built.standing())} artifacts, {len(kills)} kills, and in the "
        f"end {ended}; {seconds / 60:.0f} minutes on {os.cpu_count()} CPUs ({platform.machine()}), Python "
        f"{platform.python_version()}.",
        "",
        "After each kill no process was left within two minutes, and nothing half-made had a manifest; in the end no",
        "lease was held and no work was left over. *s*: how long the run had lasted when all of it was gone; *stood*:",
        "artifacts that were whole by then.",
        "",
        "| kill | of | s | stood | while it made |",
        "|---|---|---|---|---|",
        *map(row, kills),
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
