"""The site's file, config/site.yaml: where and how fast, never what. config/site.example.yaml is one to copy."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from posttrain.files import Refusal
from posttrain.recipes import faults, page, sections
from posttrain.recipes.environments import APART, FOREIGN, FOREIGN_NAMES
from posttrain.recipes.fields import Entry, Positive
from posttrain.recipes.gpus import GPUS
from posttrain.recipes.page import Where
from posttrain.words import did_you_mean, dotted

# Variables that Snakemake and SLURM set for a job, and those that it sets itself, for results hang on them.
SET = ("POSTTRAIN_", "SNAKEMAKE_", "SLURM_", "PYTHON", "CUDA_VISIBLE_DEVICES", "TRL_", "TQDM_", "TOKENIZERS_")
SET_NAMES = {"PATH", "HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_DATASETS_CACHE"}
SECRET = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)(_|$)")
SHAPES = {
    "runtime": (dict, "maps patterns of names to runtime fields"),
    "environments": (dict, "maps names to a folder or an image"),
    "variables": (dict, "maps names of environment variables to values"),
    "modules": (list, "is a list of modules to load"),
}


def safe(word: str) -> str:
    """A word that a scheduler's option or a shell's line takes as one."""
    if not re.fullmatch(r"(?!-)[\w.,:@/+&|*()\[\]=-]+", word, re.ASCII):
        raise ValueError(f"{word!r} is not one word of letters, digits and .,:@/+&|*()[]=-")
    return word


def settable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ValueError("is no name of an environment variable (capitals, digits and _)")
    if name.startswith((*SET, *FOREIGN)) or name in SET_NAMES | FOREIGN_NAMES or name.endswith("_NUM_THREADS"):
        raise ValueError("is set by each job itself, or by what starts it; leave it out")
    if SECRET.search(name):
        raise ValueError("is a secret, and plans keep what a site says; set it where you call snakemake")
    return name


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} has a character that cannot be seen")
    return text


def known_environment(name: str) -> str:
    if name not in APART:
        raise ValueError(f"no such environment. {did_you_mean(name, list(APART))}")
    return name


def known_gpu(name: str) -> str:
    if name not in GPUS:
        raise ValueError(f"no {name} is known. {did_you_mean(name, list(GPUS))}")
    return name


def expanded(path: str) -> str:
    """A path with `~` and `$NAME` put in."""
    made = os.path.expandvars(path)
    if missing := re.search(r"\$\{?(\w+)", made):
        raise ValueError(f"{path}: ${missing[1]} is not set here")
    if not made:
        raise ValueError("names no place; leave it out")
    try:
        return str(Path(made).expanduser()) if made.startswith("~") else made  # Path would make docker:/ of docker://
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home") from None


Word = Annotated[str, AfterValidator(safe)]
Text = Annotated[str, AfterValidator(printable)]
Place = Annotated[Text, AfterValidator(expanded)]


class Both(Entry):
    """What jobs with GPUs ask for, and what those without."""

    gpu: Word | None = Field(None, description="of jobs that ask for GPUs")
    cpu: Word | None = Field(None, description="of all others")


class Settings(Entry):
    store: Place | None = Field(
        None, description="folder of finished artifacts, which a lab can share; `store` if unsaid"
    )
    scratch: Place | None = Field(
        None,
        description="folder to work in, which all nodes see: checkpoints until they are finished; `work` if unsaid",
    )
    account: Word | Both | None = Field(None, description="SLURM account, or one each: `{gpu: …, cpu: …}`")
    partition: Word | Both | None = Field(None, description="SLURM partition, or one each: `{gpu: …, cpu: …}`")
    qos: Word | Both | None = Field(None, description="SLURM quality of service, or one each")
    constraint: Word | Both | None = Field(None, description="features that a node must have, or one each: `h100&ib`")
    max_hours: Positive | None = Field(
        None, description="the longest that one job may run; what takes longer goes on in the next"
    )
    grace_minutes: Positive = Field(
        5, description="before a job's time is over it saves, and goes back into the queue: so long before"
    )
    modules: list[Word] = Field([], description="environment modules that every job loads: `[cuda/12.8]`")
    variables: dict[Annotated[str, AfterValidator(settable)], Text] = Field(
        {}, description="environment variables of every job, by name: `{NCCL_SOCKET_IFNAME: ib0}`"
    )
    gpu: Annotated[str, AfterValidator(known_gpu)] | None = Field(None, description="the GPU that plans are costed for")
    environments: dict[Annotated[str, AfterValidator(known_environment)], Place] = Field(
        {}, description="folder or image of vLLM's environments: `{sample: ../images/sample.sif}`"
    )
    runtime: dict[str, dict] = Field({}, description="runtime fields by patterns of names")


@dataclass(frozen=True)
class Site:
    said: dict[str, Any]
    where: Where

    @property
    def patterns(self) -> dict[str, dict]:
        return self.said.get("runtime", {})

    def runtimes(self, path: str) -> Iterator[tuple[dict, Where]]:
        """The runtime fields that each pattern of a target says, and where: of several patterns the last wins."""
        for pattern, said in self.patterns.items():
            if fnmatch.fnmatchcase(path, whole_path(pattern)):
                at = ("runtime", pattern)
                yield said, {("runtime", *key[2:]): line for key, line in self.where.items() if key[:2] == at}

    def refuse_idle(self, paths: Iterable[str]) -> None:
        """Raises: Refusal, if a pattern is of no entry of the catalogue."""
        paths = list(paths)
        for pattern in self.patterns:
            if not fnmatch.filter(paths, whole_path(pattern)):
                hint, line = did_you_mean(whole_path(pattern), paths), self.where[("runtime", pattern)]
                raise Refusal(f"{line}: runtime.{pattern}: is the name of no recipe. {hint}")


def read(path: Path) -> Site:
    """The file, its paths expanded and what is unsaid put in. Raises: Refusal, with the line of the first fault."""
    said, where = page.read(path) if path.exists() else ({}, {})
    try:
        settings = Settings.model_validate(said).model_dump(exclude_none=True)
    except ValidationError as error:
        raise Refusal(fault(said, error, where)) from None
    for pattern in settings["runtime"]:
        section = whole_path(pattern).split("/")[0]
        if not fnmatch.filter(sections.SECTIONS, section):
            hint = did_you_mean(section, list(sections.SECTIONS))
            raise Refusal(f"{where[('runtime', pattern)]}: runtime.{pattern}: no such section. {hint}")
    return Site(settings, where)


def fault(said: dict, error: ValidationError, where: Where) -> str:
    """What is wrong first, and where, in one line."""
    key, why = next(iter(faults.of(Settings, said, error, frozenset(), frozenset()).items()))
    kind, shape = SHAPES.get(key[0], (object, ""))
    if not isinstance(said[key[0]], kind):
        why = shape
    if key[0] not in Settings.model_fields:
        why += " (a site says where, never what)"
    return f"{where[key]}: {dotted(key)}: {why}"


def whole_path(pattern: str) -> str:
    """A pattern as one of targets: `evals/*` is one, and `zephyr-*` is of models."""
    return pattern if "/" in pattern else f"models/{pattern}"
