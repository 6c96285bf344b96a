"""Environments apart from the tests' own, with a vLLM that needs none: it says letters that its seeds choose."""

import site
import sys
import venv
from pathlib import Path

from posttrain.files import read_json
from posttrain.recipes.environments import APART

VLLM = """\
from types import SimpleNamespace

RequestOutput = SimpleNamespace


class SamplingParams(SimpleNamespace):
    pass


class TokensPrompt(dict):
    pass


class LLM:
    def __init__(self, model, **said):
        self.model_config = SimpleNamespace(max_model_len=1024)

    def generate(self, prompts, drawn, use_tqdm):
        return [self.answer(said.seed, said.stop_token_ids) for said in drawn]

    def answer(self, seed, ends):
        ids = [100 + seed % 97, *ends]
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, finish_reason="stop", stop_reason=None)])
"""


def make(folder: Path, name: str, version: str) -> Path:
    """An environment of a name, with all that the tests' own has besides."""
    venv.create(folder, symlinks=True)
    packages = Path(folder / f"lib/python3.{sys.version_info.minor}/site-packages")
    (packages / "beside.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    about = packages / f"{APART[name].replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {APART[name]}\nVersion: {version}\n")
    (packages / "vllm.py").write_text(VLLM)
    return folder


def versions(run: Path) -> dict[str, str]:
    """What a run record says of the environment."""
    return read_json(run)["versions"]
