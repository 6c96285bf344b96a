"""The batch is the batch, however its rows are spread over micro-batches and processes."""

import functools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader, RandomSampler, Sampler

from posttrain.build.processes import STOP_SIGNALS


class WholeBatches:
    """Each epoch is as many whole global batches as the rows fill, in an order of its own; the rest waits.

    So a step sees the same rows however they are spread over micro-batches and processes, and the same numbers.
    """

    def _prepare_input(self, data: Any) -> Any:
        """Under ZeRO transformers would round a reference's log-probs to weights that are in bfloat16."""
        if isinstance(data, torch.Tensor) and data.is_floating_point():
            return data.to(self.args.device)
        return super()._prepare_input(data)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return self.sampler(rows, len(rows) // batch * batch)

    def sampler(self, rows: Dataset, num_samples: int) -> Sampler:
        return RandomSampler(rows, num_samples=num_samples)

    def get_train_dataloader(self) -> DataLoader:
        return with_steady_readers(super().get_train_dataloader())

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        return with_steady_readers(super().get_eval_dataloader(eval_dataset))


def with_steady_readers(loader: DataLoader) -> DataLoader:
    inner = loader.base_dataloader  # accelerate's loader reads through this one
    inner.worker_init_fn = functools.partial(start_reading, inner.worker_init_fn)
    return loader


def start_reading(seed: Callable[[int], None] | None, worker: int) -> None:
    """Begin a process that reads batches, which a stop is not for: without it the trainer could not end its step."""
    if seed:
        seed(worker)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Interleaved(Sampler):
    """Rows of two kinds in a new order each epoch, in which every stretch has both in the share that all rows have.

    Args:
        labels: the kind of each row.
        num_samples: rows an epoch; the rest waits for another.
        seed: of all orders.
    """

    def __init__(self, labels: list[bool], num_samples: int, seed: int) -> None:
        self.kinds = [[i for i, label in enumerate(labels) if label is kind] for kind in (True, False)]
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(self.seed + self.epoch)
        placed = []
        for number, kind in enumerate(self.kinds):
            order = torch.randperm(len(kind), generator=draw).tolist()
            placed += [((place + 0.5) / len(kind), number, kind[i]) for place, i in enumerate(order)]
        return iter([row for *_, row in sorted(placed)][: self.num_samples])


class GlobalTokenMean:
    """Weighs what is a mean over the tokens of a micro-batch by its share of those of the global batch.

    TRL takes such means over each micro-batch, so that a row's weight hangs on the rows beside it.
    """

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counted = sum((self.chosen_tokens(batch) for batch in batches), torch.tensor(0)).to(device)
        self.global_chosen_tokens = self.accelerator.gather(counted).sum()
        return batches, items

    def share(self, batch: dict) -> torch.Tensor | float:
        """Each micro-batch's mean is divided by their number and averaged over processes: this undoes both."""
        if not self.model.training:
            return 1.0  # an evaluation takes the mean of a micro-batch as it is
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        return self.chosen_tokens(batch).to(self.global_chosen_tokens.device) * parts / self.global_chosen_tokens
