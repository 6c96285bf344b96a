"""What a plan's jobs would take: hours and GPUs as they were asked for, memory and disk as far as they can be told."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from posttrain.build.store import whole
from posttrain.files import read_json
from posttrain.plan import duration, memory, size, triggers
from posttrain.plan.duration import Work
from posttrain.plan.size import BYTES, Architecture
from posttrain.plan.stages.weights import DERIVED
from posttrain.recipes.gpus import GPU
from posttrain.words import volume

CHECKPOINTS = 3  # of a training run at its fullest: the two that are kept, and the one being written
MODELS = ("models/", "checkpoints/", "hub/models--")


@dataclass(frozen=True)
class Job:
    """One job that would run. What cannot be told is None."""

    path: str
    target: dict
    architecture: Architecture | None
    weights: dict  # what the training of its weights says, which of a mean or a copy is another's
    work: Work | None = None

    @property
    def hours(self) -> float:
        return 0 if self.target["rule"] == "restore" else self.target["runtime"]["hours"]

    @property
    def gpus(self) -> int:
        return 0 if self.target["rule"] == "restore" else self.target["runtime"].get("gpus", 0)

    def expected(self, gpu: GPU) -> float | None:
        """Hours that it computes on its GPUs, if they are such ones."""
        return self.work.hours(gpu.speed, self.gpus) if self.work and self.gpus else None

    @property
    def trains(self) -> bool:
        return self.target["stage"].startswith("train_") and self.target["rule"] != "restore"

    @property
    def memory(self) -> float | None:
        """Bytes: of a job on GPUs those of one GPU, of another those of the machine, its launcher with it."""
        if not (self.trains and self.architecture):
            return None
        peak = memory.of_training(self.architecture, self.target["own"], self.target["runtime"]).peak
        return peak if self.gpus else self.target["runtime"]["processes"] * peak + memory.LIBRARIES

    @property
    def stored(self) -> float | None:
        """Bytes of what it adds to the store."""
        if self.target["rule"] == "restore":
            return 0
        return None if self.model is None else self.model * max(1, self.kept)

    @property
    def kept(self) -> int:
        """How many models it keeps on its way, the last among them."""
        return self.weights["train"]["keep_checkpoints"] if self.path.startswith("checkpoints/") else 0

    @property
    def model(self) -> float | None:
        """Bytes of a model that it makes."""
        if not (self.path.startswith(MODELS) and self.architecture):
            return None
        own, model = self.weights, self.architecture
        if own.get("peft"):
            return model.adapter(own["peft"]) * memory.kept_by_trained(own)
        parameters = model.parameters
        if own.get("method") == "reward":  # one score in place of the matrix that says tokens
            parameters += model.hidden - (0 if model.tied else model.embedding)
        return parameters * BYTES[own.get("train", own).get("dtype", "float32")]

    @property
    def working(self) -> float | None:
        """Bytes of its work folder at its fullest."""
        if not self.trains or self.model is None:
            return self.stored
        own, runtime = self.target["own"], self.target["runtime"]
        adapter = own.get("peft")
        trained = self.architecture.adapter(adapter) if adapter else self.architecture.parameters
        copies = 2 if runtime["launch"] in ("zero2", "fsdp") else 1  # one to load, one to go on from
        checkpoint = copies * self.model + trained * memory.optimizer_bytes(own, runtime)
        steps = own["train"]["max_steps"]
        saves = -(-steps // runtime["save_steps"]) if steps else CHECKPOINTS
        return checkpoint * min(saves, CHECKPOINTS) + self.model * self.kept


def jobs(targets: dict[str, dict], asked: list[str]) -> list[Job]:
    """The jobs that would make what is asked for, inputs before what is made of them."""
    models = Models(targets)
    return [models.job(path) for path in to_make(targets, asked)]


def to_make(targets: dict[str, dict], asked: list[str]) -> list[str]:
    """The targets that would be made for what is asked, inputs before what is made of them."""
    found: dict[str, None] = {}

    def add(path: str) -> None:
        target = targets[path]
        if path in found or stands(path, target):
            return
        if target["rule"] != "restore":
            for made in target["inputs"].values():
                add(made)
        elif target["twin"]:
            add(target["twin"])
        found[path] = None

    for path in asked:
        add(path)
    return list(found)


def job(targets: dict[str, dict], path: str) -> Job:
    return Models(targets).job(path)


def stands(path: str, target: dict) -> bool:
    """Whether what is there is what the plan asks for."""
    manifest = read_json(f"{path}.json")
    if None in target["contents"].values():
        return False
    stale = triggers.stale(manifest, target["own"], target["identity"], target["contents"])
    return not stale and whole(Path(path), manifest)


class Models:
    """What the models of a plan are like, each looked up once."""

    def __init__(self, targets: dict[str, dict]) -> None:
        self.targets = targets
        self.architecture = cache(self.find_architecture)
        self.weights = cache(self.find_weights)
        self.vocabulary = cache(self.find_vocabulary)

    def job(self, path: str) -> Job:
        model, target = self.architecture(path), self.targets[path]
        computes = model and target["rule"] != "restore" and "tokens" in target["inputs"]
        work = duration.of(self.targets, path, model) if computes else None
        return Job(path, target, model, self.weights(path), work)

    def find_weights(self, path: str) -> dict:
        """What says how many weights a model has, and their type: of a merge its adapter's method and its own type."""
        target = self.targets[path]
        if target["stage"] not in DERIVED:
            return target["own"]
        own = self.weights(next(iter(target["inputs"].values())))
        return {"method": own["method"], "train": target["own"]} if target["stage"] == "merge_adapter" else own

    def find_architecture(self, path: str) -> Architecture | None:
        """What a model is like: by its recipe, its own config.json where its files stand, the model it is made from, or
        what is published of its repository."""
        target = self.targets[path]
        if said := target["own"].get("architecture"):
            config = {"vocab_size": self.vocabulary(target["inputs"]["tokenizer"]), **said}
            return size.architecture(config) if config["vocab_size"] else None
        if target["stage"] in DERIVED:
            return self.architecture(next(iter(target["inputs"].values())))
        for role in ("base", "judge", "model", "reward_model", "from", "wheel"):
            if role in target["inputs"]:
                return self.architecture(target["inputs"][role])
        there = read_json(Path(target["files"].get("folder", path)) / "config.json")
        return size.architecture(there or target.get("published", {}))

    def find_vocabulary(self, tokenizer: str) -> int | None:
        """How many tokens a tokenizer has, as far as can be told."""
        if made := read_json(f"{tokenizer}/tokenizer.json"):
            ids = [*made["model"]["vocab"].values(), *(token["id"] for token in made["added_tokens"])]
            return max(ids) + 1
        own, base = self.targets[tokenizer]["own"], self.targets[tokenizer]["inputs"].get("from")
        if own.get("from") == "bytes":
            return size.BYTE_TOKENS
        model = self.architecture(base) if base else None
        return model.vocabulary if model else None


def lacking(planned: list[Job], store: Path, work: Path) -> Iterator[str]:
    """What does not fit, a line each: all that is to be stored, and the fullest work folder, one job at a time."""
    wanted = {store: sum(job.stored or 0 for job in planned)}
    if disk(store) == disk(work):  # a rename takes along what is stored
        wanted[store] += max([0, *((job.working or 0) - (job.stored or 0) for job in planned)])
    else:
        wanted[work] = max([0, *(job.working or 0 for job in planned)])
    for place, most in wanted.items():
        if most > free(place):
            said = f"{volume(most)} are wanted at {place}, and {volume(free(place))} are free"
            yield f"does not fit: {said}; free some (`posttrain gc`), or say another `store:` in config/site.yaml"


def disk(place: Path) -> int:
    return standing_part(place).stat().st_dev


def free(place: Path) -> int:
    return shutil.disk_usage(standing_part(place)).free


def standing_part(place: Path) -> Path:
    """The nearest folder above that is there already."""
    return next(path for path in (place, *place.absolute().parents) if path.exists())
