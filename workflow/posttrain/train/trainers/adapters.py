"""Adapters as they are learnt."""

from typing import Any

import torch
from transformers import PreTrainedModel


class InFloat32:
    """Adapters, and heads that are learnt beside them, are learnt in float32, whatever the base is held in.

    TRL 1.16 rounds those beside a base in four bits to bfloat16, which loses what is below 1/256 of a weight: most of a
    small step, and of what an adapter that is gone on with has learnt. What is left then hangs on how a batch is spread
    over micro-batches. PEFT leaves a head as its base is.
    """

    def __init__(self, *args: Any, model: PreTrainedModel, **options: Any) -> None:
        given = {name: weights.detach().clone() for name, weights in learnt(model)}
        super().__init__(*args, model=model, **options)
        for name, weights in learnt(self.model):
            weights.data = given.get(name, weights.data).to(weights.device, torch.float32)


def learnt(model: PreTrainedModel) -> list[tuple[str, torch.nn.Parameter]]:
    """What is learnt beside a base; nothing of a model that is learnt itself."""
    if not hasattr(model, "peft_config"):
        return []
    return [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
