"""Training: TRL 1.16's trainers, launched, watched, stopped and resumed as the build needs it."""

import os

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # ORPO's home may change with any version: TRL's is pinned
