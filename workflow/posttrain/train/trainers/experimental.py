"""TRL's experimental trainers, whose home and arguments may change with any version."""

from typing import Any

import torch
from datasets import Dataset
from trl.experimental import cpo, orpo
from trl.experimental.cpo import cpo_trainer
from trl.experimental.orpo import orpo_trainer
from trl.experimental.utils import DPODataCollatorWithPadding

from posttrain.data.tokens import IGNORED
from posttrain.train import gates
from posttrain.train.trainers.adapters import InFloat32
from posttrain.train.trainers.batches import GlobalTokenMean, WholeBatches
from posttrain.train.trainers.gated import Gated, vocabulary
from posttrain.train.trainers.watched import Watched

# TRL would round what a base in four bits has beside those, its embeddings among it: another base than is merged.
orpo_trainer.peft_module_casting_to_bf16 = cpo_trainer.peft_module_casting_to_bf16 = lambda model: None


class ReadyPairs(Gated, Watched, GlobalTokenMean, WholeBatches, InFloat32):
    """Pairs from DPO's tokens, with the chosen answers' own loss as a mean over the tokens of the global batch."""

    def __init__(
        self, *, train_dataset: Dataset, processing_class: Any, eval_dataset: Dataset | None = None, **parts: Any
    ) -> None:
        # TRL insists on making tokens of text itself: it is given a row to do it with.
        row = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
        collator = PairCollator(processing_class.pad_token_id)
        parts |= {"train_dataset": row, "eval_dataset": row, "data_collator": collator}
        super().__init__(processing_class=processing_class, **parts)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset

    def concatenated_forward(self, model: Any, batch: dict) -> tuple:
        made = super().concatenated_forward(model, batch)  # its fifth is the loss, which a routers' own may follow
        return (*made[:4], made[4] * self.share(batch), *made[5:])


class ORPOTrainer(ReadyPairs, orpo.ORPOTrainer):
    @staticmethod
    def chosen_tokens(batch: dict) -> torch.Tensor:
        """How many tokens a micro-batch's own loss is of: TRL's is of prompts and chosen answers."""
        return batch["chosen_attention_mask"][:, 1:].sum()

    def pass_gate(self, model: Any, inputs: dict) -> None:
        chosen_nll_loss = orpo.ORPOTrainer.concatenated_forward(self, model, inputs)[4]
        gates.no_worse_than_guessing(chosen_nll_loss.item(), vocabulary(self.model))


class CPOTrainer(ReadyPairs, cpo.CPOTrainer):
    """CPO and, with its loss `simpo`, SimPO."""

    @staticmethod
    def chosen_tokens(batch: dict) -> torch.Tensor:
        """How many tokens a micro-batch's own loss is of: TRL's is of the chosen answers."""
        return (batch["chosen_labels"][:, 1:] != IGNORED).sum()

    def pass_gate(self, model: Any, inputs: dict) -> None:
        """There is no reference to be at rest with, but the chosen answers must be likelier than by chance."""
        chosen_logps = cpo.CPOTrainer.concatenated_forward(self, model, inputs)[0]
        averaged = self.loss_type in ("ipo", "simpo")  # then they are means over an answer's tokens
        found = -chosen_logps.mean() if averaged else -chosen_logps.sum() / self.chosen_tokens(inputs)
        gates.no_worse_than_guessing(found.item(), vocabulary(self.model))


class PairCollator:
    """Micro-batches of the experimental trainers' columns from DPO's tokens."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad = DPODataCollatorWithPadding(pad_token_id)

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        return self.pad([columns(row["prompt_ids"], row) for row in rows])


def columns(prompt: list[int], row: dict) -> dict[str, list[int]]:
    made = {}
    for side in ("chosen", "rejected"):
        answer = row[f"{side}_ids"]
        made[f"{side}_input_ids"] = prompt + answer
        made[f"{side}_attention_mask"] = [1] * len(prompt + answer)
        made[f"{side}_labels"] = [IGNORED] * len(prompt) + answer
    return made
