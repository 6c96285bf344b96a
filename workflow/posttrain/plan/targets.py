"""From the catalogue to targets: what each artifact is made of, down to tokenizers, tokens and fetched files."""

from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

from posttrain.data import generators
from posttrain.files import Refusal
from posttrain.plan.contents import Contents
from posttrain.recipes import identity, schema, template
from posttrain.recipes.catalogue import HUB_ID, Catalogue, Named
from posttrain.recipes.page import did_you_mean


@dataclass
class Target:
    """One artifact and the stage that makes it."""

    path: str  # models/zephyr-7b-sft
    stage: str  # train_sft, which is also its rule and its script
    own: dict  # what it is, apart from its inputs
    names: dict[str, str] = field(default_factory=dict)  # role → the input's name as typed: part of the identity
    inputs: dict[str, str] = field(default_factory=dict)  # role → another target
    files: dict[str, str] = field(default_factory=dict)  # role → a file or folder outside the build
    texts: dict[str, str] = field(default_factory=dict)  # role → a small file's text, frozen with the plan
    runtime: dict = field(default_factory=dict)
    intent: str = ""

    @property
    def identity(self) -> dict:
        return {**self.own, **self.names}


class Targets:
    """The targets of a catalogue, inputs before what is made of them."""

    def __init__(self, root: Path, catalogue: Catalogue, lock: dict, contents: Contents) -> None:
        self.root, self.catalogue, self.lock, self.contents = root, catalogue, lock, contents
        self.all: dict[str, Target] = {}
        self.unlocked: set[str] = set()
        self.open: list[str] = []
        for path in [*catalogue.uses, *catalogue.entries]:
            self.named(path)

    def add(self, target: Target) -> str:
        parts = {role: self.all[path].intent for role, path in target.inputs.items()}
        parts |= {role: self.contents.of(path) for role, path in target.files.items()}
        parts |= {role: self.contents.of_text(text) for role, text in target.texts.items()}
        target.intent = identity.intent(target.own, parts)
        if target.path.endswith("/"):  # an internal target is named by what it is, so equal ones are one
            target.path += target.intent
        self.all.setdefault(target.path, target)
        return target.path

    def named(self, path: str) -> str:
        """Add the target that a person named, after all it is made from."""
        if path in self.all:
            return path
        if path in self.open:
            circle = " → ".join([*self.open[self.open.index(path) :], path])
            raise self.catalogue.entries[path].refuse(("base",), f"is made from itself: {circle}")
        self.open.append(path)
        if path in self.catalogue.uses:
            target = self.used(path)
        else:
            entry = self.catalogue.entries[path]
            make = {
                schema.Data: self.rows,
                schema.Preferences: self.rows,
                schema.InitModel: self.init_model,
                schema.SFTModel: self.trained_model,
                schema.DPOModel: self.trained_model,
            }[type(entry.recipe)]
            target = make(entry)
        self.open.pop()
        return self.add(target)

    # What stands in for a recipe

    def used(self, path: str) -> Target:
        """A foreign artifact in a target's place: a folder, with its digest for a recipe, or a hub repository."""
        folder, line = self.catalogue.uses[path]
        where = Path(folder).expanduser()
        if where.is_dir():
            wanted = "*.safetensors" if path.startswith("models/") else "train.parquet"
            if not any(where.glob(wanted)):
                raise Refusal(
                    f"{line}: use.{path}: {folder} has no {wanted}, and posttrain opens nothing that can run code"
                )
            own, runtime = self.it_is("adopt_folder", {}), schema.Runtime().model_dump()
            return Target(path, "adopt_folder", own, {"folder": folder}, files={"folder": str(where)}, runtime=runtime)
        if HUB_ID.fullmatch(folder) and path.startswith("models/"):
            return self.snapshot(path, "models", folder)
        hint = (
            "it is no hub id (org/name)" if path.startswith("models/") else "rows of the hub are a source: say {hub: …}"
        )
        raise Refusal(f"{line}: use.{path}: there is no folder {folder}, and {hint}")

    def snapshot(self, path: str, kind: str, repo_id: str) -> Target:
        """A repository of the hub at its locked commit; `tokenizers` are a model's, without its weights."""
        commit = self.lock["models" if kind == "tokenizers" else kind].get(repo_id)
        if commit is None:
            self.unlocked.add(repo_id)
        own = self.it_is("fetch_snapshot", {"kind": kind, "repo_id": repo_id, "revision": commit or "main"})
        return Target(path, "fetch_snapshot", own, runtime=schema.Runtime(hours=24).model_dump())

    def hub(self, kind: str, repo_id: str) -> str:
        return self.add(self.snapshot(f"hub/{kind}--{repo_id.replace('/', '--')}", kind, repo_id))

    # Rows

    def rows(self, entry: Named) -> Target:
        stage = "mix_data" if isinstance(entry.recipe, schema.Data) else "mix_preferences"
        recipe = entry.recipe.model_dump(exclude={"runtime"})
        names, inputs, files = {}, {}, {}
        for split in ("sources", "test"):
            for i, source in enumerate(recipe[split]):
                role = f"{split}.{i}"
                if source["generator"]:
                    self.known_generator(entry, split, i)
                if source["path"]:
                    files[role] = self.existing(entry, split, i, source["path"])
                elif source["hub"]:
                    if not HUB_ID.fullmatch(source["hub"]):
                        raise entry.refuse((split, i, "hub"), f"{source['hub']!r} is not a hub id (org/name)")
                    inputs[role] = self.hub("datasets", source["hub"])
                if place := source.pop("path") or source.pop("hub"):
                    names[role] = place
                source.pop("hub", None)
                source["form"] = Path(files[role]).suffix if role in files else "hub" if role in inputs else "generator"
        own = self.it_is(stage, recipe)
        return Target(entry.path, stage, own, names, inputs, files, runtime=entry.recipe.runtime.model_dump())

    def known_generator(self, entry: Named, split: str, i: int) -> None:
        source = getattr(entry.recipe, split)[i]
        known = list(generators.KNOWN)
        if source.generator not in known:
            hint = did_you_mean(source.generator, known)
            raise entry.refuse((split, i, "generator"), f"there is no generator {source.generator!r}. {hint}")
        takes = list(signature(generators.KNOWN[source.generator]).parameters)
        for name in source.args:
            if name not in takes:
                raise entry.refuse((split, i, "args", name), f"no such argument. {did_you_mean(name, takes)}")

    def existing(self, entry: Named, split: str, i: int, path: str) -> str:
        forms = (".jsonl", ".json", ".parquet", ".csv")
        place = Path(path).expanduser()
        if not place.is_file():
            near = [str(file) for form in forms for file in sorted(place.parent.glob(f"*{form}"))]
            raise entry.refuse((split, i, "path"), f"there is no file {path}. {did_you_mean(path, near)}")
        if place.suffix not in forms:
            raise entry.refuse((split, i, "path"), f"{path}: rows are read from {', '.join(forms)}")
        return str(place)

    # Models

    def init_model(self, entry: Named) -> Target:
        recipe = entry.recipe
        text = self.template(entry)
        if recipe.tokenizer == "bytes":
            tokenizer = self.tokenizer({"from": "bytes"}, {}, text)
        else:
            tokenizer = self.tokenizer({}, {"from": self.model(entry, "tokenizer", recipe.tokenizer)}, text)
        own = self.it_is("init_model", recipe.model_dump(include={"architecture", "seed"}))
        names = {"tokenizer": recipe.tokenizer, **({"template": recipe.template} if recipe.template else {})}
        return Target(
            entry.path, "init_model", own, names, {"tokenizer": tokenizer}, runtime=recipe.runtime.model_dump()
        )

    def trained_model(self, entry: Named) -> Target:
        recipe, method = entry.recipe, entry.recipe.method
        rows = {"sft": "data", "dpo": "preferences"}[method]
        base = self.model(entry, "base", recipe.base)
        text = self.template(entry)
        tokenizer = self.tokenizer_of(base)
        if text or recipe.added_tokens or recipe.eos_token:
            said = {"added_tokens": recipe.added_tokens, "eos_token": recipe.eos_token}
            tokenizer = self.tokenizer(said, {"from": tokenizer}, text)
        if getattr(recipe.train, "assistant_only_loss", False) and text and not template.marks_answers(text):
            raise entry.refuse(
                ("train", "assistant_only_loss"),
                f"{recipe.template}.jinja does not mark what the assistant says with {{% generation %}}",
            )
        tokens = self.tokens(entry, rows, tokenizer)
        train = recipe.train.model_dump()
        own = self.it_is(f"train_{method}", {"method": method, "train": train})
        names = {"base": recipe.base, rows: getattr(recipe, rows)}
        said = {key: getattr(recipe, key) for key in ("template", "added_tokens", "eos_token")}
        names |= {key: value for key, value in said.items() if value}
        inputs = {"base": base, "tokenizer": tokenizer, "tokens": tokens}
        return Target(entry.path, f"train_{method}", own, names, inputs, runtime=self.runtime(entry))

    def model(self, entry: Named, key: str, name: str) -> str:
        """The target that a model's name or hub id stands for."""
        path = f"models/{name}"
        if path in self.catalogue.entries or path in self.catalogue.uses:
            return self.named(path)
        if path in self.catalogue.scans:
            raise entry.refuse((key,), f"{name} is a scan; name one of its models: {self.catalogue.scans[path][0]}")
        if HUB_ID.fullmatch(name):
            return self.hub("models", name)
        known = [path.split("/", 1)[1] for path in self.catalogue.entries if path.startswith("models/")]
        raise entry.refuse((key,), f"{name!r} is no model here and no hub id (org/name). {did_you_mean(name, known)}")

    def template(self, entry: Named) -> str | None:
        if entry.recipe.template is None:
            return None
        try:
            return template.read(self.root / "config/templates", entry.recipe.template)
        except Refusal as refusal:
            raise entry.refuse(("template",), str(refusal)) from None

    def tokenizer(self, own: dict, inputs: dict[str, str], text: str | None) -> str:
        texts = {"template": text} if text else {}
        runtime = schema.Runtime().model_dump()
        stage = "make_tokenizer"
        return self.add(Target("tokenizers/", stage, self.it_is(stage, own), {}, inputs, texts=texts, runtime=runtime))

    def tokenizer_of(self, path: str) -> str:
        """The tokenizer a model speaks: its own target's, its hub repository's without the weights, or its folder's."""
        model = self.all[path]
        if "tokenizer" in model.inputs:
            return model.inputs["tokenizer"]
        if model.stage == "fetch_snapshot":
            return self.tokenizer({}, {"from": self.hub("tokenizers", model.own["repo_id"])}, None)
        return self.tokenizer({}, {"from": path}, None)

    def tokens(self, entry: Named, kind: str, tokenizer: str) -> str:
        recipe = entry.recipe
        path = f"{kind}/{getattr(recipe, kind)}"
        if path not in self.catalogue.entries and path not in self.catalogue.uses:
            known = [p.split("/", 1)[1] for p in self.catalogue.entries if p.startswith(kind + "/")]
            raise entry.refuse((kind,), f"there is no {path}. {did_you_mean(getattr(recipe, kind), known)}")
        own = {"method": recipe.method, "max_length": recipe.train.max_length}
        if recipe.method == "sft":
            own["assistant_only_loss"] = recipe.train.assistant_only_loss
        inputs = {"rows": self.named(path), "tokenizer": tokenizer}
        runtime = schema.Runtime(threads=recipe.runtime.shards, hours=recipe.runtime.hours).model_dump()
        made = self.add(
            Target("tokens/", "tokenize_rows", self.it_is("tokenize_rows", own), {}, inputs, runtime=runtime)
        )
        shared = self.all[made].runtime  # models that share tokens may ask for other shards: the most is given
        shared |= {name: max(shared[name], value) for name, value in runtime.items()}
        return made

    def runtime(self, entry: Named) -> dict:
        """A trained model's circumstances, with the accumulation that its batch size leaves."""
        runtime, batch_size = entry.recipe.runtime, entry.recipe.train.batch_size
        processes = runtime.world_size
        micro = runtime.micro_batch_size or max(batch_size // processes, 1)
        if batch_size % (processes * micro):
            raise entry.refuse(
                ("train", "batch_size"),
                f"{batch_size} does not divide by {processes * micro} "
                f"({processes} processes × micro_batch_size {micro}); change batch_size, gpus or micro_batch_size",
            )
        derived = {"processes": processes, "micro_batch_size": micro}
        derived["gradient_accumulation_steps"] = batch_size // (processes * micro)
        return {**runtime.model_dump(), **derived}

    @staticmethod
    def it_is(stage: str, recipe: dict) -> dict:
        return identity.what_it_is(stage, recipe)
