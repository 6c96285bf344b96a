"""A YAML of the Alignment Handbook as a page of recipes: of any of its generations of keys.

Until July 2025 rows were a `dataset_mixer` with `dataset_splits`, of which training took the first; since then they are
a `dataset_mixture`, shuffled first. SFT always packed before, and packs where it is told to since.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from posttrain.files import Refusal
from posttrain.handbook import rows
from posttrain.handbook.page import written
from posttrain.recipes import bases, catalogue, faults, page, template
from posttrain.recipes.elsewhere import INSTEAD, OTHERWISE, is_trls
from posttrain.recipes.methods import METHODS, UNTRAINED
from posttrain.recipes.names import LONGEST, check_name
from posttrain.recipes.written import Written

METHOD_OF = {"text_column": "cpt", "desirable_weight": "kto", "center_rewards_coefficient": "reward", "beta": "dpo"}
METHOD_OF |= {"loss_type": "dpo", "max_prompt_length": "dpo"}  # by a key that other methods have not
MOVED = {"gpt2": "openai-community/gpt2"}  # a hub id is org/name since
CHATML = ["<|im_start|>", "<|im_end|>"]
SWITCHES = {"yes": True, "on": True, "no": False, "off": False}  # as YAML 1.1, which the handbook reads, has them
ORDER = ("method", "base")
LATER = ("template", "added_tokens", "eos_token", "train", "peft", "quantization", "runtime")
# What ModelConfig says where a YAML does not, and PEFT has otherwise.
LORA = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05}


@dataclass
class Imported:
    """A page in the making."""

    path: Path
    said: dict[str, Any]  # what is not yet read
    lines: page.Where
    method: str
    gpus: int
    model: dict[str, Any] = field(default_factory=dict)
    where: page.Where = field(default_factory=dict)  # of the model's fields, in the YAML
    renamed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # what the YAML does not say

    def take(self, key: str, default: Any = None) -> Any:
        """A key's value, which is then read."""
        value = self.said.pop(key, None)
        return default if value is None else value

    def put(self, to: str, value: Any, key: str = "") -> None:
        """Say a field of the model, by its dotted path; by which key of the YAML it was said."""
        part, _, name = to.rpartition(".")
        (self.model.setdefault(part, {}) if part else self.model)[name] = value
        if (key,) in self.lines:
            self.where[tuple(to.split("."))] = self.lines[(key,)]
            if key != name:
                self.renamed.append(f"{key} → {to}")

    def count(self, key: str, default: int) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or value < 1:
            raise self.refuse(key, f"{value!r}: is to be a whole number, of which batch_size is made")
        return value

    def refuse(self, key: str, why: str) -> Refusal:
        return Refusal(f"{self.lines.get((key,), f'{self.path}:1')}: {key}: {why}")


def read(path: Path, method: str | None, name: str | None, gpus: int, templates: Path) -> tuple[str, Imported]:
    """The page that a YAML becomes, and what is to be said of it.

    Raises: Refusal, if it makes no recipe.

    Args:
        method: what its script trained, where neither its folder nor its keys say.
        name: the model's; else what it was published or saved as.
        gpus: of all nodes together, of which a YAML says nothing.
        templates: the folder of chat templates, to find its own among.
    """
    said, lines = page.read(path)
    said = {key: SWITCHES.get(str(value).lower(), value) for key, value in said.items()}
    made = Imported(path, said, lines, method or method_of(path, said), gpus)
    name = name or name_of(path, said)
    old = rows.is_old(said)
    read_method(made)
    kind = METHODS[made.method]
    base_and_template(made, templates, old)
    section, mixed = kind.rows, rows.rows_of(made, kind.rows)
    of_rows = f"{name}-{'pairs' if section == 'preferences' else 'rows'}"
    for part, called in (("models", name), (section, of_rows)):
        check_name(part, called, "--name")
    batch(made)
    lengths(made, old)
    adapter(made)
    circumstances(made, bool(mixed.get("test")))
    precision(made)
    the_rest(made, kind)
    made.model[section] = of_rows
    model = {key: ordered(made.model[key], kind, key) for key in (*ORDER, section, *LATER) if key in made.model}
    entries = {section: {of_rows: mixed}, "models": {name: model}}
    top = {(): f"{path}:1"}
    catalogue.check(f"{section}/{of_rows}", Written(mixed, top))
    catalogue.check(f"models/{name}", Written(model, top | made.where))
    return written(f"Imported from the Alignment Handbook's {path.name}, of {made.gpus} GPUs.", entries), made


def ordered(value: Any, kind: type, part: str) -> Any:
    """A section of a model with its fields in the order of the language."""
    if not isinstance(value, dict):
        return value
    return {name: value[name] for name in faults.fields_at(kind, [part]) if name in value}


def method_of(path: Path, said: dict) -> str:
    """What a YAML trains: by the folder that it is in, else by its keys."""
    for part in reversed(path.parts[:-1]):
        if part in METHODS and part not in UNTRAINED:
            return part
    return next((method for key, method in METHOD_OF.items() if key in said), "sft")


def read_method(made: Imported) -> None:
    if made.method not in METHODS or made.method in UNTRAINED:
        raise Refusal(
            f"--method {made.method}: trains nothing. Known: {', '.join(sorted(set(METHODS) - set(UNTRAINED)))}"
        )
    if made.said.get("loss_type") == "kto_pair":
        made.left.append(f"loss_type: 'kto_pair' {INSTEAD['loss_type'][made.take('loss_type')]}")
        made.method = "kto"
    made.model["method"] = made.method


def name_of(path: Path, said: dict) -> str:
    """What a model was published or saved as, in letters that a name may have."""
    word = PurePath(str(said.get("hub_model_id") or said.get("output_dir") or path.stem)).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-._")[: LONGEST - len("-pairs")] or "imported"


def base_and_template(made: Imported, templates: Path, old: bool) -> None:
    if "model_name_or_path" not in made.said:
        raise made.refuse("model_name_or_path", "is missing; is it a training YAML of the Alignment Handbook?")
    base, revision = made.take("model_name_or_path"), made.take("model_revision", "main")
    at = "" if revision == "main" else f"@{revision}"
    made.put("base", f"{MOVED.get(str(base), base)}{at}", "model_name_or_path")
    if (known := bases.read(templates.parent / "bases.yaml").get(base)) and known.adapter:
        made.unknown.append(f"base: {base} {bases.UNOPENED}")
    if at:
        made.renamed.append(f"model_revision → base: …{at}")
    text = made.take("chat_template")
    if text:
        name = template.like(templates, text)
        if name:
            made.put("template", name, "chat_template")
        else:
            made.unknown.append(
                f"chat_template: is like none of {templates}; save it there with "
                "{% generation %} around what the assistant says, and name it as `template`"
            )
    elif made.method == "sft" and old:
        made.put("template", "zephyr")
        made.unknown.append("template: the base's own was taken, and zephyr's where it had none; zephyr is written")
    if text and CHATML[0] in text and not made.said.get("use_peft"):
        made.put("added_tokens", CHATML)
        made.put("eos_token", made.take("eos_token", CHATML[1]), "eos_token")


def batch(made: Imported) -> None:
    micro, steps = made.count("per_device_train_batch_size", 8), made.count("gradient_accumulation_steps", 1)
    made.put("train.batch_size", micro * steps * made.gpus, "per_device_train_batch_size")
    made.put("runtime.micro_batch_size", micro)
    made.unknown.append(
        f"GPUs: {made.gpus} are taken, by which batch_size is {micro} × {steps} × {made.gpus}; say --gpus"
    )


def lengths(made: Imported, old: bool) -> None:
    made.put("train.num_train_epochs", made.take("num_train_epochs", 3), "num_train_epochs")
    if made.said.get("max_steps", -1) == -1:
        made.take("max_steps")
    ratio = made.take("warmup_ratio")
    if ratio and not made.said.get("warmup_steps"):
        made.put("train.warmup_steps", ratio, "warmup_ratio")
    length = made.take("max_seq_length") or made.said.get("max_length")
    if length is None:
        made.take("max_length")
        made.unknown.append("max_length: is unsaid, and was another with each version of TRL; 1024 is taken")
    elif "max_length" not in made.said:
        made.put("train.max_length", length, "max_seq_length")
    strategy = made.take("packing_strategy")
    if made.method == "sft" and old and made.take("packing", True):
        made.put("train.packing", True)
        made.put("train.packing_strategy", "wrapped")
        made.unknown.append("packing: SFT always packed in one stream then; `packing_strategy: wrapped` is written")
    elif made.method == "cpt":
        made.take("packing")
    elif made.said.get("packing") and strategy:
        made.put("train.packing_strategy", {"ffd": "bfd"}.get(strategy, strategy), "packing_strategy")


def adapter(made: Imported) -> None:
    bits = made.take("load_in_4bit", False)
    if not made.take("use_peft", bits):
        for key in [key for key in made.said if key.startswith(("lora_", "bnb_", "use_bnb", "use_rslora", "use_dora"))]:
            made.take(key)
        return
    for key, default in LORA.items():
        made.put(OTHERWISE[key].said, made.take(key, default), key)
    for key in ("use_rslora", "use_dora", *(["bnb_4bit_quant_type"] if bits else [])):
        if made.said.get(key) is not None:
            made.put(OTHERWISE[key].said, made.take(key), key)
    modules = made.take("lora_target_modules")
    if not modules:
        modules = ["q_proj", "v_proj"]
        made.unknown.append("lora_target_modules: PEFT has its own of each base; q_proj and v_proj are written")
    made.put("peft.target_modules", modules, "lora_target_modules")
    if bits:
        made.put("quantization.load_in_4bit", True, "load_in_4bit")
        made.put(
            "quantization.bnb_4bit_use_double_quant", made.take("use_bnb_nested_quant", False), "use_bnb_nested_quant"
        )


def circumstances(made: Imported, tested: bool) -> None:
    """How the handbook launched what it trained, and what it was told to show and keep."""
    made.put("runtime.gpus", made.gpus)
    launch = "single" if made.gpus == 1 else "ddp" if "peft" in made.model else "zero3"
    made.put("runtime.launch", launch)
    made.unknown.append(f"launch: was named on the command line; {launch} is written")
    if made.take("gradient_checkpointing"):
        made.put("runtime.activation_checkpointing", True, "gradient_checkpointing")
    if made.take("use_flash_attention_2"):
        made.put("runtime.attn_implementation", "flash_attention_2", "use_flash_attention_2")
    if made.take("use_liger_kernel") or made.take("use_liger"):
        made.put("runtime.use_kernels", True, "use_liger_kernel")
    shown = made.take("report_to", [])
    trackers = [name for name in ("wandb", "trackio", "tensorboard") if name in shown]
    if trackers:
        made.put("runtime.tracking", trackers[0], "report_to")
    evaluated = made.take("eval_strategy") or made.take("evaluation_strategy")
    made.take("do_eval")
    if not intervals(made, "eval_steps", evaluated if tested else None) and evaluated:
        made.unknown.append(f"eval_steps: the test split's losses were taken by `{evaluated}`; say the steps between")
    saved = made.said.get("save_steps")
    if not intervals(made, "save_steps", made.take("save_strategy", "steps")) and saved:
        made.unknown.append(f"save_steps {saved}: is a share of all steps; say how many a kill may cost")


def intervals(made: Imported, key: str, strategy: Any) -> bool:
    """Whether something is done every so many steps, which is then said; a share of all steps is not."""
    steps = made.take(key)
    if strategy != "steps" or not isinstance(steps, int):
        return False
    made.put(f"runtime.{key}", steps, key)
    return True


def precision(made: Imported) -> None:
    dtype = made.take("torch_dtype") or made.take("dtype")
    if dtype == "bfloat16" and made.model["runtime"]["launch"] != "zero3":
        made.put("train.dtype", "bfloat16", "torch_dtype")
    elif dtype == "bfloat16":
        made.left.append("torch_dtype: DeepSpeed trained weights in float32 whatever it says, as is the default here")
    elif dtype == "auto":
        made.unknown.append("torch_dtype auto: is the base's own type; float32 is taken")
    halves = made.take("fp16")
    if halves:
        made.left.append(f"fp16: {OTHERWISE['fp16']}; bfloat16 is taken")
    if not made.take("bf16", bool(halves)):
        made.put("train.bf16", False, "bf16")


def the_rest(made: Imported, kind: type) -> None:
    """What has its name here too, or another, or none."""
    for key in list(made.said):
        value = made.take(key)
        other = OTHERWISE.get(key)
        homes = [part for part in ("train", "runtime") if key in faults.fields_at(kind, [part])]
        if homes:
            if value is not None:
                made.put(f"{homes[0]}.{key}", value, key)
        elif key in kind.model_fields:
            made.put(key, value, key)
        elif other and (other.said or "").startswith("runtime.") and isinstance(value, int):
            made.put(other.said, value, key)
        elif other:
            made.left.append(f"{key}: {other}")
        else:
            made.left.append(f"{key}: {'TRL has it, and it is not offered' if is_trls(key) else 'nothing reads it'}")
