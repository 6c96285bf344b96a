"""Models as they are saved, and proved to be what was made."""

import json
from pathlib import Path

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
)
from transformers.integrations import unset_hf_deepspeed_config

from posttrain.adapters import ADAPTED, ADAPTER, ADAPTER_CONFIG, adapter_config, is_adapter
from posttrain.build.job import Job
from posttrain.checkpoints import has_head, weights_of
from posttrain.files import Refusal, read_json, write_json


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: Job) -> None:
    """Save a model that was not trained here, with its tokenizer, and prove it."""
    model.save_pretrained(job.out)
    tokenizer.save_pretrained(job.out)
    prove(model, job.out, sharded=False)
    job.metrics["parameters"] = model.num_parameters()


@torch.no_grad()
def probe(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """What a model makes of a few tokens of its own vocabulary: logits, or a score at each."""
    ids = torch.arange(min(len(tokenizer), 64))[None]
    made = model(input_ids=ids, output_hidden_states=True)
    return model.score(made.hidden_states[-1]) if hasattr(model, "score") else made.logits


def write(trainer: Trainer, folder: Path, base: Path) -> None:
    """Save the model as it is now, as one process would, with its tokenizer. All processes together."""
    accelerator, model = trainer.accelerator, trainer.accelerator.unwrap_model(trainer.model)
    tensors = accelerator.get_state_dict(trainer.model_wrapped)  # whole ones, which all ranks gather together
    if not accelerator.is_main_process:
        return
    for name, of in model.all_tied_weights_keys.items():
        if of in tensors:
            tensors[name] = tensors[of]  # gathered, each is a tensor of its own: it would be saved twice
    model.save_pretrained(folder, state_dict=tensors)
    trainer.processing_class.save_pretrained(folder)
    name_weights(folder, base) if is_adapter(folder) else without_circumstance(folder)


def without_circumstance(folder: Path) -> None:
    """Take from the saved files what tells where they were made: equal models have equal files."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    config["use_cache"] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def name_weights(folder: Path, base: Path) -> None:
    """Have an adapter's files say by digest which weights it is of: whoever calls those by another name has it too."""
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card
    said = adapter_config(folder)
    said |= {"base_model_name_or_path": None, "target_modules": sorted(said["target_modules"])}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    write_json(folder / ADAPTED, {"content": read_json(Path(f"{weights_of(base)}.json"))["content"]})


def sound(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a saved model, opened. Raises: Refusal, if one is missing, in excess, empty or not finite."""
    saved = load_file(folder / ADAPTER) if is_adapter(folder) else opened(folder)
    for name, tensor in saved.items():
        if not tensor.numel() or (tensor.is_floating_point() and not torch.isfinite(tensor).all()):
            raise Refusal(f"the saved model is broken: {name} is empty or not finite")
    return saved


def opened(folder: Path) -> dict[str, torch.Tensor]:
    unset_hf_deepspeed_config()  # else ZeRO-3 would shard what is opened here over ranks that are not asked
    kind = AutoModelForSequenceClassification if has_head(folder) else AutoModelForCausalLM
    model, report = kind.from_pretrained(folder, dtype="auto", use_safetensors=True, output_loading_info=True)
    # What a file lacks is drawn anew when it is opened, so that the names alone would look right.
    if odd := {*report["missing_keys"], *report["unexpected_keys"]}:
        raise Refusal(f"the saved model is broken: {min(odd)} is missing, or in excess")
    return model.state_dict()


def prove(model: PreTrainedModel, folder: Path, sharded: bool) -> None:
    """Open what was saved, and refuse it unless every tensor is finite and the one that was trained.

    Of a sharded model no process has all tensors; there every name must be found, and every value be finite.
    """
    saved = sound(folder)
    trained = get_peft_model_state_dict(model) if is_adapter(folder) else model.state_dict()
    if odd := set(saved) ^ set(trained):
        raise Refusal(f"the saved model is not the trained one: {min(odd)} is in one of them only")
    for name, tensor in saved.items():
        if not sharded and not torch.equal(tensor, trained[name].cpu()):
            raise Refusal(f"the saved model is not the trained one: {name} differs")
