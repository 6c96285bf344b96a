"""Build one target of the frozen plan that POSTTRAIN_PLAN names.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python -m posttrain.build models/quickstart-sft
"""

import argparse
import os

from posttrain.build import sent, slurm, status
from posttrain.build.attempt import Cut
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
    if slurm.job():
        sent.begin(slurm.job())
    try:
        made(Supervisor(os.environ["POSTTRAIN_PLAN"], args.target))
    except slurm.TimeIsOver:
        slurm.requeue()  # the lease is free by now
    except Cut:
        raise  # by whom, SLURM knows
    except Refusal as refusal:
        end(args.target, getattr(refusal, "kind", None), str(refusal))
        raise
    except SystemExit:
        end(args.target, status.STOPPED, f"{args.target}: was stopped, and goes on from what it kept")
        raise
    except Exception as error:
        end(args.target, None, f"{args.target}: {type(error).__name__}: {error}")
        raise


def end(target: str, kind: str | None, why: str) -> None:
    """Tell the Snakemake that sent this job, if one did."""
    if slurm.job():
        sent.end(slurm.job(), target, kind, why)


def made(supervisor: Supervisor) -> None:
    """Raises: Refusal, of a disk's faults too."""
    try:
        supervisor.restore() if supervisor.target["rule"] == "restore" else supervisor.build()
    except OSError as error:
        raise disk_refusal(supervisor.path, error) from None


main()
