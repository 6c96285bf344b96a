"""The command line beside snakemake: `posttrain status` says what is being built and how far it is."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from posttrain.build import lease, status
from posttrain.files import read_json

CLEAR = "\033[2J\033[H"


def main() -> None:
    parser = argparse.ArgumentParser(prog="posttrain", description="Post-training recipes as files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("status", help="what is being built here, and how far it is")
    command.add_argument("--follow", action="store_true", help="look again every two seconds, until interrupted")
    command.set_defaults(run=show_status)
    args = parser.parse_args()
    args.run(args)


def show_status(args: argparse.Namespace) -> None:
    """Print one line for each work folder."""
    while True:
        lines = list(work_lines(Path("work"), Path(store_of_newest_plan())))
        print((CLEAR if args.follow else "") + ("\n".join(lines) or "nothing is being built here"), flush=True)
        if not args.follow:
            return
        try:
            time.sleep(2)
        except KeyboardInterrupt:
            return


def work_lines(work: Path, store: Path) -> Iterator[str]:
    """`models/x  running  step 4 of 10, loss 0.5  (process 7 on n1, 3 s ago)`, by name."""
    for path in sorted(work.glob("*/*/status.json")) + sorted(work.glob("evals/*/*/status.json")):
        folder = path.parent
        said = status.read(folder)
        key = folder.name.rpartition(".")[2]
        who = lease.holder(store, key)
        state = said["state"] if who or said["state"] != "running" else "killed"
        hint = {"resume": "run snakemake again to go on", "killed": "run snakemake again to go on"}
        ago = f"{time.time() - said['time']:.0f} s ago"
        about = who.get("name") or hint.get(state) or said.get("why", "")
        at = status.sentence(said) or ("at work" if state == "running" else "")
        yield f"{said['target']:32} {state:8} {at}{'  ' if at else ''}({about}, {ago})"


def store_of_newest_plan() -> str:
    plans = sorted(Path(".posttrain/plan").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return read_json(plans[-1])["store"] if plans else "store"
