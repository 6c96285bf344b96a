"""Build one target of a frozen plan: python -m posttrain.build scripts/train_sft.py models/x --plan PLAN."""

import argparse

from posttrain.build.processes import die_with_parent
from posttrain.build.supervise import Supervisor


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m posttrain.build", description=__doc__)
    parser.add_argument("script", help="the stage's program, or `restore` to link what the store holds")
    parser.add_argument("target", help="what to build: models/zephyr-7b-sft")
    parser.add_argument("--plan", required=True, help="the frozen plan: .posttrain/plan/<digest>.json")
    args = parser.parse_args()
    supervisor = Supervisor(args.plan, args.target)
    if args.script == "restore":
        supervisor.restore()
    else:
        supervisor.build(args.script)


main()
