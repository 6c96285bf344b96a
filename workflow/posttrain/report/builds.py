"""When and where artifacts were built, what that took, and how it is done again."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from posttrain.files import read_json
from posttrain.plan.lineage import lineage
from posttrain.recipes.environments import MAKE
from posttrain.recipes.identity import SHARD
from posttrain.report import draw


@dataclass(frozen=True)
class Build:
    """A target, by what stands beside it."""

    path: str
    target: dict
    shards: list[dict]  # the targets that it was gathered from

    @cached_property
    def run(self) -> dict[str, Any]:
        return read_json(f"{self.path}.run.json")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_json(f"{self.path}.json")

    @property
    def metrics(self) -> dict[str, Any]:
        return self.run.get("metrics", {})

    @property
    def shard_seconds(self) -> float:
        return self.metrics.get("shard_seconds", 0)

    @property
    def seconds(self) -> float:
        """Of its program, and of those of its shards."""
        return self.run.get("seconds", 0) + self.shard_seconds

    @property
    def gpu_hours(self) -> float:
        own = self.run.get("seconds", 0) * (self.run.get("launch", {}).get("gpus") or 0)
        shards = self.shard_seconds * max([shard["runtime"].get("gpus") or 0 for shard in self.shards], default=0)
        return (own + shards) / 3600

    @property
    def gpus(self) -> list[str]:
        """The GPUs of the machine, each once."""
        return sorted(set(self.run.get("hardware", {}).get("gpus", [])))

    @property
    def memory(self) -> str:
        return draw.size(self.metrics.get("peak_memory_bytes"))

    @property
    def machine(self) -> str:
        hardware = self.run.get("hardware", {})
        device = ", ".join(self.gpus) or f"{hardware.get('cpus', '?')} CPUs ({hardware.get('machine', '?')})"
        return f"{hardware.get('host', '')}, {device}"

    @property
    def commit(self) -> str:
        return (self.run.get("git", {}).get("commit") or "")[:12]

    @property
    def changed(self) -> bool:
        """Whether the checkout differed from its commit."""
        return bool(self.run.get("git", {}).get("dirty"))


def builds_of(targets: dict[str, dict], paths: Iterable[str]) -> list[Build]:
    return [Build(path, targets[path], shards_of(targets, path)) for path in paths]


def shards_of(targets: dict[str, dict], path: str) -> list[dict]:
    return [targets[made] for role, made in targets[path]["inputs"].items() if role.startswith(SHARD)]


def cost(builds: Iterable[Build]) -> dict[str, Any]:
    """What some builds took together; what several targets share was built once."""
    once = {build.manifest.get("key", build.path): build for build in builds}.values()
    kinds = sorted({gpu for build in once if build.gpu_hours for gpu in build.gpus})
    return {
        "seconds": sum(build.seconds for build in once),
        "gpu_hours": sum(build.gpu_hours for build in once),
        "gpus": ", ".join(kinds),
    }


def again(targets: dict[str, dict], build: Build) -> list[str]:
    """The commands that build a target anew, with the environments that its lineage is made in."""
    needed = ["train", *sorted(targets[made]["environment"] for made in lineage(targets, build.path))]
    return [
        *([f"git checkout {build.commit}"] if build.commit else []),
        *dict.fromkeys(MAKE[name] for name in needed),
        f"snakemake {build.path}",
        f"posttrain verify {build.path}",
    ]
