"""One node's part of a launch over several: `srun … python -m posttrain.build.node`, with accelerate's arguments."""

import os
import sys

from posttrain.build.processes import ignore_stop_signals


def main() -> None:
    """Become accelerate's launcher on this node, as the supervisor starts it where there is one node only."""
    ignore_stop_signals()
    os.environ["POSTTRAIN_SUPERVISOR"] = str(os.getpid())  # the ranks' ancestor here: the supervisor may be elsewhere
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--machine_rank", os.environ["SLURM_NODEID"]]
    os.execv(sys.executable, [*launch, *sys.argv[1:]])  # noqa: S606


main()
