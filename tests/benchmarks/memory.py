"""Peak memory of training jobs against what the plan says: full, LoRA and QLoRA, SFT and DPO, at three sizes.

    python tests/benchmarks/memory.py [--only small] [--cuda]

Each job is a fresh process: a TRL trainer, plain but for adapters in float32, two steps of a random Llama on rows that
fill max_length. On a CPU the peak is the process's resident set (VmHWM, which ru_maxrss is of, but of this process
alone), in float32; with --cuda it is torch.cuda.max_memory_allocated, in bfloat16 autocast. The plan's one fitted
constant (HEAP of posttrain.plan.memory) was fitted on `middle`; the goal is a ratio within 20 % on the two others.
"less libraries" leaves the interpreter and its libraries out of both numbers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from posttrain.plan import memory, size

SIZES = {  # hidden, intermediate, layers, heads: 30, 77 and 163 million parameters
    "small": (512, 1408, 8, 8),
    "middle": (768, 2048, 10, 12),
    "large": (1024, 2816, 12, 16),
}
PEFT = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
TUNINGS = {"full": {}, "LoRA": {"peft": PEFT}, "QLoRA": {"peft": PEFT, "quantization": NF4}}
ROWS = {"sft": 4, "dpo": 2}  # a micro-batch: four sequences either way
LENGTH = 256


def config(name: str) -> dict:
    hidden, intermediate, layers, heads = SIZES[name]
    return {
        "model_type": "llama", "vocab_size": 8192, "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "tie_word_embeddings": True,
    }  # fmt: skip


def job(name: str, method: str, tuning: str, cuda: bool) -> tuple[dict, dict]:
    """A job's recipe and circumstances, as a plan has them."""
    train = {"max_length": LENGTH, "dtype": "float32", "bf16": cuda, "optim": "adamw_torch_fused"}
    runtime = {
        "gpus": int(cuda), "processes": 1, "launch": "single", "micro_batch_size": ROWS[method],
        "gradient_accumulation_steps": 1, "activation_checkpointing": False, "attn_implementation": "sdpa",
    }  # fmt: skip
    return {"method": method, "train": train, **TUNINGS[tuning]}, runtime


def predicted(name: str, own: dict, runtime: dict) -> float:
    return memory.of_training(size.architecture(config(name)), own, runtime).peak


def measured(name: str, own: dict, runtime: dict, folder: Path) -> float:
    """The peak of a fresh process that trains, bytes."""
    said = json.dumps([config(name), own, runtime, str(folder / name)])
    done = subprocess.run([sys.executable, __file__, "--train", said], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def train(config: dict, own: dict, runtime: dict, folder: str) -> None:
    """Train two steps, and print the peak."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from posttrain.train.trainers.adapters import InFloat32

    class ExactSFTTrainer(InFloat32, SFTTrainer):
        pass

    class ReadyDPOTrainer(InFloat32, DPOTrainer):
        def _prepare_dataset(self, dataset: Dataset, *_: object) -> Dataset:
            return dataset

        def _precompute_ref_logps(self, dataset: Dataset, *_: object) -> Dataset:
            return dataset

    cuda, said, length = bool(runtime["gpus"]), own["train"], own["train"]["max_length"]
    computed = torch.bfloat16 if said["bf16"] else torch.float32
    options = {"dtype": getattr(torch, said["dtype"])}
    if quantised := own.get("quantization"):
        options["quantization_config"] = BitsAndBytesConfig(**quantised, bnb_4bit_compute_dtype=computed)
        options["device_map"] = "cuda" if cuda else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    vocabulary = {"<end>": 0, **{str(i): i for i in range(1, 300)}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<end>")),
        eos_token="<end>",
        pad_token="<end>",
    )
    rows = runtime["micro_batch_size"] * 4
    arguments = {
        "output_dir": f"{folder}/out", "max_steps": 2, "per_device_train_batch_size": runtime["micro_batch_size"],
        "use_cpu": not cuda, "bf16": said["bf16"], "activation_checkpointing": runtime["activation_checkpointing"],
        "optim": said["optim"], "max_length": length, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    parts = {"model": model, "processing_class": tokenizer}
    if own.get("peft"):
        parts["peft_config"] = LoraConfig(task_type="CAUSAL_LM", **own["peft"])
    ids = list(range(1, length + 1))
    if own["method"] == "sft":
        made = Dataset.from_list([{"input_ids": ids, "labels": ids}] * rows)
        config_ = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True})
        trainer = ExactSFTTrainer(args=config_, train_dataset=made, **parts)
    else:
        prompt, answer = ids[: length // 4], ids[length // 4 :]
        row = {"prompt_ids": prompt, "chosen_ids": answer, "rejected_ids": answer}
        made = Dataset.from_list([row | {"ref_chosen_logps": -1e3, "ref_rejected_logps": -1e3}] * rows)
        config_ = DPOConfig(**arguments, precompute_ref_log_probs=True)
        trainer = ReadyDPOTrainer(args=config_, train_dataset=made, **parts)
    trainer.train()
    print(torch.cuda.max_memory_allocated() if cuda else resident("VmHWM"))


def resident(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def save(config: dict, folder: str) -> None:
    """A random model, in a process of its own: what it took is not to be measured."""
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SIZES, help="one size")
    parser.add_argument("--cuda", action="store_true", help="on a GPU")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        return train(*json.loads(args.train))
    if args.save:
        return save(*json.loads(args.save))
    print("| size | method | tuning | predicted MB | measured MB | ratio | less libraries |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in [args.only] if args.only else SIZES:
            made = json.dumps([config(name), f"{folder}/{name}"])
            subprocess.run([sys.executable, __file__, "--save", made], check=True, capture_output=True)
            for method in ROWS:
                for tuning in TUNINGS:
                    own, runtime = job(name, method, tuning, args.cuda)
                    said, found = predicted(name, own, runtime), measured(name, own, runtime, Path(folder))
                    without = 0 if args.cuda else memory.LIBRARIES
                    ratios = f"{said / found:.2f} | {(said - without) / (found - without):.2f}"
                    line = f"| {name} | {method} | {tuning} | {said / 1e6:.0f} | {found / 1e6:.0f} | {ratios} |"
                    print(line, flush=True)
    return None


if __name__ == "__main__":
    main()
