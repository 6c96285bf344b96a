"""What the job does that `posttrain doctor --profile slurm` sends: python -m posttrain.doctor FOLDER."""

import sys
from pathlib import Path

from posttrain.doctor.launched import launch

sys.exit(launch(Path(sys.argv[1])))
