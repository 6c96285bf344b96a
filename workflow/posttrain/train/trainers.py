"""TRL 1.16's trainers, with whole global batches and token means over all of one.

Private methods of TRL are overridden here and nowhere else; its exact version is pinned.
"""

import functools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
import trl
from datasets import Dataset
from torch.utils.data import DataLoader, RandomSampler

from posttrain.build.processes import STOP_SIGNALS
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


class SFTTrainer(WholeBatches, trl.SFTTrainer):
    """Supervised fine-tuning. TRL itself takes its token mean over the global batch."""


class DPOTrainer(WholeBatches, trl.DPOTrainer):
    """DPO from ready tokens, with its `sft` term as a mean over the tokens of the global batch.

    TRL takes that mean over each micro-batch, so that a row's weight hangs on the rows beside it. The first
    micro-batch of each process passes the physics gate before anything is learnt from it.
    """

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counted = sum((chosen_tokens(batch) for batch in batches), torch.tensor(0)).to(device)
        self.global_chosen_tokens = self.accelerator.gather(counted).sum()
        return batches, items

    def compute_loss(self, model: Any, inputs: dict, *args: Any, **options: Any) -> Any:
        said = self.loss_weights
        if self.state.global_step == 0 and not getattr(self, "gated", False):
            self.gated = True
            self.pass_gate(model, inputs)
        # Each micro-batch's mean is divided by their number and averaged over processes: undo both, and weigh it by
        # its share of the tokens.
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        share = chosen_tokens(inputs).to(self.global_chosen_tokens.device) * parts / self.global_chosen_tokens
        self.loss_weights = [w * share if name == "sft" else w for name, w in zip(self.loss_types, said, strict=True)]
        try:
            return super().compute_loss(model, inputs, *args, **options)
        finally:
            self.loss_weights = said

    def pass_gate(self, model: Any, inputs: dict) -> None:
        """Check the preference part of the first micro-batch's loss, without dropout or the routers' own loss."""
        said, routers = self.loss_weights, self.aux_loss_enabled
        self.loss_weights = [0.0 if name == "sft" else w for name, w in zip(self.loss_types, said, strict=True)]
        self.aux_loss_enabled = False
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            found = super().compute_loss(model, inputs)
        model.train()
        self.loss_weights, self.aux_loss_enabled = said, routers
        self._metrics["eval"].clear()
        gates.check(found.item(), self.loss_types, said, self.beta)


def chosen_tokens(batch: dict) -> torch.Tensor:
    """How many tokens of the chosen answers a micro-batch's loss is of."""
    chosen, _ = batch["completion_mask"].chunk(2)
    return chosen[:, 1:].sum()
