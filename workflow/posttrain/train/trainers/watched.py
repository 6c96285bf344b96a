"""What every trainer is watched for: steps that are no number, and evaluations that would leave a trace."""

from typing import Any

import torch
from torch.distributed.tensor import DTensor


class Watched:
    """Knows the first step that was no number, and evaluates without touching what training draws from."""

    # The step, the loss since the last log and the gradient's norm: of the newest step, or of the first that was no
    # number. On the device, for to look at each would have every step wait for it.
    seen: torch.Tensor | None = None

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm, loss = super()._get_grad_norm(model, grad_norm), self._tr_loss
        now = torch.stack([torch.full_like(loss, self.state.global_step + 1), loss, length(norm, loss)])
        self.seen = now if self.seen is None else torch.where(self.seen.isfinite().all(), now, self.seen)
        return norm

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """A loader draws a seed as it begins, from where dropout's numbers come from."""
        device = self.args.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            return super().evaluate(*args, **options)


def length(norm: Any, like: torch.Tensor) -> torch.Tensor:
    """A gradient's norm, which a launch gives as a tensor, a sharded one or a number, as a tensor like another."""
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    made = norm.to(like) if isinstance(norm, torch.Tensor) else torch.full_like(like, norm or 0)
    return made.masked_fill(made < 0, torch.nan)  # DeepSpeed's -1 is a norm that is no number
