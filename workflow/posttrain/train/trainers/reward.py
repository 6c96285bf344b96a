"""Models that score conversations."""

from typing import Any

import torch
import trl
from datasets import Dataset

from posttrain.train import gates
from posttrain.train.trainers.adapters import InFloat32
from posttrain.train.trainers.batches import WholeBatches
from posttrain.train.trainers.gated import Gated
from posttrain.train.trainers.watched import Watched


class RewardTrainer(Gated, Watched, WholeBatches, InFloat32, trl.RewardTrainer):
    """A reward model from ready tokens; `new_head` says that its head was drawn just now."""

    def __init__(self, *args: Any, new_head: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.new_head = new_head

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # TRL would look for what is too long once more, and write the rest beside the tokens

    def pass_gate(self, model: Any, inputs: dict) -> None:
        """Check the first micro-batch's loss without its centre term, if the head has learnt nothing yet."""
        if not self.new_head:
            return
        said, self.args.center_rewards_coefficient = self.args.center_rewards_coefficient, None
        found = self.loss_at_rest(model, inputs)
        self.args.center_rewards_coefficient = said
        apart = self.apart(inputs)
        spread = self.model.config.get_text_config().initializer_range
        gates.undecided(found, apart.mean(0).norm().item(), apart.pow(2).sum(1).mean().item(), spread)

    def apart(self, inputs: dict) -> torch.Tensor:
        """How far a pair's hidden states are apart where its scores are read; (pairs, hidden_size)."""
        ids, model = inputs["input_ids"], self.accelerator.unwrap_model(self.model)
        model = model.get_base_model() if hasattr(model, "peft_config") else model
        hidden = model.base_model(ids, attention_mask=inputs["attention_mask"], use_cache=False).last_hidden_state
        # transformers reads a score at the last token that is not the pad token
        places = torch.arange(ids.shape[1], device=ids.device) * (ids != self.processing_class.pad_token_id)
        chosen, rejected = hidden[torch.arange(len(ids), device=ids.device), places.argmax(1)].float().chunk(2)
        return chosen - rejected
