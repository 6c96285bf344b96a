"""A tracker that may be lost: what is trained is worth more than who draws its curves."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.integrations import get_reporting_integration_callbacks


class Tracker:
    """Transformers' callback of a tracker, until that fails: then training goes on without it.

    A SIGTERM of SLURM's, for one, ends W&B's own process, while the trainer is still to end its step and save.
    """

    def __init__(self, name: str) -> None:
        (kind,) = get_reporting_integration_callbacks([name])
        self.name, self.callback = name, kind()

    def __getattr__(self, event: str) -> Callable:
        def tell(*args: Any, **said: Any) -> Any:
            try:
                return getattr(self.callback, event)(*args, **said)
            except Exception as error:
                print(f"{self.name} is lost, and training goes on: {type(error).__name__}: {error}", flush=True)
                self.callback = TrainerCallback()  # which does nothing

        return tell
