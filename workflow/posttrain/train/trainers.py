"""TRL 1.16's trainers, with whole global batches and token means over all of one.

Private methods of TRL are overridden here and nowhere else; its exact version is pinned.
"""

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
import trl
from datasets import Dataset
from torch.utils.data import DataLoader, RandomSampler
from trl.experimental import orpo
from trl.experimental.utils import DPODataCollatorWithPadding

from posttrain.build.processes import STOP_SIGNALS
from posttrain.data.tokens import IGNORED
from posttrain.train import gates


class WholeBatches:
    """Each epoch is as many whole global batches as the rows fill, in an order of its own; the rest waits.

    So a step sees the same rows however they are spread over micro-batches and processes.
    """

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> RandomSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return RandomSampler(rows, num_samples=len(rows) // batch * batch)

    def get_train_dataloader(self) -> DataLoader:
        loader = super().get_train_dataloader()
        inner = loader.base_dataloader  # accelerate's loader reads through this one
        inner.worker_init_fn = functools.partial(start_reading, inner.worker_init_fn)
        return loader


def start_reading(seed: Callable[[int], None], worker: int) -> None:
    """Begin a process that reads batches, which a stop is not for: without it the trainer could not end its step."""
    seed(worker)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


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


class GlobalTokenMean:
    """Weighs what is a mean over the tokens of a micro-batch by its share of those of the global batch.

    TRL takes such means over each micro-batch, so that a row's weight hangs on the rows beside it.
    """

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counted = sum((self.chosen_tokens(batch) for batch in batches), torch.tensor(0)).to(device)
        self.global_chosen_tokens = self.accelerator.gather(counted).sum()
        return batches, items

    def share(self, batch: dict) -> torch.Tensor:
        """Each micro-batch's mean is divided by their number and averaged over processes: this undoes both."""
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        return self.chosen_tokens(batch).to(self.global_chosen_tokens.device) * parts / self.global_chosen_tokens


class SFTTrainer(Gated, WholeBatches, trl.SFTTrainer):
    """Supervised fine-tuning, and pretraining. TRL itself takes its token mean over the global batch."""

    def pass_gate(self, model: Any, inputs: dict) -> None:
        gates.no_worse_than_guessing(self.loss_at_rest(model, inputs), vocabulary(self.model))


class RewardTrainer(Gated, WholeBatches, trl.RewardTrainer):
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
        ids, backbone = inputs["input_ids"], self.accelerator.unwrap_model(self.model).base_model
        hidden = backbone(ids, attention_mask=inputs["attention_mask"], use_cache=False).last_hidden_state
        # transformers reads a score at the last token that is not the pad token
        places = torch.arange(ids.shape[1], device=ids.device) * (ids != self.processing_class.pad_token_id)
        chosen, rejected = hidden[torch.arange(len(ids), device=ids.device), places.argmax(1)].float().chunk(2)
        return chosen - rejected


class ORPOTrainer(Gated, GlobalTokenMean, WholeBatches, orpo.ORPOTrainer):
    """ORPO from DPO's tokens, with the chosen answers' own loss as a mean over the tokens of the global batch."""

    def __init__(self, *, train_dataset: Dataset, processing_class: Any, **parts: Any) -> None:
        # TRL insists on making tokens of text itself: it is given a row to do it with.
        row = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
        collator = PairCollator(processing_class.pad_token_id)
        super().__init__(train_dataset=row, processing_class=processing_class, data_collator=collator, **parts)
        self.train_dataset = train_dataset

    @staticmethod
    def chosen_tokens(batch: dict) -> torch.Tensor:
        """How many tokens a micro-batch's own loss is of: TRL's is of prompts and chosen answers."""
        return batch["chosen_attention_mask"][:, 1:].sum()

    def concatenated_forward(self, model: Any, batch: dict) -> tuple:
        made = super().concatenated_forward(model, batch)  # its fifth is the loss, which a routers' own may follow
        return (*made[:4], made[4] * self.share(batch), *made[5:])

    def pass_gate(self, model: Any, inputs: dict) -> None:
        chosen_nll_loss = super().concatenated_forward(model, inputs)[4]
        gates.no_worse_than_guessing(chosen_nll_loss.item(), vocabulary(self.model))


class PairCollator:
    """Micro-batches of ORPO's columns from DPO's tokens."""

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


class DPOTrainer(Gated, GlobalTokenMean, WholeBatches, trl.DPOTrainer):
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


def vocabulary(model: Any) -> int:
    return model.config.get_text_config().vocab_size
