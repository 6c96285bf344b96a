"""An adapter and its base as one model."""

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from posttrain.build.job import Job
from posttrain.checkpoints import has_head, open_model
from posttrain.train import gates, models, saving


def merge(job: Job) -> None:
    """Merge an adapter into its base in the recipe's dtype, save that, and prove it.

    Both are asked in float32, which holds bfloat16 weights as they are: what differs then is what the weights lost.
    """
    adapter, dtype = job.inputs["base"], getattr(torch, job.recipe["dtype"])
    kind = AutoModelForSequenceClassification if has_head(adapter) else AutoModelForCausalLM
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    known, base = with_and_without(open_model(kind, adapter, dtype=dtype).eval().float(), tokenizer)
    merged = open_model(kind, adapter, dtype=dtype).eval().merge_and_unload(safe_merge=True)
    models.agree_on_ends(merged.config, tokenizer)
    saving.save(merged, tokenizer, job)
    gates.said_the_same(saving.probe(merged.float(), tokenizer), known, base)


def with_and_without(model: PeftModel, tokenizer: PreTrainedTokenizerBase) -> tuple[torch.Tensor, torch.Tensor]:
    """What an adapter on its base says, and what the base says alone: under the same head, for it may have none."""
    known = saving.probe(model, tokenizer)
    with model.disable_adapter():
        for module in model.modules():
            if isinstance(module, ModulesToSaveWrapper):
                module.enable_adapters(True)
        return known, saving.probe(model, tokenizer)
