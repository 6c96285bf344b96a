"""The reference: what the base thinks of the answers, before any training that is held to it.

A log-prob is the sum over an answer's tokens, as TRL 1.16's losses take it, in float32.
"""

import contextlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from accelerate.utils import DistributedType, send_to_device
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments
from trl.models.utils import prepare_deepspeed, prepare_fsdp
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference
from trl.trainer.utils import add_fused_lm_head

from posttrain.build.job import Job
from posttrain.build.pool import batches
from posttrain.data.tokens import IGNORED
from posttrain.files import read_json, write_json


class Reference:
    """A policy that is only asked, by as many processes as the job has."""

    columns: tuple[str, str]

    def __init__(self, policy: PreTrainedModel, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, job: Job) -> None:
        self.accelerator, self.job = trainer.accelerator, job
        self.collate = self.collator(pad_token_id=tokenizer.pad_token_id)
        add_fused_lm_head(policy.get_base_model() if hasattr(policy, "peft_config") else policy)
        self.policy = placed(policy.eval(), trainer)

    def log_probs(self, rows: Dataset, name: str) -> pa.Table | None:
        """The log-probs of all rows, in their order; None but in the first process.

        Rows of like length are asked for together, in blocks that hang on nothing but the rows, not on processes or a
        micro-batch: the last bits hang on what stands side by side, and models of other launches share them. A block
        that was finished before a kill is not asked for again.
        """
        blocks, kept = batches(self.lengths(rows)), self.job.kept / name
        todo = [number for number in range(len(blocks)) if not (kept / f"{number}.json").exists()]
        self.accelerator.wait_for_everyone()  # all have seen the same
        processes, mine = self.accelerator.num_processes, self.accelerator.process_index
        for start in range(0, len(todo), processes):
            number = todo[min(start + mine, len(todo) - 1)]  # of a sharded policy all must ask, though one asks again
            made = self.ask(rows.select(blocks[number]).to_list())
            if start + mine < len(todo):
                write_json(kept / f"{number}.json", {"made": made})
            self.job.say(step=len(blocks) - len(todo) + min(start + processes, len(todo)), max_steps=len(blocks))
        self.accelerator.wait_for_everyone()
        return self.gather(blocks, kept) if self.job.main else None

    def gather(self, blocks: list[list[int]], kept: Path) -> pa.Table:
        """The table of what the blocks say, each row of it once."""
        found = {}
        for number, block in enumerate(blocks):
            found |= zip(block, read_json(kept / f"{number}.json")["made"], strict=True)
        said = zip(*(found[i] for i in range(len(found))), strict=True)
        return pa.table({name: pa.array(said, pa.float32()) for name, said in zip(self.columns, said, strict=True)})

    @torch.no_grad()
    def ask(self, rows: list[dict]) -> list[tuple[float, float]]:
        """Two log-probs for each row."""
        batch = send_to_device(self.collate(rows), self.accelerator.device)
        sharded = self.accelerator.distributed_type == DistributedType.FSDP  # which has its own policy of precision
        with contextlib.nullcontext() if sharded else self.accelerator.autocast():
            first, second = self.two(batch)
        return list(zip(first.float().tolist(), second.float().tolist(), strict=True))

    def per_token(self, batch: dict, prefix: str = "") -> torch.Tensor:
        """The log-probs of an answer's tokens, and zeros elsewhere; (sequences, tokens - 1)."""
        ids, answer = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"]
        labels, mask = ids.masked_fill(answer == 0, IGNORED), batch[f"{prefix}attention_mask"]
        return self.policy(
            input_ids=ids, attention_mask=mask, labels=labels, use_cache=False, fused_lm_head=True
        ).log_probs


class PairReference(Reference):
    """Of DPO's rows: the chosen and the rejected answer."""

    collator, columns = DataCollatorForPreference, ("ref_chosen_logps", "ref_rejected_logps")

    @staticmethod
    def lengths(rows: Dataset) -> list[int]:
        return of_lists(rows, "prompt_ids", "prompt_ids", "chosen_ids", "rejected_ids")

    def two(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        found, ld_alpha = self.per_token(batch), self.job.recipe.get("ld_alpha")
        if ld_alpha is not None:  # what one answer has more of than the other
            place = batch["completion_mask"][:, 1:].cumsum(1)
            shared = torch.minimum(*place[:, -1].chunk(2)).repeat(2)[:, None]
            found = torch.where(place > shared, ld_alpha * found, found)
        return found.sum(1).chunk(2)


class AnswerReference(Reference):
    """Of KTO's rows: the answer, and another prompt's answer to the same prompt."""

    collator, columns = DataCollatorForUnpairedPreference, ("ref_logps", "ref_KL_logps")

    @staticmethod
    def lengths(rows: Dataset) -> list[int]:
        return of_lists(rows, "prompt_ids", "prompt_ids", "completion_ids", "KL_completion_ids")

    def two(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        return self.per_token(batch).sum(1), self.per_token(batch, "KL_").sum(1)


REFERENCES = {"dpo": PairReference, "kto": AnswerReference}


def of_lists(rows: Dataset, *names: str) -> list[int]:
    """The lengths of some columns' lists, added up."""
    return sum(pc.list_value_length(rows.data.column(name)).to_numpy() for name in names).tolist()


def asking(policy: PreTrainedModel, args: TrainingArguments) -> Trainer:
    """A trainer that trains nothing: it places and shards a policy as one that does."""
    policy._hf_peft_config_loaded = True  # else transformers takes no model in four bits without an adapter
    return Trainer(policy, args)


def placed(policy: PreTrainedModel, trainer: Trainer) -> torch.nn.Module:
    """The policy where it is asked: spread over the processes if that is how it is launched."""
    if trainer.is_deepspeed_enabled:
        return prepare_deepspeed(policy, trainer.accelerator)
    return prepare_fsdp(policy, trainer.accelerator) if trainer.is_fsdp_enabled else policy


def write(table: pa.Table, path: Path) -> None:
    """As the tokens stand: a stream that every rank maps into memory."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
