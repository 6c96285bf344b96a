"""The place of a physics gate: before anything is learnt from the first micro-batch."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


class Gated:
    """The first micro-batch of each process passes the physics gate before anything is learnt from it."""

    gated = False

    def compute_loss(self, model: Any, inputs: dict, *args: Any, **options: Any) -> Any:
        if self.state.global_step == 0 and not self.gated:
            self.gated = True
            with self.at_rest(model):
                self.pass_gate(model, inputs)
        return super().compute_loss(model, inputs, *args, **options)

    @contextlib.contextmanager
    def at_rest(self, model: Any) -> Iterator[None]:
        """No dropout, no gradient, no routers' own loss."""
        routers, self.aux_loss_enabled = getattr(self, "aux_loss_enabled", False), False
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            yield
        model.train()
        self.aux_loss_enabled = routers

    def loss_at_rest(self, model: Any, inputs: dict) -> float:
        """The trainer's own loss of a micro-batch, which no log is to show."""
        loss = super().compute_loss(model, inputs)
        self._metrics["eval"].clear()
        return loss.item()


def vocabulary(model: Any) -> int:
    return model.config.get_text_config().vocab_size
