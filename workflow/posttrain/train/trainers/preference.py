"""Policies that learn from preferences, held to a reference."""

from typing import Any

import torch
import trl
from datasets import Dataset

from posttrain.train import gates
from posttrain.train.trainers.batches import GlobalTokenMean, WholeBatches
from posttrain.train.trainers.gated import Gated
from posttrain.train.trainers.watched import Watched


class DPOTrainer(Gated, Watched, GlobalTokenMean, WholeBatches, trl.DPOTrainer):
    """DPO from ready tokens, with its `sft` term as a mean over the tokens of the global batch."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    @staticmethod
    def chosen_tokens(batch: dict) -> torch.Tensor:
        """How many tokens of the chosen answers a micro-batch's loss is of."""
        chosen, _ = batch["completion_mask"].chunk(2)
        return chosen[:, 1:].sum()

    def compute_loss(self, model: Any, inputs: dict, *args: Any, **options: Any) -> Any:
        said, share = self.loss_weights, self.share(inputs)
        self.loss_weights = [w * share if name == "sft" else w for name, w in zip(self.loss_types, said, strict=True)]
        try:
            return super().compute_loss(model, inputs, *args, **options)
        finally:
            self.loss_weights = said

    def pass_gate(self, model: Any, inputs: dict) -> None:
        """Check the preference part of the loss."""
        said = self.loss_weights
        self.loss_weights = [0.0 if name == "sft" else w for name, w in zip(self.loss_types, said, strict=True)]
        found = self.loss_at_rest(model, inputs)
        self.loss_weights = said
        gates.at_rest(found, self.loss_types, said, self.beta)
