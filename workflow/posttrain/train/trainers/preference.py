"""Policies that learn from preferences, held to a reference whose log-probs stand beside the tokens."""

from typing import Any

import torch
import trl
from datasets import Dataset
from torch.utils.data import Sampler
from trl.trainer import dpo_trainer, kto_trainer

from posttrain.train import gates
from posttrain.train.trainers.adapters import InFloat32
from posttrain.train.trainers.batches import GlobalTokenMean, Interleaved, WholeBatches
from posttrain.train.trainers.gated import Gated
from posttrain.train.trainers.watched import Watched

# TRL names a cache of log-probs by a hash of all weights. There is none here, and hashing 7B weights takes a minute.
dpo_trainer.hash_module = kto_trainer.hash_module = lambda module: None


class Referred:
    """Tokens and the reference's log-probs are ready: TRL makes none, and opens no second model."""

    @property
    def is_fsdp_enabled(self) -> bool:
        """Under FSDP TRL would open a reference all the same, to make the log-probs that are ready.

        It asks when it has set up how activations are kept, and has not yet said which model is the reference.
        """
        deciding = hasattr(self, "maybe_activation_offload_context") and not hasattr(self, "ref_model")
        return self._is_fsdp_enabled and not deciding

    @is_fsdp_enabled.setter
    def is_fsdp_enabled(self, enabled: bool) -> None:
        self._is_fsdp_enabled = enabled

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        if "ref" in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter("ref")  # TRL's copy of an adapter that is gone on with

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class DPOTrainer(Gated, Watched, GlobalTokenMean, WholeBatches, InFloat32, Referred, trl.DPOTrainer):
    """DPO and its relatives, with the `sft` term as a mean over the tokens of the global batch."""

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
        """Check the preference part of the loss, each pair of it weighing the same."""
        said, self.use_weighting = (self.loss_weights, self.use_weighting), False
        self.loss_weights = [0.0 if name == "sft" else w for name, w in zip(self.loss_types, said[0], strict=True)]
        found = self.loss_at_rest(model, inputs)
        self.loss_weights, self.use_weighting = said
        known = gates.expected(self.loss_types, self.loss_weights, self.beta, self.label_smoothing)
        gates.at_rest(found, known, "+".join(self.loss_types), in_bf16(self))


class KTOTrainer(Gated, Watched, WholeBatches, InFloat32, Referred, trl.KTOTrainer):
    """KTO, each batch with wanted and unwanted answers in the share that all rows have them."""

    def sampler(self, rows: Dataset, num_samples: int) -> Sampler:
        return Interleaved(rows["label"][:], num_samples, self.args.seed)

    def pass_gate(self, model: Any, inputs: dict) -> None:
        """Check that the first loss is half of each row's weight."""
        weights = torch.where(inputs["label"], self.desirable_weight, self.undesirable_weight)
        known = weights.float().mean().item() / 2
        gates.at_rest(self.loss_at_rest(model, inputs), known, self.loss_type, in_bf16(self))


def in_bf16(trainer: trl.DPOTrainer | trl.KTOTrainer) -> bool:
    ours = trainer.args.deepspeed_plugin  # whose autocast is DeepSpeed's own
    autocast = trainer.args.bf16 if ours is None else ours.deepspeed_config["torch_autocast"]["enabled"]
    return autocast or trainer.model.dtype == torch.bfloat16
