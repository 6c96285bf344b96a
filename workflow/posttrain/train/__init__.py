"""Training: TRL 1.16's trainers, launched, watched, stopped and resumed as the build needs it."""
