"""Adapters as they are learnt."""

from typing import Any

import torch
from transformers import PreTrainedModel


class InFloat32:
    """Adapters beside a base in four bits are learnt in float32, as PEFT makes them and as beside any other base.

    TRL 1.16 rounds them to bfloat16, which loses what is below 1/256 of a weight: most of a small step, and of what an
    adapter that is gone on with has learnt. What is left then hangs on how a batch is spread over micro-batches.
    """

    def __init__(self, *args: Any, model: PreTrainedModel, **options: Any) -> None:
        given = {name: weights.detach().clone() for name, weights in learnt(model)}
        super().__init__(*args, model=model, **options)
        for name, weights in learnt(self.model):
            weights.data = given.get(name, weights.data.float())


def learnt(model: PreTrainedModel) -> list[tuple[str, torch.nn.Parameter]]:
    """What is learnt beside a base in four bits; nothing of another model, which TRL leaves as it is."""
    if not getattr(model, "is_loaded_in_4bit", False):
        return []
    return [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
