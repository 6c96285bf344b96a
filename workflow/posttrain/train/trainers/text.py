"""Models that learn from text and conversations."""

from typing import Any

import trl

from posttrain.train import gates
from posttrain.train.trainers.adapters import InFloat32
from posttrain.train.trainers.batches import WholeBatches
from posttrain.train.trainers.gated import Gated, vocabulary
from posttrain.train.trainers.watched import Watched


class SFTTrainer(Gated, Watched, WholeBatches, InFloat32, trl.SFTTrainer):
    """Supervised fine-tuning, and pretraining. TRL itself takes its token mean over the global batch."""

    def pass_gate(self, model: Any, inputs: dict) -> None:
        gates.no_worse_than_guessing(self.loss_at_rest(model, inputs), vocabulary(self.model))
