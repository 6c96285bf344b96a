"""Build one target of the frozen plan that POSTTRAIN_PLAN names.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python -m posttrain.build models/quickstart-sft
"""

import argparse
import os

from posttrain.build.processes import die_with_parent
from posttrain.build.supervise import Supervisor, disk_refusal
from posttrain.files import Refusal


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m posttrain.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", help="what to build: models/zephyr-7b-sft")
    args = parser.parse_args()
    if "POSTTRAIN_PLAN" not in os.environ:
        raise Refusal(
            "POSTTRAIN_PLAN names no plan; `ls -t .posttrain/plan` shows the newest, `snakemake -n` makes one"
        )
    supervisor = Supervisor(os.environ["POSTTRAIN_PLAN"], args.target)
    try:
        supervisor.restore() if supervisor.target["rule"] == "restore" else supervisor.build()
    except OSError as error:
        raise disk_refusal(args.target, error) from None


main()
