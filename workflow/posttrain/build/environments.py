"""The environment that a stage's program runs in: the one that Snakemake runs in, or one whose versions are others.

A target of the plan names it. `train` is Snakemake's own; vLLM has `sample`, on GPUs, and `sample-cpu`; lm-eval has
`evaluate`. Such a one is that of the Python which runs this, where Snakemake has opened it (`--sdm conda`, `--sdm
apptainer`); else a venv or a conda environment in the folder that config/site.yaml names, or in the one of make.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from posttrain.build.processes import PACKAGE
from posttrain.files import Refusal
from posttrain.recipes.environments import APART, MAKE

ENVIRONMENTS = ("train", *APART)
IMAGES = (".sif", ".simg")
# What the stages' results hang on, and what may be installed beside it on a GPU machine.
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "pyarrow")
PACKAGES += ("numpy", "huggingface-hub", "gguf", "reasoning-gym", "deepspeed", "bitsandbytes", "flash-attn", "kernels")
PACKAGES += ("math-verify", "latex2sympy2-extended", "sympy", "jinja2", "pandas")
PACKAGES += tuple(APART.values())


@dataclass(frozen=True)
class Environment:
    python: str
    versions: dict[str, str]


def find(name: str, site: dict, root: Path) -> Environment:
    """The environment of a name. Raises: Refusal, if it is not there."""
    if why := lacking(name, site, root):
        raise Refusal(why)
    if is_ours(name):
        return Environment(sys.executable, versions())
    python = str(python_of(name, site, root))
    asked = [python, "-m", "posttrain.build.environments"]
    said = subprocess.run(
        asked, env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, check=False
    )
    if said.returncode:
        why = said.stderr.strip().splitlines() or [f"it ended with status {said.returncode}"]
        raise Refusal(f"{python} cannot say what the environment {name} has: {why[-1]}")
    found = json.loads(said.stdout)
    if APART[name] not in found:
        raise Refusal(f"{python} has no {APART[name]}, which the environment {name} is for; `{MAKE[name]}` installs it")
    return Environment(python, found)


def lacking(name: str, site: dict, root: Path) -> str | None:
    """What is to be said of an environment that is not there."""
    there = place(name, site)
    if is_ours(name) or python_of(name, site, root).exists():
        return None
    if image(name, site):
        return f"config/site.yaml: environments.{name}: {there} is an image, which `--sdm apptainer` opens; add that"
    return (
        f"{APART[name]} has an environment of its own, and there is none in {there}: `{MAKE[name]}` makes it, or say "
        f"`environments: {{{name}: its folder}}` in config/site.yaml (docs/environments.md)"
    )


def is_ours(name: str) -> bool:
    return name not in APART or APART[name] in versions()


def place(name: str, site: dict) -> str:
    """Where an environment is, from the checkout's root, if it is not ours."""
    return site.get("environments", {}).get(name, f".venv-{name}")


def python_of(name: str, site: dict, root: Path) -> Path:
    return (root / Path(place(name, site)).expanduser()).absolute() / "bin/python"


def image(name: str, site: dict) -> str | None:
    """The image that an environment is, if it is one."""
    there = place(name, site)
    return there if "://" in there or there.endswith(IMAGES) else None


def versions() -> dict[str, str]:
    """Of the Python that runs this."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def refuse_other_versions(name: str, found: dict[str, str], locked: dict[str, str]) -> None:
    """Raises: Refusal, if an environment is not the one that the key will say it is."""
    for package, version in locked.items():
        if package in found and found[package].partition("+")[0] != version:
            raise Refusal(
                f"{package} {found[package]} is installed, and envs/{name}.lock says {version}; "
                f"install what is locked ({MAKE[name]}), or lock what is installed (make lock)"
            )


if __name__ == "__main__":
    print(json.dumps(versions()))
