"""A checkout in a folder of its own, and two chains of real stages of a tiny model, four steps each: the micro-chain of
SFT and DPO, and the long one of every kind (chain.py)."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from filelock import FileLock

from chain import CHAIN, ENDS
from hub import Hub
from posttrain import forkserver
from posttrain.build import store

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # snakemake beside this Python
ROOT = Path(__file__).parents[1]
PARTS = ("workflow", "rules", "scripts", "config", "envs", "profiles", "slurm", "rehearse")
SFT, DPO = "models/micro-sft", "models/micro-dpo"
PAGE = "config/recipes/micro.yaml"
MICRO = """\
# Micro: a chain small enough to be built a hundred times.
data:
  micro-rows:
    sources:
      - {path: rows.jsonl}

preferences:
  micro-pairs:
    sources:
      - {path: pairs.jsonl}

models:
  micro-init:
    method: init
    architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true}
    template: bytes
  micro-sft:
    method: sft
    base: micro-init
    data: micro-rows
    train: {learning_rate: 1e-2, batch_size: 8, num_train_epochs: 1, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
  micro-dpo:
    method: dpo
    base: micro-sft
    preferences: micro-pairs
    train: {beta: 0.1, loss_type: [sigmoid, sft], learning_rate: 1e-3, batch_size: 8, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
"""  # noqa: E501
WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
WORDS += ["ibis", "jay", "kite", "lark", "mole", "newt", "owl", "pig"]


def rows() -> list[dict]:
    """32 conversations: four steps of eight."""
    said = [(a, b) for a, b in zip(WORDS * 2, WORDS[3:] + WORDS[:3] + WORDS[5:] + WORDS[:5], strict=True)]
    return [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": f"{a} {b}"}]} for a, b in said
    ]


def pairs() -> list[dict]:
    """32 pairs: four steps of eight; answers of uneven lengths, so that token means matter."""
    made = []
    for i, row in enumerate(rows()):
        prompt, answer = row["messages"][0], row["messages"][1]["content"]
        chosen, rejected = answer + "!" * (i % 5), answer[::-1] + "?" * (i % 3)
        turn = {"role": "assistant"}
        made.append(
            {"prompt": [prompt], "chosen": [turn | {"content": chosen}], "rejected": [turn | {"content": rejected}]}
        )
    return made


def texts() -> list[dict]:
    """128 texts: more than four steps of eight rows of 32 tokens."""
    return [{"text": f"{a} and {b} and {a}"} for a in WORDS[:8] for b in WORDS]


def write_lines(path: Path, values: list[dict]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


class Project:
    """A checkout at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name

    def copy(self, root: Path) -> "Project":
        return Project(Path(shutil.copytree(self.root, root, symlinks=True)))

    def start(self, *args: str, into: int | IO = subprocess.PIPE, **env: str) -> subprocess.Popen:
        """Start snakemake in a session of its own."""
        command = ["snakemake", *(() if "--profile" in args else ("-c2",)), *args]
        STARTED.append(process := subprocess.Popen(
            command,
            cwd=self.root,
            env=clean_environment() | env,
            stdout=into,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ))  # fmt: skip
        return process

    def make(self, *args: str, rc: int = 0, timeout: float | None = 600, **env: str) -> tuple[str, list[str]]:
        """Run snakemake to its end; its output, and the models whose trainer was started.

        Its stages are forks of a process that has imported torch and TRL, which takes ten times what they do. What is
        started by `start` alone is not: there processes are what is tested.
        """
        before = len(self.started())
        dry = "-n" in args
        process = self.start(*(args or (DPO,)), **({} if dry else {forkserver.FORKSERVER: forkserver.opened()}) | env)
        output = process.communicate(timeout=timeout)[0]
        assert process.returncode == rc, output
        return output, [path for path in self.started()[before:] if path.startswith("models/")]

    def posttrain(self, *args: str, rc: int = 0, **env: str) -> str:
        """Run the command line beside snakemake; what it says."""
        run = subprocess.run(
            ["posttrain", *args], cwd=self.root, env=clean_environment() | env, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert run.returncode == rc, run.stdout
        return run.stdout

    def refused(self, *args: str) -> str:
        """What snakemake says when it refuses."""
        output, trained = self.make(*args, rc=1)
        assert trained == [], "refused only after training had begun"
        return output

    def planned(self, *asked: str) -> dict[str, str]:
        """The targets that a dry run would make, each with its rule."""
        output = self.make("-n", *asked)[0]
        jobs = re.findall(r"^(?:local)?rule (\w+):\n(?: .*\n)*?    output: (\S+)\.json,", output, re.MULTILINE)
        return {target: rule for rule, target in jobs}

    def journal(self) -> list[dict]:
        path = self.path(".posttrain/journal.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def started(self) -> list[str]:
        """The targets whose program was started, in order."""
        return [line["target"] for line in self.journal() if line["event"] == "start"]

    def edit(self, old: str, new: str, name: str = PAGE) -> None:
        text = self.path(name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.path(name).write_text(text.replace(old, new))

    def add(self, text: str) -> None:
        """Write more at the end of the page of recipes."""
        self.path(PAGE).write_text(self.path(PAGE).read_text() + text)

    def manifest(self, target: str) -> dict:
        return json.loads(self.path(f"{target}.json").read_text())

    def forget(self, target: str) -> None:
        """Take a target away, and what the store holds of it."""
        store.clear(self.path("store") / self.manifest(target)["key"])
        for name in (target, f"{target}.json", f"{target}.run.json"):
            self.path(name).unlink()

    def standing(self) -> list[str]:
        """The targets that have a manifest, of the newest plan."""
        return [path for path in self.targets() if self.path(f"{path}.json").exists()]

    def made(self) -> dict[str, bytes]:
        """What a build made, by its path: every artifact's files and its manifest, less the run record."""
        found = {}
        for target in self.standing():
            files = [self.path(f"{target}.json"), *self.path(target).rglob("*")]
            found |= {str(file.relative_to(self.root)): file.read_bytes() for file in files if file.is_file()}
        return found

    def plan(self) -> Path:
        """The newest frozen plan."""
        return max(self.root.glob(".posttrain/plan/*.json"), key=os.path.getmtime)

    def targets(self) -> dict[str, dict]:
        """The targets of the newest plan."""
        return json.loads(self.plan().read_text())["targets"]

    def content(self, target: str = DPO) -> str:
        return self.manifest(target)["content"]

    def weights(self, target: str = DPO) -> bytes:
        return self.path(f"{target}/model.safetensors").read_bytes()

    def status(self, target: str) -> dict:
        """What the running job of a target says, or {}."""
        for path in self.root.glob(f"work/{target}.*/status.json"):
            try:
                return json.loads(path.read_text())
            except (OSError, ValueError):
                return {}
        return {}

    def wait(self, condition: Callable[[], object], seconds: float = 120) -> None:
        for _ in range(int(seconds / 0.02)):
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError("waited in vain")


STARTED: list[subprocess.Popen] = []


def end_started() -> None:
    """Kill every snakemake that a test has started and left: it would go on beside the tests that follow."""
    while STARTED:
        if (process := STARTED.pop()).poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    end_started()


def clean_environment() -> dict[str, str]:
    """The caller's environment, less what would change a build, with one thread a process."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("POSTTRAIN_", "SNAKEMAKE_"))}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def checkout(root: Path, page: str = MICRO) -> Project:
    """A checkout with one page of recipes and the chains' rows."""
    root.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (root / part).symlink_to(os.readlink(source))
        else:
            shutil.copytree(
                source, root / part, ignore=shutil.ignore_patterns("__pycache__", "posttrain", "*.egg-info")
            )
    for path in (root / "config/recipes").glob("*.yaml"):
        path.unlink()
    (root / PAGE).write_text(page)
    for name, made in (("rows", rows()), ("pairs", pairs()), ("texts", texts())):
        write_lines(root / f"{name}.jsonl", made)
        write_lines(root / f"held-{name}.jsonl", made[:8])  # to test on: a plan refuses to test on the very same rows
    return Project(root)


def shipped_checkout(root: Path) -> Project:
    """A checkout with the pages that we ship."""
    project = checkout(root, "")
    shutil.copytree(ROOT / "config/recipes", project.path("config/recipes"), dirs_exist_ok=True)
    return project


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A checkout in which nothing was built."""
    return checkout(tmp_path / "p")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub that every process asks."""
    hub = Hub()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield hub
    hub.close()


def built_once(factory: pytest.TempPathFactory, name: str, page: str, ends: list[str]) -> Project:
    """A page's targets, built once for all tests and all workers. Never written to: tests take copies."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{root}.lock"):
        if not all((root / f"{end}.json").exists() for end in ends):
            shutil.rmtree(root, ignore_errors=True)
            checkout(root, page).make(*ends)
    return Project(root)


@pytest.fixture(scope="session")
def micro_built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_once(tmp_path_factory, "micro-built", MICRO, [DPO])


@pytest.fixture(scope="session")
def chain_built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_once(tmp_path_factory, "chain-built", CHAIN, ENDS)


@pytest.fixture
def built(micro_built: Project, tmp_path: Path) -> Project:
    """A copy of a checkout in which the micro-chain was built, times and all."""
    return micro_built.copy(tmp_path / "p")


@pytest.fixture
def chain(chain_built: Project, tmp_path: Path) -> Project:
    """A copy of a checkout in which the long chain was built, times and all."""
    return chain_built.copy(tmp_path / "p")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fail where a worker would not keep groups together: xdist marks them in a way that pytest 9.2 does not heed."""
    if getattr(config.option, "loadgroup", False):
        loose = [item.nodeid for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if loose:
            raise pytest.UsageError(f"xdist_group is not heeded ({loose[0]}); install what pyproject.toml pins")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the refusals that were tested: what was wrong, what was asked for, and the line that answered."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [value for report in reports for name, value in report.user_properties if name == "refusal"]
    if rows:
        terminalreporter.section(f"{len(rows)} refusals")
        for fault, target, line in rows:
            terminalreporter.write_line(f"{fault:36} {target:36} {line}")
